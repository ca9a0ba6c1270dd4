"""cuCIM's labelling, without cuCIM's reader of image files.

``import cucim`` loads that reader, a native library that tripoint does not use, and where cuDF or
pylibcugraph were imported before, loading it never ends (26.10).  Where it is missing, cuCIM goes on.
"""

from __future__ import annotations

import sys

READER = "cucim.clara"

if "cucim" not in sys.modules:
    sys.modules[READER] = None  # type: ignore[assignment]  # so that importing it is an ImportError

from cucim.skimage.measure import label  # noqa: E402

if sys.modules.get(READER, label) is None:
    del sys.modules[READER]

__all__ = ["label"]
