/* Currents between the voxels of a grid, conjugate gradients, and the finest level of their multigrid.

Mirrors tripoint._cpu.transport.stencil.  A volume lies flat, in C order, between two guards of one plane, which hold
zeros.  The face between voxel i and the next along an axis has the conductance faces[axis][i], and those at the far ends
of rows and planes are 0: what is read beyond a row's end is multiplied by 0.

All kernels: grid-stride loops over the n voxels between the guards, a thread per voxel; restrict_residual over blocks of 2x2x2
voxels, a thread each, as no aggregate lies in two of them; add_up a block per sum.
    faces      (3, plane + n + plane) conductances
    plane, row voxels of a plane and of a row; n voxels
    partial    (sums, blocks of the grid) each block's part of the sums that a kernel makes, out
invert_diagonal  inverse (plane + n + plane) in: what leads to terminals, out: 1 / diagonal, 0 where that is 0
apply      out = A x without terminals; sum x out
apply_ends ends, values (count,): out[ends] += values x[ends]; no end twice; sum of values x^2
advance    x += alpha p and r -= alpha q with alpha = z r / p q, of which the sums are in `scalars`; sum of r^2
turn       p = z - (z q / p q) p   (Polak-Ribiere: r moved by -alpha q)
restrict_residual  coarse (aggregates,) sums of what is left of r after one Jacobi step from 0
prolong    x = the Jacobi step from 0 plus coarse of the voxel's aggregate
relax      out = a Jacobi step from x; sums out r, out q
subtract   left -= image

Bytes per voxel and iteration: apply 28, advance 48, turn 20, restrict_residual 28, prolong 20, relax 40; neighbours come from
the caches.  Sums are of float64, in an order that the grid alone decides.
*/
#include "transport.cuh"

enum Scalar { PRODUCT, MIXED, INSIDE, TERMINALS };  // z r, z q, p q without and with terminals alone

extern "C" __global__ void __launch_bounds__(THREADS) add_up(
    const double* __restrict__ partial, long long blocks, double* __restrict__ sums)
{
    __shared__ double shared[THREADS];
    double total = 0.0;
    for (long long b = threadIdx.x; b < blocks; b += THREADS) total += partial[blockIdx.x * blocks + b];
    shared[threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    total = warp_sum(shared, threadIdx.x);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

extern "C" __global__ void __launch_bounds__(THREADS) invert_diagonal(
    const float* __restrict__ faces, long long plane, long long row, long long n, float* __restrict__ inverse)
{
    const long long size = n + 2 * plane;
    const float *z = faces, *y = faces + size, *x = faces + 2 * size;
    for EACH(v, n) {
        const long long i = plane + v;
        const float value = z[i] + z[i - plane] + y[i] + y[i - row] + x[i] + x[i - 1] + inverse[i];
        inverse[i] = value > 0 ? 1 / value : 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) apply(
    const float* __restrict__ faces, long long plane, long long row, long long n, const double* __restrict__ x,
    double* __restrict__ out, double* __restrict__ partial)
{
    __shared__ double shared[THREADS];
    const long long size = n + 2 * plane;
    const float *fz = faces, *fy = faces + size, *fx = faces + 2 * size;
    double sums[1] = {0.0};
    for EACH(v, n) {
        const long long i = plane + v;
        const double here = x[i];
        // The differences first: in a good conductor potentials differ in their last digits alone.
        const double value = fz[i] * (here - x[i + plane]) + fz[i - plane] * (here - x[i - plane]) +
                             fy[i] * (here - x[i + row]) + fy[i - row] * (here - x[i - row]) +
                             fx[i] * (here - x[i + 1]) + fx[i - 1] * (here - x[i - 1]);
        out[i] = value;
        sums[0] += value * here;
    }
    block_sums(sums, shared, partial);
}

extern "C" __global__ void __launch_bounds__(THREADS) apply_ends(
    const long long* __restrict__ ends, const double* __restrict__ values, long long count,
    const double* __restrict__ x, double* __restrict__ out, double* __restrict__ partial)
{
    __shared__ double shared[THREADS];
    double sums[1] = {0.0};
    for EACH(k, count) {
        const double here = x[ends[k]], current = values[k] * here;
        out[ends[k]] += current;
        sums[0] += current * here;
    }
    block_sums(sums, shared, partial);
}

extern "C" __global__ void __launch_bounds__(THREADS) advance(
    long long plane, long long n, const double* __restrict__ scalars, const double* __restrict__ p,
    const double* __restrict__ q, double* __restrict__ x, double* __restrict__ r, double* __restrict__ partial)
{
    __shared__ double shared[THREADS];
    const double alpha = scalars[PRODUCT] / (scalars[INSIDE] + scalars[TERMINALS]);
    double sums[1] = {0.0};
    for EACH(v, n) {
        const long long i = plane + v;
        x[i] += alpha * p[i];
        const double value = r[i] - alpha * q[i];
        r[i] = value;
        sums[0] += value * value;
    }
    block_sums(sums, shared, partial);
}

extern "C" __global__ void __launch_bounds__(THREADS) turn(
    long long plane, long long n, const double* __restrict__ scalars, const float* __restrict__ z,
    double* __restrict__ p)
{
    const double beta = -scalars[MIXED] / (scalars[INSIDE] + scalars[TERMINALS]);
    for EACH(v, n) p[plane + v] = z[plane + v] + beta * p[plane + v];
}

extern "C" __global__ void __launch_bounds__(THREADS) restrict_residual(
    const float* __restrict__ faces, int depth, int height, int width, float omega, const float* __restrict__ inverse,
    const double* __restrict__ r, const int* __restrict__ aggregates, float* __restrict__ coarse)
{
    const long long row = width, plane = (long long)height * width, size = (depth + 2) * plane;
    const float *fz = faces, *fy = faces + size, *fx = faces + 2 * size;
    const int rows = (height + 1) / 2, columns = (width + 1) / 2;
    for EACH(block, (long long)((depth + 1) / 2) * rows * columns) {
        const long long line = block / columns;
        const int bx = block - line * columns, bz = line / rows, by = line - (long long)bz * rows;
        const long long lowest = plane + 2 * (bz * plane + by * row + bx);
        int owner[8];
        float left[8];
#pragma unroll
        for (int c = 0; c < 8; ++c) {
            const int z = 2 * bz + (c >> 2), y = 2 * by + (c >> 1 & 1), x = 2 * bx + (c & 1);
            const bool inside = z < depth && y < height && x < width;
            const long long i = lowest + (c >> 2) * plane + (c >> 1 & 1) * row + (c & 1);
            owner[c] = inside ? aggregates[i] : -1;
            if (owner[c] < 0) continue;
            const double around = fz[i] * inverse[i + plane] * r[i + plane] +
                                  fz[i - plane] * inverse[i - plane] * r[i - plane] +
                                  fy[i] * inverse[i + row] * r[i + row] + fy[i - row] * inverse[i - row] * r[i - row] +
                                  fx[i] * inverse[i + 1] * r[i + 1] + fx[i - 1] * inverse[i - 1] * r[i - 1];
            // The step is x = omega r / d, so that its own part of A x is omega r.
            left[c] = (float)(r[i] + omega * (around - r[i]));
        }
#pragma unroll
        for (int c = 0; c < 8; ++c) {
            if (owner[c] < 0) continue;
            bool first = true;
#pragma unroll
            for (int d = 0; d < c; ++d) first = first && owner[d] != owner[c];
            if (!first) continue;
            float total = 0;
#pragma unroll
            for (int d = c; d < 8; ++d)
                if (owner[d] == owner[c]) total += left[d];
            coarse[owner[c]] = total;
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) prolong(
    long long plane, long long n, float omega, const float* __restrict__ inverse, const double* __restrict__ r,
    const int* __restrict__ aggregates, const float* __restrict__ coarse, float* __restrict__ x)
{
    for EACH(v, n) {
        const long long i = plane + v;
        const int a = aggregates[i];
        if (a >= 0) x[i] = (float)(omega * inverse[i] * r[i]) + coarse[a];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) relax(
    const float* __restrict__ faces, long long plane, long long row, long long n, float omega,
    const float* __restrict__ inverse, const double* __restrict__ r, const double* __restrict__ q,
    const float* __restrict__ x, float* __restrict__ out, double* __restrict__ partial)
{
    __shared__ double shared[2 * THREADS];
    const long long size = n + 2 * plane;
    const float *fz = faces, *fy = faces + size, *fx = faces + 2 * size;
    double sums[2] = {0.0, 0.0};
    for EACH(v, n) {
        const long long i = plane + v;
        const float around = fz[i] * x[i + plane] + fz[i - plane] * x[i - plane] + fy[i] * x[i + row] +
                             fy[i - row] * x[i - row] + fx[i] * x[i + 1] + fx[i - 1] * x[i - 1];
        const float value = x[i] + omega * (inverse[i] * ((float)r[i] + around) - x[i]);
        out[i] = value;
        sums[0] += value * r[i];
        sums[1] += value * q[i];
    }
    block_sums(sums, shared, partial);
}

extern "C" __global__ void __launch_bounds__(THREADS) subtract(
    long long plane, long long n, const double* __restrict__ image, double* __restrict__ left)
{
    for EACH(v, n) left[plane + v] -= image[plane + v];
}
