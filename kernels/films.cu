/* Films: runs of one or two voxels of a phase between two others; crossings through them and without them.

Mirrors tripoint._cpu.films.

count_films: a one-dimensional grid of blocks of THREADS threads, any number of them; a thread takes a voxel at a time.
    phases               first voxel of the volume, uint8
    plane, row, step     steps along z, y and x, in bytes
    nz, ny, nx           shape of the volume
    first, last          slices, half open, whose voxels are counted
    number               (256,) uint8: class of a label, or NONE
    classes              how many there are
    counts               uint64, added to: voxels by class, those in films by class, faces by the two classes a < b,
                         crossings through films by class and the two classes a < b at their ends

A run along an axis is counted at its first voxel, a face at the voxel before it. Most voxels lie among their like: for
those two additions are all, to tables of the block.

Floor. 1 byte read per voxel; six neighbours come from the cache, and six more where the phase changes. Scratch: none,
2 KB of shared memory per block.
*/

constexpr int THREADS = 256;
constexpr int NONE = 255;

struct Axis {
    long long step;
    int place, length;
};

struct Volume {
    const unsigned char* here;
    const unsigned char* number;
    int classes;
    unsigned long long *faces, *runs;
};

__device__ __forceinline__ int phase(const Volume& volume, const Axis& axis, int further)
{
    const int place = axis.place + further;
    return place < 0 || place >= axis.length ? NONE : volume.number[volume.here[further * axis.step]];
}

__device__ __forceinline__ void count(unsigned long long* table, int classes, int a, int b)
{
    atomicAdd(&table[static_cast<long long>(min(a, b)) * classes + max(a, b)], 1ull);
}

/* Counts the face after a voxel and the run that begins with it; returns whether a film holds it. */
__device__ bool look(const Volume& volume, const Axis& axis, int here)
{
    const int before = phase(volume, axis, -1), after = phase(volume, axis, 1);
    if (after != here && after != NONE) count(volume.faces, volume.classes, here, after);
    if (before == here) {
        if (after == here || after == NONE) return false;
        const int earlier = phase(volume, axis, -2);
        return earlier != here && earlier != after && earlier != NONE;
    }
    const int end = after == here ? phase(volume, axis, 2) : after;
    if (before == NONE || end == here || end == before || end == NONE) return false;
    const long long table = static_cast<long long>(volume.classes) * volume.classes;
    count(volume.runs + here * table, volume.classes, before, end);
    return true;
}

extern "C" __global__ void __launch_bounds__(THREADS) count_films(
    const unsigned char* __restrict__ phases, long long plane, long long row, long long step, int nz, int ny, int nx,
    int first, int last, const unsigned char* __restrict__ number, int classes, unsigned long long* __restrict__ counts)
{
    __shared__ unsigned table[2][256];
    __shared__ unsigned char numbers[256];
    numbers[threadIdx.x] = number[threadIdx.x];
    table[0][threadIdx.x] = table[1][threadIdx.x] = 0;
    __syncthreads();

    unsigned long long* faces = counts + 2 * classes;
    Volume volume{nullptr, numbers, classes, faces, faces + static_cast<long long>(classes) * classes};
    const long long voxels = static_cast<long long>(last - first) * ny * nx;
    for (long long i = blockIdx.x * 1ll * THREADS + threadIdx.x; i < voxels; i += gridDim.x * 1ll * THREADS) {
        const int x = static_cast<int>(i % nx), y = static_cast<int>(i / nx % ny);
        const int z = first + static_cast<int>(i / nx / ny);
        volume.here = phases + z * plane + y * row + x * step;
        const int here = numbers[*volume.here];
        if (here == NONE) continue;
        bool thin = look(volume, {plane, z, nz}, here);
        thin = look(volume, {row, y, ny}, here) || thin;
        thin = look(volume, {step, x, nx}, here) || thin;
        atomicAdd(&table[0][here], 1u);
        if (thin) atomicAdd(&table[1][here], 1u);
    }
    __syncthreads();
    for (int kind = 0; kind < 2; ++kind) {
        const unsigned sum = static_cast<int>(threadIdx.x) < classes ? table[kind][threadIdx.x] : 0;
        if (sum) atomicAdd(&counts[kind * classes + threadIdx.x], static_cast<unsigned long long>(sum));
    }
}
