// Non-linearities: each reads its arrays once and writes once, 16 bytes at a time (`map` in
// common.cuh), so it takes as long as memory does.  The formulas are those of
// kernels/plain/activation.py; float16 is computed in float.
//
// What would be an infinity times 0 has its factor limited first, as there: far out, each slope
// is constant anyway.
#include "reduce.cuh"

// The largest finite number of a type.
template <typename T> struct Finite { static constexpr float MOST = 65504.0f; };
template <> struct Finite<float> { static constexpr float MOST = 3.402823466e38f; };
template <> struct Finite<double> { static constexpr double MOST = 1.7976931348623157e308; };

// x within -limit and limit; NaN stays, which fmin would not let it.
template <typename W> __device__ __forceinline__ W near(W x, W limit) {
  return x > limit ? limit : x < -limit ? -limit : x;
}

// -inf becomes the lowest number: times 0 it is 0.
template <typename T> __device__ __forceinline__ Wide<T> finite_below(Wide<T> x) {
  const Wide<T> lowest = -Finite<T>::MOST;
  return x < lowest ? lowest : x;
}

// 1 / (1 + e**-x): far below, e**-x is inf and the quotient 0, as it should be.
template <typename W> __device__ __forceinline__ W logistic(W x) {
  return W(1) / (W(1) + exp(-x));
}

// log(1 + e**x) = max(x, 0) + log(1 + e**-|x|), where nothing overflows.
template <typename W> __device__ __forceinline__ W log_of_1_and_exp(W x) {
  return (x < 0 ? W(0) : x) + log1p(exp(-fabs(x)));
}

// ---- Straight pieces ------------------------------------------------------------------------

template <typename T>
__global__ void relu(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) { return v <= 0 ? Wide<T>(0) : v; });  // a NaN is not <= 0
}

template <typename T>
__global__ void relu_grad(const T* __restrict__ y, const T* __restrict__ grad_y,
                          T* __restrict__ grad_x, Index count) {
  map(y, grad_y, grad_x, count, [](Wide<T> v, Wide<T> g) { return v > 0 ? g : Wide<T>(0); });
}

template <typename T>
__global__ void leaky_relu(const T* __restrict__ x, T* __restrict__ y, Index count, double slope) {
  const Wide<T> s = slope;
  map(x, y, count, [=](Wide<T> v) { return v > 0 ? v : s * v; });
}

template <typename T>
__global__ void leaky_relu_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                                T* __restrict__ grad_x, Index count, double slope) {
  const Wide<T> s = slope;
  map(x, grad_y, grad_x, count, [=](Wide<T> v, Wide<T> g) { return v > 0 ? g : s * g; });
}

template <typename T>
__global__ void hard_tanh(const T* __restrict__ x, T* __restrict__ y, Index count, double low,
                          double high) {
  const Wide<T> least = low, most = high;
  map(x, y, count, [=](Wide<T> v) {
    v = v < least ? least : v;
    return v > most ? most : v;
  });
}

template <typename T>
__global__ void hard_tanh_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                               T* __restrict__ grad_x, Index count, double low, double high) {
  const Wide<T> least = low, most = high;
  map(x, grad_y, grad_x, count,
      [=](Wide<T> v, Wide<T> g) { return g * Wide<T>(v > least && v < most); });
}

// x times (x/6 + 1/2, within 0 and 1), which is 0 for x <= -3.
template <typename T>
__global__ void hard_swish(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) {
    v = v < -3 ? Wide<T>(-3) : v;
    const Wide<T> share = v * Wide<T>(1.0 / 6) + Wide<T>(0.5);
    return v * (v > 3 ? Wide<T>(1) : v <= -3 ? Wide<T>(0) : share);
  });
}

template <typename T>
__global__ void hard_swish_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                                T* __restrict__ grad_x, Index count) {
  map(x, grad_y, grad_x, count, [](Wide<T> v, Wide<T> g) {
    const Wide<T> slope = v * Wide<T>(1.0 / 3) + Wide<T>(0.5);  // NaN where v is
    return g * (v >= 3 ? Wide<T>(1) : v <= -3 ? Wide<T>(0) : slope);
  });
}

// ---- Smooth ---------------------------------------------------------------------------------

template <typename T>
__global__ void sigmoid(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) { return logistic(v); });
}

template <typename T>
__global__ void sigmoid_grad(const T* __restrict__ y, const T* __restrict__ grad_y,
                             T* __restrict__ grad_x, Index count) {
  map(y, grad_y, grad_x, count, [](Wide<T> v, Wide<T> g) { return g * (v * (1 - v)); });
}

template <typename T>
__global__ void silu(const T* __restrict__ x, T* __restrict__ y, Index count, double beta) {
  const Wide<T> b = beta;
  map(x, y, count, [=](Wide<T> v) { return finite_below<T>(v) * logistic(b * v); });
}

// With z = beta x and s = sigmoid z, dy/dx = s + x ds/dx = s + z s (1 - s).
template <typename T>
__global__ void silu_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                          T* __restrict__ grad_x, Index count, double beta) {
  const Wide<T> b = beta;
  map(x, grad_y, grad_x, count, [=](Wide<T> v, Wide<T> g) {
    const Wide<T> z = near(b * v, Wide<T>(1e3)), s = logistic(z);
    return g * (s + z * s * (1 - s));
  });
}

template <typename T>
__global__ void elu(const T* __restrict__ x, T* __restrict__ y, Index count, double alpha,
                    double rate, double scale) {
  const Wide<T> a = alpha, r = rate, s = scale;
  map(x, y, count, [=](Wide<T> v) { return s * (v > 0 ? v : a * expm1(r * v)); });
}

template <typename T>
__global__ void elu_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                         T* __restrict__ grad_x, Index count, double alpha, double rate,
                         double scale) {
  const Wide<T> factor = alpha * rate, r = rate, s = scale;
  map(x, grad_y, grad_x, count,
      [=](Wide<T> v, Wide<T> g) { return g * (s * (v > 0 ? Wide<T>(1) : factor * exp(r * v))); });
}

template <typename T>
__global__ void softplus(const T* __restrict__ x, T* __restrict__ y, Index count, double beta) {
  const Wide<T> b = beta;
  map(x, y, count, [=](Wide<T> v) { return log_of_1_and_exp(b * v) / b; });
}

template <typename T>
__global__ void softplus_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                              T* __restrict__ grad_x, Index count, double beta) {
  const Wide<T> b = beta;
  map(x, grad_y, grad_x, count, [=](Wide<T> v, Wide<T> g) { return g * logistic(b * v); });
}

template <typename T>
__global__ void softsign(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) {
    v = near(v, Wide<T>(Finite<T>::MOST));
    return v / (1 + fabs(v));
  });
}

template <typename T>
__global__ void mish(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) { return finite_below<T>(v) * tanh(log_of_1_and_exp(v)); });
}

// With t = tanh(log(1 + e**x)), dy/dx = t + x dt/dx = t + x (1 - t**2) sigmoid x.
template <typename T>
__global__ void mish_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                          T* __restrict__ grad_x, Index count) {
  map(x, grad_y, grad_x, count, [](Wide<T> v, Wide<T> g) {
    v = near(v, Wide<T>(1e3));
    const Wide<T> t = tanh(log_of_1_and_exp(v));
    return g * (t + v * (1 - t * t) * logistic(v));
  });
}

// ---- By the normal distribution ---------------------------------------------------------------

template <typename T>
__global__ void error_function(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) { return erf(v); });
}

template <typename T>
__global__ void gelu(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) {
    const Wide<T> root_half = 0.70710678118654752;
    return Wide<T>(0.5) * finite_below<T>(v) * (1 + erf(root_half * v));
  });
}

// y = x P(x), where P is the normal distribution; dy/dx = P + x p, where p is its density.
template <typename T>
__global__ void gelu_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                          T* __restrict__ grad_x, Index count) {
  map(x, grad_y, grad_x, count, [](Wide<T> v, Wide<T> g) {
    const Wide<T> root_half = 0.70710678118654752, half = 0.5;
    v = near(v, Wide<T>(40));
    const Wide<T> density = Wide<T>(0.39894228040143268) * exp(-half * v * v);  // 1/sqrt(2 pi)
    return g * (half * (1 + erf(root_half * v)) + v * density);
  });
}

template <typename T>
__global__ void gelu_tanh(const T* __restrict__ x, T* __restrict__ y, Index count) {
  map(x, y, count, [](Wide<T> v) {
    const Wide<T> c = 0.79788456080286536, bend = 0.044715, half = 0.5;  // c = sqrt(2 / pi)
    const Wide<T> close = near(v, Wide<T>(10));  // further out, tanh u is -1 or 1
    const Wide<T> u = c * close * (1 + bend * close * close);
    return half * finite_below<T>(v) * (1 + tanh(u));
  });
}

// With t = tanh u, dy/dx = (1 + t + x (1 - t**2) du/dx) / 2, du/dx = c (1 + 3 bend x**2).
template <typename T>
__global__ void gelu_tanh_grad(const T* __restrict__ x, const T* __restrict__ grad_y,
                               T* __restrict__ grad_x, Index count) {
  map(x, grad_y, grad_x, count, [](Wide<T> v, Wide<T> g) {
    const Wide<T> c = 0.79788456080286536, half = 0.5;
    v = near(v, Wide<T>(10));
    const Wide<T> squares = Wide<T>(0.044715) * v * v, t = tanh(c * v * (1 + squares));
    return g * (half * (1 + t + c * v * (1 - t * t) * (1 + 3 * squares)));
  });
}

// ---- With a learned slope ---------------------------------------------------------------------

// x (rows, channels) in memory, flat; slope (channels,).  A thread divides once, for the first
// number of its pack; the channels of the others follow.
template <typename T>
__global__ void prelu(const T* __restrict__ x, const T* __restrict__ slope, T* __restrict__ y,
                      Index count, Index channels) {
  const Index lanes = aligned(x, y) ? Sixteen<T>::COUNT : 1, packs = count / lanes;
  for (Index i = first_index(); i < packs; i += index_step()) {
    Index c = i * lanes - quotient(i * lanes, channels) * channels;
    Sixteen<T> some;
    if (lanes > 1) some = load_pack(x, i);
    else some.of[0] = x[i];
#pragma unroll
    for (int k = 0; k < Sixteen<T>::COUNT; ++k) {
      if (k >= lanes) break;
      const Wide<T> v = some.of[k];
      if (!(v > 0)) some.of[k] = T(v * Wide<T>(slope[c]));
      c = c + 1 == channels ? 0 : c + 1;
    }
    if (lanes > 1) store_pack(y, i, some);
    else y[i] = some.of[0];
  }
  for (Index i = packs * lanes + first_index(); i < count; i += index_step()) {
    const Wide<T> v = x[i];
    y[i] = v > 0 ? x[i] : T(v * Wide<T>(slope[i - quotient(i, channels) * channels]));
  }
}

// dL/dx = dL/dy where x > 0, else slope * dL/dy; and, of the rows of one part,
//     dL/dslope[c] = sum of x * dL/dy over the rows where x is not above 0,
// in one pass over x and grad_y (rows, channels).  sums (parts, channels) are to be added up.
// How blocks share the work: see Columns in reduce.cuh.
template <typename T>
__global__ void __launch_bounds__(256)
prelu_grad(const T* __restrict__ x, const T* __restrict__ grad_y, const T* __restrict__ slope,
           T* __restrict__ grad_x, Wide<T>* __restrict__ sums, Index rows, Index channels,
           Index parts) {
  for (Index block = blockIdx.x; block < column_blocks(1, channels, parts); block += gridDim.x) {
    const Columns mine(block, rows, channels, parts);
    const Wide<T> s = mine.active ? Wide<T>(slope[mine.column]) : Wide<T>(0);
    Wide<T> total = 0;
#pragma unroll 4
    for (Index row = mine.first; row < mine.stop; row += mine.step) {
      const Index i = row * channels + mine.column;
      const Wide<T> v = x[i], g = grad_y[i];
      grad_x[i] = T(v > 0 ? g : g * s);
      total += v > 0 ? Wide<T>(0) : g * v;
    }
    total = join_groups<Sum>(total, mine);
    if (mine.writes) sums[mine.part * channels + mine.column] = total;
  }
}
