"""SadTalker (Zhang et al., CVPR 2023): a photo that speaks, drawn by neural networks.

    portrait -> five points -> square crop -> 3DMM coefficients, keypoints -> rig      (once per photo)
    speech -> mel windows -> expression and pose -> keypoints, one set a frame
    keypoints -> pictures, a few at a time -> pasted into the photo -> encoder

Only the networks are SadTalker's. They are imported from a checkout of the user's, or from an archive of the pinned
commit; nothing of it lies in this package, since the terms of some of its parts are unclear. What goes on between
the networks is done here: detectors are replaced by our own face mesh, memory does not grow with the clip, and every
draw of lots comes from one seed.

`networks` is the only module that imports torch: it takes and gives numpy arrays.
"""
