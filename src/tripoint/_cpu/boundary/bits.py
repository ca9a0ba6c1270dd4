"""Volumes as bit planes: one bit per voxel and question, 64 voxels to a machine word.

Rows are padded with at least one zero bit and planes with a zero row on either side. What would lie
outside the volume has no label, so that no loop needs to treat the border apart: a plane of rows is one
flat run of words, and a neighbour is an offset in it and a shift by one bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tripoint._cpu.compiled import compiled


def labels_present(phases: np.ndarray) -> tuple[int, ...]:
    """Return the distinct labels of a volume, ascending, in one pass without memory of its own."""
    return tuple(np.flatnonzero(label_counts(phases)).tolist())


def label_counts(phases: np.ndarray) -> np.ndarray:
    """Count the voxels of each label, (256,) int64, in one pass without memory of its own."""
    bounds = slabs(0, len(phases))
    counts = np.zeros((len(bounds) - 1, 256), np.int64)
    address = memory(phases)

    def work(k: int) -> None:
        _count_labels(address, phases.shape, bounds[k], bounds[k + 1], counts[k])

    on_threads(work, len(counts))
    return counts.sum(axis=0)


def slabs(begin: int, end: int) -> np.ndarray:
    """Cut a range of planes into a few slabs per thread; no result depends on where."""
    return np.linspace(begin, end, max(1, min(end - begin, 4 * numba.get_num_threads())) + 1).astype(np.int64)


def on_threads(work: Callable[[int], None], n: int) -> None:
    """Run compiled work, which holds no lock, on numba's number of threads.

    A third of the compile time of a parallel loop of numba's own, and callers may be threads themselves.
    """
    if n == 1 or numba.get_num_threads() == 1:
        for k in range(n):
            work(k)
        return
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        for _ in pool.map(work, range(n)):
            pass


def memory(volume: np.ndarray | None) -> tuple[int, int, int, int]:
    """Return address and strides: loops over them are compiled once for every layout, read-only or not."""
    return (0, 0, 0, 0) if volume is None else (volume.ctypes.data, *volume.strides)


# ---------------------------------------------------------------------------- words of 64 voxels


def _vector(bits):
    return ir.VectorType(ir.IntType(bits), 64)


def _splat(builder, value):
    vector = builder.insert_element(
        ir.Constant(_vector(8), ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
    return builder.shuffle_vector(vector, ir.Constant(_vector(8), ir.Undefined), lanes)


def _bytes_at(builder, address):
    pointer = builder.inttoptr(address, _vector(8).as_pointer())
    loaded = builder.load(pointer)
    loaded.align = 1
    return loaded


@intrinsic
def popcount(typing, word):
    """Return the number of bits set in a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def byte_at(typing, address):
    """Return the byte at an address."""

    def generate(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))

    return types.uint8(types.int64), generate


@intrinsic
def _equal(typing, address, label):
    """Return one bit per byte of the 64 at an address, set where it is this label."""

    def generate(context, builder, signature, arguments):
        match = builder.icmp_unsigned("==", _bytes_at(builder, arguments[0]), _splat(builder, arguments[1]))
        return builder.bitcast(match, ir.IntType(64))

    return types.uint64(types.int64, types.uint8), generate


@intrinsic
def _any_bit(typing, address, bits):
    """Return one bit per byte of the 64 at an address, set where it has any of these bits."""

    def generate(context, builder, signature, arguments):
        found = builder.and_(_bytes_at(builder, arguments[0]), _splat(builder, arguments[1]))
        zero = ir.Constant(_vector(8), [0] * 64)
        return builder.bitcast(builder.icmp_unsigned("!=", found, zero), ir.IntType(64))

    return types.uint64(types.int64, types.uint8), generate


@intrinsic
def spread(typing, address, low, high):
    """Write 64 bytes of two bits each at an address: bit i of low and of high become byte i."""

    def generate(context, builder, signature, arguments):
        address, low, high = arguments
        lanes = [builder.zext(builder.bitcast(word, _vector(1)), _vector(8)) for word in (low, high)]
        values = builder.or_(lanes[0], builder.shl(lanes[1], ir.Constant(_vector(8), [1] * 64)))
        stored = builder.store(values, builder.inttoptr(address, _vector(8).as_pointer()))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64, types.uint64), generate


# ---------------------------------------------------------------------------- from voxels to bit planes


@compiled()
def pack(phases, access, shape, z, labels, bits, derived, words, row, planes):
    """Fill the bit planes of one z; beyond the volume they are empty."""
    if z >= shape[0]:
        planes[:] = 0
        return
    n_labels = len(labels)
    for y in range(shape[1]):
        offset = 1 + (y + 1) * words
        _pack_row(phases, z, y, shape[2], labels, True, words, offset, row, planes[:n_labels])
        if len(bits) > 0:
            _pack_row(access, z, y, shape[2], bits, False, words, offset, row, planes[n_labels:])
    for k in range(len(derived)):
        one, other = planes[derived[k, 0]], planes[derived[k, 1]]
        both = planes[n_labels + len(bits) + k]
        for i in range(len(both)):
            both[i] = one[i] & other[i]


@compiled()
def _pack_row(volume, z, y, size, values, equal, words, offset, row, planes):
    """Pack one row of voxels; a row that is short or not contiguous goes through a buffer."""
    line = volume[0] + z * volume[1] + y * volume[2]
    if volume[3] != 1 or size < 64:
        row[size:] = 0
        for x in range(size):
            row[x] = byte_at(line + x * volume[3])
        line = row.ctypes.data
    whole, rest = size // 64, size % 64
    for k in range(len(values)):
        value, plane = values[k], planes[k, offset : offset + words]
        for word in range(whole):
            plane[word] = _match(line + word * 64, value, equal)
        plane[whole] = np.uint64(0)
        if rest > 0 and whole > 0:  # the last 64 voxels, less those that were in the word before
            plane[whole] = _match(line + size - 64, value, equal) >> np.uint64(64 - rest)
        elif rest > 0:
            plane[0] = _match(line, value, equal) & ((np.uint64(1) << np.uint64(rest)) - np.uint64(1))


@compiled()
def _match(address, value, equal):
    return _equal(address, value) if equal else _any_bit(address, value)


@compiled()
def _count_labels(volume, shape, first, last, counts):
    """Count by words the labels seen before; look closely only at voxels of others."""
    known = np.zeros(256, np.uint8)
    n_known = 0
    size = shape[2]
    direct = size // 64 if volume[3] == 1 else 0
    for z in range(first, last):
        for y in range(shape[1]):
            line = volume[0] + z * volume[1] + y * volume[2]
            for word in range(direct + 1):
                begin, end = word * 64, size
                seen = np.uint64(0)
                if word < direct:
                    end = begin + 64
                    for k in range(n_known):
                        match = _equal(line + begin, known[k])
                        counts[known[k]] += popcount(match)
                        seen |= match
                    if seen == ~np.uint64(0):
                        continue
                for x in range(begin, end):
                    if word < direct and (seen >> np.uint64(x - begin)) & np.uint64(1):
                        continue
                    label = byte_at(line + x * volume[3])
                    if counts[label] == 0:
                        known[n_known] = label
                        n_known += 1
                    counts[label] += 1
