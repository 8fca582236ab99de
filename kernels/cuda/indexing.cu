// Putting rows to places: y[places[k]] += x[k], for k in order.
//
// Threads that add where places[k] says would meet at one place in an order that nobody knows.  So
// a thread owns a part of a row of y instead, and must find the k of that row: few places it
// simply looks through; many are sorted first, so that those of a row stand side by side.  The
// sort is stable: equal places stay in their order, which is the order of the sum.
#include "common.cuh"

// Places count from the end if they are negative.
__device__ __forceinline__ Index wrapped(Index place, Index rows) {
  return place < 0 ? place + rows : place;
}

template <typename T, int V> struct Row {
  Wide<T> sum[V] = {};
  __device__ __forceinline__ void add(const T* __restrict__ from) {
    const Pack<T, V> part = read_pack<V>(from);
    for (int c = 0; c < V; ++c) sum[c] += (Wide<T>)part.lane[c];
  }
  __device__ __forceinline__ void write(T* __restrict__ to) {
    Pack<T, V> part;
    for (int c = 0; c < V; ++c) part.lane[c] = T(sum[c]);
    write_pack(to, part);
  }
};

template <typename T, int V>
__device__ void sum_few(const T* __restrict__ x, const Index* __restrict__ places,
                        T* __restrict__ y, Index count, Index known, Index rows, int length) {
  for (Index number = first_index(); number < count; number += index_step()) {
    int group;
    const Index row = divide(number, length / V, group);
    Row<T, V> mine;
    for (Index k = 0; k < known; ++k)
      if (wrapped(places[k], rows) == row) mine.add(x + k * length + group * V);
    mine.write(y + number * V);
  }
}

// x (K, length), places (K,) -> y (rows, length); count: threads' shares of y, known: K.
template <typename T>
__global__ void add_few(const T* __restrict__ x, const Index* __restrict__ places,
                        T* __restrict__ y, Index count, Index known, Index rows, Index length,
                        bool packed) {
  FOR_PACKS(sum_few, x, places, y, count, known, rows, (int)length)
}

template <typename T, int V>
__device__ void sum_sorted(const T* __restrict__ x, const Index* __restrict__ places,
                           const Index* __restrict__ order, T* __restrict__ y, Index count,
                           Index known, int length) {
  for (Index number = first_index(); number < count; number += index_step()) {
    int group;
    const Index row = divide(number, length / V, group);
    Index k = 0, end = known;  // the first place that is not before this row is in k ... end
    while (k < end) {
      const Index middle = (k + end) / 2;
      if (places[middle] < row)
        k = middle + 1;
      else
        end = middle;
    }
    Row<T, V> mine;
    for (; k < known && places[k] == row; ++k) mine.add(x + order[k] * length + group * V);
    mine.write(y + number * V);
  }
}

// The same with sorted places, and where in x the row of each is.
template <typename T>
__global__ void add_sorted(const T* __restrict__ x, const Index* __restrict__ places,
                           const Index* __restrict__ order, T* __restrict__ y, Index count,
                           Index known, Index length, bool packed) {
  FOR_PACKS(sum_sorted, x, places, order, y, count, known, (int)length)
}

// ---- A stable sort of whole numbers -------------------------------------------------------------
//
// By one digit after the other, from the lowest on (a radix sort): each time the numbers are put in
// order of that digit, and those with the same digit stay as they were.  A number's new place is
// known from counts alone: after all with a lower digit, and after those with its digit that stand
// before it.  A warp takes a tile of numbers, 32 at a time.

constexpr int DIGITS = 256, TILE = 1024;  // see indexing.py

__device__ __forceinline__ int digit_of(Index key, Index shift) {
  return (int)(key >> shift) & (DIGITS - 1);
}

// keys (K,) -> counts (DIGITS, tiles): how often each tile has each digit.
extern "C" __global__ void count_digits(const Index* __restrict__ keys,
                                        Index* __restrict__ counts, Index count, Index rows,
                                        Index shift) {
  __shared__ int mine[DIGITS];
  for (int d = threadIdx.x; d < DIGITS; d += 32) mine[d] = 0;
  __syncthreads();
  const Index first = (Index)blockIdx.x * TILE;
  for (Index i = first + threadIdx.x; i < first + TILE && i < count; i += 32)
    atomicAdd(&mine[digit_of(wrapped(keys[i], rows), shift)], 1);  // whole: in any order the same
  __syncthreads();
  for (int d = threadIdx.x; d < DIGITS; d += 32)
    counts[d * (Index)gridDim.x + blockIdx.x] = mine[d];
}

// counts (count,) -> the sum of all before each, in its place.  One block of 1024 threads: each
// adds up a part; then they add up the parts before theirs, by doubling steps.
extern "C" __global__ void sums_before(Index* __restrict__ counts, Index count) {
  __shared__ Index sums[1024];
  const int t = threadIdx.x;
  const Index share = (count + 1023) / 1024;
  const Index first = share * t, last = first + share < count ? first + share : count;
  Index sum = 0;
  for (Index i = first; i < last; ++i) sum += counts[i];
  sums[t] = sum;
  __syncthreads();
  for (int step = 1; step < 1024; step *= 2) {
    const Index before = t >= step ? sums[t - step] : 0;
    __syncthreads();
    sums[t] += before;
    __syncthreads();
  }
  Index before = sums[t] - sum;
  for (Index i = first; i < last; ++i) {
    const Index own = counts[i];
    counts[i] = before;
    before += own;
  }
}

// keys, order (K,) -> new_keys, new_order, by one digit; starts (DIGITS, tiles): where the first
// number of a tile with a digit goes.
extern "C" __global__ void move_by_digit(const Index* __restrict__ keys,
                                         const Index* __restrict__ order,
                                         const Index* __restrict__ starts,
                                         Index* __restrict__ new_keys,
                                         Index* __restrict__ new_order, Index count, Index rows,
                                         Index shift) {
  __shared__ Index next[DIGITS];
  const unsigned lane = threadIdx.x, before_me = (1u << lane) - 1;
  for (int d = lane; d < DIGITS; d += 32) next[d] = starts[d * (Index)gridDim.x + blockIdx.x];
  __syncwarp();
  for (Index first = (Index)blockIdx.x * TILE, end = first + TILE; first < end; first += 32) {
    const Index i = first + lane;
    const Index key = i < count ? wrapped(keys[i], rows) : 0;
    const int digit = digit_of(key, shift);
    unsigned alike = __ballot_sync(0xFFFFFFFFu, i < count);  // who has my digit: bit by bit
    for (int bit = 0; bit < 8; ++bit) {
      const unsigned ones = __ballot_sync(0xFFFFFFFFu, digit >> bit & 1);
      alike &= digit >> bit & 1 ? ones : ~ones;
    }
    const int rank = __popc(alike & before_me);
    const Index to = next[digit] + rank;
    __syncwarp();  // all have read
    if (i < count) {
      new_keys[to] = key;
      new_order[to] = order[i];
      if (rank == 0) next[digit] += __popc(alike);
    }
    __syncwarp();
  }
}
