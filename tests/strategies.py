"""Generated input that several rooms test with."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst


@st.composite
def phase_volumes(draw, labels=(0, 1, 2), largest=6, smallest=1):
    """Uint8 volumes of these labels, any of which may be absent, of ``smallest`` to ``largest`` a side."""
    shape = draw(st.tuples(*[st.integers(smallest, largest)] * 3))
    volume = draw(npst.arrays(np.uint8, shape, elements=st.integers(0, len(labels) - 1)))
    return np.array(labels, np.uint8)[volume]


@st.composite
def partitions(draw, shape, most=8):
    """Boxes that fill a volume, cut at random, not in a grid, and in random order."""
    boxes = [tuple((0, n) for n in shape)]
    for _ in range(draw(st.integers(0, most - 1))):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axis = draw(st.integers(0, 2))
        begin, end = box[axis]
        cut = draw(st.integers(begin, end))
        halves = [(begin, cut), (cut, end)] if begin < cut < end else [(begin, end)]
        boxes += [(*box[:axis], half, *box[axis + 1 :]) for half in halves]
    return draw(st.permutations(boxes))
