/* Triple-phase edges as a list, each with the length of junction it stands for.

Mirrors tripoint._cpu.boundary.length.junction_edges, bit for bit: every edge is walked in the order in which the
host walks it.  Defines: WARPS per block of the search, CHUNK voxels per warp (a multiple of 31), THREADS per block
of the walk, RING places per thread.

count_edges, list_edges: the records (lattice edge, triple) of the volume.  A warp per chunk of CHUNK voxels in
    raster order, WARPS of them to a block; 31 lanes own a voxel, the last one only lends its column of four.
    phases, *_stride   uint8 voxels in any layout; strides in bytes
    nz, ny, nx         shape
    triples, n_triples (n, 3) labels
    counts             (chunks,) records of each chunk, out
    access, a*_stride, judged  access bits, read around edges only; judged 0: there are none
    conducts           (256,) bit c is set where a label conducts carrier c
    starts             (chunks + 1,) where the records of each chunk begin
    index, axis, triple, status, signs   the columns, out; signs is the sense of the phases around the edge
mark_links: a slab's lattice of corners, for one triple.  A grid-stride loop over the records first to last.
    low, ny, nx        first plane of the slab's halo; rows and columns of the volume
    links              two bits per corner and direction, in 16-bit places, zero before
walk_edges, walk_wide: the length of each edge of a slab and triple.  A thread per edge; a grid-stride loop.
    chosen, n          places of the edges among the records from begin on
    links              as above, read as 16-bit numbers
    z, y, x_spacing    µm
    weights, n_weights weight of edges 0, 1, ... steps away
    own_length         out; NaN where the corners of three successive steps are more than RING: walk_wide's work
    cells, queues      walk_wide's own memory, per thread: cells, zero before and after, and places of corners
share_lengths: the mean over the triples of a lattice edge.  A grid-stride loop over all records.

Bytes: the search reads each voxel once from memory in either pass and its three neighbours from cache, 2 bytes per
voxel; the lattice is cleared once per slab and triple, with its halo some 3 bytes per voxel; a record is 20 bytes
written, and 11 read per triple and slab that it is marked in.  A walk reads 2 bytes at each of some 17 corners (at
equal spacing; two to three times as many on a rough line), from L2.
Scratch: see tripoint._cuda.boundary.length.
*/
// build: -DWARPS=4 -DCHUNK=992 -DTHREADS=128 -DRING=32
// build: -DWARPS=4 -DCHUNK=992 -DTHREADS=128 -DRING=64

#define LANES 31           // of a warp that own a voxel
#define EVERYONE 0xffffffff
#define CRUMB 8            // corners of the largest ring that is looked at together with what is beside it
#define ACTIVE 2
#define UNKNOWN 1
#define DEAD 0
#define UNTOLD 255

// ---------------------------------------------------------------------------- from voxels to a list

// The labels of the four voxels around an edge follow each other in its word, in the sense of the edge's axis.

__device__ __forceinline__ bool has_three(unsigned ring)
{
    // Of four, three are different where at most one pair is equal; the second turn meets each pair twice.
    const unsigned beside = __vcmpeq4(ring, __byte_perm(ring, ring, 0x0321));
    const unsigned across = __vcmpeq4(ring, __byte_perm(ring, ring, 0x1032));
    return 2 * __popc(beside) + __popc(across) <= 16;
}

__device__ __forceinline__ bool has(unsigned ring, unsigned label)
{
    return __vcmpeq4(ring, label * 0x01010101u) != 0;
}

__device__ __forceinline__ bool has_triple(unsigned ring, const unsigned char* triple)
{
    return has(ring, triple[0]) && has(ring, triple[1]) && has(ring, triple[2]);
}

__device__ __forceinline__ int sense(unsigned ring, const unsigned char* triple)
{
    const int a = triple[0], b = triple[1], c = triple[2];
    int before = ring >> 24, turns = 0;
    for (int k = 0; k < 4; ++k) {
        const int label = ring >> 8 * k & 255;
        turns += (before == a && label == b) || (before == b && label == c) || (before == c && label == a);
        turns -= (before == b && label == a) || (before == c && label == b) || (before == a && label == c);
        before = label;
    }
    return (turns > 0) - (turns < 0);
}

// Around must be the access bits of the same four voxels.
__device__ __forceinline__ int judge(
    unsigned ring, unsigned around, const unsigned char* triple, const unsigned char* conducts)
{
    bool needed = false, works = true, doubtful = true;
    for (int k = 0; k < 3; ++k) {
        const unsigned label = triple[k];
        for (unsigned carriers = conducts[label]; carriers; carriers &= carriers - 1) {
            const int bit = 2 * (__ffs(carriers) - 1);
            unsigned found = 0;
            for (int v = 0; v < 4; ++v)
                if ((ring >> 8 * v & 255) == label) found |= around >> (8 * v + bit) & 3;
            needed = true;
            works &= (found & 1) != 0;
            doubtful &= found != 0;
        }
    }
    return needed && works ? ACTIVE : doubtful ? UNKNOWN : DEAD;
}

struct Search {
    const unsigned char* phases;
    long long z_stride, y_stride, x_stride;
    int nz, ny, nx;
    const unsigned char* triples;
    int n_triples;
};

struct Place {
    int z, y, x;

    __device__ __forceinline__ void advance(int step, const Search& search)
    {
        x += step;
        if (x >= search.nx) {
            y += x / search.nx;
            x %= search.nx;
            if (y >= search.ny) {
                z += y / search.ny;
                y %= search.ny;
            }
        }
    }
};

// The voxels (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1) at one x.  The border is repeated beyond it, where no
// three phases meet then.
__device__ __forceinline__ unsigned column(const Search& search, const Place& at)
{
    const long long up_y = at.y + 1 < search.ny ? search.y_stride : 0;
    const long long up_z = at.z + 1 < search.nz ? search.z_stride : 0;
    const unsigned char* voxel =
        search.phases + at.z * search.z_stride + at.y * search.y_stride + at.x * search.x_stride;
    return voxel[0] | voxel[up_y] << 8 | voxel[up_z] << 16 | (unsigned)voxel[up_z + up_y] << 24;
}

__device__ __forceinline__ void rings_of(unsigned here, unsigned next, unsigned rings[3])
{
    rings[0] = __byte_perm(here, next, 0x4510);
    rings[1] = __byte_perm(here, next, 0x2640);
    rings[2] = __byte_perm(here, next, 0x1320);
}

__device__ __forceinline__ int count_records(const unsigned rings[3], const Search& search)
{
    int count = 0;
    for (int axis = 0; axis < 3; ++axis)
        if (has_three(rings[axis]))
            for (int t = 0; t < search.n_triples; ++t) count += has_triple(rings[axis], search.triples + 3 * t);
    return count;
}

// Goes through the voxels of a warp's chunk: visit(owns, index, place, rings), all lanes at once.
template <class Visit>
__device__ __forceinline__ void visit_chunk(const Search& search, long long chunk, Visit& visit)
{
    const int lane = threadIdx.x & 31;
    const long long voxels = (long long)search.nz * search.ny * search.nx;
    const long long begin = chunk * CHUNK, end = min(begin + CHUNK, voxels);
    long long index = begin + lane;
    const long long row = index / search.nx;
    Place at = {(int)(row / search.ny), (int)(row % search.ny), (int)(index % search.nx)};
    for (long long first = begin; first < end; first += LANES) {
        const unsigned here = index < voxels ? column(search, at) : 0;
        unsigned next = __shfl_down_sync(EVERYONE, here, 1);
        if (at.x + 1 == search.nx) next = here;
        const bool mixed = here != next || here != (here & 255) * 0x01010101u;
        unsigned rings[3] = {0, 0, 0};
        const bool owns = lane < LANES && index < end && mixed;
        if (owns) rings_of(here, next, rings);
        visit(owns, index, at, rings);
        index += LANES;
        at.advance(LANES, search);
    }
}

struct Count {
    const Search& search;
    int found;

    __device__ __forceinline__ void operator()(bool owns, long long, const Place&, const unsigned rings[3])
    {
        if (owns) found += count_records(rings, search);
    }
};

extern "C" __global__ void __launch_bounds__(WARPS * 32) count_edges(
    const unsigned char* __restrict__ phases, long long z_stride, long long y_stride, long long x_stride,
    int nz, int ny, int nx, const unsigned char* __restrict__ triples, int n_triples, long long n_chunks,
    long long* __restrict__ counts)
{
    const long long chunk = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (chunk >= n_chunks) return;
    const Search search = {phases, z_stride, y_stride, x_stride, nz, ny, nx, triples, n_triples};
    Count count = {search, 0};
    visit_chunk(search, chunk, count);
    for (int step = 16; step; step /= 2) count.found += __shfl_xor_sync(EVERYONE, count.found, step);
    if ((threadIdx.x & 31) == 0) counts[chunk] = count.found;
}

struct Records {
    long long* index;
    unsigned char *axis, *triple, *status;
    signed char* signs;
};

struct Judge {
    const unsigned char* access;
    long long strides[3];
    bool judged;
    const unsigned char* conducts;

    // The access bits of the voxels around an edge, in the order of its ring.
    __device__ __forceinline__ unsigned around(const Place& at, int axis) const
    {
        const long long one = axis == 0 ? strides[1] : axis == 1 ? strides[2] : strides[0];
        const long long two = axis == 0 ? strides[2] : axis == 1 ? strides[0] : strides[1];
        const unsigned char* voxel = access + at.z * strides[0] + at.y * strides[1] + at.x * strides[2];
        return voxel[0] | voxel[one] << 8 | voxel[one + two] << 16 | (unsigned)voxel[two] << 24;
    }
};

struct List {
    const Search& search;
    const Judge& judging;
    const Records& records;
    long long start;

    __device__ __forceinline__ void operator()(
        bool owns, long long index, const Place& at, const unsigned rings[3])
    {
        const int mine = owns ? count_records(rings, search) : 0;
        if (!__any_sync(EVERYONE, mine)) return;
        const int lane = threadIdx.x & 31;
        int before = mine;
        for (int step = 1; step < 32; step *= 2) {
            const int other = __shfl_up_sync(EVERYONE, before, step);
            if (lane >= step) before += other;
        }
        if (mine) write(start + before - mine, index, at, rings);
        start += __shfl_sync(EVERYONE, before, 31);
    }

    __device__ __forceinline__ void write(
        long long place, long long index, const Place& at, const unsigned rings[3]) const
    {
        for (int axis = 0; axis < 3; ++axis) {
            const unsigned ring = rings[axis];
            if (!has_three(ring)) continue;
            for (int t = 0; t < search.n_triples; ++t) {
                const unsigned char* triple = search.triples + 3 * t;
                if (!has_triple(ring, triple)) continue;
                records.index[place] = index;
                records.axis[place] = axis;
                records.triple[place] = t;
                records.status[place] =
                    judging.judged ? judge(ring, judging.around(at, axis), triple, judging.conducts) : UNTOLD;
                records.signs[place] = sense(ring, triple);
                ++place;
            }
        }
    }
};

extern "C" __global__ void __launch_bounds__(WARPS * 32) list_edges(
    const unsigned char* __restrict__ phases, long long z_stride, long long y_stride, long long x_stride,
    int nz, int ny, int nx, const unsigned char* __restrict__ triples, int n_triples, long long n_chunks,
    const unsigned char* __restrict__ access, long long az_stride, long long ay_stride, long long ax_stride,
    int judged, const unsigned char* __restrict__ conducts, const long long* __restrict__ starts,
    long long* __restrict__ index, unsigned char* __restrict__ axis, unsigned char* __restrict__ triple,
    unsigned char* __restrict__ status, signed char* __restrict__ signs)
{
    const long long chunk = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (chunk >= n_chunks || starts[chunk] == starts[chunk + 1]) return;
    const Search search = {phases, z_stride, y_stride, x_stride, nz, ny, nx, triples, n_triples};
    const Judge judging = {access, {az_stride, ay_stride, ax_stride}, judged != 0, conducts};
    const Records records = {index, axis, triple, status, signs};
    List list = {search, judging, records, starts[chunk]};
    visit_chunk(search, chunk, list);
}

// ---------------------------------------------------------------------------- from a list to lattice corners

// Corner (z, y, x) is the lower end of voxel z, y, x; there is one more than voxels along each axis.  One row, column
// and plane more stay empty on every side, so that no step need be checked.  A corner's links are two bits for each
// direction, up along z, y, x, then down: no edge, an edge without sense, one along the axis, one against it.

struct Lattice {
    int ny, nx;

    __device__ __forceinline__ long long stride(int axis) const
    {
        return axis == 2 ? 1 : axis == 1 ? nx + 2 : (long long)(ny + 2) * (nx + 2);
    }

    // The upper end of an edge, (z + 1, y + 1, x + 1) for voxel (z, y, x).
    __device__ __forceinline__ long long upper(long long index, int low) const
    {
        const long long row = index / nx;
        const long long x = index - row * nx, z = row / ny, y = row - z * ny;
        return (z - low + 2) * stride(0) + (y + 1) * stride(1) + x + 1;
    }
};

__device__ __forceinline__ void add_link(unsigned* links, long long corner, int direction, unsigned link)
{
    atomicOr(&links[corner >> 1], link << (2 * direction + 16 * (corner & 1)));
}

extern "C" __global__ void __launch_bounds__(THREADS) mark_links(
    const long long* __restrict__ index, const unsigned char* __restrict__ axis,
    const unsigned char* __restrict__ triple, const signed char* __restrict__ signs, long long first, long long last,
    int wanted, int low, int ny, int nx, unsigned* __restrict__ links)
{
    const Lattice lattice = {ny, nx};
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long i = first + (long long)blockIdx.x * blockDim.x + threadIdx.x; i < last; i += threads) {
        if (triple[i] != wanted) continue;
        const unsigned link = signs[i] == 0 ? 1 : signs[i] > 0 ? 2 : 3;
        const long long upper = lattice.upper(index[i], low);
        add_link(links, upper - lattice.stride(axis[i]), axis[i], link);
        add_link(links, upper, 3 + axis[i], link);
    }
}

// ---------------------------------------------------------------------------- from lattice corners to lengths

// A corner that a walk has met is a place relative to the edge's upper end, seven bits along each axis: walks go
// 33 steps at most.  Corners are met level by level, so of those a step away from the present one, whatever was met
// before belongs to the level before, to the present one or to the next.

#define ORIGIN ((64 << 14) + (64 << 7) + 64)
enum State { FRESH, WAITING, DONE };

__device__ __forceinline__ int step_along(int axis) { return axis == 2 ? 1 : axis == 1 ? 1 << 7 : 1 << 14; }

// The last RING corners that were met, in shared memory, searched one by one: a line has two or three at each step.
struct Ring {
    int* places;

    __device__ __forceinline__ int& at(int k) { return places[(k & (RING - 1)) * THREADS]; }
    __device__ __forceinline__ bool is_full(int kept) const { return kept >= RING; }
    __device__ __forceinline__ void put(int k, int place) { at(k) = place; }
    __device__ __forceinline__ void finish(int) {}
    __device__ __forceinline__ void clear(int) {}
    __device__ __forceinline__ State state(int place, int kept, int done, int queued)
    {
        for (int k = kept; k < queued; ++k)
            if (at(k) == place) return k < done ? DONE : WAITING;
        return FRESH;
    }
};

// All corners that were met, and a cell for every place within reach, in global memory: for tangles.
struct Chart {
    unsigned char* cells;
    int* queue;
    int reach;

    __device__ __forceinline__ unsigned char& cell(int place)
    {
        const int side = 2 * reach + 1, corner = reach - 64;
        return cells[((place >> 14) + corner) * side * side + ((place >> 7 & 127) + corner) * side
                     + (place & 127) + corner];
    }
    __device__ __forceinline__ int at(int k) const { return queue[k]; }
    __device__ __forceinline__ bool is_full(int) const { return false; }
    __device__ __forceinline__ void put(int k, int place)
    {
        queue[k] = place;
        cell(place) = WAITING;
    }
    __device__ __forceinline__ void finish(int place) { cell(place) = DONE; }
    __device__ __forceinline__ void clear(int queued)
    {
        for (int k = 0; k < queued; ++k) cell(queue[k]) = FRESH;
    }
    __device__ __forceinline__ State state(int place, int, int, int) { return (State)cell(place); }
};

struct Line {
    const unsigned short* links;
    long long plane, row;  // strides
    const double* weights;
    int n_weights;

    // Sums the directed edges a few steps from one, the near ones with more weight, and returns how many corners
    // that met, -1 where the queue cannot hold them.  Leaping steps across gaps of one corner too.
    template <class Queue>
    __device__ __forceinline__ int sum(long long upper, int axis, bool leaping, Queue& queue, double sums[3]) const
    {
        const int lower = ORIGIN - step_along(axis);
        queue.put(0, ORIGIN);
        queue.put(1, lower);
        const int own = links[upper] >> (6 + 2 * axis) & 3;
#pragma unroll
        for (int k = 0; k < 3; ++k) sums[k] = k != axis || own == 1 ? 0.0 : own == 2 ? weights[0] : -weights[0];
        int kept = 0, level = 0, next = 2, done = 0, queued = 2, steps = 1;
        double weight = weights[1];
        while (done < queued) {
            if (done == next) {
                kept = level;
                level = next;
                next = queued;
                weight = weights[++steps];
            }
            const int place = queue.at(done++);
            queue.finish(place);
            const unsigned short* corner =
                links + upper + ((place >> 14) - 64) * plane + ((place >> 7 & 127) - 64) * row + (place & 127) - 64;
            const unsigned joined = *corner;
#pragma unroll
            for (int slot = 0; slot < 6; ++slot) {
                const int along = slot % 3;
                const unsigned link = joined >> 2 * slot & 3;
                const long long stride = along == 0 ? plane : along == 1 ? row : 1;
                if (link == 0 && !(leaping && corner[slot < 3 ? stride : -stride] != 0)) continue;
                const int other = place + (slot < 3 ? step_along(along) : -step_along(along));
                const State state = queue.state(other, kept, done, queued);
                // A corner is met before all that are farther, so an edge is summed from its nearer end.
                if (state == DONE) continue;
                if (link > 1 && (done > 1 || other != lower)) sums[along] += link == 2 ? weight : -weight;
                if (state == FRESH && steps + 1 < n_weights) {
                    if (queue.is_full(queued - kept)) return -1;
                    queue.put(queued++, other);
                }
            }
        }
        queue.clear(queued);
        return queued;
    }

    template <class Queue>
    __device__ __forceinline__ float length(
        long long upper, int axis, int sign, double z_spacing, double y_spacing, double x_spacing, Queue& queue) const
    {
        if (sign == 0) return 0.0f;
        double sums[3];
        for (int leaping = 0; leaping < 2; ++leaping) {
            // A ring of some voxel's edges counts for nothing in the line that it came off, once seen with it.
            const int met = sum(upper, axis, leaping, queue, sums);
            if (met < 0) return __int_as_float(0x7fffffff);
            if (met > CRUMB) break;
        }
        const double z = __dmul_rn(sums[0], z_spacing);
        const double y = __dmul_rn(sums[1], y_spacing);
        const double x = __dmul_rn(sums[2], x_spacing);
        const double along = axis == 0 ? z : axis == 1 ? y : x;
        const double own = axis == 0 ? z_spacing : axis == 1 ? y_spacing : x_spacing;
        const double square = __dadd_rn(__dadd_rn(__dmul_rn(z, z), __dmul_rn(y, y)), __dmul_rn(x, x));
        const double size = __dsqrt_rn(square);
        return (float)__dmul_rn(own, size > 0.0 ? __ddiv_rn(sign * along, size) : 1.0);
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 8) walk_edges(
    const long long* __restrict__ chosen, long long n, long long begin, const long long* __restrict__ index,
    const unsigned char* __restrict__ axis, const signed char* __restrict__ signs, int low, int ny, int nx,
    const unsigned short* __restrict__ links, double z_spacing, double y_spacing, double x_spacing,
    const double* __restrict__ weights, int n_weights, float* __restrict__ own_length)
{
    __shared__ int places[RING * THREADS];
    Ring ring = {places + threadIdx.x};
    const Lattice lattice = {ny, nx};
    const Line line = {links, lattice.stride(0), lattice.stride(1), weights, n_weights};
    const long long threads = (long long)gridDim.x * THREADS;
    for (long long k = (long long)blockIdx.x * THREADS + threadIdx.x; k < n; k += threads) {
        const long long i = begin + chosen[k];
        const long long upper = lattice.upper(index[i], low);
        own_length[i] = line.length(upper, axis[i], signs[i], z_spacing, y_spacing, x_spacing, ring);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 8) walk_wide(
    const long long* __restrict__ chosen, long long n, long long begin, const long long* __restrict__ index,
    const unsigned char* __restrict__ axis, const signed char* __restrict__ signs, int low, int ny, int nx,
    const unsigned short* __restrict__ links, double z_spacing, double y_spacing, double x_spacing,
    const double* __restrict__ weights, int n_weights, float* __restrict__ own_length,
    unsigned char* __restrict__ cells, long long n_cells, int* __restrict__ queues, long long n_places)
{
    const Lattice lattice = {ny, nx};
    const Line line = {links, lattice.stride(0), lattice.stride(1), weights, n_weights};
    const long long threads = (long long)gridDim.x * THREADS;
    const long long thread = (long long)blockIdx.x * THREADS + threadIdx.x;
    Chart chart = {cells + thread * n_cells, queues + thread * n_places, n_weights};
    for (long long k = thread; k < n; k += threads) {
        const long long i = begin + chosen[k];
        const long long upper = lattice.upper(index[i], low);
        own_length[i] = line.length(upper, axis[i], signs[i], z_spacing, y_spacing, x_spacing, chart);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) share_lengths(
    const long long* __restrict__ index, const unsigned char* __restrict__ axis,
    const float* __restrict__ own_length, long long n, float* __restrict__ edge_length)
{
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += threads) {
        long long first = i, stop = i + 1;
        while (first > 0 && index[first - 1] == index[i] && axis[first - 1] == axis[i]) --first;
        while (stop < n && index[stop] == index[i] && axis[stop] == axis[i]) ++stop;
        double total = 0.0;
        for (long long k = first; k < stop; ++k) total = __dadd_rn(total, own_length[k]);
        edge_length[i] = (float)__ddiv_rn(total, (double)(stop - first));
    }
}
