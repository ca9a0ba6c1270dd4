/* Basins that meet at a wide neck belong to one particle: the saddles between basins, and their merging.

Mirrors tripoint._cpu.particles.merge.

find_saddles: a block of TILE_X × TILE_Y threads per tile of TILE_X × TILE_Y × TILE_Z voxels, tiles in raster
order; the defines are its shape, and SLOTS, a power of two.
    labels     (nz, ny, nx) basins, 1 and above where a phase is separated
    phases     (nz, ny, nx)
    distance   (nz, ny, nx) bits of the float32 distances: as these are not negative, they sort as integers do
    nz, ny, nx
    begin, end planes whose voxels are asked for their neighbours; a neighbour may lie in plane end
    keys, saddles (capacity,) rows found, out: lower basin · 2³² + higher basin, bits of the smaller distance
    capacity, found: rows there is room for, and how many there are (1,), out; rows beyond the room are not kept
  A voxel is compared with the 13 of its 26 neighbours that come after it, so that every pair is seen once.  A
  tile collects its pairs in a hash in shared memory, each with its highest saddle, and hands over a row per pair;
  a pair that finds no place is a row of its own.  Which rows are handed over in which order is left to chance,
  their greatest saddle per key is not.
  Floor: 4 + 1 bytes per voxel read, labels and phases; neighbours come through L1, distances are read only where
  basins meet.  Shared memory: 12 bytes · SLOTS.  Scratch: 12 bytes per row.

The merging, with a thread per edge in a grid-stride loop, an edge being a saddle between two regions; radii are
those of the regions' highest summits, and edges stand in the order in which the host walks along them:
first_edges  first[region] = number of the first edge of each region
absorb       a region whose first edge leads to a region of larger radius goes into that one
follow       edges move to the regions that their ends went into; kept: edges that may still merge something
flatten      (a thread per basin) into[basin] = the region that it went into in the end
Why the result is that of the walk along one edge after the other: see _cuda/particles/merge.py.
  Bytes per edge and round: 3 × 8 ends, 8 neck, 16 radii, 16 first edges.  Scratch: 8 bytes per basin.
*/
// build: -DTILE_Z=16 -DTILE_Y=8 -DTILE_X=32 -DSLOTS=1024

#define EACH(i, n) \
    (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (long long)gridDim.x * blockDim.x)

typedef unsigned long long Key;

#define PROBES 16
#define SELF 13  // code of a voxel among its neighbours: 9 (dz + 1) + 3 (dy + 1) + (dx + 1)

struct Rows {
    long long* keys;
    int* saddles;
    Key capacity;
    Key* found;
};

static __device__ __forceinline__ void append(const Rows& rows, Key key, int saddle)
{
    const Key row = atomicAdd(rows.found, 1ULL);
    if (row < rows.capacity) {
        rows.keys[row] = (long long)key;
        rows.saddles[row] = saddle;
    }
}

/* Keep the highest saddle of a pair in the tile's hash, where 0 is no key. */
static __device__ __forceinline__ void keep_highest(Key* tile_keys, int* tile_saddles, const Rows& rows, Key key, int saddle)
{
    unsigned slot = (unsigned)((key ^ key >> 29) * 0x9E3779B97F4A7C15ULL >> 40);
    for (int probe = 0; probe < PROBES; ++probe, ++slot) {
        slot &= SLOTS - 1;
        Key there = *(volatile Key*)&tile_keys[slot];
        if (there == 0) {
            there = atomicCAS(&tile_keys[slot], 0ULL, key);
            if (there == 0) there = key;
        }
        if (there == key) {
            if (*(volatile int*)&tile_saddles[slot] < saddle) atomicMax(&tile_saddles[slot], saddle);
            return;
        }
    }
    append(rows, key, saddle);
}

extern "C" __global__ void __launch_bounds__(TILE_X* TILE_Y, 7) find_saddles(
    const int* __restrict__ labels, const unsigned char* __restrict__ phases, const int* __restrict__ distance,
    int nz, int ny, int nx, int begin, int end, long long* keys, int* saddles, unsigned long long capacity,
    unsigned long long* found)
{
    __shared__ Key tile_keys[SLOTS];
    __shared__ int tile_saddles[SLOTS];
    const Rows rows = {keys, saddles, capacity, found};
    for (int slot = threadIdx.x; slot < SLOTS; slot += TILE_X * TILE_Y) {
        tile_keys[slot] = 0;
        tile_saddles[slot] = 0;
    }
    __syncthreads();

    const int across = (nx + TILE_X - 1) / TILE_X, down = (ny + TILE_Y - 1) / TILE_Y;
    const int x = (int)(blockIdx.x % across) * TILE_X + (int)(threadIdx.x % TILE_X);
    const int y = (int)(blockIdx.x / across % down) * TILE_Y + (int)(threadIdx.x / TILE_X);
    const int first = begin + (int)(blockIdx.x / across / down) * TILE_Z;
    const int last = x < nx && y < ny ? min(first + TILE_Z, end) : first;
    for (int z = first; z < last; ++z) {
        const long long here = ((long long)z * ny + y) * nx + x;
        const int label = labels[here];
        if (label <= 0) continue;
        unsigned differ = 0;  // a bit for every neighbour of another label
#pragma unroll
        for (int code = SELF + 1; code < 27; ++code) {
            const int dz = code / 9 - 1, dy = code / 3 % 3 - 1, dx = code % 3 - 1;
            const bool inside = z + dz < nz && y + dy >= 0 && y + dy < ny && x + dx >= 0 && x + dx < nx;
            if (inside && labels[here + ((long long)dz * ny + dy) * nx + dx] != label) differ |= 1u << code;
        }
        for (; differ; differ &= differ - 1) {
            const int code = __ffs((int)differ) - 1;
            const long long there = here + ((long long)(code / 9 - 1) * ny + (code / 3 % 3 - 1)) * nx + (code % 3 - 1);
            if (phases[there] != phases[here]) continue;
            const int other = labels[there];
            const Key key = (Key)min(label, other) << 32 | (Key)max(label, other);
            keep_highest(tile_keys, tile_saddles, rows, key, min(distance[here], distance[there]));
        }
    }
    __syncthreads();
    for (int slot = threadIdx.x; slot < SLOTS; slot += TILE_X * TILE_Y)
        if (tile_keys[slot] != 0) append(rows, tile_keys[slot], tile_saddles[slot]);
}

extern "C" __global__ void __launch_bounds__(256) first_edges(
    const int* __restrict__ low, const int* __restrict__ high, long long edges, long long* first)
{
    for EACH(edge, edges) {
        atomicMin(&first[low[edge]], edge);
        atomicMin(&first[high[edge]], edge);
    }
}

extern "C" __global__ void __launch_bounds__(256) absorb(
    const int* __restrict__ low, const int* __restrict__ high, long long edges, const double* __restrict__ radii,
    const long long* __restrict__ first, int* into)
{
    for EACH(edge, edges) {
        int stays = low[edge], goes = high[edge];
        if (radii[stays] < radii[goes] || (radii[stays] == radii[goes] && goes < stays)) {
            const int larger = goes;
            goes = stays;
            stays = larger;
        }
        if (first[goes] == edge) into[goes] = stays;  // a region has one first edge, so one thread writes here
    }
}

template <class Parents>
static __device__ __forceinline__ int root(Parents into, int basin)
{
    for (int parent = into[basin]; parent != basin; parent = into[basin]) basin = parent;
    return basin;
}

extern "C" __global__ void __launch_bounds__(256) follow(
    int* __restrict__ low, int* __restrict__ high, const double* __restrict__ necks, long long edges,
    const double* __restrict__ radii, double ratio, const int* __restrict__ into, bool* __restrict__ kept)
{
    for EACH(edge, edges) {
        const int a = root(into, low[edge]), b = root(into, high[edge]);
        low[edge] = a;
        high[edge] = b;
        kept[edge] = a != b && necks[edge] >= __dmul_rn(ratio, min(radii[a], radii[b]));
    }
}

extern "C" __global__ void __launch_bounds__(256) flatten(int* into, long long basins)
{
    // Another thread may shorten a path that is being walked: every basin on it leads to the same end.
    volatile int* parents = into;
    for EACH(basin, basins) parents[basin] = root(parents, (int)basin);
}
