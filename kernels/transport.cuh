/* What the kernels of transport share: loops over a grid, and sums over it.

block_sums: each of up to eight warps adds up one of the values of all threads of a block and writes it to `partial`,
(K, blocks); add_up of transport_stencil.cu adds those of the blocks.  The order is always the same, and there are no
atomics.
*/

constexpr int THREADS = 256;

#define EACH(i, n)                                                                        \
    (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n);             \
     i += (long long)gridDim.x * blockDim.x)

/* The sum of what the threads of a block left in shared memory; the first warp calls it, its first lane has it. */
__device__ __forceinline__ double warp_sum(const double* shared, int lane)
{
    double total = 0.0;
    for (int t = lane; t < THREADS; t += 32) total += shared[t];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) total += __shfl_down_sync(0xffffffffu, total, step);
    return total;
}

template <int K>
__device__ __forceinline__ void block_sums(const double (&values)[K], double* shared, double* __restrict__ partial)
{
    static_assert(K <= THREADS / 32, "a warp for each value");
#pragma unroll
    for (int k = 0; k < K; ++k) shared[k * THREADS + threadIdx.x] = values[k];
    __syncthreads();
    const int k = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (k >= K) return;
    const double total = warp_sum(shared + k * THREADS, lane);
    if (lane == 0) partial[(long long)k * gridDim.x + blockIdx.x] = total;
}
