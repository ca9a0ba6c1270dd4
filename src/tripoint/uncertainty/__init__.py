"""What a segmentation's uncertainty makes of the figures of a sample: draws of its phases, analysed again."""

from tripoint.uncertainty.drawing import Probabilities, draw
from tripoint.uncertainty.reading import least_voxels, read
from tripoint.uncertainty.repeating import check, repeat
from tripoint.uncertainty.spread import figures, intervals

__all__ = ["Probabilities", "check", "draw", "figures", "intervals", "least_voxels", "read", "repeat"]
