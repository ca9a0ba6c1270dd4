/* Exact Euclidean distance of every voxel to the nearest voxel of another phase, all phases at once.

Mirrors tripoint._cpu.distance: a pass along an axis takes, for every voxel, the least of "square at a voxel
k further + (k · size)²", where a voxel of another phase counts 0.  The border is no wall.  The volume is seen
as (outer, n, inner), the pass being along n: x (rows, nx, 1), y (nz, ny, nx), z (1, nz, ny · nx).

along_x: a grid-stride loop over rows, a warp each.
    phases   (rows, n) labels
    wanted   (256,) whether the distances of a label are asked for; 0 is written where not
    steps    (n + 1,) (k · size)² as float32; the last one is infinite, as far as the border is
    rows, n  how many, and how long
    squares  (rows, n) out: of the distance to the nearer end of the run of equal labels
A row is read once for the ballots that say where labels change; what follows a chunk of 1024 voxels is searched
for where its last run goes on, and at most once.

outward: a block per CHUNK voxels along the axis of 32 columns, those next to each other along the axis first,
    so that L2 holds the HALO that they share.
    phases, before  (outer, n, inner) labels, and squares of the pass before
    steps    (n + 1,) as above, of this axis
    n, inner; outer is in the grid alone
    root     0: leave squares, 1: squares · scale, 2: √squares · scale, in float64, rounded once
    scale
    after    (outer, n, inner) out

How a voxel's search is short.  With both ends of its run in the column known (bits where labels change, 32 of a
column to a word), its square starts at the nearer of them, and every voxel beyond an end is at least as far, so
that the search need not look at labels: what lies k further, of whatever run, adds no less than (k · size)²,
which is no less than the start.  It stops when (k · size)² is no less than what is found, after as many steps as
the result has voxels; float additions are monotone, so neither the order nor the last few steps in vain change
a bit.  A thread takes four voxels that follow each other, whose windows share all but one voxel: two words of
shared memory for four pairs, 4.4 instructions per voxel and pair (counted in the code for sm_90), two of them
minima, of which a multiprocessor does 64 a cycle.  Squares above HALO² steps, if there are any, are searched for
in global memory with the labels, some 30 instructions per pair: 1024³ voxels that all search 1023 steps in vain
(one phase but for a corner) read 10¹³ bytes per pass through L1 and L2, 2 s on a H200.

Bytes that must move per voxel: along_x 1 + 4, outward 4 + 4 twice (its labels, 1 byte each time, not counted):
21.  Halos double what is loaded through L2, to 14 bytes per pass with what is written.  Instructions: some 40
along x; per pass of outward 40 to load, 20 for ends of runs, 10 to store and 4.4 per step, and 30 for the root.
With 10 to 30 steps of a warp, 270 to 450 per voxel, of the 560 that there is time for at a quarter of the copy
bandwidth (1024³ in 21 ms, 132 multiprocessors of 128 lanes at 1.7 GHz).
Scratch: none here; `before` and `after` must not be the same array.  Shared memory: 33 KB.
Each axis is shorter than 2³¹ voxels; all linear indices have 64 bits.
*/

constexpr int LANES = 32;
constexpr int WARPS = 8;       // of a block of outward
constexpr int CHUNK = 128;     // voxels along the axis for which a block finds the result
constexpr int HALO = 64;       // voxels on both sides of them that it holds as well
constexpr int ROWS = CHUNK + 2 * HALO;
constexpr int TOGETHER = 4;    // voxels of a thread that search together
constexpr unsigned ALL = 0xffffffffu;

static_assert(ROWS == LANES * WARPS, "a thread makes one word of the bits where labels change");
static_assert(CHUNK % (TOGETHER * WARPS) == 0 && HALO % TOGETHER == 0, "groups are whole");

__device__ __forceinline__ unsigned up_to(int bit) { return (2u << bit) - 1u; }  // all bits for 31

__device__ __forceinline__ int last(unsigned word) { return 31 - __clz(word); }

__device__ __forceinline__ int first(unsigned word) { return __ffs(word) - 1; }

// The bits of the voxels x .. x + 31 of a row whose label is not that of the voxel before; lanes take part.
__device__ __forceinline__ unsigned changes_from(const unsigned char* labels, long long x, int n, int lane)
{
    const long long at = min(x + lane, n - 1LL), before = min(max(x + lane - 1, 0LL), n - 1LL);
    return __ballot_sync(ALL, labels[at] != labels[before]);
}

extern "C" __global__ void __launch_bounds__(256) along_x(
    const unsigned char* __restrict__ phases, const unsigned char* __restrict__ wanted,
    const float* __restrict__ steps, long long rows, int n, float* __restrict__ squares)
{
    const int lane = threadIdx.x % LANES;
    const long long warps = (long long)gridDim.x * blockDim.x / LANES;
    for (long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / LANES; row < rows; row += warps) {
        const unsigned char* labels = phases + row * n;
        long long begin = 0;  // of the run that comes into a segment; 0 is the border
        long long next = 0;   // the first change behind the chunk; n is the border
        for (long long chunk = 0; chunk < n; chunk += LANES * LANES) {
            unsigned changes = 0;  // of the lane's segment
            for (int segment = 0; segment < LANES && chunk + segment * LANES < n; ++segment) {
                const unsigned word = changes_from(labels, chunk + segment * LANES, n, lane);
                if (lane == segment) changes = word;
            }
            for (long long x = max(next, chunk + LANES * LANES); next < chunk + LANES * LANES; x += LANES) {
                const unsigned word = x < n ? changes_from(labels, x, n, lane) : 0u;
                if (word) next = x + first(word);
                else if (x >= n) next = n;
                if (next >= n) break;
            }
            const unsigned changing = __ballot_sync(ALL, changes != 0);
            for (int segment = 0; segment < LANES && chunk + segment * LANES < n; ++segment) {
                const long long start = chunk + segment * LANES, x = start + lane;
                const unsigned word = __shfl_sync(ALL, changes, segment);
                const unsigned later = changing & ~up_to(segment);
                const int where = later ? first(later) : segment;
                const int bit = first(__shfl_sync(ALL, changes, where));
                const long long following = later ? chunk + where * LANES + bit : next;

                const unsigned left = word & up_to(lane), right = word & ~up_to(lane);
                const long long low = left ? start + last(left) : begin;
                const long long high = right ? start + first(right) : following;
                const long long distance = min(low == 0 ? n : x - low + 1, high == n ? n : high - x);
                if (x < n) squares[row * n + x] = wanted[labels[x]] ? steps[distance] : 0.0f;
                if (word) begin = start + last(word);
            }
        }
    }
}

// Voxels back to the first one of the run at a row of the tile, and on to its last one, the voxel beyond it
// included; `none` without an end in the tile.
__device__ __forceinline__ int back(const unsigned (*changes)[LANES], int row, int lane, int none)
{
    int word = row / LANES;
    unsigned found = changes[word][lane] & up_to(row % LANES);
    while (found == 0 && word > 0) found = changes[--word][lane];
    return found ? row - (word * LANES + last(found)) + 1 : none;
}

__device__ __forceinline__ int ahead(const unsigned (*changes)[LANES], int row, int lane, int none)
{
    int word = row / LANES;
    unsigned found = changes[word][lane] & ~up_to(row % LANES);
    while (found == 0 && word < WARPS - 1) found = changes[++word][lane];
    return found ? word * LANES + first(found) - row : none;
}

// The least square of a voxel that has not found it within HALO steps.
__device__ __noinline__ float farther(
    const unsigned char* __restrict__ phases, const float* __restrict__ before, const float* __restrict__ steps,
    long long column, int row, int n, long long inner, float best)
{
    const unsigned char label = phases[column + row * inner];
    for (int k = HALO + 1; steps[k] < best; ++k) {  // steps[n] is infinite
        if (row - k >= 0) {
            const long long at = column + (row - k) * inner;
            best = min(best, (phases[at] == label ? before[at] : 0.0f) + steps[k]);
        }
        if (row + k < n) {
            const long long at = column + (row + k) * inner;
            best = min(best, (phases[at] == label ? before[at] : 0.0f) + steps[k]);
        }
    }
    return best;
}

__device__ __forceinline__ float finished(float square, int root, double scale)
{
    if (root == 0) return square;
    return (float)__dmul_rn(root == 1 ? (double)square : __dsqrt_rn((double)square), scale);
}

extern "C" __global__ void __launch_bounds__(LANES * WARPS, 5) outward(
    const unsigned char* __restrict__ phases, const float* __restrict__ before, const float* __restrict__ steps,
    int n, long long inner, int root, double scale, float* __restrict__ after)
{
    __shared__ float squares[ROWS][LANES];
    __shared__ unsigned changes[WARPS][LANES];
    __shared__ float near[HALO + 2];
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const long long chunks = (n + CHUNK - 1) / CHUNK, tiles = (inner + LANES - 1) / LANES;
    const long long block = blockIdx.x, tile = block / chunks;
    const int origin = (int)(block % chunks) * CHUNK - HALO;  // of the tile, along the axis
    const long long x = tile % tiles * LANES + lane;
    // Beyond the volume its outermost voxels are repeated: farther than they are, so that they do no harm.
    const long long column = tile / tiles * n * inner + min(x, inner - 1);

    // A warp loads 32 rows, and makes the bits of them.
    unsigned word = 0;
    long long at = column + min(max(origin + warp * LANES - 1, 0), n - 1) * inner;
    unsigned char previous = phases[at];
#pragma unroll 8
    for (int bit = 0; bit < LANES; ++bit) {
        const int row = origin + warp * LANES + bit;
        at += row > 0 && row < n ? inner : 0;
        const unsigned char label = phases[at];
        squares[warp * LANES + bit][lane] = before[at];
        word |= label != previous ? 1u << bit : 0u;
        previous = label;
    }
    changes[warp][lane] = word;
    if (threadIdx.x < HALO + 2) near[threadIdx.x] = steps[min((int)threadIdx.x, n)];
    __syncthreads();

    for (int group = HALO + warp * TOGETHER; group < HALO + CHUNK; group += WARPS * TOGETHER) {
        if (origin + group >= n || x >= inner) break;
        float best[TOGETHER], low[TOGETHER], high[TOGETHER];  // low and high: k voxels before and after
        const unsigned change = changes[group / LANES][lane] >> group % LANES;
        int begin = back(changes, group, lane, n), end[TOGETHER];
        end[TOGETHER - 1] = ahead(changes, group + TOGETHER - 1, lane, n);
#pragma unroll
        for (int i = TOGETHER - 1; i > 0; --i) end[i - 1] = change >> i & 1u ? 1 : end[i] + 1;
#pragma unroll
        for (int i = 0; i < TOGETHER; ++i) {
            if (i > 0) begin = change >> i & 1u ? 1 : begin + 1;
            low[i] = high[i] = squares[group + i][lane];
            best[i] = min(low[i], steps[min(min(begin, end[i]), n)]);
        }
        float largest = max(max(best[0], best[1]), max(best[2], best[3]));
        for (int k = 1; k <= HALO && near[k] < largest; k += TOGETHER) {
#pragma unroll
            for (int j = 0; j < TOGETHER; ++j) {
#pragma unroll
                for (int i = 0; i < TOGETHER - 1; ++i) {
                    low[TOGETHER - 1 - i] = low[TOGETHER - 2 - i];
                    high[i] = high[i + 1];
                }
                low[0] = squares[group - k - j][lane];
                high[TOGETHER - 1] = squares[group + TOGETHER - 1 + k + j][lane];
                const float step = near[k + j];
#pragma unroll
                for (int i = 0; i < TOGETHER; ++i) best[i] = min(best[i], min(low[i], high[i]) + step);
            }
            largest = max(max(best[0], best[1]), max(best[2], best[3]));
        }
        at = column + (origin + group) * inner;
#pragma unroll
        for (int i = 0; i < TOGETHER; ++i, at += inner) {
            const int row = origin + group + i;
            if (row >= n) break;
            if (near[HALO + 1] < best[i])
                best[i] = farther(phases, before, steps, column, row, n, inner, best[i]);
            after[at] = finished(best[i], root, scale);
        }
    }
}
