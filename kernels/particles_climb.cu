/* Every voxel climbs to its steepest neighbour until a summit: the basins of a distance image.

Mirrors tripoint._cpu.particles.climb; tripoint.particles.separate states the rule.  smooth and steepest take
tiles of Z × Y × X voxels, a block each, x fastest, and hold a halo of one voxel in shared memory; a thread
finishes the Z voxels of its column.

smooth: heights, the distances in 1/256 voxel times the weights 1-2-1 along each axis.
    phases   (nz, ny, nx) labels
    distance (nz, ny, nx) µm
    nz, ny, nx
    unit     from µm to voxels
    integer  whether squares of distances in voxels are integers
    heights  (nz, ny, nx) out
Each distance is converted once per tile, 1.7 times in all, by the host's own float64 operations; a thread adds a
plane's voxel to the three of its column that it is next to.

steepest: the direction of every voxel's step, and how many summits there are in each part of the volume.
    phases, heights, nz, ny, nx
    climbing (256,) whether the voxels of a label climb
    slopes   (8,) 1 / length of a step by its kind, 4 (along z) + 2 (along y) + (along x)
    codes    (nz, ny, nx) out: 9 (dz + 1) + 3 (dy + 1) + (dx + 1), SUMMIT or NONE
    summits  (parts + 1,) out, zero before: 1 + i counts those of the i-th PART voxels in raster order
Of one kind of step the highest neighbour is the steepest, the first one of equals: seven slopes, not 26.

number_summits: summits get the numbers 1..n in raster order; a grid-stride loop over parts, a warp each.
    codes, distance, voxels (how many)
    first    (parts + 1,) summits before each part
    labels   in the heights, out the numbers at the summits; nothing else is changed
    summit_distance, summit_height  (n + 1,) out, what they are at the summits

follow: every voxel gets the label of the summit it reaches; a tile to a block, as above.
    codes, phases, nz, ny, nx
    fixed    (256,) the label of voxels that do not climb
    labels   in the numbers at the summits, out the label of every voxel
A path needs the codes alone.  A label is read only where the code says SUMMIT, and was written by the kernel
before; a thread writes only where it does not.  So no voxel is both read and written here, and whatever the
order of threads, each finds the same.  (To stop at labels already there would save few steps, as neighbours climb
at the same time, and would cost 4 bytes per voxel to clear them.)  (height, −index) rises with each step, so
every path ends; it has about as many steps as a phase is thick, in voxels, or as a plateau is wide: through a
volume of one phase all go to its first voxel, 1024³ of them in some 0.5 s.

Bytes that must move per voxel: smooth 1 + 4 + 4, steepest 1 + 4 + 1, number_summits 1, follow 1 + 4: 21; halos
load 1.7 times as much through L2, and paths read codes through L1.  Instructions per voxel, counted in the code
for sm_90: smooth 130 to load and convert and 150 to add, steepest 75 to load and 325 to compare, number_summits 36,
follow 25 and 10 per step: with paths of 10 steps some 840, for 1024³ voxels 30 ms on a H200 if a multiprocessor
issues all it can (4 · 32 lanes at 1.7 GHz), 50 ms more likely.
Scratch: 1 byte per voxel for the codes, 8 per PART voxels.  Each axis is shorter than 2³¹ − 64 voxels;
all linear indices have 64 bits.
*/

constexpr int X = 32, Y = 8, Z = 8;
constexpr int THREADS = X * Y;
constexpr int SUMMIT = 13;            // the code of a voxel that stays
constexpr int NONE = 255;             // of those that do not climb
constexpr double HIGHEST = 16777216;  // of the distances in 1/256 voxel; infinite where the volume is of one phase
constexpr int OUTSIDE = -2147483647 - 1;  // height beyond the volume, below all others
constexpr int PART = 1024;
constexpr unsigned ALL = 0xffffffffu;

struct Point {
    int z, y, x;
};

// The first voxel of the block's tile.
__device__ __forceinline__ Point tile_origin(int ny, int nx)
{
    const unsigned across = (nx + X - 1) / X, down = (ny + Y - 1) / Y, tile = blockIdx.x;
    return {(int)(tile / across / down * Z), (int)(tile / across % down * Y), (int)(tile % across * X)};
}

// A cell of a tile with its halo, from the tile's corner.
__device__ __forceinline__ Point cell_of(int cell)
{
    return {cell / (X + 2) / (Y + 2) - 1, cell / (X + 2) % (Y + 2) - 1, cell % (X + 2) - 1};
}

__device__ __forceinline__ int between(int value, int size) { return min(max(value, 0), size - 1); }

__device__ __forceinline__ long long index_of(int z, int y, int x, int ny, int nx)
{
    return ((long long)z * ny + y) * nx + x;
}

__device__ __forceinline__ int in_256ths(float distance, double unit, int integer)
{
    double voxels = __dmul_rn((double)distance, unit);
    if (integer) voxels = __dsqrt_rn(rint(__dmul_rn(voxels, voxels)));
    return (int)min(rint(__dmul_rn(voxels, 256.0)), HIGHEST);
}

extern "C" __global__ void __launch_bounds__(THREADS) smooth(
    const unsigned char* __restrict__ phases, const float* __restrict__ distance, int nz, int ny, int nx,
    double unit, int integer, int* __restrict__ heights)
{
    __shared__ int values[Z + 2][Y + 2][X + 2];
    __shared__ unsigned char labels[Z + 2][Y + 2][X + 2];
    const Point origin = tile_origin(ny, nx);
    for (int cell = threadIdx.x; cell < (Z + 2) * (Y + 2) * (X + 2); cell += THREADS) {
        const Point in = cell_of(cell);  // beyond the volume its outermost voxels are repeated
        const int z = between(origin.z + in.z, nz), y = between(origin.y + in.y, ny);
        const long long at = index_of(z, y, between(origin.x + in.x, nx), ny, nx);
        (&values[0][0][0])[cell] = in_256ths(distance[at], unit, integer);
        (&labels[0][0][0])[cell] = phases[at];
    }
    __syncthreads();

    const int x = threadIdx.x % X, y = threadIdx.x / X;
    int total[Z], own[Z];
#pragma unroll
    for (int z = 0; z < Z; ++z) {
        total[z] = 0;
        own[z] = labels[z + 1][y + 1][x + 1];
    }
#pragma unroll 1
    for (int side = 0; side < 9; ++side) {
        const int dy = side / 3, dx = side % 3, weight = (dy == 1 ? 2 : 1) * (dx == 1 ? 2 : 1);
#pragma unroll
        for (int plane = 0; plane < Z + 2; ++plane) {
            const int value = weight * values[plane][y + dy][x + dx], label = labels[plane][y + dy][x + dx];
            const int other = weight * -256;
            if (plane < Z) total[plane] += label == own[plane] ? value : other;
            if (plane > 0 && plane <= Z) total[plane - 1] += 2 * (label == own[plane - 1] ? value : other);
            if (plane > 1) total[plane - 2] += label == own[plane - 2] ? value : other;
        }
    }
    if (origin.y + y >= ny || origin.x + x >= nx) return;
    long long at = index_of(origin.z, origin.y + y, origin.x + x, ny, nx);
#pragma unroll
    for (int z = 0; z < Z; ++z, at += (long long)ny * nx)
        if (origin.z + z < nz) heights[at] = total[z];
}

// Heights and labels of a voxel's 27 neighbours, by code, in the tile.
struct Around {
    const int* heights;
    const unsigned char* labels;

    __device__ __forceinline__ static int offset(int code)
    {
        return ((code / 9 - 1) * (Y + 2) + code / 3 % 3 - 1) * (X + 2) + code % 3 - 1;
    }
    __device__ __forceinline__ int height(int code) const { return heights[offset(code)]; }
    __device__ __forceinline__ int label(int code) const { return labels[offset(code)]; }
};

__device__ __forceinline__ constexpr int kind_of(int code)
{
    return 4 * (code / 9 != 1) + 2 * (code / 3 % 3 != 1) + (code % 3 != 1);
}

// The code of the steepest higher neighbour of the same label; ties by the higher, then by the smaller code.
__device__ __forceinline__ int steepest_of(const Around& around, const double* __restrict__ slopes)
{
    const int here = around.height(SUMMIT), label = around.label(SUMMIT);
    double best = 0.0;
    int best_top = here, best_code = SUMMIT;
#pragma unroll
    for (int kind = 1; kind < 8; ++kind) {
        int top = here, top_code = SUMMIT;
#pragma unroll
        for (int code = 0; code < 27; ++code) {
            if (kind_of(code) != kind) continue;
            const int height = around.height(code);
            if (height > top && around.label(code) == label) {
                top = height;
                top_code = code;
            }
        }
        const double rise = __dmul_rn((double)(top - here), slopes[kind]);
        const bool tie = top > best_top || (top == best_top && top_code < best_code);
        if (rise > best || (rise == best && tie)) {
            best = rise;
            best_top = top;
            best_code = top_code;
        }
    }
    return best_code;
}

// The code of the first neighbour as high as a voxel and before it in raster order, or SUMMIT.
__device__ __forceinline__ int level_of(const Around& around)
{
    const int here = around.height(SUMMIT), label = around.label(SUMMIT);
#pragma unroll 1
    for (int code = 0; code < SUMMIT; ++code)
        if (around.height(code) == here && around.label(code) == label) return code;
    return SUMMIT;
}

extern "C" __global__ void __launch_bounds__(THREADS) steepest(
    const unsigned char* __restrict__ phases, const int* __restrict__ heights, int nz, int ny, int nx,
    const unsigned char* __restrict__ climbing, const double* __restrict__ slopes,
    unsigned char* __restrict__ codes, unsigned long long* __restrict__ summits)
{
    __shared__ int values[Z + 2][Y + 2][X + 2];
    __shared__ unsigned char labels[Z + 2][Y + 2][X + 2];
    const Point origin = tile_origin(ny, nx);
    for (int cell = threadIdx.x; cell < (Z + 2) * (Y + 2) * (X + 2); cell += THREADS) {
        const Point in = cell_of(cell);
        const int z = between(origin.z + in.z, nz), y = between(origin.y + in.y, ny);
        const int x = between(origin.x + in.x, nx);
        const long long at = index_of(z, y, x, ny, nx);
        const bool inside = z == origin.z + in.z && y == origin.y + in.y && x == origin.x + in.x;
        (&values[0][0][0])[cell] = inside ? heights[at] : OUTSIDE;
        (&labels[0][0][0])[cell] = phases[at];
    }
    __syncthreads();

    const int x = threadIdx.x % X, y = threadIdx.x / X;
    if (origin.y + y >= ny || origin.x + x >= nx) return;
    for (int z = 0; z < Z && origin.z + z < nz; ++z) {
        const Around around = {&values[z + 1][y + 1][x + 1], &labels[z + 1][y + 1][x + 1]};
        const long long at = index_of(origin.z + z, origin.y + y, origin.x + x, ny, nx);
        int code = NONE;
        if (climbing[around.label(SUMMIT)]) {
            code = steepest_of(around, slopes);
            if (code == SUMMIT) code = level_of(around);
            if (code == SUMMIT) atomicAdd(&summits[1 + at / PART], 1ULL);
        }
        codes[at] = (unsigned char)code;
    }
}

extern "C" __global__ void __launch_bounds__(256) number_summits(
    const unsigned char* __restrict__ codes, const float* __restrict__ distance, long long voxels,
    const long long* __restrict__ first, int* __restrict__ labels, float* __restrict__ summit_distance,
    int* __restrict__ summit_height)
{
    const int lane = threadIdx.x % 32;
    const long long warps = (long long)gridDim.x * blockDim.x / 32, parts = (voxels + PART - 1) / PART;
    for (long long part = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32; part < parts; part += warps) {
        long long number = first[part];
        if (number == first[part + 1]) continue;
        for (long long start = part * PART; start < min((part + 1) * PART, voxels); start += 32) {
            const long long at = start + lane;
            const bool summit = at < voxels && codes[at] == SUMMIT;
            const unsigned word = __ballot_sync(ALL, summit);
            if (summit) {
                const long long own = number + 1 + __popc(word & ((1u << lane) - 1u));
                summit_distance[own] = distance[at];
                summit_height[own] = labels[at];
                labels[at] = (int)own;
            }
            number += __popc(word);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) follow(
    const unsigned char* __restrict__ codes, const unsigned char* __restrict__ phases, int nz, int ny, int nx,
    const int* __restrict__ fixed, int* labels)
{
    __shared__ long long steps[27];  // change of the linear index by code
    if (threadIdx.x < 27) {
        const int code = threadIdx.x;
        steps[code] = ((code / 9 - 1LL) * ny + code / 3 % 3 - 1) * nx + code % 3 - 1;
    }
    __syncthreads();

    const Point origin = tile_origin(ny, nx);
    const int x = threadIdx.x % X, y = threadIdx.x / X;
    if (origin.y + y >= ny || origin.x + x >= nx) return;
    for (int z = 0; z < Z && origin.z + z < nz; ++z) {
        const long long start = index_of(origin.z + z, origin.y + y, origin.x + x, ny, nx);
        int code = codes[start];
        if (code == SUMMIT) continue;
        if (code == NONE) {
            labels[start] = fixed[phases[start]];
            continue;
        }
        long long voxel = start;
        while (code != SUMMIT) {
            voxel += steps[code];
            code = codes[voxel];
        }
        labels[start] = labels[voxel];
    }
}
