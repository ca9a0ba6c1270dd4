/* Triples of regions that meet along triple-phase edges: what each edge adds to each of its triples.

Mirrors tripoint._cpu.boundary.triples._sum_triples, up to the sums: those are made of sorted rows, see
tripoint._cuda.boundary.triples.  All that is added is whole numbers, lengths too, so that no sum depends on order.

count_triples, list_triples: a grid-stride loop over the records begin to end of the edges, a thread each.
    regions, r*_stride  int32 voxels in any layout; strides in bytes
    phases, p*_stride   uint8 voxels likewise
    ny, nx              rows and columns of the volume
    labels              (triples, 3) phases of each junction
    index, axis, triple, n   columns of the edges, all of them: the records of a lattice edge share its length
    counts              (end - begin,) triples of regions that a record meets, 0 to 2, out
    starts              (end - begin + 1,) where the rows of each record begin
    status, edge_length, scale   a length l counts as the whole number nearest to l * scale
    first, second       (rows,) junction << 32 | a and b << 32 | c, out
    values, rows        (7, rows) out: length, active length, 1, 1 if active, z, y, x of the middle in half voxels

Bytes per record: 10 read, 9 more in the second launch, 20 of voxels (32 or 64 fetched) in both; 1 written, then 72
per row.  A volume's 5 % of edges make that 10 bytes per voxel in all.  Scratch: none beside what is written.
*/

#define ACTIVE 2  // status of an edge that every carrier reaches

struct Volume {
    const char* voxels;
    long long z, y, x;  // strides

    template <class T>
    __device__ __forceinline__ T at(const long long p[3]) const
    {
        return *reinterpret_cast<const T*>(voxels + p[0] * z + p[1] * y + p[2] * x);
    }
};

struct Records {
    const long long* index;
    const unsigned char *axis, *triple;
    long long n;

    __device__ __forceinline__ bool share(long long i, long long k) const
    {
        return k >= 0 && k < n && index[i] == index[k] && axis[i] == axis[k];
    }
};

// The regions of one phase around an edge. Three of them leave no room for two other phases, so two are enough.
struct Side {
    int one, other, n;
};

struct Around {
    int regions[4];
    unsigned char phases[4];

    __device__ __forceinline__ Around(
        const Volume& region_volume, const Volume& phase_volume, const long long lowest[3], int axis)
    {
#pragma unroll
        for (int k = 0; k < 4; ++k) {  // the two directions across the edge, each taken or not
            const int first = k & 1, second = k >> 1;
            const long long p[3] = {
                lowest[0] + (axis == 0 ? 0 : first),
                lowest[1] + (axis == 0 ? first : axis == 1 ? 0 : second),
                lowest[2] + (axis == 2 ? 0 : second),
            };
            regions[k] = region_volume.at<int>(p);
            phases[k] = phase_volume.at<unsigned char>(p);
        }
    }

    __device__ __forceinline__ Side side(unsigned char phase) const
    {
        Side found = {0, 0, 0};
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (phases[k] != phase || regions[k] <= 0) continue;
            if (found.n == 0) {
                found.one = regions[k];
                found.n = 1;
            } else if (regions[k] != found.one) {
                found.other = regions[k];
                found.n = 2;
            }
        }
        return found;
    }

    __device__ __forceinline__ int count(const unsigned char* triple) const
    {
        return side(triple[0]).n * side(triple[1]).n * side(triple[2]).n;
    }
};

__device__ __forceinline__ void lowest_voxel(long long index, int ny, int nx, long long p[3])
{
    const long long row = index / nx;
    p[0] = row / ny;
    p[1] = row - p[0] * ny;
    p[2] = index - row * nx;
}

extern "C" __global__ void __launch_bounds__(256) count_triples(
    const int* __restrict__ regions, long long rz_stride, long long ry_stride, long long rx_stride,
    const unsigned char* __restrict__ phases, long long pz_stride, long long py_stride, long long px_stride,
    int ny, int nx, const unsigned char* __restrict__ labels, const long long* __restrict__ index,
    const unsigned char* __restrict__ axis, const unsigned char* __restrict__ triple, long long begin, long long end,
    unsigned char* __restrict__ counts)
{
    const Volume region_volume = {reinterpret_cast<const char*>(regions), rz_stride, ry_stride, rx_stride};
    const Volume phase_volume = {reinterpret_cast<const char*>(phases), pz_stride, py_stride, px_stride};
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long i = begin + (long long)blockIdx.x * blockDim.x + threadIdx.x; i < end; i += threads) {
        long long p[3];
        lowest_voxel(index[i], ny, nx, p);
        counts[i - begin] = Around(region_volume, phase_volume, p, axis[i]).count(labels + 3 * triple[i]);
    }
}

extern "C" __global__ void __launch_bounds__(256) list_triples(
    const int* __restrict__ regions, long long rz_stride, long long ry_stride, long long rx_stride,
    const unsigned char* __restrict__ phases, long long pz_stride, long long py_stride, long long px_stride,
    int ny, int nx, const unsigned char* __restrict__ labels, const long long* __restrict__ index,
    const unsigned char* __restrict__ axis, const unsigned char* __restrict__ triple, long long begin, long long end,
    long long n, const unsigned char* __restrict__ status, const float* __restrict__ edge_length, double scale,
    const long long* __restrict__ starts, long long* __restrict__ first, long long* __restrict__ second,
    long long* __restrict__ values, long long rows)
{
    const Volume region_volume = {reinterpret_cast<const char*>(regions), rz_stride, ry_stride, rx_stride};
    const Volume phase_volume = {reinterpret_cast<const char*>(phases), pz_stride, py_stride, px_stride};
    const Records records = {index, axis, triple, n};
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long i = begin + (long long)blockIdx.x * blockDim.x + threadIdx.x; i < end; i += threads) {
        if (starts[i - begin] == starts[i - begin + 1]) continue;
        long long p[3];
        lowest_voxel(index[i], ny, nx, p);
        const Around around(region_volume, phase_volume, p, axis[i]);
        const unsigned char* own = labels + 3 * triple[i];
        int sharing = around.count(own);
        for (long long k = i - 1; records.share(i, k); --k) sharing += around.count(labels + 3 * triple[k]);
        for (long long k = i + 1; records.share(i, k); ++k) sharing += around.count(labels + 3 * triple[k]);
        const double share = __ddiv_rn((double)edge_length[i], (double)sharing);
        const long long length = (long long)rint(__dmul_rn(share, scale));
        const bool active = status[i] == ACTIVE;
        const Side a = around.side(own[0]), b = around.side(own[1]), c = around.side(own[2]);
        for (long long row = starts[i - begin]; row < starts[i - begin + 1]; ++row) {
            const bool other = row > starts[i - begin];  // at most one side has another region
            const long long one = other && a.n > 1 ? a.other : a.one;
            const long long two = other && b.n > 1 ? b.other : b.one;
            const long long three = other && c.n > 1 ? c.other : c.one;
            first[row] = (long long)triple[i] << 32 | one;
            second[row] = two << 32 | three;
            values[row] = length;
            values[row + rows] = active ? length : 0;
            values[row + 2 * rows] = 1;
            values[row + 3 * rows] = active;
#pragma unroll
            for (int d = 0; d < 3; ++d) values[row + (4 + d) * rows] = 2 * p[d] + 2 - (axis[i] == d);
        }
    }
}
