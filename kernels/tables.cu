/* Sums of the rows of a table: segments of a column added up in an order that never changes.

Mirrors tripoint.tables.sums on the host (numpy.bincount with weights).

add_chunks: a grid-stride loop over chunks, a thread each.
    values     (n,) the values, segment after segment
    first      (segments + 1,) where each segment begins; the last entry is n
    first_chunk (segments + 1,) number of the first chunk of each segment
    segments   how many
    total      (first_chunk[segments],) sum of every chunk, out

A segment is cut, from its own beginning, into chunks of CHUNK values, an empty one into one chunk without any.
The sums of the chunks are the values of the next launch, until every segment is one chunk: a tree whose shape
depends on the segment's length only, so that neither scheduling nor the other rows change a bit of a sum.

Bytes: 8 read per value, 16 per segment and 8 written per chunk; a chunk's values are few lines of 128 bytes,
read through L1.  Scratch: none.
*/
// build: -DCHUNK=32

extern "C" __global__ void __launch_bounds__(256) add_chunks(
    const double* __restrict__ values, const long long* __restrict__ first,
    const long long* __restrict__ first_chunk, long long segments, double* __restrict__ total)
{
    const long long chunks = first_chunk[segments];
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long chunk = (long long)blockIdx.x * blockDim.x + threadIdx.x; chunk < chunks; chunk += stride) {
        long long low = 0, high = segments;  // the last segment whose first chunk is not after this one
        while (high - low > 1) {
            const long long middle = (low + high) / 2;
            if (first_chunk[middle] <= chunk) low = middle;
            else high = middle;
        }
        const long long begin = first[low] + (chunk - first_chunk[low]) * CHUNK;
        const long long end = min(begin + CHUNK, first[low + 1]);
        double sum = 0.0;
        for (long long i = begin; i < end; ++i) sum += values[i];
        total[chunk] = sum;
    }
}
