/* Conductances of voxel faces, Butler-Volmer kinetics at them, and what reacts in each region.

Mirrors tripoint._cpu.transport.assembly.  Volumes are (depth, height, width) in C order; `faces`, `tangent`, `x`
and `left` lie flat between two guards of one plane, see transport_stencil.cu.

conduct, react, linearise: a grid-stride loop over voxels, a thread each.
count_reactions, list_reactions: likewise over runs of RUN voxels in raster order; sum_reactions over listed voxels.
    phases       labels
    carrier      1 where a voxel is an unknown of the ions, 2 of the electrons, 0 where it is none
    conductivity (256,) S/m of each label
    form         (3, 2) area and length of the faces along each axis
    faces        (3, plane + n + plane) conductances; conduct, in: 0, out: those within a network; react, out: those
                 between the two
    regions      int32 ids; in conduct only read where `divided`
    boundary     (256,) resistance of a boundary between regions, by label
    active, ions (256,) whether a label is active material, whether it conducts ions
    exchange, exchange_volume  charge-transfer conductance; of every voxel where `varies`
    pairs, scales, count  sorted keys lower region << 32 | higher one, what the area of their faces is multiplied by
    tangent      out: slopes where ions meet electrons; elsewhere it has the faces already
    x, thermal   potentials; thermal voltage, 0 for linear kinetics
    left         in: the source, out: less what the reactions differ from tangent (x_i - x_j)
    counts       (3, regions + 1) in: 0, out: voxels, unknowns, faces of active material with ion conductors
    masks, found (runs,) which voxels of electrons in each run react, a bit each, and how many, out
    starts       (runs + 1,) where those of each run go
    voxel, flow  (rows,) their places in raster order, and the current into each from the ions around it

Each voxel adds up what happens at its own faces, so that no two threads write to one place, and the kinetics of a face
are computed from either side; counts are integers.

Bytes per voxel: conduct 2 read, 12 written, 4 for regions; react 2 and, where ions meet electrons, 12; linearise
2 and there 40; count_reactions and list_reactions 6 and there 12.
*/
#include "transport.cuh"

#define RUN 32

struct Grid {
    int depth, height, width;

    __device__ __forceinline__ long long plane() const { return (long long)height * width; }
    __device__ __forceinline__ long long voxels() const { return depth * plane(); }
    __device__ __forceinline__ long long step(int axis) const { return axis == 0 ? plane() : axis == 1 ? width : 1; }

    // Bit axis: there is a neighbour further along the axis; bit 3 + axis: there is one before.
    __device__ __forceinline__ int neighbours(long long v) const
    {
        const long long line = v / width;
        const int x = v - line * width, z = line / height, y = line - (long long)z * height;
        return (z + 1 < depth) | (y + 1 < height) << 1 | (x + 1 < width) << 2 | (z > 0) << 3 | (y > 0) << 4 | (x > 0) << 5;
    }
};

/* Calls use(voxel, axis) for the neighbours of a voxel that lie further along each axis. */
template <class Use>
__device__ __forceinline__ void each_ahead(const Grid& grid, long long v, Use use)
{
    const int there = grid.neighbours(v);
#pragma unroll
    for (int axis = 0; axis < 3; ++axis)
        if (there >> axis & 1) use(v + grid.step(axis), axis);
}

/* Half a voxel's resistance on either side of a face, times its area. */
__device__ __forceinline__ double in_series(const double* conductivity, int a, int b, double length)
{
    return 0.5 * length * (1 / conductivity[a] + 1 / conductivity[b]);
}

struct Response {
    double flow, slope;
};

/* The current through a face and its slope, with half a voxel's resistance on either side. */
__device__ __forceinline__ Response butler_volmer(double conductance, double rest, double drop, double thermal)
{
    if (thermal == 0) return {conductance * drop, conductance};
    const double g = 1 / fmax(1 / conductance - rest, 1e-12 / conductance), size = fabs(drop);
    const double bound = rest > 0 ? 2 * thermal * asinh(size / (2 * thermal * g * rest)) : size;
    double eta = copysign(fmin(size, bound), drop), flow = 0, slope = g;
    for (int k = 0; k < 60; ++k) {
        flow = 2 * g * thermal * sinh(eta / (2 * thermal));
        slope = g * cosh(eta / (2 * thermal));
        const double move = (eta + rest * flow - drop) / (1 + rest * slope);
        eta -= move;
        if (fabs(move) <= 1e-13 * (size + thermal)) break;
    }
    flow = 2 * g * thermal * sinh(eta / (2 * thermal));
    slope = g * cosh(eta / (2 * thermal));
    return {flow, slope / (1 + rest * slope)};
}

extern "C" __global__ void __launch_bounds__(THREADS) conduct(
    const unsigned char* __restrict__ phases, const unsigned char* __restrict__ carrier, int depth, int height, int width,
    const double* __restrict__ conductivity, const double* __restrict__ form, const int* __restrict__ regions,
    int divided, const double* __restrict__ boundary, float* __restrict__ faces)
{
    const Grid grid = {depth, height, width};
    const long long plane = grid.plane(), size = grid.voxels() + 2 * plane;
    for EACH(v, grid.voxels()) {
        const int mine = carrier[v], a = phases[v];
        if (mine == 0) continue;
        each_ahead(grid, v, [&](long long u, int axis) {
            if (carrier[u] != mine) return;
            const int b = phases[u];
            double resistance = in_series(conductivity, a, b, form[2 * axis + 1]);
            if (divided && boundary[a] > 0 && boundary[b] > 0 && regions[v] != regions[u])
                resistance += 0.5 * (boundary[a] + boundary[b]);
            faces[axis * size + plane + v] = (float)(form[2 * axis] / resistance);
        });
    }
}

/* What the area of the faces of two regions is multiplied by; 1 where the pair is not listed. */
__device__ __forceinline__ double scale_of(
    const long long* pairs, const double* scales, long long count, long long r, long long s)
{
    const long long key = min(r, s) << 32 | max(r, s);
    long long low = 0, high = count;
    while (low < high) {
        const long long middle = (low + high) / 2;
        if (pairs[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low < count && pairs[low] == key ? scales[low] : 1.0;
}

extern "C" __global__ void __launch_bounds__(THREADS) react(
    const unsigned char* __restrict__ phases, const unsigned char* __restrict__ carrier, int depth, int height, int width,
    const double* __restrict__ conductivity, const double* __restrict__ form, const int* __restrict__ regions,
    const unsigned char* __restrict__ active, double exchange, const float* __restrict__ exchange_volume, int varies,
    const long long* __restrict__ pairs, const double* __restrict__ scales, long long count,
    float* __restrict__ faces)
{
    const Grid grid = {depth, height, width};
    const long long plane = grid.plane(), size = grid.voxels() + 2 * plane;
    for EACH(v, grid.voxels()) {
        const int mine = carrier[v], a = phases[v];
        if (mine == 0) continue;
        each_ahead(grid, v, [&](long long u, int axis) {
            const int b = phases[u];
            if (carrier[u] + mine != 3 || !active[mine == 2 ? a : b]) return;
            const double area = form[2 * axis], scale = scale_of(pairs, scales, count, regions[v], regions[u]);
            const double at = varies ? (double)exchange_volume[mine == 2 ? v : u] : exchange;
            const double g = at * (1e-6 * area * scale);  // S/m2 um2 in S um/m
            const double rest = in_series(conductivity, a, b, form[2 * axis + 1] / area);
            faces[axis * size + plane + v] = g > 0 ? (float)(1 / (1 / g + rest)) : 0.0f;
        });
    }
}

/* Calls use(other voxel, axis, place of the face) for every face of a voxel at which it reacts with another carrier. */
template <class Use>
__device__ __forceinline__ void each_reaction(
    const Grid& grid, const unsigned char* carrier, const float* faces, long long v, Use use)
{
    const long long plane = grid.plane(), size = grid.voxels() + 2 * plane;
    const int mine = carrier[v], there = grid.neighbours(v);
#pragma unroll 1
    for (int k = 0; k < 6; ++k) {
        const int axis = k % 3;
        const long long u = k < 3 ? v + grid.step(axis) : v - grid.step(axis);
        if (!(there >> k & 1) || carrier[u] + mine != 3) continue;
        const long long face = axis * size + plane + (k < 3 ? v : u);
        if (faces[face] != 0) use(u, axis, face);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) linearise(
    const unsigned char* __restrict__ phases, const unsigned char* __restrict__ carrier, int depth, int height, int width,
    const double* __restrict__ conductivity, const double* __restrict__ form, const float* __restrict__ faces,
    const double* __restrict__ x, double thermal, float* __restrict__ tangent, double* __restrict__ left)
{
    const Grid grid = {depth, height, width};
    const long long plane = grid.plane();
    for EACH(v, grid.voxels()) {
        if (carrier[v] == 0) continue;
        double extra = 0;
        each_reaction(grid, carrier, faces, v, [&](long long u, int axis, long long face) {
            const double rest = in_series(conductivity, phases[v], phases[u], form[2 * axis + 1] / form[2 * axis]);
            const double drop = x[plane + v] - x[plane + u];
            const Response response = butler_volmer(faces[face], rest, drop, thermal);
            const float slope = (float)response.slope;
            extra += response.flow - slope * drop;
            if (u > v) tangent[face] = slope;
        });
        left[plane + v] -= extra;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) count_reactions(
    const unsigned char* __restrict__ phases, const unsigned char* __restrict__ carrier, int depth, int height, int width,
    const unsigned char* __restrict__ active, const unsigned char* __restrict__ ions,
    const float* __restrict__ faces, const int* __restrict__ regions, long long rows, long long runs,
    unsigned long long* counts, unsigned* __restrict__ masks, int* __restrict__ found)
{
    const Grid grid = {depth, height, width};
    for EACH(run, runs) {
        const long long begin = run * RUN, end = min(begin + RUN, grid.voxels());
        unsigned voxels = 0, reached = 0, touching = 0, mask = 0;
        for (long long v = begin; v < end; ++v) {
            const int region = regions[v], there = grid.neighbours(v);
            voxels += 1;
            reached += carrier[v] > 0;
            if (active[phases[v]])
                for (int k = 0; k < 6; ++k)
                    if (there >> k & 1) touching += ions[phases[k < 3 ? v + grid.step(k) : v - grid.step(k - 3)]];
            if (carrier[v] == 2)
                each_reaction(
                    grid, carrier, faces, v, [&](long long, int, long long) { mask |= 1u << (v - begin); });
            if (v + 1 < end && regions[v + 1] == region) continue;
            atomicAdd(counts + region, (unsigned long long)voxels);
            if (reached) atomicAdd(counts + rows + region, (unsigned long long)reached);
            if (touching) atomicAdd(counts + 2 * rows + region, (unsigned long long)touching);
            voxels = reached = touching = 0;
        }
        masks[run] = mask;
        found[run] = __popc(mask);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) list_reactions(
    const unsigned* __restrict__ masks, const long long* __restrict__ starts, long long runs,
    long long* __restrict__ voxel)
{
    for EACH(run, runs) {
        long long row = starts[run];
        for (unsigned mask = masks[run]; mask != 0; mask &= mask - 1) voxel[row++] = run * RUN + __ffs(mask) - 1;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) sum_reactions(
    const unsigned char* __restrict__ phases, const unsigned char* __restrict__ carrier, int depth, int height, int width,
    const double* __restrict__ conductivity, const double* __restrict__ form, const float* __restrict__ faces,
    const double* __restrict__ x, double thermal, const long long* __restrict__ voxel, long long rows,
    double* __restrict__ flow)
{
    const Grid grid = {depth, height, width};
    const long long plane = grid.plane();
    for EACH(row, rows) {
        const long long v = voxel[row];
        double total = 0;
        each_reaction(grid, carrier, faces, v, [&](long long u, int axis, long long face) {
            const double rest = in_series(conductivity, phases[v], phases[u], form[2 * axis + 1] / form[2 * axis]);
            total += butler_volmer(faces[face], rest, x[plane + u] - x[plane + v], thermal).flow;
        });
        flow[row] = total;
    }
}
