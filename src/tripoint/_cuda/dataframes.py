"""cuDF, which is imported here and nowhere else.

``import cudf`` has CuPy allocate by RMM from then on, where no budget limits what is taken, no gauge sees it,
and every temporary array is asked of the driver anew.  So the allocator that was there before is put back.
"""

import cupy as cp

_allocator = cp.cuda.get_allocator()

import cudf  # noqa: E402

cp.cuda.set_allocator(_allocator)

__all__ = ["cudf"]
