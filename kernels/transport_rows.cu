/* Coarse levels of the multigrid: matrices of conductances by rows, their smoothing, and sums over aggregates.

Mirrors the functions of rows in tripoint._cpu.transport.multigrid.

All kernels: grid-stride loops over the n rows, in reduce_rows and gather_rows over the aggregates, a thread each.
    ptr, col, val  conductances of the rows without their diagonal;  terminal  (n,) those to terminals
    inverse    (n,) 1 / diagonal
    members, first  rows in the order of their aggregates; where those of each aggregate begin, (aggregates + 1,)
    owner      (n,) aggregate of each row
gather_rows  coarse = sums of values over aggregates
reduce_rows  coarse = sums of what is left of r after one Jacobi step from 0
spread_rows  x = the Jacobi step from 0 plus coarse of the row's aggregate
relax_rows   out = a Jacobi step from x
apply_rows   out = A x; partial (3, blocks of the grid) sums of x out, x u, x v
leave_rows   rest = what a step along `first` leaves of r;  image  A first
step_rows    out = one step of conjugate gradients, along `first`, or two, along `second` too
    one, two   (3,) sums of apply_rows for `first` with u = v = r, for `second` with u = rest, v = image

Bytes per row with k entries: reduce_rows 20 + 16 k, spread_rows 20, relax_rows 28 + 12 k, apply_rows 32 + 12 k,
leave_rows and step_rows 12; what entries point at is mostly in the caches.
*/
#include "transport.cuh"

extern "C" __global__ void __launch_bounds__(THREADS) gather_rows(
    const int* __restrict__ members, const int* __restrict__ first, long long n, const float* __restrict__ values,
    float* __restrict__ coarse)
{
    for EACH(a, n) {
        float total = 0;
        for (int m = first[a]; m < first[a + 1]; ++m) total += values[members[m]];
        coarse[a] = total;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) reduce_rows(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, const int* __restrict__ members, const int* __restrict__ first, long long n,
    float omega, const float* __restrict__ r, float* __restrict__ coarse)
{
    for EACH(a, n) {
        float total = 0;
        for (int m = first[a]; m < first[a + 1]; ++m) {
            const int i = members[m];
            float around = 0;
            for (long long at = ptr[i]; at < ptr[i + 1]; ++at) around += val[at] * inverse[col[at]] * r[col[at]];
            total += r[i] + omega * (around - r[i]);
        }
        coarse[a] = total;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) spread_rows(
    const int* __restrict__ owner, const float* __restrict__ inverse, long long n, float omega,
    const float* __restrict__ r, const float* __restrict__ coarse, float* __restrict__ x)
{
    for EACH(i, n) x[i] = omega * inverse[i] * r[i] + coarse[owner[i]];
}

extern "C" __global__ void __launch_bounds__(THREADS) relax_rows(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ inverse, long long n, float omega, const float* __restrict__ r,
    const float* __restrict__ x, float* __restrict__ out)
{
    for EACH(i, n) {
        float total = r[i];
        for (long long at = ptr[i]; at < ptr[i + 1]; ++at) total += val[at] * x[col[at]];
        out[i] = x[i] + omega * (inverse[i] * total - x[i]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) apply_rows(
    const long long* __restrict__ ptr, const int* __restrict__ col, const float* __restrict__ val,
    const float* __restrict__ terminal, long long n, const float* __restrict__ x, const float* __restrict__ u,
    const float* __restrict__ v, float* __restrict__ out, double* __restrict__ partial)
{
    __shared__ double shared[3 * THREADS];
    double sums[3] = {0, 0, 0};
    for EACH(i, n) {
        const float here = x[i];
        float value = terminal[i] * here;
        for (long long at = ptr[i]; at < ptr[i + 1]; ++at) value += val[at] * (here - x[col[at]]);
        out[i] = value;
        sums[0] += (double)here * value;
        sums[1] += (double)here * u[i];
        sums[2] += (double)here * v[i];
    }
    block_sums(sums, shared, partial);
}

/* How far a step goes: x r / x A x; 1 where x is nothing, or A x not positive for rounding. */
__device__ __forceinline__ double length_of_step(const double* sums)
{
    return sums[0] > 0 ? sums[1] / sums[0] : 1.0;
}

extern "C" __global__ void __launch_bounds__(THREADS) leave_rows(
    long long n, const double* __restrict__ one, const float* __restrict__ r, const float* __restrict__ image,
    float* __restrict__ rest)
{
    const float step = (float)length_of_step(one);
    for EACH(i, n) rest[i] = r[i] - step * image[i];
}

extern "C" __global__ void __launch_bounds__(THREADS) step_rows(
    long long n, const double* __restrict__ one, const double* __restrict__ two, int steps,
    const float* __restrict__ first, const float* __restrict__ second, float* __restrict__ out)
{
    double a = length_of_step(one), b = 0;
    if (steps == 2 && one[0] > 0) {
        const double stiffness = two[0] - two[2] * two[2] / one[0];
        if (stiffness > 0) b = two[1] / stiffness;
        a -= b * two[2] / one[0];
    }
    for EACH(i, n) out[i] = (float)a * first[i] + (b != 0 ? (float)b * second[i] : 0.0f);
}
