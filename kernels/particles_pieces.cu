/* Split labels into their 6-connected pieces, in place, by a union–find over runs of equal labels along x.

Mirrors tripoint._cpu.particles.pieces.  Run is int, or with the define WIDE=1 (from 2³¹ runs on) long long.

A warp takes a row, 32 voxels at a time, in a grid-stride loop over the rows:
count_runs    labels   (rows, nx) in place: positive ones are renamed to into[label]
              into     (basins,)
              rows, nx
              count    (rows,) runs of every row, out; 0 is no label and makes no run
join_rows     labels   (rows, nx), rows_of_plane rows to a plane
              first    (rows,) number of the first run of every row, in raster order
              parents  (runs,) in: every run its own parent, out: trees whose roots are the first runs of the pieces
write_pieces  labels   (rows, nx) in: labels, out: numbers of the pieces
              parents  (runs,) −number where a run is a root, the root elsewhere
A warp takes a chunk of CHUNK runs, a multiple of 32:
flatten       parents  (runs,) in: trees, out: every run its root
              count    (chunks,) roots in every chunk, out
number_roots  parents  (runs,) in: every run its root, out: −number where a run is a root
              first    (chunks,) roots before every chunk
Threads per block: 256.  For join_rows at least 4 blocks are asked for, so that the compiler does not spill to fit 8.

Two trees are joined by making the smaller root the parent of the larger one, if that is still a root: so the
root of a piece is its first run, whatever the order in which threads come, and numbers follow the raster order
of the first voxels.

Floor: labels read three times and written twice, 20 bytes per voxel; join_rows reads the rows beside and behind
once more, through L2.  Scratch: 4 bytes per run (8 where WIDE), 24 per row and per chunk.
*/
// build: -DCHUNK=1024 -DWIDE=0
// build: -DCHUNK=1024 -DWIDE=1

#define ALL 0xffffffffu
#define LANE ((int)(threadIdx.x & 31))
#define EACH_OF_WARP(i, n)                                                          \
    (long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32; i < (n); \
     i += (long long)gridDim.x * blockDim.x / 32)

#if WIDE
typedef long long Run;
#else
typedef int Run;
#endif

/* A row on which a warp walks along, knowing in which run each lane's voxel lies. */
struct Row {
    const int* labels;
    int nx, last;   // last: the label before the next 32 voxels
    long long run;  // the last run before them

    __device__ __forceinline__ Row(const int* row, int length, long long first)
        : labels(row), nx(length), last(0), run(first - 1) {}

    /* Return the label of the lane's voxel among the 32 from x on, its run, and whether the label changes there. */
    __device__ __forceinline__ int next(int x, long long& its_run, bool& changes)
    {
        const int label = x + LANE < nx ? labels[x + LANE] : 0;
        const int before = __shfl_up_sync(ALL, label, 1);
        changes = label != (LANE ? before : last);
        const unsigned starts = __ballot_sync(ALL, changes && label != 0);
        its_run = run + __popc(starts & ((2u << LANE) - 1u));
        run += __popc(starts);
        last = __shfl_sync(ALL, label, 31);
        return label;
    }
};

extern "C" __global__ void __launch_bounds__(256) count_runs(
    int* labels, const int* __restrict__ into, long long rows, int nx, long long* __restrict__ count)
{
    for EACH_OF_WARP(row, rows) {
        int last = 0, runs = 0;
        for (int x = LANE; x - LANE < nx; x += 32) {
            int label = x < nx ? labels[row * nx + x] : 0;
            if (label > 0 && into[label] != label) labels[row * nx + x] = label = into[label];
            const int before = __shfl_up_sync(ALL, label, 1);
            runs += __popc(__ballot_sync(ALL, label != 0 && label != (LANE ? before : last)));
            last = __shfl_sync(ALL, label, 31);
        }
        if (LANE == 0) count[row] = runs;
    }
}

/* Return the root of a run.  Any run further up leads to the same root, so that threads may read a parent while
   another thread changes it, and may shorten the way for each other while trees are joined. */
static __device__ __forceinline__ Run find(volatile Run* parents, Run run)
{
    for (Run parent = parents[run]; parent != run; parent = parents[run]) {
        const Run next = parents[parent];
        if (next != parent) parents[run] = next;
        run = next;
    }
    return run;
}

static __device__ __forceinline__ void unite(Run* parents, Run a, Run b)
{
    a = find(parents, a);
    b = find(parents, b);
    while (a != b) {
        const Run larger = max(a, b), smaller = min(a, b);
#if WIDE
        const Run found = (Run)atomicCAS(
            (unsigned long long*)&parents[larger], (unsigned long long)larger, (unsigned long long)smaller);
#else
        const Run found = atomicCAS(&parents[larger], larger, smaller);
#endif
        if (found == larger) return;
        a = find(parents, found);  // another thread was first: go on from where it led
        b = find(parents, smaller);
    }
}

extern "C" __global__ void __launch_bounds__(256, 4) join_rows(
    const int* __restrict__ labels, const long long* __restrict__ first, long long rows, int rows_of_plane, int nx,
    Run* parents)
{
    for EACH_OF_WARP(row, rows) {
        const bool has_beside = row % rows_of_plane != 0, has_behind = row >= rows_of_plane;
        const long long beside = has_beside ? row - 1 : row, behind = has_behind ? row - rows_of_plane : row;
        Row here(labels + row * nx, nx, first[row]);
        Row others[2] = {Row(labels + beside * nx, nx, first[beside]), Row(labels + behind * nx, nx, first[behind])};
        const bool there[2] = {has_beside, has_behind};
        for (int x = 0; x < nx; x += 32) {
            long long run, other_run;
            bool changes, other_changes;
            const int label = here.next(x, run, changes);
#pragma unroll
            for (int side = 0; side < 2; ++side) {
                if (!there[side]) continue;
                const int other = others[side].next(x, other_run, other_changes);
                if (label != 0 && label == other && (changes || other_changes))
                    unite(parents, (Run)run, (Run)other_run);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) flatten(
    Run* parents, long long runs, long long chunks, long long* __restrict__ count)
{
    volatile Run* up = parents;
    for EACH_OF_WARP(chunk, chunks) {
        int roots = 0;
        for (long long run = chunk * CHUNK + LANE; run - LANE < min((chunk + 1) * CHUNK, runs); run += 32) {
            bool is_root = false;
            if (run < runs) {
                // Only a run's own thread writes here: the root must not be overwritten with a run below it.
                Run root = (Run)run;
                for (Run parent = up[root]; parent != root; parent = up[root]) root = parent;
                is_root = root == run;
                up[run] = root;
            }
            roots += __popc(__ballot_sync(ALL, is_root));
        }
        if (LANE == 0) count[chunk] = roots;
    }
}

extern "C" __global__ void __launch_bounds__(256) number_roots(
    Run* __restrict__ parents, long long runs, long long chunks, const long long* __restrict__ first)
{
    for EACH_OF_WARP(chunk, chunks) {
        long long before = first[chunk];
        for (long long run = chunk * CHUNK + LANE; run - LANE < min((chunk + 1) * CHUNK, runs); run += 32) {
            const bool root = run < runs && parents[run] == run;
            const unsigned roots = __ballot_sync(ALL, root);
            if (root) parents[run] = (Run)(-(before + __popc(roots & ((2u << LANE) - 1u))));
            before += __popc(roots);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) write_pieces(
    int* labels, const long long* __restrict__ first, const Run* __restrict__ parents, long long rows, int nx)
{
    for EACH_OF_WARP(row, rows) {
        Row here(labels + row * nx, nx, first[row]);
        for (int x = 0; x < nx; x += 32) {
            long long run;
            bool changes;
            if (here.next(x, run, changes) == 0) continue;
            const Run piece = parents[run];
            labels[row * nx + x + LANE] = (int)-(piece < 0 ? piece : parents[piece]);
        }
    }
}
