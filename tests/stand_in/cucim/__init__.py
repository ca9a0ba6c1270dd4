"""Stands in for cuCIM: labelling, by the same library as on the host."""
