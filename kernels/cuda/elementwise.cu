// Arithmetic of two arrays.  Which one of the four is a number, not a template parameter: it is the
// same in all threads and costs nothing beside the memory that is moved.
#include "map.cuh"

// The order is that of kernels/cuda/elementwise.py.
template <typename W> __device__ __forceinline__ W combined(Index function, W a, W b) {
  return function == 0 ? a + b : function == 1 ? a - b : function == 2 ? a * b : a / b;
}

template <typename T>
__global__ void combine(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y,
                        Index count, Index function) {
  map(a, b, y, count, [=](Wide<T> u, Wide<T> v) { return combined(function, u, v); });
}

// The second array holds one number; `turned` takes it first.
template <typename T>
__global__ void combine_number(const T* __restrict__ a, const T* __restrict__ number,
                               T* __restrict__ y, Index count, Index function, bool turned) {
  const Wide<T> b = number[0];
  map(a, y, count,
      [=](Wide<T> v) { return turned ? combined(function, b, v) : combined(function, v, b); });
}

// The second array is repeated: a (outer, middle, inner), b (outer or 1, 1, inner), as one number
// for each channel of channels-last images (1, N * H * W, C), or for each row (N, K, 1).
// A thread divides once, for the first number of its pack; the places of the others follow.
template <typename T>
__global__ void combine_spread(const T* __restrict__ a, const T* __restrict__ b,
                               T* __restrict__ y, Index count, Index middle, Index inner,
                               bool once, Index function, bool turned) {
  const Index lanes = aligned(a, y) ? Sixteen<T>::COUNT : 1;
  const Index pieces = (count + lanes - 1) / lanes;
  for (Index i = first_index(); i < pieces; i += index_step()) {
    const Index start = i * lanes, row = quotient(start, inner);
    Index outer = quotient(row, middle), m = row - outer * middle, c = start - row * inner;
    const bool whole = lanes > 1 && start + lanes <= count;
    Sixteen<T> some;
    if (whole) some = load_pack(a, i);
#pragma unroll
    for (int k = 0; k < Sixteen<T>::COUNT; ++k) {
      if (k >= lanes || start + k >= count) break;
      const Wide<T> u = whole ? some.of[k] : a[start + k];
      const Wide<T> v = b[(once ? 0 : outer * inner) + c];
      some.of[k] = T(turned ? combined(function, v, u) : combined(function, u, v));
      if (!whole) y[start + k] = some.of[k];
      if (++c == inner) {
        c = 0;
        if (++m == middle) m = 0, ++outer;
      }
    }
    if (whole) store_pack(y, i, some);
  }
}
