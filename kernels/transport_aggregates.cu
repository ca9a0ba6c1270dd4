/* Which unknowns are joined on the next coarser level, and the conductances between what they become.

Mirrors tripoint._cpu.transport.aggregates; rows are gathered around roots as there, but roots are not found one by one.

join_voxels, number_voxels, sum_voxels: grid-stride loops over blocks of 2x2x2 voxels, a thread each.
    faces, inverse  as in transport_stencil.cu
    strong     conductance relative to the geometric mean of two voxels' sums from which they are joined
    aggregates (plane + n + plane) join_voxels, out: number within the block, -1 for none; number_voxels, out: in all
    counts     (blocks,) aggregates of each block, out
    base       (blocks,) those before it
    ptr        (aggregates + 1,) sum_voxels without `writing`, out: entries of row a at a + 1; else: where rows begin
    col, val   entries of the rows, out
spread_keys a thread per row: highest key of each row and of those strongly connected to it
choose_roots likewise: a row with the highest key as far as two connections becomes a root; one so near a root does not
join_roots likewise: a root, and what is strongly connected to one, joins it
attach_rows likewise: a row that is left joins the aggregate that it is bound to most strongly, or stays alone
    ptr, col, val, inverse, n  a matrix of conductances without its diagonal, 1 / diagonal, rows
    strong     as above, between rows;  held  share of a row's sum above which it is joined to what holds it
    keys       (n,) in and out: state << 62 | number drawn << 32 | row;  highest (n,) out
    roots      (n,) the root of each row, -1 for none yet;  owner (n,) the root of each row, out
list_entries a thread per member, of the members begin to end in the order of their aggregates
    members    rows in the order of their aggregates;  starts (end - begin + 1,) where the entries of each go
    owner      (n,) aggregate of each row
    keys, values  out: row << 32 | column among aggregates, and the conductance
sum_entries a thread per sum
    order, first  sorted places of the entries; where each sum begins, (sums + 1,)
    col, val   (sums,) out
invert_rows a thread per row: 1 / (terminal + sum of val)

Roots are a maximal set of rows that are more than two connections apart, found in some rounds: numbers are drawn from the
rows, so that many are the highest of their surroundings at once.
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
                if (!(a > 0) || (a * held[c]) * (a * held[other]) < strong * strong) continue;
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

enum State : unsigned long long { OUT, OPEN, ROOT };  // the two highest bits of a key

/* How strongly two rows with these 1 / sum are connected, 0 where not strongly. */
__device__ __forceinline__ float bond(float conductance, float mine, float other, float strong, float held)
{
    // Shares first, as their product neither overflows nor vanishes.
    const float squared = (conductance * mine) * (conductance * other), share = conductance * max(mine, other);
    return squared >= strong * strong || share > held ? squared : 0.0f;
}

struct Matrix {
    const long long* ptr;
    const int* col;
    const float *val, *inverse;
    float strong, held;

    /* Calls use(row, bond) for every row that is strongly connected to row i. */
    template <class Use>
    __device__ __forceinline__ void each_strong(long long i, Use use) const
    {
        const float mine = inverse[i];
        const long long end = ptr[i + 1];
#pragma unroll 1
        for (long long at = ptr[i]; at < end; ++at) {
            const int j = col[at];
            const float strength = bond(val[at], mine, inverse[j], strong, held);
            if (strength > 0) use(j, strength);
        }
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) spread_keys(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, long long n, float strong, float held,
    const unsigned long long* __restrict__ keys, unsigned long long* __restrict__ highest)
{
    const Matrix matrix = {ptr, col, val, inverse, strong, held};
    for EACH(i, n) {
        unsigned long long most = keys[i];
        matrix.each_strong(i, [&](int j, float) { most = max(most, keys[j]); });
        highest[i] = most;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) choose_roots(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, long long n, float strong, float held,
    const unsigned long long* __restrict__ highest, unsigned long long* __restrict__ keys)
{
    const Matrix matrix = {ptr, col, val, inverse, strong, held};
    for EACH(i, n) {
        const unsigned long long key = keys[i];
        if (key >> 62 != OPEN) continue;
        unsigned long long most = highest[i];
        matrix.each_strong(i, [&](int j, float) { most = max(most, highest[j]); });
        const unsigned long long rest = key & ((1ull << 62) - 1);
        if (most == key) keys[i] = ROOT << 62 | rest;
        else if (most >> 62 == ROOT) keys[i] = rest;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) join_roots(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, long long n, float strong, float held,
    const unsigned long long* __restrict__ keys, int* __restrict__ roots)
{
    const Matrix matrix = {ptr, col, val, inverse, strong, held};
    for EACH(i, n) {
        int root = keys[i] >> 62 == ROOT ? (int)i : -1;
        if (root < 0)
            matrix.each_strong(i, [&](int j, float) {
                if (keys[j] >> 62 == ROOT) root = j;
            });
        roots[i] = root;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) attach_rows(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, long long n, float strong, float held, const int* __restrict__ roots,
    int* __restrict__ owner)
{
    const Matrix matrix = {ptr, col, val, inverse, strong, held};
    for EACH(i, n) {
        int root = roots[i];
        float best = 0;
        if (root < 0) {
            root = i;
            matrix.each_strong(i, [&](int j, float strength) {
                if (roots[j] >= 0 && strength > best) {
                    best = strength;
                    root = roots[j];
                }
            });
        }
        owner[i] = root;
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
