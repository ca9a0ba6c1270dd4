"""From grey values to phases.

A 2D network, trained on a few annotated slices, or a classical method that needs none, labels every voxel of
one or several grey volumes of the same sample. Needs ``pip install 'tripoint[segment]'``, but for
`classical` and `scores`.
"""
