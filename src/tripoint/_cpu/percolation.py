"""Connected components of a volume and paths through a graph, in NumPy, cc3d and numba."""

from __future__ import annotations

import cc3d
import numba
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from tripoint._cpu.compiled import compiled
from tripoint.sides import FACE_SLICES


def label_components(phases, labels, connectivity):
    """Label the components of every listed phase in one pass.

    Returns the component image (uint32, 0 where the phase is not listed, so 4 bytes per voxel and
    1 more while it is made), and per component, with component 0 standing for everything else:
    the phase's label (uint8), its voxels (int64) and the outer faces it touches (uint8, bit per
    face in the order of ``FACES``).
    """
    image = np.ascontiguousarray(phases)
    codes = np.zeros(256, np.uint8 if len(labels) < 256 else np.uint16)
    codes[list(labels)] = np.arange(1, len(labels) + 1)
    # cc3d takes 0 as background, and a phase may well be labelled 0.
    shifted = np.empty(image.shape, codes.dtype)
    _translate(image.reshape(-1), codes, shifted.reshape(-1))
    dtype = np.uint32 if image.size < 2**32 else np.uint64
    components, count = cc3d.connected_components(
        shifted, connectivity=connectivity, return_N=True, out_dtype=dtype
    )
    del shifted
    label, voxels = _measure(components.reshape(-1), image.reshape(-1), count)
    faces = np.zeros(count + 1, np.uint8)
    for bit, face in enumerate(FACE_SLICES):
        touching = components[face].reshape(-1)
        faces[touching] |= np.uint8(1 << bit)
    faces[0] = voxels[0] = 0  # what is not listed is no component
    return components, label, voxels, faces


def join_components(phases, components, count, carriers_of_label, carriers, connectivity):
    """Return per carrier the root of every component in the union of the phases that conduct it.

    ``carriers_of_label`` (256, uint8) has bit c set where a phase conducts carrier c. One pass over
    the volume joins components of different phases that touch; no further voxel-sized array.
    """
    roots = np.tile(np.arange(count + 1, dtype=np.int64), (carriers, 1))
    mixed = [c for c in range(carriers) if np.count_nonzero(carriers_of_label & (1 << c)) > 1]
    if mixed:
        _join(np.ascontiguousarray(phases), components, carriers_of_label, _offsets(connectivity), roots)
    return roots


def paint(components, values):
    """Return the uint8 volume that holds ``values[component]`` in every voxel; 1 byte per voxel."""
    volume = np.empty(components.shape, np.uint8)
    _translate(components.reshape(-1), values, volume.reshape(-1))
    return volume


def outer_planes(components, wanted):
    """Return copies of the outer planes in the order of ``FACES``, None where not wanted."""
    return tuple(
        components[face].copy() if want else None for face, want in zip(FACE_SLICES, wanted, strict=True)
    )


def _offsets(connectivity):
    """Return the half of the neighbourhood that lies ahead in raster order, (n, 3) int64."""
    nearness = {6: 1, 18: 2, 26: 3}[connectivity]
    ahead = [
        (z, y, x)
        for z in (0, 1)
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
        if (z, y, x) > (0, 0, 0) and abs(z) + abs(y) + abs(x) <= nearness
    ]
    return np.array(ahead, np.int64)


@compiled(parallel=True)
def _translate(values, table, out):
    for i in numba.prange(values.size):
        out[i] = table[values[i]]


@compiled()
def _measure(components, phases, count):
    """Phase and size of every component, counted by runs along x."""
    label = np.zeros(count + 1, np.uint8)
    voxels = np.zeros(count + 1, np.int64)
    start = np.int64(0)
    for i in range(1, components.size + 1):
        if i == components.size or components[i] != components[start]:
            current = components[start]
            voxels[current] += i - start
            label[current] = phases[start]
            start = np.int64(i)
    return label, voxels


@compiled()
def find(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled()
def _join(phases, components, carriers_of_label, offsets, roots):
    depth, height, width = phases.shape
    last_a, last_b = np.int64(-1), np.int64(-1)
    for z in range(depth):
        for y in range(height):
            for k in range(offsets.shape[0]):
                dz, dy, dx = offsets[k]
                if z + dz >= depth or y + dy < 0 or y + dy >= height:
                    continue
                for x in range(max(0, -dx), min(width, width - dx)):
                    here = phases[z, y, x]
                    there = phases[z + dz, y + dy, x + dx]
                    if here == there:
                        continue
                    shared = carriers_of_label[here] & carriers_of_label[there]
                    if shared == 0:
                        continue
                    a = np.int64(components[z, y, x])
                    b = np.int64(components[z + dz, y + dy, x + dx])
                    if a == last_a and b == last_b:  # most faces repeat the one before
                        continue
                    last_a, last_b = a, b
                    for c in range(roots.shape[0]):
                        if shared & (1 << c):
                            unite(roots[c], a, b)
    for c in range(roots.shape[0]):
        for i in range(roots.shape[1]):
            roots[c, i] = find(roots[c], i)


@compiled()
def unite(parent, a, b):
    a = find(parent, a)
    b = find(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


def graph_roots(source, target, count):
    """Return for each of ``count`` nodes the smallest node of its weakly connected component."""
    ones = np.ones(len(source), np.int32)
    links = csr_array((ones, (source, target)), shape=(count, count))
    members = connected_components(links, directed=False)[1]
    first = np.full(members.max(initial=-1) + 1, count, np.int64)
    np.minimum.at(first, members, np.arange(count))
    return first[members]


def least_paths(source, target, weight, count, root):
    """Weight of the least-weight path from one node to every other, inf where there is none.

    Weights are positive.  Single-source Dijkstra, O(E log V): the least sum of float64 that any path gives
    when it is added up from the root on.
    """
    starts, neighbours, edge = _adjacency(source, target, count)
    matrix = csr_array((weight[edge], neighbours, starts), shape=(count, count))
    return dijkstra(matrix, indices=root)


def bottlenecks(source, target, width, count, root):
    """Width of the widest path from one node to every other, and the bridges of its component.

    Widths by Kruskal's maximum spanning tree: edges join components from the widest to the narrowest, and
    a node's width is that of the edge by which its component joins the root's.  Bridges by Tarjan (1974),
    O(V + E).

    Returns
    -------
    width : (count,) float64
        0 where there is no path, inf for the root.
    bridge : (edges,) bool
    """
    order = np.argsort(-width, kind="stable")
    widest = _widest(source[order], target[order], width[order], count, root)
    starts, neighbours, edge = _adjacency(source, target, count)
    return widest, _bridges(starts, neighbours, edge, len(source), root)


def _adjacency(source, target, count):
    """Return rows, columns and edge numbers of the symmetric adjacency in compressed rows."""
    rows = np.concatenate([source, target])
    order = np.argsort(rows, kind="stable")
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=starts[1:])
    neighbours = np.concatenate([target, source])[order]
    return starts, neighbours, order % max(len(source), 1)


@compiled()
def _widest(source, target, width, count, root):
    result = np.zeros(count)
    result[root] = np.inf
    parent = np.arange(count)
    following = np.arange(count)  # the members of a component form a ring
    size = np.ones(count, np.int64)
    for k in range(source.size):
        a = find(parent, source[k])
        b = find(parent, target[k])
        if a == b:
            continue
        for joined, other in ((a, b), (b, a)):
            if joined == find(parent, root):
                node = other
                for _ in range(size[other]):
                    result[node] = width[k]
                    node = following[node]
        if size[a] < size[b]:
            a, b = b, a
        parent[b] = a
        size[a] += size[b]
        following[a], following[b] = following[b], following[a]
    return result


@compiled()
def _bridges(starts, neighbours, edge, edges, root):
    found = np.zeros(edges, np.bool_)
    count = starts.size - 1
    entered = np.full(count, -1, np.int64)
    low = np.zeros(count, np.int64)
    position = starts[:-1].copy()
    arrived_by = np.full(count, -1, np.int64)
    stack = np.empty(count, np.int64)
    stack[0] = root
    entered[root] = low[root] = 0
    depth, clock = 1, 1
    while depth > 0:
        node = stack[depth - 1]
        if position[node] < starts[node + 1]:
            k = position[node]
            position[node] += 1
            following = neighbours[k]
            if edge[k] == arrived_by[node]:
                continue
            if entered[following] >= 0:
                low[node] = min(low[node], entered[following])
            else:
                entered[following] = low[following] = clock
                clock += 1
                arrived_by[following] = edge[k]
                stack[depth] = following
                depth += 1
        else:
            depth -= 1
            if depth > 0:
                parent = stack[depth - 1]
                low[parent] = min(low[parent], low[node])
                if low[node] > entered[parent]:
                    found[arrived_by[node]] = True
    return found
