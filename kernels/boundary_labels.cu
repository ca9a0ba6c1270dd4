/* How many voxels a volume has of each label.

Mirrors tripoint._cpu.boundary.label_counts.

label_counts: a one-dimensional grid of blocks of THREADS threads, any number of them.
    phases       first voxel, uint8
    plane, row, step   steps along z, y and x, in bytes
    ny, nx       shape along y and x
    rows         rows in all, nz ny
    counts       (256,) uint64, added to

Each lane of a warp has a column of its own in the block's table, so that equal labels side by side, which are the
rule, do not wait for each other. A word of four equal labels is one addition.

Floor. 1 byte read per voxel. Scratch memory: none, 32 KB of shared memory per block.
*/

constexpr int THREADS = 256, WARPS = THREADS / 32;
constexpr int WORDS = 4;  // that a lane takes of a row at a time

__device__ __forceinline__ void add(unsigned (&table)[256][32], unsigned label, unsigned voxels)
{
    atomicAdd(&table[label & 0xff][threadIdx.x % 32], voxels);
}

extern "C" __global__ void __launch_bounds__(THREADS) label_counts(
    const unsigned char* __restrict__ phases, long long plane, long long row, long long step, long long ny,
    long long nx, long long rows, unsigned long long* __restrict__ counts)
{
    __shared__ unsigned table[256][32];
    for (int lane = 0; lane < 32; ++lane) table[threadIdx.x][lane] = 0;
    __syncthreads();

    const int lane = threadIdx.x % 32;
    const long long pieces = (nx + 3 + 128 * WORDS - 1) / (128 * WORDS);  // of a row and what it is ahead of a word
    for (long long i = blockIdx.x * 1ll * WARPS + threadIdx.x / 32; i < rows * pieces; i += gridDim.x * 1ll * WARPS) {
        const long long line = i / pieces;
        const unsigned char* voxels = phases + line / ny * plane + line % ny * row;
        const int ahead = step == 1 ? static_cast<int>(reinterpret_cast<unsigned long long>(voxels) & 3) : 0;
        const long long first = i % pieces * 128 * WORDS + 4 * lane - ahead;
#pragma unroll
        for (int k = 0; k < WORDS; ++k) {
            const long long x = first + 128 * k;
            if (step == 1 && x >= 0 && x + 4 <= nx) {
                const unsigned word = __ldg(reinterpret_cast<const unsigned*>(voxels + x));
                if (word == (word & 0xff) * 0x01010101u) {
                    add(table, word, 4);
                } else {
                    for (int j = 0; j < 32; j += 8) add(table, word >> j, 1);
                }
            } else {
                for (long long j = max(x, 0ll); j < min(x + 4, nx); ++j) add(table, voxels[j * step], 1);
            }
        }
    }
    __syncthreads();
    unsigned long long sum = 0;
    for (int column = 0; column < 32; ++column) sum += table[threadIdx.x][(column + lane) % 32];
    if (sum) atomicAdd(&counts[threadIdx.x], sum);
}
