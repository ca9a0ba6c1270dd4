"""Memory of the GPU: what an analysis needs, whether it fits, and how much it took.

Bytes per voxel are those of volumes; tables of regions, contacts and junctions come on top, in cuDF and
pylibcugraph outside of CuPy's pool, and have the share that the budget leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cupy as cp

from tripoint._cuda import device
from tripoint.errors import DeviceMemoryError

#: What to do where a volume does not fit.
WAYS = (
    "crop it with roi=[[z0,z1],[y0,y1],[x0,x1]], run with device=cpu, or go through it in slabs: "
    "percolation.scan, merge and paint, boundary.scan (within, origin), boundary.count_contacts and "
    "count_junctions, particles.measure"
)


@dataclass(frozen=True)
class Need:
    """What a step of the analysis has on the GPU at its peak, bytes per voxel.

    ``held`` are the volumes that were there before or stay after, ``scratch`` what it takes meanwhile,
    ``labels`` how many component labels a voxel has in it: each takes 4 bytes, and 8 from 2³¹ voxels on.
    """

    step: str
    held: float
    scratch: float = 0.0
    labels: int = 0

    def bytes_per_voxel(self, voxels: int) -> float:
        """Return the peak of the step for a volume of so many voxels."""
        return self.held + self.scratch + self.labels * (4 if voxels < 2**31 else 8)


#: Of volumes there are phases 1, access 1, junction map 1, distance 4, regions 4; and the edges of junctions,
#: 19 bytes each, of which real electrodes have one in 20 voxels: 1.  The scratch is that of the docstrings of
#: the rooms: a byte per edge; squares of the distance; runs of regions, of which there is up to one in three
#: voxels; moments of regions; a copy of the regions of a slab.
NEEDS = (
    Need("percolation", held=2.0, labels=1),
    Need("boundary", held=3.0),
    Need("junction length", held=4.0, scratch=1.0),
    Need("representativity", held=3.0, scratch=0.1),
    Need("distance", held=7.0, scratch=4.0),
    Need("separation", held=11.0, scratch=2.0),
    Need("descriptors", held=11.0, scratch=1.0),
    Need("contacts", held=11.0, scratch=1.5),
    Need("junctions", held=7.0, scratch=1.0),
)


def largest(shape: Sequence[int], *, flow: float = 0.0) -> tuple[str, int]:
    """Return the step of an analysis that needs most, and its bytes, those of the phases included.

    ``flow`` is the scratch of the solvers of transport, bytes per voxel: phases, junction map and regions
    are there then.
    """
    voxels = math.prod(shape)
    needs = (*NEEDS, Need("transport", held=6.0, scratch=flow)) if flow else NEEDS
    need = max(needs, key=lambda step: step.bytes_per_voxel(voxels))
    return need.step, math.ceil(need.bytes_per_voxel(voxels) * voxels)


class Gauge(cp.cuda.MemoryHook):
    """Bytes of CuPy's pool that are in use, and the most there were; active in a ``with`` block.

    Attributes
    ----------
    device : str
        Name of the GPU.
    peak_bytes : int
    """

    name = "tripoint"

    def __init__(self) -> None:
        self.device = device.name()
        self.peak_bytes = self._in_use = cp.get_default_memory_pool().used_bytes()

    def malloc_postprocess(self, **event: int) -> None:
        """Count what was taken from the pool; a pointer of 0 is an allocation that failed."""
        if event["mem_ptr"]:
            self._in_use += event["mem_size"]
            self.peak_bytes = max(self.peak_bytes, self._in_use)

    def free_postprocess(self, **event: int) -> None:
        """Count what went back to the pool."""
        self._in_use -= event["mem_size"]

    def synchronize(self) -> None:
        """Wait until the GPU has done all that it was asked to."""
        cp.cuda.get_current_stream().synchronize()

    def give_back(self) -> None:
        """Return what CuPy's pool keeps for later: cuDF and pylibcugraph allocate beside it."""
        cp.get_default_memory_pool().free_all_blocks()


@dataclass(frozen=True)
class Plan:
    """Bytes: what CuPy's pool may hold, how much of that a task may have, and how much it needs.

    ``ways`` says what to do where it is too much.
    """

    limit: int
    allowed: int
    needed: int
    ways: str = WAYS


def plan(shape: Sequence[int], *, resident: int = 0, share: float = 0.9, flow: float = 0.0) -> Plan:
    """Return how an analysis fits into the memory that is free now.

    Parameters
    ----------
    shape : (z, y, x)
        Voxels of the sample.
    resident : int
        Bytes of the phases that are on the GPU already.
    share : float
        Of the free memory that may be taken.
    flow : float
        Bytes per voxel that the solvers of transport and local activity take.

    Raises
    ------
    DeviceMemoryError
        It does not fit.
    """
    step, needed = largest(shape, flow=flow)
    per_voxel = f"{needed / math.prod(shape):.3g} bytes per voxel, in the step '{step}'"
    what = f"an analysis of {' × '.join(map(str, shape))} voxels"
    return fitted(needed, what, per_voxel, resident=resident, share=share)


def fitted(
    needed: int, what: str, per_voxel: str, *, resident: int = 0, share: float = 0.9, ways: str = WAYS
) -> Plan:
    """Return how a task fits into the memory that is free now.

    Parameters
    ----------
    needed : int
        Bytes, those that are on the GPU already included.
    what, per_voxel : str
        The task, and how its bytes come about, for the message.
    resident, share
        As of :func:`plan`.
    ways : str
        What to do where it does not fit.

    Raises
    ------
    DeviceMemoryError
        It does not.
    """
    pool = cp.get_default_memory_pool()
    pool.free_all_blocks()
    free, _ = cp.cuda.runtime.memGetInfo()
    limit = pool.total_bytes() + int(share * free)
    if pool.get_limit():
        limit = min(limit, pool.get_limit())
    allowed = limit - pool.used_bytes() + resident
    if needed > allowed:
        message = (
            f"{what} takes {_size(needed)} of GPU memory ({per_voxel}), and {_size(allowed)} of the "
            f"{device.name()} may be used ({share:.0%} of what is free); {ways}"
        )
        raise DeviceMemoryError(message)
    return Plan(limit, allowed, needed, ways)


@contextmanager
def budget(
    shape: Sequence[int], *, resident: int = 0, share: float = 0.9, flow: float = 0.0
) -> Iterator[Gauge]:
    """Have CuPy allocate within the share of an analysis, and gauge that; see `plan` and `kept_to`.

    Raises
    ------
    DeviceMemoryError
        The analysis does not fit, or did not after all.
    """
    with kept_to(plan(shape, resident=resident, share=share, flow=flow)) as gauge:
        yield gauge


@contextmanager
def kept_to(known: Plan) -> Iterator[Gauge]:
    """Have CuPy allocate from its pool, within a plan, and gauge that.

    Where the program has CuPy allocate otherwise, as after ``import cudf``, that is so again afterwards.

    Raises
    ------
    DeviceMemoryError
        The plan was too small after all.
    """
    pool = cp.get_default_memory_pool()
    before, allocator = pool.get_limit(), cp.cuda.get_allocator()
    pool.set_limit(size=known.limit)
    cp.cuda.set_allocator(pool.malloc)
    try:
        with Gauge() as gauge, told_in_our_words(known):
            yield gauge
    finally:
        cp.cuda.set_allocator(allocator)
        pool.set_limit(size=before)
        pool.free_all_blocks()


@contextmanager
def told_in_our_words(known: Plan | None = None) -> Iterator[None]:
    """Turn what CuPy and its fellows raise when memory runs out into an error that says what to do."""
    try:
        yield
    except DeviceMemoryError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        expected = (
            f", {_size(known.needed)} were expected and {_size(known.allowed)} allowed" if known else ""
        )
        message = (
            f"the GPU ran out of memory ({_first_line(error)}){expected}; another program may have taken "
            f"some, or the sample has very many regions: {known.ways if known else WAYS}"
        )
        raise DeviceMemoryError(message) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of CuPy, or of a library that allocates by RMM, says that memory is used up."""
    text = str(error)
    return isinstance(error, cp.cuda.memory.OutOfMemoryError) or any(
        word in text for word in ("out_of_memory", "bad_alloc", "cudaErrorMemoryAllocation")
    )


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0].rstrip(".")
