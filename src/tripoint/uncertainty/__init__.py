"""What a segmentation's uncertainty makes of the figures of a sample: draws of its phases, analysed again."""

from tripoint.uncertainty.drawing import Probabilities, draw
from tripoint.uncertainty.repeating import repeat
from tripoint.uncertainty.spread import figures, intervals

__all__ = ["Probabilities", "draw", "figures", "intervals", "repeat"]
