// Weights on their way into the convolutions' products, and their gradients on the way out.
#include "geometry.cuh"

// weight (O, C/groups, K) -> packed (classes, groups, depth, width): for each class and group a
// matrix with rows k (offset, channel) and as columns the result's channels, zeros all around, so
// that whole tiles can be read from it.  Forward the channels are those of x and the columns those
// of y; for the input gradient (`transposed`) the other way round.
template <typename T>
__global__ void pack_filters(const int* __restrict__ table, const T* __restrict__ weight,
                             T* __restrict__ packed, Index groups, Index outputs, Index channels,
                             Index depth, Index width, bool transposed) {
  __shared__ Geometry g;
  load_geometry(g, table, blockIdx.y);
  const Index size = (Index)g.d.size * g.h.size * g.w.size, count = groups * depth * width;
  packed += blockIdx.y * count;
  for (Index i = first_index(); i < count; i += index_step()) {
    const Index row = i / width, column = i - row * width;
    const Index group = row / depth, k = row - group * depth;
    T value = T(0.0f);
    if (k < g.depth && column < (transposed ? channels : outputs)) {
      const unsigned tap = g.channels.quotient(k), inner = k - tap * g.channels.by;
      const Index o = group * outputs + (transposed ? inner : column);
      const Index c = transposed ? column : inner;
      value = weight[(o * channels + c) * size + weight_offset(g, tap)];
    }
    packed[i] = value;
  }
}

// Partial sums of a weight gradient (chunks, groups, K, C/groups, O/groups) -> grad (O, C/groups,
// K).  A block has `threads / shares` neighbouring weights; each weight's chunks are added up by
// `shares` threads, every share-th chunk one thread, and their sums in order.
template <typename T>
__global__ void sum_chunks(const Wide<T>* __restrict__ partial, T* __restrict__ grad, Index chunks,
                           Index shares, Index groups, Index size, Index channels, Index outputs) {
  __shared__ Wide<T> sums[256];
  const Index count = groups * size * channels * outputs;
  const int across = blockDim.x / shares, share = threadIdx.x / across;
  const Index i = (Index)blockIdx.x * across + threadIdx.x % across;
  Wide<T> sum = 0;
  if (i < count)
    for (Index chunk = share; chunk < chunks; chunk += shares) sum += partial[chunk * count + i];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (share || i >= count) return;
  for (int other = 1; other < shares; ++other) sum += sums[other * across + threadIdx.x];
  const Index row = i / outputs, o = i - row * outputs;    // (group, offset, channel)
  const Index offsets = row / channels, c = row - offsets * channels;
  const Index group = offsets / size, offset = offsets - group * size;
  grad[((group * outputs + o) * channels + c) * size + offset] = T(sum);
}
