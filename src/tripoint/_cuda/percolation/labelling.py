"""cuCIM's labelling, without cuCIM's reader of image files.

``import cucim`` loads that reader, a native library that tripoint does not use, and where cuDF or
pylibcugraph were imported before, loading it never ends (26.10).  Where it is missing, cuCIM goes on.
"""

from __future__ import annotations

import sys
from typing import Any

READER = "cucim.clara"

if "cucim" not in sys.modules:
    sys.modules[READER] = None  # type: ignore[assignment]  # so that importing it is an ImportError

from cucim.skimage.measure import label  # noqa: E402

if sys.modules.get(READER, label) is None:
    del sys.modules[READER]


def label_equal(values: Any, nearness: int) -> tuple[Any, int]:
    """Label the components of equal values, 0 left out; neighbours differ along so many axes at most.

    Memory: 4 bytes per voxel, 8 from 2³¹ − 2 voxels on, and as many for every component twice.
    """
    components, count = label(values, return_num=True, connectivity=nearness)
    return components, int(count)
