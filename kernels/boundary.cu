/* Triple-phase edges, transitions between every two phases, and the map of junctions, in one pass over a volume.

Mirrors tripoint._cpu.boundary.scan (scan.py, bits.py, edges.py there) for volumes of few labels.

scan: a one-dimensional grid of blocks of THREADS threads; every warp has a tile of its own.
    phases, access       first voxels of the volumes, uint8; access is looked at if JUDGED
    *_plane, *_row       steps along z and y, in bytes; the voxels of a row are adjacent
    nz, ny, nx           shape of the volumes
    z0, z1, ... x1       the box, half open, of the voxels that own what is counted
    x_first              where the first tile begins: at most x0 - 1, and aligned if ALIGNED
    tiles_x, tiles_y     tiles along x, and blocks along y, WARPS tiles each
    planes               planes of a tile, at most 63
    counts               (COUNTS,) uint64, added to: edges by triple, axis and status; those of all triples together
                         by axis and status, if there are several; transitions by pair and direction; connected ones
                         by pair that different carriers can connect and direction
    marks                (z1 - z0, y1 - y0, x1 - x0) uint8: the map, if MARKS

Defines: N_LABELS, at most 6, and LABELS, a byte each, the first one lowest. PAIRS and TRIPLES of labels that are
counted, a bit for each in the order (0, 1), (0, 2) ... and (0, 1, 2), (0, 1, 3) ... JUDGED, whether there is access, and
CONDUCTS, four bits per label: the carriers that it conducts. MARKS, whether there is a map. ALIGNED, whether a tile's
words begin at multiples of four bytes in every row of every array.

Method. A lane holds patches, words of 4 x 8 voxels (bits.cuh), and marches along z. Of every bit plane it keeps the
patches of two planes, at the voxels themselves and one step along x, along y and along both: the corners of the
2 x 2 x 2 cubes at all of its voxels. Whatever is counted is a logical expression of corners of one cube, an edge three
ANDs of ORs of four of them, a transition along any of the 13 directions a pair. Counting is a population count. What
lies outside the volume has no label, so that no loop treats the border apart.

Tiles. The 32 lanes cover 128 x 8 voxels of a plane. The first and the last lane and the first row are the neighbours'
and only looked at, so that 120 x 7 voxels are the tile's own. Warps share nothing but the sums at the end.

Floor. Bytes that must move per voxel: 1 read, 1 more with access, 1 written with the map. Reading 9 rows for 7 and 32
words for 30 costs caches, not memory. Instructions per voxel (sm_90, main loop, aligned): edges and map of one triple
8.3, of which 4.8 are of the kind of which an SM executes 64 a clock; with the transitions between four phases 22.7 and
13.3, and 3.1 population counts, 16 a clock. Scratch memory: none.
*/

// build for the data: edges and map of one triple; unaligned; with access; with the pairs of four labels; all of four
// labels with access; all of five labels, unaligned
// build: -DALIGNED=1 -DCONDUCTS=0 -DJUDGED=0 -DLABELS=131328 -DMARKS=1 -DN_LABELS=3 -DPAIRS=0 -DTRIPLES=1
// build: -DALIGNED=0 -DCONDUCTS=0 -DJUDGED=0 -DLABELS=131328 -DMARKS=1 -DN_LABELS=3 -DPAIRS=0 -DTRIPLES=1
// build: -DALIGNED=1 -DCONDUCTS=290 -DJUDGED=1 -DLABELS=131328 -DMARKS=1 -DN_LABELS=3 -DPAIRS=0 -DTRIPLES=1
// build: -DALIGNED=1 -DCONDUCTS=0 -DJUDGED=0 -DLABELS=50462976 -DMARKS=1 -DN_LABELS=4 -DPAIRS=63 -DTRIPLES=1
// build: -DALIGNED=1 -DCONDUCTS=290 -DJUDGED=1 -DLABELS=50462976 -DMARKS=1 -DN_LABELS=4 -DPAIRS=63 -DTRIPLES=15
// build: -DALIGNED=0 -DCONDUCTS=0 -DJUDGED=0 -DLABELS=17230332160 -DMARKS=1 -DN_LABELS=5 -DPAIRS=1023 -DTRIPLES=1023

#include "bits.cuh"

constexpr int THREADS = 128, WARPS = THREADS / 32;
constexpr int OWN_X = 30 * 4, OWN_Y = 7;
constexpr int CARRIERS = 3;
constexpr int STATUSES = JUDGED ? 3 : 1;  // any, active, unknown

/* What the defines say, as tables of places in LABELS. */
struct Plan {
    int label[N_LABELS];
    bool conducts[N_LABELS][CARRIERS];
    int pairs, pair[15][2];
    int connectable, row[15];  // pairs whose sides different carriers reach: how many, and which of them a pair is
    int triples, triple[20][3];
};

__host__ __device__ constexpr Plan make_plan()
{
    Plan plan = {};
    int pair = 0, triple = 0;
    for (int a = 0; a < N_LABELS; ++a) {
        plan.label[a] = LABELS * 1ull >> 8 * a & 0xff;
        for (int c = 0; c < CARRIERS; ++c) plan.conducts[a][c] = CONDUCTS * 1ull >> (4 * a + c) & 1;
    }
    for (int a = 0; a < N_LABELS; ++a)
        for (int b = a + 1; b < N_LABELS; ++b) {
            for (int c = b + 1; c < N_LABELS; ++c, ++triple)
                if (TRIPLES >> triple & 1) {
                    plan.triple[plan.triples][0] = a;
                    plan.triple[plan.triples][1] = b;
                    plan.triple[plan.triples++][2] = c;
                }
            if (!(PAIRS >> pair++ & 1)) continue;
            bool connectable = false;
            for (int one = 0; one < CARRIERS; ++one)
                for (int two = 0; two < CARRIERS; ++two)
                    connectable = connectable || (one != two && plan.conducts[a][one] && plan.conducts[b][two]);
            plan.pair[plan.pairs][0] = a;
            plan.pair[plan.pairs][1] = b;
            plan.row[plan.pairs++] = connectable ? plan.connectable++ : -1;
        }
    return plan;
}

__constant__ constexpr Plan plan = make_plan();
constexpr int N_PAIRS = plan.pairs, N_TRIPLES = plan.triples;

// Where the counts of each kind begin.
constexpr int TOTAL = 3 * STATUSES * N_TRIPLES;
constexpr int TRANSITIONS = TOTAL + (N_TRIPLES > 1 ? 3 * STATUSES : 0);
constexpr int CONNECTED = TRANSITIONS + 13 * N_PAIRS;
constexpr int COUNTS = CONNECTED + 13 * plan.connectable;
constexpr int PACKED = (COUNTS + 1) / 2;

// Whether a plane is fetched while the one before is worked on. Where much is counted, the other warps have enough to
// do meanwhile, and registers are short.
constexpr bool AHEAD = COUNTS <= 64;

// Corners of a cube are numbered x + 2 y + 4 z. A transition along each of the directions, in the order of
// tripoint.boundary.crofton.DIRECTIONS, goes from one corner, which owns it, to another one.
__constant__ constexpr int from[13] = {0, 0, 0, 0, 1, 0, 1, 0, 2, 0, 1, 2, 3};
__constant__ constexpr int to[13] = {4, 2, 1, 3, 2, 5, 4, 6, 4, 7, 6, 5, 4};
__constant__ constexpr int around[3][4] = {{0, 1, 2, 3}, {0, 1, 4, 5}, {0, 2, 4, 6}};  // the edge along z, y, x

/* The corners of the cubes at a patch's voxels, for every bit plane: the voxels of a label, those of them that are
   connected for a carrier that the label conducts, and those that are connected or unknown. */
struct Cubes {
    patch label[N_LABELS][8], connected[N_LABELS][CARRIERS][8], reached[N_LABELS][CARRIERS][8];
};

typedef patch Edges[3][STATUSES];
typedef unsigned Counts[PACKED];  // two to a word

struct Volume {
    const unsigned char* first;  // voxel of the plane 0 from which the lane reads
    long long plane;
    int row;
};

/* Where a lane's patch lies, and which of its voxels are what. */
struct Place {
    int x, y;         // of its first voxel
    int column;       // where the words that are read begin: at x, or beside it where that is not in the volume
    unsigned order;   // which of their bytes are the patch's
    int line[9];      // its rows and the one after, those outside moved to the border, from the first of them on
    patch inside[2];  // voxels in the volume, and voxels whose next one along y is
    patch owned[4];   // voxels whose corner of the cube is in the box, and that are the tile's own
    unsigned rows;    // those of them that are the tile's own and in the box, a bit each
};

// ---------------------------------------------------------------------------- from voxels to bit planes

/* Read the nine rows of four voxels. Aligned words are read whole if they hold at least one voxel, which never leaves
   the memory that was allocated; what they hold besides is not looked at. */
__device__ __forceinline__ void load(
    unsigned (&rows)[9], const Volume& volume, const Place& place, int z, int nz)
{
    const unsigned char* plane = volume.first + min(max(z, 0), nz - 1) * volume.plane;
#pragma unroll
    for (int i = 0; i < 9; ++i) {
        const unsigned char* voxels = plane + static_cast<long long>(place.line[i]) * volume.row;
        if (ALIGNED) {
            rows[i] = __ldg(reinterpret_cast<const unsigned*>(voxels));
            continue;
        }
        const unsigned long long address = reinterpret_cast<unsigned long long>(voxels);
        const unsigned low = __ldg(reinterpret_cast<const unsigned*>(address & ~3ull));
        const unsigned high = __ldg(reinterpret_cast<const unsigned*>((address + 3) & ~3ull));
        rows[i] = __byte_perm(low, high, place.order + 0x1111u * (address & 3));
    }
}

/* Fill in the upper half of the cubes of a bit plane. */
__device__ __forceinline__ void set(patch (&corner)[8], patch here, patch along_y)
{
    corner[4] = here;
    corner[5] = step_x(here);
    corner[6] = along_y;
    corner[7] = step_x(along_y);
}

/* Turn the rows of a plane into the upper half of the cubes; a plane outside the volume has no labels. */
__device__ __forceinline__ void fill(
    Cubes& cubes, const unsigned (&phases)[9], const unsigned (&access)[9], const Place& place, bool exists)
{
    const patch all = exists ? WARP : 0, inside[2] = {place.inside[0] & all, place.inside[1] & all};
    patch value[8], bits[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) value[i] = phases[i], bits[i] = access[i];
    transpose_bits(value);
    if (JUDGED) transpose_bits(bits);
#pragma unroll
    for (int a = 0; a < N_LABELS; ++a) {
        patch here = inside[0];
#pragma unroll
        for (int bit = 7; bit >= 0; --bit) here &= plan.label[a] >> bit & 1 ? value[bit] : ~value[bit];
        const patch along_y = step_y(here, equal_bytes(phases[8], plan.label[a])) & inside[1];
        set(cubes.label[a], here, along_y);
#pragma unroll
        for (int c = 0; c < CARRIERS; ++c) {
            if (!JUDGED || !plan.conducts[a][c]) continue;
            const patch terminal = bits[2 * c], any = terminal | bits[2 * c + 1];
            const unsigned after = access[8] << (7 - 2 * c), any_after = after | access[8] << (6 - 2 * c);
            set(cubes.connected[a][c], here & terminal, along_y & step_y(terminal, after));
            set(cubes.reached[a][c], here & any, along_y & step_y(any, any_after));
        }
    }
}

/* Move on by one plane. */
__device__ __forceinline__ void descend(Cubes& cubes)
{
#pragma unroll
    for (int a = 0; a < N_LABELS; ++a)
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
            cubes.label[a][corner] = cubes.label[a][4 + corner];
#pragma unroll
            for (int c = 0; c < CARRIERS; ++c) {
                if (!JUDGED || !plan.conducts[a][c]) continue;
                cubes.connected[a][c][corner] = cubes.connected[a][c][4 + corner];
                cubes.reached[a][c][corner] = cubes.reached[a][c][4 + corner];
            }
        }
}

// ---------------------------------------------------------------------------- what is counted

__device__ __forceinline__ void count(Counts& counts, int which, patch found)
{
    counts[which / 2] += static_cast<unsigned>(__popc(found)) << 16 * (which % 2);
}

__device__ __forceinline__ patch around_edge(const patch (&corner)[8], int axis)
{
    return corner[around[axis][0]] | corner[around[axis][1]] | corner[around[axis][2]] | corner[around[axis][3]];
}

/* Keep of a triple's edges those where all that is needed is connected, and those where it is at least unknown. Needed
   are the phases of the triple, each for every carrier that it conducts. */
__device__ __forceinline__ void judge(
    const Cubes& cubes, int axis, int triple, patch edge, patch& active, patch& unknown)
{
    bool judged = false;
    active = unknown = edge;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        const int a = plan.triple[triple][k];
#pragma unroll
        for (int c = 0; c < CARRIERS; ++c) {
            if (!plan.conducts[a][c]) continue;
            active &= around_edge(cubes.connected[a][c], axis);
            unknown &= around_edge(cubes.reached[a][c], axis);
            judged = true;
        }
    }
    if (!judged) active = 0;
    unknown &= ~active;
}

/* Find the edges of every triple along each axis, count those that `own` has, and collect them over all triples. */
__device__ __forceinline__ void find_edges(const Cubes& cubes, patch own, Counts& counts, Edges& edges)
{
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        patch found[3] = {0, 0, 0};
#pragma unroll
        for (int t = 0; t < N_TRIPLES; ++t) {
            patch status[3] = {WARP, 0, 0};
#pragma unroll
            for (int k = 0; k < 3; ++k) status[0] &= around_edge(cubes.label[plan.triple[t][k]], axis);
            if (JUDGED) judge(cubes, axis, t, status[0], status[1], status[2]);
#pragma unroll
            for (int s = 0; s < STATUSES; ++s) {
                count(counts, (3 * t + axis) * STATUSES + s, status[s] & own);
                found[s] |= status[s];
            }
        }
        found[2] &= ~found[1];  // where triples differ in one edge, its best one counts
#pragma unroll
        for (int s = 0; s < STATUSES; ++s) {
            if (N_TRIPLES > 1) count(counts, TOTAL + axis * STATUSES + s, found[s] & own);
            edges[axis][s] = found[s];
        }
    }
}

/* Where the one corner of a cube is on the one side of an interface, and the other corner on the other. */
__device__ __forceinline__ patch across(const patch (&a)[8], const patch (&b)[8], const Place& place, int d)
{
    const patch own = place.owned[from[d]];
    return ((a[from[d]] & own) & b[to[d]]) | ((b[from[d]] & own) & a[to[d]]);
}

/* Count the pairs of voxels of two phases along the 13 directions, and those of them that are connected. */
__device__ __forceinline__ void count_transitions(const Cubes& cubes, const Place& place, Counts& counts)
{
#pragma unroll
    for (int k = 0; k < N_PAIRS; ++k) {
        const int a = plan.pair[k][0], b = plan.pair[k][1];
#pragma unroll
        for (int d = 0; d < 13; ++d) {
            count(counts, TRANSITIONS + 13 * k + d, across(cubes.label[a], cubes.label[b], place, d));
            if (plan.row[k] < 0) continue;
            patch connected = 0;
#pragma unroll
            for (int one = 0; one < CARRIERS; ++one)
#pragma unroll
                for (int two = 0; two < CARRIERS; ++two)
                    if (one != two && plan.conducts[a][one] && plan.conducts[b][two])
                        connected |= across(cubes.connected[a][one], cubes.connected[b][two], place, d);
            count(counts, CONNECTED + 13 * plan.row[k] + d, connected);
        }
    }
}

// ---------------------------------------------------------------------------- the map

/* The voxels that touch edges of this plane or of the one before, by status; `rising` is what the one before left. */
__device__ __forceinline__ void touch(const Edges& edges, patch (&rising)[STATUSES], patch (&touched)[STATUSES])
{
#pragma unroll
    for (int s = 0; s < STATUSES; ++s) {
        const patch along_z = edges[0][s] | back_x(edges[0][s]);
        const patch along_y = edges[1][s] | back_x(edges[1][s]);
        const patch along_x = edges[2][s];
        touched[s] = rising[s] | along_z | along_x | back_y(along_z | along_x) | along_y;
        rising[s] = along_x | back_y(along_x) | along_y;
    }
}

/* Write 1 dead, 2 unknown, 3 active for the voxels of a plane; without access every edge is 1. `out` is the mark of the
   patch's first voxel. A word of the map that begins `ahead` voxels before a patch and ends in it is the lane's. */
__device__ __forceinline__ void write_marks(
    const patch (&touched)[STATUSES], const Place& place, int x0, int x1, unsigned char* out)
{
    patch low = touched[0], high = 0, low_before = 0, high_before = 0;
    if (JUDGED) {
        high = touched[1] | touched[2];
        low = touched[1] | (touched[0] & ~high);
    }
    if (!ALIGNED) {
        low_before = __shfl_up_sync(WARP, low, 1);
        if (JUDGED) high_before = __shfl_up_sync(WARP, high, 1);
    }
    if (x0 + (ALIGNED ? 0 : 3) <= place.x && place.x + 4 <= x1) {
#pragma unroll
        for (int row = 1; row <= OWN_Y; ++row) {
            unsigned char* mark = out + static_cast<long long>(x1 - x0) * row;
            const unsigned ahead = ALIGNED ? 0 : static_cast<unsigned>(reinterpret_cast<unsigned long long>(mark)) & 3;
            unsigned word = (__funnelshift_l(low_before, low, 8 * ahead) >> row) & 0x01010101u;
            if (JUDGED) word |= ((__funnelshift_l(high_before, high, 8 * ahead) >> row) & 0x01010101u) << 1;
            if (place.rows >> row & 1) *reinterpret_cast<unsigned*>(mark - ahead) = word;
        }
    } else if (!ALIGNED) {  // near the ends of the box's rows, where not all of a word need be the row's
#pragma unroll 1
        for (int row = 1; row <= OWN_Y; ++row) {
            out += x1 - x0;
            const int ahead = static_cast<int>(reinterpret_cast<unsigned long long>(out) & 3);
#pragma unroll 1
            for (int i = -ahead; i < 4 - ahead; ++i) {
                if (!(place.rows >> row & 1) || place.x + i < x0 || place.x + i >= x1) continue;
                const int bit = 8 * (i & 3) + row;
                const patch low_bits = i < 0 ? low_before : low, high_bits = i < 0 ? high_before : high;
                out[i] = static_cast<unsigned char>((low_bits >> bit & 1) | (high_bits >> bit & 1) << 1);
            }
        }
    }
}

// ---------------------------------------------------------------------------- the pass

/* Add up the counts of a block: they fit 16 bits for a warp of at most 63 planes, 32 bits for a block. */
__device__ __forceinline__ void add_up(Counts& counts, unsigned (&sums)[COUNTS + 1], unsigned long long* total)
{
#pragma unroll
    for (int k = 0; k < PACKED; ++k) {
#pragma unroll
        for (int lanes = 16; lanes > 0; lanes /= 2) counts[k] += __shfl_xor_sync(WARP, counts[k], lanes);
        if (threadIdx.x % 32 == 0) {
            atomicAdd(&sums[2 * k], counts[k] & 0xffffu);
            atomicAdd(&sums[2 * k + 1], counts[k] >> 16);
        }
    }
    __syncthreads();
    for (int k = threadIdx.x; k < COUNTS; k += THREADS)
        if (sums[k]) atomicAdd(&total[k], static_cast<unsigned long long>(sums[k]));
}

__device__ __forceinline__ Place find_place(
    int x, int y, bool own, int ny, int nx, int y0, int y1, int x0, int x1)
{
    Place place;
    place.x = x;
    place.y = y;
    const int ahead = x & 3;
    const int first_column = ALIGNED && ahead ? ahead - 4 : 0;
    const int last_column = ALIGNED ? nx - 1 - ((nx - 1 - ahead) & 3) : nx - 4;
    place.column = min(max(x, first_column), last_column);
    place.order = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) place.order |= min(max(x + i - place.column, 0), 3) << 4 * i;
    const int first = min(max(y, 0), ny - 1);
#pragma unroll
    for (int i = 0; i < 9; ++i) place.line[i] = min(max(y + i, 0), ny - 1) - first;
#pragma unroll
    for (int step = 0; step < 2; ++step) place.inside[step] = rectangle(-x, nx - x, -y - step, ny - y - step);
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
        const int dx = corner & 1, dy = corner >> 1;
        place.owned[corner] = own ? rectangle(x0 - x - dx, x1 - x - dx, max(y0 - y - dy, 1), y1 - y - dy) : 0;
    }
    place.rows = own ? rectangle(0, 1, max(y0 - y, 1), y1 - y) : 0;
    return place;
}

extern "C" __global__ void __launch_bounds__(THREADS) scan(
    const unsigned char* __restrict__ phases, long long phases_plane, int phases_row,
    const unsigned char* __restrict__ access, long long access_plane, int access_row,
    int nz, int ny, int nx, int z0, int z1, int y0, int y1, int x0, int x1,
    int x_first, int tiles_x, int tiles_y, int planes,
    unsigned long long* __restrict__ total, unsigned char* __restrict__ marks)
{
    __shared__ unsigned sums[COUNTS + 1];
    for (int k = threadIdx.x; k <= COUNTS; k += THREADS) sums[k] = 0;
    __syncthreads();

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const bool own = 1 <= lane && lane <= 30;
    const int column = blockIdx.x % tiles_x, across_y = blockIdx.x / tiles_x % tiles_y;
    const int x = x_first + column * OWN_X + 4 * (lane - 1);
    const int y = y0 - 2 + (across_y * WARPS + warp) * OWN_Y;
    const int begin = z0 + static_cast<int>(blockIdx.x / tiles_x / tiles_y) * planes, end = min(begin + planes, z1);
    const Place place = find_place(x, y, own, ny, nx, y0, y1, x0, x1);
    const long long line = min(max(y, 0), ny - 1);
    const Volume phase = {phases + line * phases_row + place.column, phases_plane, phases_row};
    const Volume bits = {access + line * access_row + place.column, access_plane, access_row};

    const long long mark_plane = static_cast<long long>(y1 - y0) * (x1 - x0);
    unsigned char* mark = marks + (begin - z0) * mark_plane + static_cast<long long>(y - y0) * (x1 - x0) + (x - x0);

    Counts counts = {};
    Cubes cubes;
    Edges edges;
    patch rising[STATUSES] = {}, touched[STATUSES];
    unsigned next[9], next_bits[9] = {};
    // Edges owned by the plane before also touch voxels of the first one: it is read for the map alone.
    int z = MARKS ? begin - 1 : begin;
    const auto load_both = [&](int plane) {
        load(next, phase, place, plane, nz);
        if (JUDGED) load(next_bits, bits, place, plane, nz);
    };
    load_both(z);
    fill(cubes, next, next_bits, place, z >= 0);
    if (AHEAD) load_both(z + 1);
    for (; z < end; ++z) {
        if (!AHEAD) load_both(z + 1);
        descend(cubes);
        fill(cubes, next, next_bits, place, z + 1 < nz);
        if (AHEAD && z + 1 < end) load_both(z + 2);
        find_edges(cubes, z >= begin ? place.owned[0] : 0, counts, edges);
        if (MARKS) touch(edges, rising, touched);
        if (z < begin) continue;
        if (N_PAIRS) count_transitions(cubes, place, counts);
        if (MARKS) write_marks(touched, place, x0, x1, mark);
        mark += mark_plane;
    }
    add_up(counts, sums, total);
}
