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
