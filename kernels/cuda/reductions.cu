// Sums and extremes along axes, of arrays seen as (outer, count, inner): the middle one goes.
// In one launch, or in two: of parts, whose results have the Wide type, then of these
// (kernels/cuda/_reduce.py).
#include "reduce.cuh"

// instances: reduce_rows<float, float, Sum>, reduce_columns<float, float, Sum>
// instances: reduce_rows<double, double, Sum>, reduce_columns<double, double, Sum>
// instances: reduce_rows<half_t, half_t, Sum>, reduce_columns<half_t, half_t, Sum>
// instances: reduce_rows<half_t, float, Sum>, reduce_columns<half_t, float, Sum>
// instances: reduce_rows<float, half_t, Sum>, reduce_columns<float, half_t, Sum>
// instances: reduce_rows<float, float, Largest>, reduce_columns<float, float, Largest>
// instances: reduce_rows<half_t, half_t, Largest>, reduce_columns<half_t, float, Smallest>
// instances: reduce_rows<float, half_t, Smallest>, reduce_columns<double, double, Smallest>
// instances: reduce_rows<float, Index, Ties>, reduce_columns<float, Index, Ties>
// instances: reduce_rows<double, Index, Ties>, reduce_columns<double, Index, Ties>
// instances: reduce_rows<half_t, Index, Ties>, reduce_columns<half_t, Index, Ties>
// instances: reduce_rows<Index, Index, Sum>

// y (outer * inner, parts): each row (or each pixel, where inner numbers lie side by side) is
// joined by one team.  `best` (outer, inner) is what Ties compares with; others do not read it.
template <typename X, typename Y, typename Op>
__global__ void __launch_bounds__(256)
reduce_rows(const X* __restrict__ x, const X* __restrict__ best, Y* __restrict__ y, Index rows,
            Index count, Index inner, Index parts, Index team) {
  typedef typename Op::template Total<X> Total;
  const Index pieces = rows * parts, length = (count + parts - 1) / parts;
  const Team mine(team);
  for (Index begin = mine.first; begin < pieces; begin += mine.step) {
    const Index piece = begin + mine.number;
    Total total = Op::template start<Total>();
    if (piece < pieces) {
      const Index row = quotient(piece, parts), first = (piece - row * parts) * length;
      const Index stop = first + length < count ? first + length : count;
      const X* from = x + row_start(row, count, inner);
      const X wanted = best[row];
#pragma unroll 4
      for (Index k = first + mine.lane; k < stop; k += team)
        total = Op::join(total, Total(Op::value(from[k * inner], wanted)));
    }
    total = join_team<Op>(total, mine);
    if (piece < pieces && mine.lane == 0) y[piece] = Y(total);
  }
}

// y (outer, parts, inner).
template <typename X, typename Y, typename Op>
__global__ void __launch_bounds__(256)
reduce_columns(const X* __restrict__ x, const X* __restrict__ best, Y* __restrict__ y,
               Index outer, Index count, Index inner, Index parts) {
  typedef typename Op::template Total<X> Total;
  const Index blocks = column_blocks(outer, inner, parts);
  for (Index block = blockIdx.x; block < blocks; block += gridDim.x) {
    const Columns mine(block, count, inner, parts);
    const X* from = x + mine.outer * count * inner + mine.column;
    const X wanted = mine.active ? best[mine.outer * inner + mine.column] : X(0);
    Total total = Op::template start<Total>();
#pragma unroll 4
    for (Index k = mine.first; k < mine.stop; k += mine.step)
      total = Op::join(total, Total(Op::value(from[k * inner], wanted)));
    total = join_groups<Op>(total, mine);
    if (mine.writes) y[(mine.outer * parts + mine.part) * inner + mine.column] = Y(total);
  }
}

// Each dL/dy is shared equally by the x that are its y; x, grad_x (outer, count, inner) and
// grad_y, y, ties (outer, inner).
template <typename T>
__global__ void extreme_grad(const T* __restrict__ grad_y, const T* __restrict__ x,
                             const T* __restrict__ y, const Index* __restrict__ ties,
                             T* __restrict__ grad_x, Index size, Index count, Index inner) {
  for (Index i = first_index(); i < size; i += index_step()) {
    const Index row = quotient(i, inner), outer = quotient(row, count);
    const Index cell = outer * inner + (i - row * inner);
    const Wide<T> v = x[i];
    const bool wins = v == Wide<T>(y[cell]) || v != v;
    grad_x[i] = T(wins ? Wide<T>(grad_y[cell]) / Wide<T>(ties[cell]) : Wide<T>(0));
  }
}
