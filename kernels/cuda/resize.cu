// Linear maps along one axis.  Seen from the axis memory is (outer, axis, inner), and a row is the
// `inner` numbers that lie side by side.
//
// An output row is a weighted sum of some input rows.  Which ones, a list says, for all outputs
// one after the other: those of output i are from ends[i] on, before ends[i + 1].  The transpose
// is the same kernel with the transposed list, so that it gathers, too.
#include "common.cuh"

template <typename T, int V>
__device__ void weigh_rows(const T* __restrict__ x, const Index* __restrict__ ends,
                           const Index* __restrict__ source, const Wide<T>* __restrict__ weight,
                           T* __restrict__ y, Index count, Index length, int outputs, int inner) {
  for (Index number = first_index(); number < count; number += index_step()) {
    int group, i;
    const Index outer = divide(divide(number, inner / V, group), outputs, i);
    const T* block = x + outer * length * inner + group * V;
    Wide<T> total[V] = {};
    for (Index k = ends[i]; k < ends[i + 1]; ++k) {
      const Pack<T, V> row = read_pack<V>(block + source[k] * inner);
      for (int c = 0; c < V; ++c) total[c] += weight[k] * (Wide<T>)row.lane[c];
    }
    Pack<T, V> sums;
    for (int c = 0; c < V; ++c) sums.lane[c] = T(total[c]);
    write_pack(y + number * V, sums);
  }
}

// x (OUTER, length, inner) -> y (OUTER, outputs, inner); count: threads' shares of y.
template <typename T>
__global__ void weighted_rows(const T* __restrict__ x, const Index* __restrict__ ends,
                              const Index* __restrict__ source,
                              const Wide<T>* __restrict__ weight, T* __restrict__ y, Index count,
                              Index length, Index outputs, Index inner, bool packed) {
  FOR_PACKS(weigh_rows, x, ends, source, weight, y, count, length, (int)outputs, (int)inner)
}
