"""Host side of :mod:`tripoint.boundary`."""
