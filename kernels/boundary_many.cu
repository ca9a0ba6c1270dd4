/* What boundary.cu counts, voxel by voxel instead of by words: for volumes of many labels, and for any layout.

Mirrors tripoint._cpu.boundary.scan. With the number of labels, pairs and triples only tables grow, work does not.

scan_many: a one-dimensional grid of blocks of THREADS threads, any number of them; a thread takes a voxel at a time.
    phases, access       first voxels of the volumes, uint8; access is looked at if `judged`
    *_plane, *_row, *_step   steps along z, y and x, in bytes
    judged               whether there is access
    nz, ny, nx           shape of the volumes
    z0, z1, ... x1       the box, half open, of the voxels that own what is counted
    conducts             (256,) uint8: bit 2 c is set where the label conducts carrier c
    pairs                (256, 256) int32: row of the pair of two labels, either way round, or -1
    triples, keys        number of triples, and a << 16 | b << 8 | c of each with a < b < c, ascending
    n_pairs              rows of pairs; where there are none, pairs is not looked at
    counts               (COUNTS,) uint64, added to: edges by triple, axis and status, those of all triples together by
                         axis and status, transitions and connected ones by pair and direction
    marks                (z1 - z0, y1 - y0, x1 - x0) uint8: the map, if `marking`

Floor. 1 byte read per voxel, 1 more with access, 1 written with the map. It is the instructions that cost: some 14
neighbours' labels per voxel, and four times the edges with the map, each read through the cache. Scratch: none.
*/

constexpr int THREADS = 256;
constexpr int TABLE = 11264;  // counts that a block adds up in shared memory; more are added up in global memory

__constant__ constexpr int directions[13][3] = {
    {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0, 1, 1}, {0, 1, -1}, {1, 0, 1}, {1, 0, -1}, {1, 1, 0}, {1, -1, 0},
    {1, 1, 1}, {1, 1, -1}, {1, -1, 1}, {1, -1, -1}};

struct Volume {
    const unsigned char* first;
    long long plane, row, step;
};

struct Scan {
    Volume phases, access;
    bool judged;
    int nz, ny, nx;
    const unsigned char* conducts;
    const int* pairs;
    int triples, n_pairs;
    const int* keys;
    unsigned long long* counts;
    unsigned* table;  // of the block, or null
};

__device__ __forceinline__ int at(const Volume& volume, long long z, long long y, long long x)
{
    return volume.first[z * volume.plane + y * volume.row + x * volume.step];
}

__device__ __forceinline__ bool inside(const Scan& scan, int z, int y, int x)
{
    return 0 <= z && z < scan.nz && 0 <= y && y < scan.ny && 0 <= x && x < scan.nx;
}

__device__ __forceinline__ void count(const Scan& scan, long long which)
{
    if (scan.table) atomicAdd(&scan.table[which], 1u);
    else atomicAdd(&scan.counts[which], 1ull);
}

/* The row of a triple of labels, or -1. */
__device__ __forceinline__ int find_triple(const Scan& scan, int a, int b, int c)
{
    const int low = min(a, min(b, c)), high = max(a, max(b, c)), middle = a ^ b ^ c ^ low ^ high;
    const int key = low << 16 | middle << 8 | high;
    int begin = 0, end = scan.triples;
    while (begin < end) {
        const int row = (begin + end) / 2;
        if (scan.keys[row] < key) begin = row + 1;
        else end = row;
    }
    return begin < scan.triples && scan.keys[begin] == key ? begin : -1;
}

/* 1 dead, 2 unknown, 3 active, for the three labels that voxels around an edge have, all but one of the voxels. */
__device__ __forceinline__ int judge(const Scan& scan, const int (&label)[4], const int (&bits)[4], int skipped)
{
    bool judged = false, active = true, unknown = true;
    for (int k = 0; k < 4; ++k) {
        if (k == skipped) continue;
        const int needed = scan.conducts[label[k]];
        int connected = 0, reached = 0;
        for (int i = 0; i < 4; ++i) {
            if (label[i] != label[k]) continue;
            connected |= bits[i];
            reached |= bits[i] | bits[i] >> 1;
        }
        judged = judged || needed;
        active = active && !(needed & ~connected);
        unknown = unknown && !(needed & ~reached);
    }
    return judged && active ? 3 : unknown ? 2 : 1;
}

/* The best status of the triples that meet at an edge, named by its lowest voxel; 0 if there is none. */
__device__ __forceinline__ int find_edge(const Scan& scan, int z, int y, int x, int axis, bool counted)
{
    const int dz = axis != 0, dy = axis != 1, dx = axis != 2;
    if (!inside(scan, z, y, x) || !inside(scan, z + dz, y + dy, x + dx)) return 0;
    int label[4], bits[4] = {};
    for (int k = 0; k < 4; ++k) {  // the two steps across the edge: none, one, the other, both
        const int oz = dz && (axis == 1 ? k & 1 : k >> 1), oy = dy && (axis == 0 ? k >> 1 : k & 1);
        const int ox = dx && (axis == 0 ? k & 1 : k >> 1);
        label[k] = at(scan.phases, z + oz, y + oy, x + ox);
        if (scan.judged) bits[k] = at(scan.access, z + oz, y + oy, x + ox);
    }
    int best = 0;
    for (int skipped = 0; skipped < 4; ++skipped) {
        int three[3], n = 0;
        bool again = false;  // of two voxels of one label, the later one is skipped
        for (int k = 0; k < 4; ++k) {
            again = again || (k > skipped && label[k] == label[skipped]);
            if (k != skipped) three[n++] = label[k];
        }
        if (again || three[0] == three[1] || three[0] == three[2] || three[1] == three[2]) continue;
        const int row = find_triple(scan, three[0], three[1], three[2]);
        if (row < 0) continue;
        const int status = scan.judged ? judge(scan, label, bits, skipped) : 1;
        if (counted) {
            count(scan, (row * 3ll + axis) * 3);
            if (status > 1) count(scan, (row * 3ll + axis) * 3 + 4 - status);
        }
        best = max(best, status);
    }
    if (counted && best) {
        count(scan, (scan.triples * 3ll + axis) * 3);
        if (best > 1) count(scan, (scan.triples * 3ll + axis) * 3 + 4 - best);
    }
    return best;
}

__device__ __forceinline__ void count_transitions(const Scan& scan, int z, int y, int x)
{
    const long long transitions = 9ll * (scan.triples + 1), connected = transitions + 13ll * scan.n_pairs;
    const int here = at(scan.phases, z, y, x);
    for (int d = 0; d < 13; ++d) {
        const int dz = z + directions[d][0], dy = y + directions[d][1], dx = x + directions[d][2];
        if (!inside(scan, dz, dy, dx)) continue;
        const int there = at(scan.phases, dz, dy, dx);
        const int row = scan.pairs[here << 8 | there];
        if (row < 0) continue;
        count(scan, transitions + 13ll * row + d);
        if (!scan.judged) continue;
        const int one = at(scan.access, z, y, x) & scan.conducts[here];
        const int two = at(scan.access, dz, dy, dx) & scan.conducts[there];
        if (one && two && __popc(one | two) > 1) count(scan, connected + 13ll * row + d);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) scan_many(
    const unsigned char* __restrict__ phases, long long phases_plane, long long phases_row, long long phases_step,
    const unsigned char* __restrict__ access, long long access_plane, long long access_row, long long access_step,
    int judged, int nz, int ny, int nx, int z0, int z1, int y0, int y1, int x0, int x1,
    const unsigned char* __restrict__ conducts, const int* __restrict__ pairs, int n_pairs,
    int triples, const int* __restrict__ keys, unsigned long long* __restrict__ counts,
    int marking, unsigned char* __restrict__ marks)
{
    __shared__ unsigned table[TABLE];
    const int n_counts = 9 * (triples + 1) + 26 * n_pairs;
    const bool shared = n_counts <= TABLE;
    const Scan scan = {
        {phases, phases_plane, phases_row, phases_step}, {access, access_plane, access_row, access_step},
        judged != 0, nz, ny, nx, conducts, pairs, triples, n_pairs, keys, counts, shared ? table : nullptr};
    for (int k = threadIdx.x; shared && k < n_counts; k += THREADS) table[k] = 0;
    __syncthreads();

    const long long voxels = static_cast<long long>(z1 - z0) * (y1 - y0) * (x1 - x0);
    const long long stride = static_cast<long long>(gridDim.x) * THREADS;
    for (long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x; i < voxels; i += stride) {
        const int x = x0 + static_cast<int>(i % (x1 - x0)), y = y0 + static_cast<int>(i / (x1 - x0) % (y1 - y0));
        const int z = z0 + static_cast<int>(i / (x1 - x0) / (y1 - y0));
        if (n_pairs) count_transitions(scan, z, y, x);
        int mark = 0;
        for (int axis = 0; triples && axis < 3; ++axis)
            for (int k = 0; k < (marking ? 4 : 1); ++k) {  // the voxel's own edge, and those before it
                const int oz = axis && (axis == 1 ? k & 1 : k >> 1), oy = axis != 1 && (axis == 0 ? k >> 1 : k & 1);
                const int ox = axis != 2 && (axis == 0 ? k & 1 : k >> 1);
                mark = max(mark, find_edge(scan, z - oz, y - oy, x - ox, axis, k == 0));
            }
        if (marking) marks[i] = static_cast<unsigned char>(mark);
    }
    __syncthreads();
    for (int k = threadIdx.x; shared && k < n_counts; k += THREADS)
        if (table[k]) atomicAdd(&counts[k], static_cast<unsigned long long>(table[k]));
}
