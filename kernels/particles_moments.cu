/* Sums over the voxels of every region: integers, in one pass.

Mirrors _cpu/particles/moments.py. All sums are integers, so neither scheduling nor the cut into tiles or blocks
changes a result.

extremes: any grid; blocks take rows along x, one after the other.
    regions       followed by its steps along z, y, x in elements, and the volume's size nz, ny, nx
    out           lowest region and highest one, begun as 2^31 - 1 and 0

add_up: grid of one block of THREADS threads per tile of 32 * TILE_Y * TILE_Z voxels, x fastest. A warp takes
rows of 32 voxels along x; the first lane of every run of one region adds the run to the region's sums in a table
in shared memory, whose entries are added to the arrays of all regions at the end. A region that finds the
table full is added to those arrays at once.
    regions, phases, distance   volumes, each followed by its steps along z, y, x in elements
    nz, ny, nx    their size
    origin_*      where the first voxel lies in the whole volume
    before        the lowest region - 1: region r has row r - before
    sums          (rows, 10) count, sums of z, y, x, zz, yy, xx, zy, zx, yx, in voxels of the whole volume
    box           (rows, 6) least z, y, x and greatest ones + 1, begun as 2^31 - 1 and 0
    inscribed     (rows,) largest distance as float, begun as 0
    label         (rows,) phase of one of its voxels

eigenvalues: a thread per symmetric 3 x 3 matrix.
    matrices      (n, 3, 3)
    out           (n, 3) ascending
By Jacobi's rotations, each of which sets one element beside the diagonal to zero, until none is left: exact to
some units of the largest eigenvalue's last place, also where two are equal.

Floor of add_up: 8 bytes per voxel (region and distance; a phase only where a tile first meets a region), of
extremes 4. Scratch: none.
*/
// build: -DTILE_Z=32 -DTILE_Y=16 -DTHREADS=256 -DENTRIES=512

#define LANES 32
#define FULL_WARP 0xffffffffu
#define PROBES 16
#define AT_ONCE 4   // rows, of one z, that a warp loads before it adds them up; divides TILE_Y
#define SUMS 10
#define WORDS 17    // of an entry: sums, box, largest distance
#define FARTHEST 16
#define SWEEPS 16     // of rotations; some 8 leave nothing beside the diagonal

// Sums over some voxels of a region, in voxels from the tile's corner: less than 2^32 for any part of a tile.
struct Part {
    unsigned sums[SUMS];
    int low[3], high[3];
    int farthest;  // the bits of a float that is not negative, which are in its order
};

struct Arrays {
    unsigned long long* sums;
    int* box;
    int* inscribed;
};

__device__ __forceinline__ unsigned long long as_word(long long value) { return (unsigned long long)value; }

// Add a part, moved from the tile's corner to that of the volume, to a row of the arrays of all regions.
__device__ void add_to_row(const Arrays& all, long long row, const Part& part, long long z, long long y, long long x)
{
    const long long n = part.sums[0], sz = part.sums[1], sy = part.sums[2], sx = part.sums[3];
    unsigned long long* sums = all.sums + row * SUMS;
    atomicAdd(sums, as_word(n));
    atomicAdd(sums + 1, as_word(sz + n * z));
    atomicAdd(sums + 2, as_word(sy + n * y));
    atomicAdd(sums + 3, as_word(sx + n * x));
    atomicAdd(sums + 4, as_word(part.sums[4] + z * (2 * sz + n * z)));
    atomicAdd(sums + 5, as_word(part.sums[5] + y * (2 * sy + n * y)));
    atomicAdd(sums + 6, as_word(part.sums[6] + x * (2 * sx + n * x)));
    atomicAdd(sums + 7, as_word(part.sums[7] + z * sy + y * sz + n * z * y));
    atomicAdd(sums + 8, as_word(part.sums[8] + z * sx + x * sz + n * z * x));
    atomicAdd(sums + 9, as_word(part.sums[9] + y * sx + x * sy + n * y * x));
    const int corner[3] = {(int)z, (int)y, (int)x};
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        atomicMin(all.box + row * 6 + axis, part.low[axis] + corner[axis]);
        atomicMax(all.box + row * 6 + 3 + axis, part.high[axis] + corner[axis]);
    }
    atomicMax(all.inscribed + row, part.farthest);
}

// The entry of a region in the block's table; `made` tells whether it was made now; -1 where the table is full.
__device__ __forceinline__ int entry_of(int* keys, int region, bool& made)
{
    int entry = (int)((unsigned)region * 2654435769u >> 16) & (ENTRIES - 1);
    for (int probe = 0; probe < PROBES; ++probe) {
        int found = *(volatile int*)&keys[entry];
        if (found == 0) {
            found = atomicCAS(&keys[entry], 0, region);
            made = found == 0;
        }
        if (found == 0 || found == region) return entry;
        entry = (entry + 1) & (ENTRIES - 1);
    }
    return -1;
}

__device__ __forceinline__ unsigned squares_below(unsigned n) { return (n - 1) * n * (2 * n - 1) / 6; }

// The run of lanes begin … end - 1 in row (z, y) of a tile.
__device__ __forceinline__ Part run_of(unsigned z, unsigned y, unsigned begin, unsigned end, int farthest)
{
    const unsigned n = end - begin, x = n * (begin + end - 1) / 2;
    const unsigned xx = squares_below(end) - squares_below(begin);
    return {{n, n * z, n * y, x, n * z * z, n * y * y, xx, n * z * y, z * x, y * x},
            {(int)z, (int)y, (int)begin}, {(int)z + 1, (int)y + 1, (int)end}, farthest};
}

__device__ __forceinline__ void add_to_entry(unsigned* entry, const Part& run)
{
#pragma unroll
    for (int i = 0; i < SUMS; ++i) atomicAdd(entry + i, run.sums[i]);
    int* box = reinterpret_cast<int*>(entry + SUMS);
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        atomicMin(box + axis, run.low[axis]);
        atomicMax(box + 3 + axis, run.high[axis]);
    }
    atomicMax(reinterpret_cast<int*>(entry + FARTHEST), run.farthest);
}

extern "C" __global__ void __launch_bounds__(256) extremes(
    const int* __restrict__ regions, long long step_z, long long step_y, long long step_x, int nz, int ny, int nx,
    int* __restrict__ out)
{
    int lowest = 0x7fffffff, highest = 0;
    for (long long row = blockIdx.x; row < (long long)nz * ny; row += gridDim.x) {
        const int* voxel = regions + row / ny * step_z + row % ny * step_y;
        for (int x = (int)threadIdx.x; x < nx; x += (int)blockDim.x) {
            const int region = voxel[x * step_x];
            highest = max(highest, region);
            lowest = min(lowest, region > 0 ? region : lowest);
        }
    }
#pragma unroll
    for (int step = LANES / 2; step; step /= 2) {
        highest = max(highest, __shfl_xor_sync(FULL_WARP, highest, step));
        lowest = min(lowest, __shfl_xor_sync(FULL_WARP, lowest, step));
    }
    if (threadIdx.x % LANES == 0) {
        atomicMin(out, lowest);
        atomicMax(out + 1, highest);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) add_up(
    const int* __restrict__ regions, long long step_z, long long step_y, long long step_x,
    const unsigned char* __restrict__ phases, long long phases_z, long long phases_y, long long phases_x,
    const float* __restrict__ distance, long long distance_z, long long distance_y, long long distance_x,
    int nz, int ny, int nx, long long origin_z, long long origin_y, long long origin_x, int before,
    unsigned long long* __restrict__ sums, int* __restrict__ box, int* __restrict__ inscribed,
    unsigned char* __restrict__ label)
{
    __shared__ int keys[ENTRIES];
    __shared__ unsigned entries[ENTRIES * WORDS];
    const Arrays all = {sums, box, inscribed};
    const int tiles_x = (nx + LANES - 1) / LANES, tiles_y = (ny + TILE_Y - 1) / TILE_Y;
    const int tile_x = (int)(blockIdx.x % tiles_x) * LANES;
    const int tile_y = (int)(blockIdx.x / tiles_x % tiles_y) * TILE_Y;
    const int tile_z = (int)(blockIdx.x / tiles_x / tiles_y) * TILE_Z;
    const int lane = (int)threadIdx.x % LANES, x = tile_x + lane;
    for (int i = (int)threadIdx.x; i < ENTRIES * WORDS; i += THREADS) {
        const int word = i % WORDS;
        entries[i] = word >= SUMS && word < SUMS + 3 ? 0x7fffffffu : 0u;
    }
    for (int i = (int)threadIdx.x; i < ENTRIES; i += THREADS) keys[i] = 0;
    __syncthreads();

    for (int first = (int)threadIdx.x / LANES * AT_ONCE; first < TILE_Y * TILE_Z; first += THREADS / LANES * AT_ONCE) {
        if (tile_z + first / TILE_Y >= nz || tile_y + first % TILE_Y >= ny) continue;  // with the whole warp
        int region[AT_ONCE];
        float far[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) {
            const int z = tile_z + (first + k) / TILE_Y, y = tile_y + (first + k) % TILE_Y;
            const bool inside = z < nz && y < ny && x < nx;
            region[k] = inside ? regions[z * step_z + y * step_y + x * step_x] : 0;
            far[k] = inside ? distance[z * distance_z + y * distance_y + x * distance_x] : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k) {
            const int left = __shfl_up_sync(FULL_WARP, region[k], 1);
            const unsigned heads = __ballot_sync(FULL_WARP, lane == 0 || left != region[k]);
            const unsigned later = heads & ~((2u << lane) - 1);
            const int end = later ? __ffs((int)later) - 1 : LANES;
            int farthest = __float_as_int(max(far[k], 0.0f));
#pragma unroll
            for (int step = 1; step < LANES; step *= 2) {  // the largest of this lane … the run's last one
                const int there = __shfl_down_sync(FULL_WARP, farthest, step);
                if (lane + step < end) farthest = max(farthest, there);
            }
            if (region[k] <= 0 || !(heads >> lane & 1)) continue;
            const int z = (first + k) / TILE_Y, y = (first + k) % TILE_Y;
            const Part run = run_of(z, y, lane, end, farthest);
            bool made = false;
            const int entry = entry_of(keys, region[k], made);
            if (entry >= 0) add_to_entry(entries + entry * WORDS, run);
            else add_to_row(all, region[k] - before, run, tile_z + origin_z, tile_y + origin_y, tile_x + origin_x);
            if (made || entry < 0)
                label[region[k] - before] = phases[(tile_z + z) * phases_z + (tile_y + y) * phases_y + x * phases_x];
        }
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < ENTRIES; i += THREADS) {
        if (keys[i] == 0) continue;
        Part part;
        const unsigned* entry = entries + i * WORDS;
        for (int k = 0; k < SUMS; ++k) part.sums[k] = entry[k];
        for (int axis = 0; axis < 3; ++axis) {
            part.low[axis] = (int)entry[SUMS + axis];
            part.high[axis] = (int)entry[SUMS + 3 + axis];
        }
        part.farthest = (int)entry[FARTHEST];
        add_to_row(all, keys[i] - before, part, tile_z + origin_z, tile_y + origin_y, tile_x + origin_x);
    }
}

// Turn the matrix about the third axis so that its element (p, q) becomes 0; (p, r) and (q, r) go with it.
__device__ __forceinline__ void rotate(double& pp, double& qq, double& pq, double& pr, double& qr)
{
    if (pq == 0.0) return;
    const double theta = (qq - pp) / (2.0 * pq);
    const double t = (theta < 0.0 ? -1.0 : 1.0) / (fabs(theta) + sqrt(theta * theta + 1.0));
    const double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
    const double before = pr;
    pp -= t * pq;
    qq += t * pq;
    pq = 0.0;
    pr = c * before - s * qr;
    qr = s * before + c * qr;
}

extern "C" __global__ void __launch_bounds__(256) eigenvalues(
    const double* __restrict__ matrices, long long n, double* __restrict__ out)
{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        const double* m = matrices + i * 9;
        double zz = m[0], yy = m[4], xx = m[8], zy = m[3], zx = m[6], yx = m[7];
        for (int sweep = 0; sweep < SWEEPS && (zy != 0.0 || zx != 0.0 || yx != 0.0); ++sweep) {
            rotate(zz, yy, zy, zx, yx);
            rotate(zz, xx, zx, zy, yx);
            rotate(yy, xx, yx, zy, zx);
        }
        const double least = min(zz, min(yy, xx)), most = max(zz, max(yy, xx));
        out[i * 3] = least;
        out[i * 3 + 1] = max(min(zz, yy), min(max(zz, yy), xx));
        out[i * 3 + 2] = most;
    }
}
