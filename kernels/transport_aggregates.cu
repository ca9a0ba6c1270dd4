/* Which unknowns are joined on the next coarser level, and the conductances between what they become.

Mirrors tripoint._cpu.transport.aggregates; voxels are joined as there, rows by handshakes, since threads come all at once.

join_voxels, number_voxels, sum_voxels: grid-stride loops over blocks of 2x2x2 voxels, a thread each.
    faces, inverse  as in transport_stencil.cu
    strong     conductance relative to the geometric mean of two voxels' sums from which they are joined
    aggregates (plane + n + plane) join_voxels, out: number within the block, -1 for none; number_voxels, out: in all
    counts     (blocks,) aggregates of each block, out
    base       (blocks,) those before it
    ptr        (aggregates + 1,) sum_voxels without `writing`, out: entries of row a at a + 1; else: where rows begin
    col, val   entries of the rows, out
point_rows a thread per row: target of each row without a partner: to which other one it is bound best; -1 for none
shake_rows likewise: two that point at each other become a pair, named by the lower one
hold_rows  likewise: a row that is left joins the pair that holds it, or stays alone
    ptr, col, val, inverse, n  a matrix of conductances without its diagonal, 1 / diagonal, rows
    good       conductance of a pair, relative to the harmonic mean of its sums, from which it may be made
    held       share of a row's sum from which it joins a pair
    pairs      (n,) in and out: the pair of each row, -1 for none yet;  roots (n,) out
list_entries a thread per member, of the members begin to end in the order of their aggregates
    members    rows in the order of their aggregates;  starts (end - begin + 1,) where the entries of each go
    owner      (n,) aggregate of each row
    keys, values  out: row << 32 | column among aggregates, and the conductance
sum_entries a thread per sum
    order, first  sorted places of the entries; where each sum begins, (sums + 1,)
    col, val   (sums,) out
invert_rows a thread per row: 1 / (terminal + sum of val)

A row points by the conductance of the pair, in steps of 0.2 % so that sums in another order make no difference, then
at i ^ 1, then by a number drawn from both: so of those that point at each other there are many, and chains are short.
*/
#include "transport.cuh"

constexpr int MOST = 48;  // faces of 8 voxels

struct Blocks {
    int depth, height, width, rows, columns;

    __device__ __forceinline__ Blocks(int depth, int height, int width)
        : depth(depth), height(height), width(width), rows((height + 1) / 2), columns((width + 1) / 2)
    {
    }
    __device__ __forceinline__ long long count() const { return (long long)((depth + 1) / 2) * rows * columns; }

    /* The place of a block's voxel c = 4 z + 2 y + x with the guard, -1 outside of the volume. */
    __device__ __forceinline__ long long voxel(long long block, int c) const
    {
        const long long line = block / columns, bz = line / rows;
        const long long z = 2 * bz + (c >> 2), y = 2 * (line - bz * rows) + (c >> 1 & 1);
        const long long x = 2 * (block - line * columns) + (c & 1);
        if (z >= depth || y >= height || x >= width) return -1;
        return ((z + 1) * height + y) * width + x;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) join_voxels(
    const float* __restrict__ faces, int depth, int height, int width, const float* __restrict__ inverse, double strong,
    int* __restrict__ aggregates, unsigned char* __restrict__ counts)
{
    const Blocks blocks(depth, height, width);
    const long long size = (long long)(depth + 2) * height * width;
    const long long plane = (long long)height * width;
    for EACH(block, blocks.count()) {
        const long long lowest = blocks.voxel(block, 0);
        int part[8];
        float held[8];
        unsigned inside = 0;
#pragma unroll
        for (int c = 0; c < 8; ++c) {
            const long long i = blocks.voxel(block, c);
            held[c] = i < 0 ? 0.0f : inverse[i];
            part[c] = held[c] > 0 ? c : -1;
            inside |= (unsigned)(i >= 0) << c;
        }
#pragma unroll
        for (int c = 0; c < 8; ++c)
#pragma unroll
            for (int axis = 0; axis < 3; ++axis) {
                const int other = c | 4 >> axis;
                if (other == c || part[c] < 0 || part[other] < 0) continue;
                const float a = faces[axis * size + lowest + (c >> 2) * plane + (c >> 1 & 1) * width + (c & 1)];
                if (!(a > 0) || a * a * held[c] * held[other] < strong * strong) continue;
                const int low = min(part[c], part[other]), high = max(part[c], part[other]);
#pragma unroll
                for (int d = 0; d < 8; ++d)
                    if (part[d] == high) part[d] = low;
            }
        unsigned roots = 0;
#pragma unroll
        for (int c = 0; c < 8; ++c)
            if (part[c] == c) roots |= 1u << c;
#pragma unroll
        for (int c = 0; c < 8; ++c)
            if (inside >> c & 1)
                aggregates[lowest + (c >> 2) * plane + (c >> 1 & 1) * width + (c & 1)] =
                    part[c] < 0 ? -1 : __popc(roots & ((1u << part[c]) - 1));
        counts[block] = __popc(roots);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) number_voxels(
    int depth, int height, int width, const int* __restrict__ base, int* __restrict__ aggregates)
{
    const Blocks blocks(depth, height, width);
    for EACH(block, blocks.count())
#pragma unroll
        for (int c = 0; c < 8; ++c) {
            const long long i = blocks.voxel(block, c);
            if (i >= 0 && aggregates[i] >= 0) aggregates[i] += base[block];
        }
}

extern "C" __global__ void __launch_bounds__(THREADS) sum_voxels(
    const float* __restrict__ faces, int depth, int height, int width, const int* __restrict__ base,
    const int* __restrict__ aggregates, int writing, long long* __restrict__ ptr, int* __restrict__ col,
    float* __restrict__ val)
{
    const Blocks blocks(depth, height, width);
    const long long plane = (long long)height * width, size = (depth + 2) * plane;
    for EACH(block, blocks.count()) {
        int names[MOST];
        unsigned char parts[MOST], places[MOST];
        double values[MOST];
        unsigned char sizes[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        int entries = 0;
#pragma unroll 1
        for (int c = 0; c < 8; ++c) {
            const long long i = blocks.voxel(block, c);
            const int a = i < 0 ? -1 : aggregates[i];
            if (a < 0) continue;
            const int part = a - base[block];
#pragma unroll 1
            for (int d = 0; d < 6; ++d) {
                const long long step = d < 2 ? plane : d < 4 ? width : 1, j = d & 1 ? i - step : i + step;
                const float g = faces[(d >> 1) * size + min(i, j)];
                if (!(g > 0)) continue;
                const int b = aggregates[j];
                if (b == a) continue;
                int s = 0;
                while (s < entries && (names[s] != b || parts[s] != part)) ++s;
                if (s == entries) {
                    names[s] = b;
                    parts[s] = part;
                    places[s] = sizes[part]++;
                    values[s] = 0;
                    ++entries;
                }
                values[s] += g;
            }
        }
        const long long row = base[block];
        if (writing)
            for (int s = 0; s < entries; ++s) {
                const long long at = ptr[row + parts[s]] + places[s];
                col[at] = names[s];
                val[at] = (float)values[s];
            }
        else
            for (int part = 0; part < 8; ++part)
                if (sizes[part] > 0) ptr[row + part + 1] = sizes[part];
    }
}

/* A number for an edge, the same from either side. */
__device__ __forceinline__ unsigned drawn(unsigned i, unsigned j)
{
    unsigned x = min(i, j) * 0x9e3779b1u ^ max(i, j) * 0x85ebca77u;
    x = (x ^ x >> 15) * 0x2c1b3c6du;
    x = (x ^ x >> 12) * 0x297a2d39u;
    return x ^ x >> 15;
}

extern "C" __global__ void __launch_bounds__(THREADS) point_rows(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, long long n, double good, const int* __restrict__ pairs, int* __restrict__ target)
{
    for EACH(i, n) {
        int whom = -1;
        unsigned long long best = 0;
        if (pairs[i] < 0)
            for (long long at = ptr[i]; at < ptr[i + 1]; ++at) {
                const int j = col[at];
                const float quality = 0.5f * val[at] * (inverse[i] + inverse[j]);
                if (pairs[j] >= 0 || !(quality > good)) continue;
                const unsigned long long next = (j ^ 1) == i;
                const unsigned long long key =
                    (unsigned long long)(__float_as_uint(quality) >> 14) << 33 | next << 32 | drawn(i, j);
                if (key > best || (key == best && j < whom)) {
                    best = key;
                    whom = j;
                }
            }
        target[i] = whom;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) shake_rows(
    const int* __restrict__ target, long long n, int* __restrict__ pairs)
{
    for EACH(i, n) {
        const int j = target[i];
        if (j >= 0 && target[j] == i) pairs[i] = min((int)i, j);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) hold_rows(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, long long n, double held, const int* __restrict__ pairs, int* __restrict__ roots)
{
    for EACH(i, n) {
        int root = pairs[i];
        if (root < 0) {
            float best = (float)held;
            root = i;
            for (long long at = ptr[i]; at < ptr[i + 1]; ++at) {
                const float share = val[at] * inverse[i];
                if (pairs[col[at]] >= 0 && share > best) {
                    best = share;
                    root = pairs[col[at]];
                }
            }
        }
        roots[i] = root;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) list_entries(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const int* __restrict__ members, long long begin, long long end, const long long* __restrict__ starts,
    const int* __restrict__ owner, long long* __restrict__ keys, float* __restrict__ values)
{
    for EACH(m, end - begin) {
        const int i = members[begin + m];
        const long long row = (long long)owner[i] << 32;
        long long to = starts[m];
        for (long long at = ptr[i]; at < ptr[i + 1]; ++at, ++to) {
            keys[to] = row | owner[col[at]];
            values[to] = val[at];
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) sum_entries(
    const long long* __restrict__ keys, const long long* __restrict__ order, const float* __restrict__ values,
    const long long* __restrict__ first, const long long* __restrict__ end, long long sums, int* __restrict__ col,
    float* __restrict__ val)
{
    for EACH(s, sums) {
        double total = 0;
        for (long long k = first[s]; k < end[s]; ++k) total += values[order[k]];
        col[s] = (int)(keys[first[s]] & 0xffffffffLL);
        val[s] = (float)total;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) invert_rows(
    const long long* __restrict__ ptr, const float* __restrict__ val, const float* __restrict__ terminal, long long n,
    float* __restrict__ inverse)
{
    for EACH(i, n) {
        double total = terminal[i];
        for (long long at = ptr[i]; at < ptr[i + 1]; ++at) total += val[at];
        inverse[i] = total > 0 ? (float)(1 / total) : 0.0f;
    }
}
