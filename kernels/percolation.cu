/* Connected components of a labelled volume: what each one is, which touch, which value its voxels take.

Mirrors tripoint._cpu.percolation.  The components themselves are labelled by cuCIM.

recode, recode_wide  a thread per voxel, grid-stride
    phases     (n,) labels
    codes      (256,) one byte each; two in recode_wide
    n          voxels
    out        (n,) the code of every voxel
paint    likewise
    components (n,) Component, 0 = none
    values     (components + 1,)
    n          voxels
    out        (n,) the value of every voxel's component
measure  a block per TILE voxels in raster order
    components (n,) Component
    phases     (n,) labels; all voxels of a component have the same
    n          voxels
    voxels     (components + 1,) in: 0, out: size of every component
    label      (components + 1,) in: 0, out: its label
join     a block per row along x; grid (y, z), blocks take rows in turn, threads the voxels of a row
    phases     (depth, height, width) labels
    components (depth, height, width) Component
    conducted  (256,) bit k of a label is set where it belongs to network k
    depth, height, width
    ahead      neighbours that lie ahead in raster order: 3, 9 or 13
    networks   how many
    count      components + 1
    roots      (networks, count) in: every component its own; out: trees, each the union of components that
               touch in a network
settle   a thread per entry, grid-stride
    networks, count
    roots      (networks, count) in: trees, out: every component its root

Two trees are joined by writing the smaller root over the larger one, if that is still a root: parents only ever
become smaller, so the root that is left is the smallest component of its network's piece, in whatever order
threads come.

measure adds up runs along x within a warp, then in a table that the block shares: a component that fills the
volume is written once per TILE voxels, not once per voxel.  join unites once per run of voxels along x that see
the same two components.

Floor, bytes per voxel, C the 4 or 8 of a component: recode 2 (recode_wide 3), paint C + 1, measure C, join 1 and,
where labels of a network differ, 2 C; the rows beside and behind come through L2.
Scratch: none.  Shared memory: SLOTS * (C + 4) in measure.

Defined when compiled: COMPONENT_BYTES 4 or 8; THREADS and ROW_THREADS (in join) of a block; TILE and SLOTS, a
power of two.
*/
// build: -DCOMPONENT_BYTES=4 -DROW_THREADS=128 -DSLOTS=1024 -DTHREADS=256 -DTILE=16384
// build: -DCOMPONENT_BYTES=8 -DROW_THREADS=128 -DSLOTS=1024 -DTHREADS=256 -DTILE=16384

#define ALL 0xffffffffu
#define EACH(i, n)                                                                               \
    (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n);                    \
     i += (long long)gridDim.x * blockDim.x)

#if COMPONENT_BYTES == 8
typedef long long Component;
#else
typedef int Component;
#endif

extern "C" __global__ void __launch_bounds__(THREADS) recode(
    const unsigned char* __restrict__ phases, const unsigned char* __restrict__ codes, long long n,
    unsigned char* __restrict__ out)
{
    for EACH(i, n) out[i] = codes[phases[i]];
}

extern "C" __global__ void __launch_bounds__(THREADS) recode_wide(
    const unsigned char* __restrict__ phases, const unsigned short* __restrict__ codes, long long n,
    unsigned short* __restrict__ out)
{
    for EACH(i, n) out[i] = codes[phases[i]];
}

extern "C" __global__ void __launch_bounds__(THREADS) paint(
    const Component* __restrict__ components, const unsigned char* __restrict__ values, long long n,
    unsigned char* __restrict__ out)
{
    for EACH(i, n) out[i] = values[components[i]];
}

/* Write a component into a slot unless another one is there; return what the slot held before. */
static __device__ __forceinline__ Component claim(Component* slot, Component component)
{
#if COMPONENT_BYTES == 8
    return (Component)atomicCAS((unsigned long long*)slot, 0ull, (unsigned long long)component);
#else
    return atomicCAS(slot, 0, component);
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS) measure(
    const Component* __restrict__ components, const unsigned char* __restrict__ phases, long long n,
    unsigned long long* voxels, unsigned char* label)
{
    __shared__ Component held[SLOTS];
    __shared__ unsigned int counted[SLOTS];
    for (int slot = threadIdx.x; slot < SLOTS; slot += THREADS) {
        held[slot] = 0;
        counted[slot] = 0;
    }
    __syncthreads();

    const int lane = threadIdx.x & 31;
    const long long begin = (long long)blockIdx.x * TILE;
    const long long end = min(begin + TILE, n);
    for (long long start = begin; start < end; start += THREADS) {
        const long long i = start + threadIdx.x;
        const Component component = i < end ? components[i] : 0;
        const Component before = __shfl_up_sync(ALL, component, 1);
        const bool first = lane == 0 || before != component;
        const unsigned int starts = __ballot_sync(ALL, first);
        if (!first || component == 0) continue;
        const unsigned int later = lane == 31 ? 0u : starts >> (lane + 1);
        const unsigned int run = later ? __ffs(later) : 32 - lane;

        unsigned int slot = ((unsigned int)component * 2654435761u) >> 7 & (SLOTS - 1);
        int tried = 0;
        for (; tried < 8; ++tried, slot = (slot + 1) & (SLOTS - 1)) {
            Component found = *(volatile Component*)&held[slot];
            if (found == 0) {
                found = claim(&held[slot], component);
                if (found == 0) label[component] = phases[i];
            }
            if (found == 0 || found == component) break;
        }
        if (tried < 8) {
            atomicAdd(&counted[slot], run);
        } else {  // a tile of crumbs: the table is full hereabouts
            label[component] = phases[i];
            atomicAdd(&voxels[component], (unsigned long long)run);
        }
    }
    __syncthreads();
    for (int slot = threadIdx.x; slot < SLOTS; slot += THREADS)
        if (counted[slot] > 0) atomicAdd(&voxels[held[slot]], (unsigned long long)counted[slot]);
}

/* Return the root of a component.  What is written meanwhile only ever is another of its ancestors. */
static __device__ __forceinline__ long long find(volatile long long* parents, long long node)
{
    long long parent = parents[node];
    while (parent != node) {
        const long long above = parents[parent];
        if (above != parent) parents[node] = above;
        node = parent;
        parent = above;
    }
    return node;
}

static __device__ __forceinline__ void unite(long long* parents, long long a, long long b)
{
    a = find(parents, a);
    b = find(parents, b);
    while (a != b) {
        const long long larger = max(a, b), smaller = min(a, b);
        const long long parent = (long long)atomicCAS(
            (unsigned long long*)&parents[larger], (unsigned long long)larger, (unsigned long long)smaller);
        if (parent == larger) return;
        a = find(parents, parent);  // somebody joined the larger one before
        b = find(parents, smaller);
    }
}

/* The neighbours ahead as (z, y, x): three through faces, six through edges, four through corners. */
static __constant__ signed char AHEAD[13][3] = {
    {0, 0, 1}, {0, 1, 0}, {1, 0, 0},
    {0, 1, -1}, {0, 1, 1}, {1, 0, -1}, {1, 0, 1}, {1, -1, 0}, {1, 1, 0},
    {1, -1, -1}, {1, -1, 1}, {1, 1, -1}, {1, 1, 1},
};

// With twelve blocks asked for, ptxas takes 40 registers; left to itself, 32 and spills.
extern "C" __global__ void __launch_bounds__(ROW_THREADS, 12) join(
    const unsigned char* __restrict__ phases, const Component* __restrict__ components,
    const unsigned char* __restrict__ conducted, int depth, int height, int width, int ahead, int networks,
    long long count, long long* roots)
{
    for (int z = blockIdx.y; z < depth; z += gridDim.y)
        for (int y = blockIdx.x; y < height; y += gridDim.x)
            for (int x = threadIdx.x; x < width; x += ROW_THREADS) {
                const long long i = ((long long)z * height + y) * width + x;
                const int here = phases[i];
                for (int k = 0; k < ahead; ++k) {
                    const int dz = AHEAD[k][0], dy = AHEAD[k][1], dx = AHEAD[k][2];
                    if (z + dz >= depth || y + dy < 0 || y + dy >= height) continue;
                    if (x + dx < 0 || x + dx >= width) continue;
                    const long long j = i + ((long long)dz * height + dy) * width + dx;
                    const int there = phases[j];
                    if (there == here) continue;
                    const int shared = conducted[here] & conducted[there];
                    if (shared == 0) continue;
                    const Component a = components[i], b = components[j];
                    // The voxel before may see the same two.
                    if (x > 0 && x + dx > 0 && components[i - 1] == a && components[j - 1] == b) continue;
                    for (int n = 0; n < networks; ++n)
                        if (shared >> n & 1) unite(roots + n * count, a, b);
                }
            }
}

extern "C" __global__ void __launch_bounds__(THREADS) settle(int networks, long long count, long long* roots)
{
    for EACH(i, networks * count) {
        volatile long long* parents = roots + i / count * count;
        // Only a component's own thread writes here: the root must not be overwritten with one below it.
        long long root = i % count;
        for (long long parent = parents[root]; parent != root; parent = parents[root]) root = parent;
        parents[i % count] = root;
    }
}
