"""Finds faces in photos and measures them: detector, 478-point mesh, and the judge of portraits."""
