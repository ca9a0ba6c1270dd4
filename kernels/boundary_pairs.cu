/* Pairs of regions that meet: transitions along 13 directions, places of their faces, neck radii.

Mirrors _cpu/boundary/pairs.py. A face or transition belongs to the lowest of its two voxels in raster order, so
the counts of boxes that partition a volume add up. All sums are integers, so neither scheduling nor the cut
into tiles changes a result.

A row is 10 words of 64 bits: as 32-bit lanes 0 to 12 the transitions along crofton.DIRECTIONS, lane 13 the neck
radius as float; words 7 to 9 the sums of z, y, x of the lower voxel of every face. The key of a row is
lower region * 2^32 + higher region.

count_pairs: grid of one block of THREADS = TILE_X * TILE_Y threads per tile of TILE_X * TILE_Y * TILE_Z voxels of
the box, x fastest. A thread owns a column of the tile and goes up through its planes.
    regions, distance, phases   volumes, each followed by its steps along z, y, x in elements; distance is read
                  where NECKS is 1, phases where SAME_PHASE is 1
    nz, ny, nx    size of the volumes: neighbours are read up to there
    z0 … x1       the box that the lowest voxels lie in
    origin_*      where the first voxel lies in the whole volume
    room          rows that there is room for
    used          1, number of rows that there were, out; of those beyond the room none was written
    keys, rows    (room,) and (room, 10), in no order and a pair more than once, out
A block counts its pairs in a table in shared memory; when that is full for one of its threads, the table is
written out and emptied, and the thread goes on where it was.

sum_rows: a thread per segment of sorted rows and word.
    order         (n,) the place of each row in the order of keys
    first         (segments,) where each segment begins
    out           (segments, 10)
Counts of one direction stay below 2^31 if the rows are of at most 2^30 voxels.

find_contacts: a thread per pair: does it share a face, and are both regions?
    out           (pairs,) 0 or 1

sum_pairs: a thread per pair, sums in 64 bits.
    key           (n,) the sorted keys
    place         (pairs,) running sum of what find_contacts found
    factors       (13,) area that a transition stands for, µm²
    source … radius   columns of the pairs that share a face, see pairs.merge
    transitions   (n_regions + 1, 13) of every region with all others, added up, zero before

Floor of count_pairs: 4 bytes per voxel, and 5 more (distance, phase) next to faces within a phase; each row
88 bytes written. Scratch: the list of rows.
*/
// build: -DTILE_Z=64 -DTILE_Y=16 -DTILE_X=32 -DTHREADS=512 -DDIRECTIONS=13 -DNECKS=1 -DSAME_PHASE=1
// build: -DTILE_Z=64 -DTILE_Y=16 -DTILE_X=32 -DTHREADS=512 -DDIRECTIONS=13 -DNECKS=1 -DSAME_PHASE=0
// build: -DTILE_Z=64 -DTILE_Y=16 -DTILE_X=32 -DTHREADS=512 -DDIRECTIONS=13 -DNECKS=0 -DSAME_PHASE=0
// build: -DTILE_Z=64 -DTILE_Y=16 -DTILE_X=32 -DTHREADS=512 -DDIRECTIONS=3 -DNECKS=0 -DSAME_PHASE=0

#define OUTSIDE (-1)  // stands for the voxels beyond the volume
#define WIDTH (TILE_X + 2)
#define PLANE (WIDTH * (TILE_Y + 2))
#define CELLS ((PLANE + THREADS - 1) / THREADS)  // of the plane, loaded by a thread
#define SLOTS THREADS
#define PROBES 16
#define COUNTS ((DIRECTIONS + 1) / 2)  // words of two 16-bit counts: a tile has less than 2^16 voxels
#define RADIUS (COUNTS + 3)            // after three sums of positions within the tile
#define SUMS (COUNTS + 4)
#define ROW 10

typedef unsigned long long Word;

// The slot of a pair in the block's table, made if need be; -1 where the table is full.
__device__ __forceinline__ int slot_of(Word* keys, int own, int other)
{
    const Word key = (Word)min(own, other) << 32 | (unsigned)max(own, other);
    int slot = (int)(key * 0x9E3779B97F4A7C15ull >> 32) & (SLOTS - 1);
    for (int probe = 0; probe < PROBES; ++probe) {
        Word found = *(volatile Word*)&keys[slot];
        if (found == 0) found = atomicCAS(&keys[slot], 0ull, key);  // no pair has the key 0
        if (found == 0 || found == key) return slot;
        slot = (slot + 1) & (SLOTS - 1);
    }
    return -1;
}

// Write the table out as rows and empty it; every thread has a slot. All threads come here in step.
__device__ void flush(
    Word* keys, unsigned* sums, long long z, long long y, long long x, long long room, Word* used,
    long long* out_keys, Word* out_rows)
{
    __shared__ int count;
    __shared__ Word begin;
    const Word key = keys[threadIdx.x];
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    const int rank = key ? atomicAdd(&count, 1) : 0;
    __syncthreads();
    if (threadIdx.x == 0) begin = count ? atomicAdd(used, (Word)count) : 0;
    __syncthreads();
    unsigned* sum = sums + threadIdx.x * SUMS;
    if (key && (long long)begin + rank < room) {
        Word* row = out_rows + (begin + rank) * ROW;
        out_keys[begin + rank] = (long long)key;
        for (int i = 0; i < 7; ++i) {
            const unsigned pair = i < COUNTS ? sum[i] : 0;
            row[i] = (pair & 0xffff) | (Word)(i == 6 ? sum[RADIUS] : pair >> 16) << 32;
        }
        const Word faces = (sum[0] & 0xffff) + (sum[0] >> 16) + (sum[1] & 0xffff);
        row[7] = sum[COUNTS] + faces * z;
        row[8] = sum[COUNTS + 1] + faces * y;
        row[9] = sum[COUNTS + 2] + faces * x;
    }
    keys[threadIdx.x] = 0;
    for (int i = 0; i < SUMS; ++i) sum[i] = 0;
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) count_pairs(
    const int* __restrict__ regions, long long step_z, long long step_y, long long step_x,
    const float* __restrict__ distance, long long distance_z, long long distance_y, long long distance_x,
    const unsigned char* __restrict__ phases, long long phases_z, long long phases_y, long long phases_x,
    int nz, int ny, int nx, int z0, int z1, int y0, int y1, int x0, int x1,
    long long origin_z, long long origin_y, long long origin_x,
    long long room, Word* __restrict__ used, long long* __restrict__ out_keys, Word* __restrict__ out_rows)
{
    __shared__ int plane[PLANE];
    __shared__ Word keys[SLOTS];
    __shared__ unsigned sums[SLOTS * SUMS];
    const int tiles_x = (x1 - x0 + TILE_X - 1) / TILE_X, tiles_y = (y1 - y0 + TILE_Y - 1) / TILE_Y;
    const int tile_x = x0 + (int)(blockIdx.x % tiles_x) * TILE_X;
    const int tile_y = y0 + (int)(blockIdx.x / tiles_x % tiles_y) * TILE_Y;
    const int tile_z = z0 + (int)(blockIdx.x / tiles_x / tiles_y) * TILE_Z;
    const int end = min(tile_z + TILE_Z, z1);
    const int i = (int)threadIdx.x / TILE_X, j = (int)threadIdx.x % TILE_X;
    const int y = tile_y + i, x = tile_x + j;
    const int* const centre = plane + (i + 1) * WIDTH + j + 1;

    const int top = min(end, nz - 1);  // the highest plane that the tile's voxels look at
    long long offset[CELLS];
    bool inside[CELLS];
    int next[CELLS];  // what this thread loads of a plane, on its way while the plane before is counted
    for (int cell = 0; cell < CELLS; ++cell) {
        const int place = cell * THREADS + (int)threadIdx.x;
        const int row = tile_y - 1 + place / WIDTH, column = tile_x - 1 + place % WIDTH;
        inside[cell] = place < PLANE && row >= 0 && row < ny && column >= 0 && column < nx;
        offset[cell] = row * step_y + column * step_x;
        next[cell] = inside[cell] ? regions[tile_z * step_z + offset[cell]] : OUTSIDE;
    }
    keys[threadIdx.x] = 0;
    for (int k = 0; k < SUMS; ++k) sums[threadIdx.x * SUMS + k] = 0;

    // A voxel, and those beside it in its own plane: kept from the turn before, when they were the plane above.
    int own = 0, right = 0, beside_left = 0, beside = 0, beside_right = 0;
    for (int z = tile_z - 1; z < end; ++z) {
        for (int cell = 0; cell < CELLS; ++cell) {
            const int place = cell * THREADS + (int)threadIdx.x;
            if (place < PLANE) plane[place] = next[cell];
            next[cell] = inside[cell] && z + 2 <= top ? regions[(z + 2) * step_z + offset[cell]] : OUTSIDE;
        }
        __syncthreads();
        const int near[13] = {
            centre[0], beside, right, beside_right, beside_left, centre[1], centre[-1],
            centre[WIDTH], centre[-WIDTH], centre[WIDTH + 1], centre[WIDTH - 1], centre[1 - WIDTH], centre[-1 - WIDTH]};
        int rest = 0;  // lanes, as bits, whose neighbour is another region, 0 included, and is yet to be counted
        if (z >= tile_z && y < y1 && x < x1) {
#pragma unroll
            for (int d = 0; d < DIRECTIONS; ++d) rest |= (near[d] != own && near[d] != OUTSIDE) << d;
        }
        do {
            while (rest) {
                const int lane = __ffs(rest) - 1;
                int other = near[0], same = 0;
#pragma unroll
                for (int d = 1; d < DIRECTIONS; ++d) other = lane == d ? near[d] : other;
#pragma unroll
                for (int d = 0; d < DIRECTIONS; ++d) same |= (near[d] == other) << d;
                const int slot = slot_of(keys, own, other);
                if (slot < 0) break;
                rest &= ~same;
                unsigned* sum = sums + slot * SUMS;
#pragma unroll
                for (int k = 0; k < COUNTS; ++k) {
                    const unsigned pair = same >> 2 * k & 3;
                    if (pair) atomicAdd(sum + k, (pair & 1) | (pair >> 1) << 16);
                }
                if (lane >= 3) continue;
                const unsigned faces = __popc(same & 7);
                atomicAdd(sum + COUNTS, faces * (z - tile_z));
                atomicAdd(sum + COUNTS + 1, faces * i);
                atomicAdd(sum + COUNTS + 2, faces * j);
#if NECKS
                const float* here = distance + z * distance_z + y * distance_y + x * distance_x;
                float widest = 0.0f;
                for (int axis = 0; axis < 3; ++axis) {
                    if (!(same >> axis & 1)) continue;
#if SAME_PHASE
                    const unsigned char* phase = phases + z * phases_z + y * phases_y + x * phases_x;
                    if (phase[0] != phase[axis == 0 ? phases_z : axis == 1 ? phases_y : phases_x]) continue;
#endif
                    const float there = here[axis == 0 ? distance_z : axis == 1 ? distance_y : distance_x];
                    widest = max(widest, min(here[0], there));
                }
                // Floats that are not negative are in the order of their bits.
                if (widest > 0.0f) atomicMax(sum + RADIUS, __float_as_uint(widest));
#endif
            }
            if (!__syncthreads_or(rest)) break;
            flush(keys, sums, tile_z + origin_z, tile_y + origin_y, tile_x + origin_x, room, used, out_keys, out_rows);
        } while (true);
        own = near[0], right = near[5];
        beside_left = near[10], beside = near[7], beside_right = near[9];
    }
    flush(keys, sums, tile_z + origin_z, tile_y + origin_y, tile_x + origin_x, room, used, out_keys, out_rows);
}

extern "C" __global__ void __launch_bounds__(256) sum_rows(
    const long long* __restrict__ order, const long long* __restrict__ first, long long segments, long long n,
    const Word* __restrict__ rows, Word* __restrict__ out)
{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long t = (long long)blockIdx.x * blockDim.x + threadIdx.x; t < segments * ROW; t += stride) {
        const long long segment = t / ROW, word = t % ROW;
        const long long end = segment + 1 < segments ? first[segment + 1] : n;
        Word sum = 0;  // two counts at once in words 0 to 5: neither carries into the other
        int widest = 0;
        for (long long i = first[segment]; i < end; ++i) {
            const Word value = rows[order[i] * ROW + word];
            sum += value;
            widest = max(widest, (int)(value >> 32));
        }
        out[t] = word == 6 ? (sum & 0xffffffff) | (Word)widest << 32 : sum;
    }
}

extern "C" __global__ void __launch_bounds__(256) find_contacts(
    const long long* __restrict__ order, const long long* __restrict__ first, long long pairs, long long n,
    const long long* __restrict__ key, const Word* __restrict__ rows, unsigned char* __restrict__ out)
{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long pair = (long long)blockIdx.x * blockDim.x + threadIdx.x; pair < pairs; pair += stride) {
        const long long end = pair + 1 < pairs ? first[pair + 1] : n;
        Word faces = 0;
        for (long long i = first[pair]; i < end; ++i) {
            const Word* row = rows + order[i] * ROW;
            faces |= row[0] | (row[1] & 0xffffffff);
        }
        out[pair] = faces != 0 && key[first[pair]] >> 32 > 0;
    }
}

extern "C" __global__ void __launch_bounds__(256, 2) sum_pairs(
    const long long* __restrict__ order, const long long* __restrict__ first, long long pairs, long long n,
    const long long* __restrict__ key, const Word* __restrict__ rows, const long long* __restrict__ place,
    const double* __restrict__ factors, int* __restrict__ source, int* __restrict__ target,
    long long* __restrict__ faces, long long* __restrict__ position, double* __restrict__ area,
    float* __restrict__ radius, Word* __restrict__ transitions)
{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long pair = (long long)blockIdx.x * blockDim.x + threadIdx.x; pair < pairs; pair += stride) {
        const long long begin = first[pair], end = pair + 1 < pairs ? first[pair + 1] : n;
        Word counts[14] = {}, where[3] = {};
        int widest = 0;
        for (long long i = begin; i < end; ++i) {
            const Word* row = rows + order[i] * ROW;
#pragma unroll
            for (int k = 0; k < 7; ++k) {
                counts[2 * k] += row[k] & 0xffffffff;
                counts[2 * k + 1] += row[k] >> 32;
            }
            widest = max(widest, (int)(row[6] >> 32));
            for (int axis = 0; axis < 3; ++axis) where[axis] += row[7 + axis];
        }
        const int a = (int)(key[begin] >> 32), b = (int)key[begin];
        double measured = 0.0;
#pragma unroll
        for (int d = 0; d < 13; ++d) {
            measured = __dadd_rn(measured, __dmul_rn((double)(long long)counts[d], factors[d]));
            if (counts[d]) {
                atomicAdd(transitions + a * 13ll + d, counts[d]);
                atomicAdd(transitions + b * 13ll + d, counts[d]);
            }
        }
        const long long contact = place[pair];
        if (contact == (pair ? place[pair - 1] : 0)) continue;  // no face, or no region
        source[contact - 1] = a, target[contact - 1] = b;
        for (int axis = 0; axis < 3; ++axis) {
            faces[(contact - 1) * 3 + axis] = (long long)counts[axis];
            position[(contact - 1) * 3 + axis] = (long long)where[axis];
        }
        area[contact - 1] = measured;
        radius[contact - 1] = __int_as_float(widest);
    }
}
