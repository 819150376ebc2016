"""The photo puppet: one photo becomes a talking head by warping it, with no neural network in the loop.

    photo -> framing -> landmarks -> depth, lips, layers, interior, eyes -> rig    (once per photo)
    timings -> timeline -> controls, one row a frame -> render -> encoder          (once per sentence)

The picture is a 2.5-D warp. Displacements are summed *forward* on coarse lattices, the head's rotation is
applied per node with the mesh's depth, and the sum is inverted by Newton's method: backward fields
would not add up at large openings. The mouth has three layers (upper lip, interior, lower lip and jaw),
since a warp alone cannot tear the picture open.
"""
