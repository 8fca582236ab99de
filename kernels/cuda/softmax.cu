// Softmax and the cross-entropy after it, along the middle axis of (outer, count, inner).
//
// A row is taken by a team: some lanes of a warp for a short one, a block for a long one, and one
// thread where so many rows lie side by side (inner > 1) that neighbouring threads read neighbours.
//
// y_k = e**(x_k - m) / sum_j e**(x_j - m), with the largest m so that nothing overflows, would take
// one pass for m, one for the sum and one for y.  The first two can be one: keep the largest m so
// far and the sum s of e**(x_j - m) so far; for the next number x, with m' = max(m, x),
//
//     s' = s e**(m - m') + e**(x - m'),
//
// where one of the two exponents is 0, so that one exponential suffices.  Likewise sums (m1, s1)
// and (m2, s2) of two threads are s1 e**(m1 - m) + s2 e**(m2 - m) with m = max(m1, m2).
// (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.)  The pass that
// writes reads the row again, but from the cache.
#include "reduce.cuh"

template <typename W> struct Normalizer {
  W most, total;

  // A row's, from those of the team's threads.  A NaN, an infinity, or nothing but -inf in a row
  // make all of it NaN: then the total is, or most - most is.
  __device__ __forceinline__ void share(const Team& mine) {
    const W all = join_team<Largest>(most, mine);
    total = join_team<Sum>(total * exp(most - all), mine);
    most = all;
    total += most - most;
  }

  __device__ __forceinline__ void include(W x) {
    const W above = x - most, e = x == W(-INFINITY) ? W(0) : exp(-fabs(above));
    total = above > 0 ? total * e + 1 : total + e;
    most = above > 0 ? x : most;
  }
};

// The m and s of the row that begins at x; all threads of the block must come here.
template <typename T>
__device__ __forceinline__ Normalizer<Wide<T>> normalizer(const T* __restrict__ x, Index count,
                                                          Index inner, const Team& mine) {
  Normalizer<Wide<T>> found = {Wide<T>(-INFINITY), Wide<T>(0)};
#pragma unroll 4
  for (Index k = mine.lane; k < count; k += mine.size) found.include(x[k * inner]);
  found.share(mine);
  return found;
}

// y = softmax(x), or its logarithm (x - m) - log s.
template <typename T>
__global__ void __launch_bounds__(256)
softmax(const T* __restrict__ x, T* __restrict__ y, Index rows, Index count, Index inner,
        Index team, bool logarithm) {
  const Team mine(team);
  for (Index begin = mine.first; begin < rows; begin += mine.step) {
    const Index row = begin + mine.number, here = row < rows ? count : 0;
    const Index start = here ? row_start(row, count, inner) : 0;
    const Normalizer<Wide<T>> n = normalizer(x + start, here, inner, mine);
    const Wide<T> scale = logarithm ? log(n.total) : 1 / n.total;
    for (Index k = mine.lane; k < here; k += mine.size) {
      const Index at = start + k * inner;
      const Wide<T> shifted = Wide<T>(x[at]) - n.most;
      y[at] = T(logarithm ? shifted - scale : exp(shifted) * scale);
    }
  }
}

// With dy_k/dx_j = y_k ([k = j] - y_j), and d(log y_k)/dx_j = [k = j] - y_j:
//     dL/dx_j = y_j (g_j - sum_k y_k g_k)     for softmax,
//     dL/dx_j = g_j - e**y_j sum_k g_k        for its logarithm y.
template <typename T>
__global__ void __launch_bounds__(256)
softmax_grad(const T* __restrict__ grad_y, const T* __restrict__ y, T* __restrict__ grad_x,
             Index rows, Index count, Index inner, Index team, bool logarithm) {
  const Team mine(team);
  for (Index begin = mine.first; begin < rows; begin += mine.step) {
    const Index row = begin + mine.number, here = row < rows ? count : 0;
    const Index start = here ? row_start(row, count, inner) : 0;
    Wide<T> total = 0;
#pragma unroll 4
    for (Index k = mine.lane; k < here; k += mine.size) {
      const Index at = start + k * inner;
      total += Wide<T>(grad_y[at]) * (logarithm ? Wide<T>(1) : Wide<T>(y[at]));
    }
    total = join_team<Sum>(total, mine);
    for (Index k = mine.lane; k < here; k += mine.size) {
      const Index at = start + k * inner;
      const Wide<T> g = grad_y[at], v = y[at];
      grad_x[at] = T(logarithm ? g - exp(v) * total : v * (g - total));
    }
  }
}

// log_p = log softmax(x) and losses = weights * -sum_k t_k log_p_k, where t is `high` at the label
// plus `low` everywhere: one read of x and one write of log_p, from which the gradient is taken.
template <typename T>
__global__ void __launch_bounds__(256)
softmax_cross_entropy(const T* __restrict__ x, const Index* __restrict__ labels,
                      const T* __restrict__ weights, T* __restrict__ losses,
                      T* __restrict__ log_p, Index rows, Index count, Index inner, Index team,
                      double high, double low) {
  const Team mine(team);
  for (Index begin = mine.first; begin < rows; begin += mine.step) {
    const Index row = begin + mine.number, here = row < rows ? count : 0;
    const Index start = here ? row_start(row, count, inner) : 0, label = here ? labels[row] : 0;
    const Normalizer<Wide<T>> n = normalizer(x + start, here, inner, mine);
    const Wide<T> rest = log(n.total), at_label = high, everywhere = low;
    Wide<T> sum = 0;
    for (Index k = mine.lane; k < here; k += mine.size) {
      const Index at = start + k * inner;
      const Wide<T> value = Wide<T>(x[at]) - n.most - rest;
      log_p[at] = T(value);
      if (k == label) sum += at_label * value;
      if (everywhere > 0) sum += everywhere * value;  // a class that is not wanted may have -inf
    }
    sum = join_team<Sum>(sum, mine);
    if (here && mine.lane == 0) {
      const Wide<T> w = weights[row];
      losses[row] = T(w != 0 ? -sum * w : Wide<T>(0));  // what counts for nothing may be NaN
    }
  }
}

// dL/dx = factor * (softmax(x) - t), softmax(x) = e**log_p; 0 where the factor is.
template <typename T>
__global__ void cross_entropy_grad(const T* __restrict__ factors, const T* __restrict__ log_p,
                                   const Index* __restrict__ labels, T* __restrict__ grad_x,
                                   Index rows, Index count, Index inner, Index team, double high,
                                   double low) {
  const Team mine(team);
  for (Index begin = mine.first; begin < rows; begin += mine.step) {
    const Index row = begin + mine.number;
    if (row >= rows) continue;  // no barrier follows
    const Index start = row_start(row, count, inner), label = labels[row];
    const Wide<T> factor = factors[row], at_label = high, everywhere = low;
    for (Index k = mine.lane; k < count; k += mine.size) {
      const Index at = start + k * inner;
      const Wide<T> target = (k == label ? at_label : Wide<T>(0)) + everywhere;
      grad_x[at] = T(factor != 0 ? factor * (exp(Wide<T>(log_p[at])) - target) : Wide<T>(0));
    }
  }
}
