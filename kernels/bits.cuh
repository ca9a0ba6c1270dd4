/* Patches: 4 x 8 voxels of a plane as the 32 bits of a word, one bit per voxel and question.

Bit 8 x + y of a patch answers, for the voxel x steps along x and y steps along y from the patch's first one,
a question such as "is it label a?".  A warp holds 32 patches side by side along x, a lane each.  The 32-bit
loads of a warp are then whole lines of memory, a step along y is a shift by one bit, and a step along x one by
eight, into which the neighbouring lane's patch moves.
*/

typedef unsigned int patch;

constexpr unsigned WARP = 0xffffffffu;

// Not constexpr on purpose: a mask that the compiler knows it splits in two, and `choose` is two instructions then.
__constant__ unsigned low_bits[3] = {0x0f0f0f0fu, 0x33333333u, 0x55555555u};
__constant__ unsigned all_but_highest = 0x7f7f7f7fu;

/* The bits of `one` where the mask is set, of `other` elsewhere: one instruction. */
__device__ __forceinline__ unsigned choose(unsigned mask, unsigned one, unsigned other)
{
    return ((one ^ other) & mask) ^ other;
}

/* Turn 8 rows of 4 voxels each, a byte per voxel, into 8 patches, one for each bit of the bytes: three rounds in
   which blocks of 4, 2 and 1 bits change places, 48 instructions. What the caller does not use of the result, the
   compiler leaves out. */
__device__ __forceinline__ void transpose_bits(unsigned (&rows)[8])
{
#pragma unroll
    for (int round = 0; round < 3; ++round) {
        const int step = 4 >> round;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            if (i & step) continue;
            const unsigned a = rows[i], b = rows[i + step];
            rows[i] = choose(low_bits[round], a, b << step);
            rows[i + step] = choose(low_bits[round], a >> step, b);
        }
    }
}

/* The highest bit of every byte is set where the byte is this value; the other bits mean nothing. */
__device__ __forceinline__ unsigned equal_bytes(unsigned bytes, int value)
{
    const unsigned difference = bytes ^ (0x01010101u * value);
    return ~(((difference & 0x7f7f7f7fu) + 0x7f7f7f7fu) | difference);
}

/* The patch of the voxels whose x and y lie in [x_begin, x_end) and [y_begin, y_end), counted from its first one. */
__device__ __forceinline__ patch rectangle(int x_begin, int x_end, int y_begin, int y_end)
{
    patch inside = 0;
#pragma unroll
    for (int x = 0; x < 4; ++x)
        if (x_begin <= x && x < x_end) inside |= 0xffu << 8 * x;
#pragma unroll
    for (int y = 0; y < 8; ++y)
        if (y < y_begin || y_end <= y) inside &= ~(0x01010101u << y);
    return inside;
}

/* One voxel further along y, with the highest bits of the row after the patch. */
__device__ __forceinline__ patch step_y(patch here, unsigned after)
{
    return choose(all_but_highest, here >> 1, after);
}

/* One voxel further along x; the last lane of the warp learns nothing about its last voxels. */
__device__ __forceinline__ patch step_x(patch here)
{
    return __funnelshift_r(here, __shfl_down_sync(WARP, here, 1), 8);
}

/* One voxel back along x; the first lane of the warp learns nothing about its first voxels. */
__device__ __forceinline__ patch back_x(patch here)
{
    return __funnelshift_l(__shfl_up_sync(WARP, here, 1), here, 8);
}

/* One voxel back along y; nothing is known about the first row. */
__device__ __forceinline__ patch back_y(patch here)
{
    return (here << 1) & 0xfefefefeu;
}
