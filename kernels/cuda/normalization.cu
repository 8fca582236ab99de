// Normalisation of channels (batch, instance and group normalisation, with ReLU) and of rows.
//
// All of it is bound by memory, not by arithmetic, so what matters is how memory is walked
// through.  Images are channels-last: I images (or one, if all images share their statistics) of
// `rows` pixels of `channels` numbers.  Neighbouring threads take neighbouring packs (packs.cuh),
//
//     threadIdx.x, blockIdx.y    which pack of a row, so which channels: the same ones all along,
//                                so that coefficients are loaded and converted once
//     threadIdx.y, blockIdx.x    which rows: a block takes `chunk` rows of one image
//
// Statistics and coefficients are float64 (I, C).  Where C is no whole number of packs, several
// rows are taken as one long row ("folded"): `channels` counts its numbers, `cells` is C.
//
// Sums have two stages: each block writes the sums of its chunk, then `combine` adds up chunks in
// their order.  Chunks follow from the shape alone, and no number is added by chance before
// another, so that results are the same in each run and on each card.
#include "packs.cuh"

constexpr int RUN = 32;        // numbers that one thread adds up in single precision
constexpr int MOST_ROWS = 16;  // of a thread that maps

// Where a thread of the kernels of channels works: rows first, first + step, ... before last.
struct Post {
  Index image, chunk, first, last, pack;
  int step;

  // How many of its rows come from row `start` on, at most so many.  (A loop that counts by ints
  // can be unrolled into loads that do not wait for one another; one that asks `r < last` cannot.)
  __device__ __forceinline__ int count(Index start, int most) const {
    const Index left = last > start ? last - start + step - 1 : 0;
    return left < (Index)most * step ? (int)left / step : most;
  }
};

__device__ __forceinline__ Post post(Index rows, Index chunk, Index chunks) {
  const unsigned image = blockIdx.x / (unsigned)chunks;
  const Index number = blockIdx.x - (Index)image * chunks, last = (number + 1) * chunk;
  return {(Index)image, number, number * chunk + threadIdx.y, last < rows ? last : rows,
          (Index)blockIdx.y * blockDim.x + threadIdx.x, (int)blockDim.y};
}

// Which channel is number `place` of a long row; channels that are none are the last one.
__device__ __forceinline__ Index cell_of(Index place, Index channels, Index cells) {
  return (unsigned)(place < channels ? place : channels - 1) % (unsigned)cells;
}

// Add up two numbers for each place of a row and write them as parts (I, chunks, 2, channels).
template <typename T, bool WHOLE>
__device__ void write_parts(double (&one)[PACK<T>], double (&two)[PACK<T>], const Post& at,
                            Cut<T, WHOLE> cut, Index chunks, double* __restrict__ parts) {
  add_columns(one);
  add_columns(two);
  if (threadIdx.y != 0 || at.pack >= cut.packs) return;
  double* mine = parts + (at.image * chunks + at.chunk) * 2 * cut.length;
#pragma unroll
  for (int j = 0; j < PACK<T>; ++j) {
    if (!cut.has(at.pack, j)) continue;
    const Index place = cut.place(at.pack, j);
    mine[place] = one[j];
    mine[cut.length + place] = two[j];
  }
}

// ---- Mean and variance of each channel --------------------------------------------------------
//
// sum (x - o) and sum (x - o)^2, where o is the channel's first number: the variance does not
// change when all numbers are shifted, and with mean 1000 and spread 1 it is lost if they are not.
//
// Single precision adds well only a few numbers of about one size, and many cards have hardly any
// double precision.  So a thread takes L <= RUN numbers at a time, shifted by their first, K:
//     d = x - K,    s = sum d,    q = sum d^2                             (single precision)
// and carries them over to the shift o, with m = K - o, in double precision, once in a run:
//     sum (x - o) += s + L m,    sum (x - o)^2 += q + 2 m s + L m^2       (double precision)
// How wrong is that?  Let u = 2^-24, D the distance of K from the mean of its run, S the run's sum
// of squared deviations from that mean, and V the channel's from its own mean.
//   - q is wrong by at most (L + 2) u q, and q = S + L D^2.  K is one of the run's numbers, so
//     S >= D^2 + (L - 1) (D / (L - 1))^2 = D^2 L / (L - 1), hence q <= L S: an outlier as K makes
//     the variance itself large.  All runs together: at most L (L + 2) u V.
//   - s is wrong by at most (L + 1) u sum |d| <= (L + 1) u sqrt(L q), and that moves V by twice as
//     much times K - mean.  The K are numbers of the channel: the sum of (K - mean)^2 is at most
//     V, and (Cauchy and Schwarz) all runs together are wrong by at most 2 L (L + 1) u V.
// So the variance is wrong by less than 3 L (L + 2) u = 2e-4 of itself, whatever the numbers and
// however many; on numbers without an order by about sqrt(L) u = 3e-7.  The mean is wrong by such
// parts of the spread, not by parts of the mean.  What is left for double precision cancels, with
// o an outlier by z spreads, like z^2 2^-53.

template <typename T, bool WHOLE>
__device__ __forceinline__ void add_moments(const T* __restrict__ image, const Post& at,
                                            Cut<T, WHOLE> cut, Index cells,
                                            double (&sums)[PACK<T>], double (&squares)[PACK<T>]) {
  typedef Wide<T> W;
  constexpr int N = PACK<T>;
  W origin[N], shift[N], s[N], q[N], x[N];
#pragma unroll
  for (int j = 0; j < N; ++j)
    origin[j] = image[cell_of(cut.place(at.pack, j), cut.length, cells)];
  for (Index start = at.first; start < at.last; start += RUN * at.step) {
    cut.load(image + start * cut.length, at.pack, shift);
#pragma unroll
    for (int j = 0; j < N; ++j) s[j] = q[j] = 0;
    const int count = at.count(start, RUN);
#pragma unroll(WHOLE ? 4 : 1)
    for (int k = 1; k < count; ++k) {
      cut.load(image + (start + k * at.step) * cut.length, at.pack, x);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const W d = x[j] - shift[j];
        s[j] += d;
        q[j] += d * d;
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const double move = (double)shift[j] - (double)origin[j], sum = s[j];
      sums[j] += sum + count * move;
      squares[j] += q[j] + move * (2 * sum + count * move);
    }
  }
}

// x (I, rows, channels) -> parts (I, chunks, 2, channels)
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
moment_parts(const T* __restrict__ x, double* __restrict__ parts, Index rows, Index channels,
             Index cells, Index chunk, Index chunks, bool whole) {
  const Post at = post(rows, chunk, chunks);
  const T* image = x + at.image * rows * channels;
  double sums[PACK<T>] = {}, squares[PACK<T>] = {};
  const Cut<T, true> packs(channels);
  const Cut<T, false> numbers(channels);
  if (at.pack < packs.packs) {
    if (whole) add_moments(image, at, packs, cells, sums, squares);
    else add_moments(image, at, numbers, cells, sums, squares);
  }
  if (whole) write_parts(sums, squares, at, packs, chunks, parts);
  else write_parts(sums, squares, at, numbers, chunks, parts);
}

// parts (I, chunks, 2, fold * cells) -> two sums (I, cells).  Given x (I, count, cells), the sums
// are those of `moment_parts`, and what is written is the mean and the variance.
template <typename T>
__global__ void __launch_bounds__(THREADS)
combine(const double* __restrict__ parts, const T* __restrict__ x, double* __restrict__ first,
        double* __restrict__ second, Index chunks, Index cells, Index fold, Index count,
        bool moments) {
  const unsigned columns = (unsigned)((cells + blockDim.x - 1) / blockDim.x);
  const Index image = blockIdx.x / columns, length = fold * cells;
  const Index c = (Index)(blockIdx.x % columns) * blockDim.x + threadIdx.x;
  double one[1] = {0}, two[1] = {0};
  if (c < cells) {
    const double* mine = parts + image * chunks * 2 * length + c;
#pragma unroll 4
    for (unsigned k = threadIdx.y; k < (unsigned)(chunks * fold); k += blockDim.y) {
      const Index at = (Index)(k / (unsigned)fold) * 2 * length + k % (unsigned)fold * cells;
      one[0] += mine[at];
      two[0] += mine[at + length];
    }
  }
  add_columns(one);
  add_columns(two);
  if (threadIdx.y != 0 || c >= cells) return;
  double a = one[0], b = two[0];
  if (moments) {
    const double shift = a / count, spread = b / count - shift * shift;
    a = (double)(Wide<T>)x[image * count * cells + c] + shift;
    b = spread < 0 ? 0 : spread;  // NaN stays
  }
  first[image * cells + c] = a;
  second[image * cells + c] = b;
}

// ---- Affine maps ------------------------------------------------------------------------------

// v = (x - mean) * scale + beta of one channel.  In single precision x - mean is exact near the
// mean if the mean is a single-precision number, too; what rounding takes from it, beta gives back.
template <typename W> struct Affine {
  W centre, scale, offset;

  Affine() = default;
  __device__ Affine(double mean, double factor, double beta)
      : centre((W)mean), scale((W)factor), offset((W)(beta + ((double)(W)mean - mean) * factor)) {}

  __device__ __forceinline__ W of(W deviation) const { return deviation * scale + offset; }
};

template <typename T, bool WHOLE>
__device__ __forceinline__ void load_affine(const double* __restrict__ mean,
                                            const double* __restrict__ scale,
                                            const double* __restrict__ beta, const Post& at,
                                            Cut<T, WHOLE> cut, Index cells,
                                            Affine<Wide<T>> (&maps)[PACK<T>]) {
#pragma unroll
  for (int j = 0; j < PACK<T>; ++j) {
    const Index c = at.image * cells + cell_of(cut.place(at.pack, j), cut.length, cells);
    maps[j] = Affine<Wide<T>>(mean[c], scale[c], beta[c]);
  }
}

template <typename T, bool WHOLE>
__device__ __forceinline__ void map_rows(const T* __restrict__ x, const double* mean,
                                         const double* scale, const double* beta,
                                         T* __restrict__ y, const Post& at, Cut<T, WHOLE> cut,
                                         Index rows, Index cells, bool rectified) {
  typedef Wide<T> W;
  Affine<W> maps[PACK<T>];
  load_affine(mean, scale, beta, at, cut, cells, maps);
  const W least = rectified ? W(0) : W(-INFINITY);
  const Index start = (at.image * rows + at.first) * cut.length, step = at.step * cut.length;
  const int count = at.count(at.first, MOST_ROWS);
#pragma unroll(WHOLE ? 4 : 1)
  for (int k = 0; k < count; ++k) {
    const Index row = start + k * step;
    W values[PACK<T>];
    cut.load(x + row, at.pack, values);
#pragma unroll
    for (int j = 0; j < PACK<T>; ++j) {
      const W v = maps[j].of(values[j] - maps[j].centre);
      values[j] = v < least ? least : v;  // NaN stays
    }
    cut.store(y + row, at.pack, values);
  }
}

// y = (x - mean) * scale + beta, and then the larger of y and 0 if `rectified`.
template <typename T>
__global__ void __launch_bounds__(THREADS, 4)
affine(const T* __restrict__ x, const double* __restrict__ mean, const double* __restrict__ scale,
       const double* __restrict__ beta, T* __restrict__ y, Index rows, Index channels, Index cells,
       Index chunk, Index chunks, bool whole, bool rectified) {
  const Post at = post(rows, chunk, chunks);
  const Cut<T, true> packs(channels);
  const Cut<T, false> numbers(channels);
  if (at.pack >= packs.packs) return;
  if (whole) map_rows(x, mean, scale, beta, y, at, packs, rows, cells, rectified);
  else map_rows(x, mean, scale, beta, y, at, numbers, rows, cells, rectified);
}

// ---- The way back -----------------------------------------------------------------------------
//
// With v = (x - mean) * scale + beta, what passes through ReLU is g = dL/dz where v > 0.  v is
// computed again, which costs nothing beside reading x, by the very expression of `affine`: both
// round alike, so the gradient passes where the output was positive.

template <typename T, bool WHOLE>
__device__ __forceinline__ void add_gradients(const T* __restrict__ grad, const T* __restrict__ x,
                                              const Affine<Wide<T>> (&maps)[PACK<T>],
                                              const Post& at, Cut<T, WHOLE> cut, Index rows,
                                              bool rectified, double (&sums)[PACK<T>],
                                              double (&products)[PACK<T>]) {
  typedef Wide<T> W;
  constexpr int N = PACK<T>;
  W s[N], p[N], g[N], values[N];
  for (Index start = at.first; start < at.last; start += RUN * at.step) {
#pragma unroll
    for (int j = 0; j < N; ++j) s[j] = p[j] = 0;
    const int count = at.count(start, RUN);
#pragma unroll(WHOLE ? 4 : 1)
    for (int k = 0; k < count; ++k) {
      const Index row = (at.image * rows + start + k * at.step) * cut.length;
      cut.load(grad + row, at.pack, g);
      cut.load(x + row, at.pack, values);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const W d = values[j] - maps[j].centre;
        const W passed = !rectified || maps[j].of(d) > 0 ? g[j] : W(0);
        s[j] += passed;
        p[j] += passed * d;
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      sums[j] += s[j];
      products[j] += p[j];
    }
  }
}

template <typename T, bool WHOLE>
__device__ __forceinline__ void gradient_chunk(const T* grad, const T* x, const double* mean,
                                               const double* scale, const double* beta,
                                               double* parts, const Post& at, Cut<T, WHOLE> cut,
                                               Index rows, Index cells, Index chunks,
                                               bool rectified) {
  double sums[PACK<T>] = {}, products[PACK<T>] = {};
  if (at.pack < cut.packs) {
    Affine<Wide<T>> maps[PACK<T>];
    load_affine(mean, scale, beta, at, cut, cells, maps);
    add_gradients(grad, x, maps, at, cut, rows, rectified, sums, products);
#pragma unroll
    for (int j = 0; j < PACK<T>; ++j) {  // from the rounded mean to the mean
      const Index c = at.image * cells + cell_of(cut.place(at.pack, j), cut.length, cells);
      products[j] += ((double)maps[j].centre - mean[c]) * sums[j];
    }
  }
  write_parts(sums, products, at, cut, chunks, parts);
}

// sum g and sum g * (x - mean) of each chunk: runs in single precision, the rest in double.
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
gradient_parts(const T* __restrict__ grad, const T* __restrict__ x,
               const double* __restrict__ mean, const double* __restrict__ scale,
               const double* __restrict__ beta, double* __restrict__ parts, Index rows,
               Index channels, Index cells, Index chunk, Index chunks, bool whole,
               bool rectified) {
  const Post at = post(rows, chunk, chunks);
  if (whole)
    gradient_chunk(grad, x, mean, scale, beta, parts, at, Cut<T, true>(channels), rows, cells,
                   chunks, rectified);
  else
    gradient_chunk(grad, x, mean, scale, beta, parts, at, Cut<T, false>(channels), rows, cells,
                   chunks, rectified);
}

template <typename T, bool WHOLE>
__device__ __forceinline__ void slope_rows(const T* __restrict__ grad, const T* __restrict__ x,
                                           const double* mean, const double* scale,
                                           const double* beta, const double* a, const double* b,
                                           const double* c, T* __restrict__ grad_x,
                                           const Post& at, Cut<T, WHOLE> cut, Index rows,
                                           Index cells, bool rectified) {
  typedef Wide<T> W;
  Affine<W> maps[PACK<T>], slopes[PACK<T>];  // b * (x - mean) + c is an affine map as well
  W factor[PACK<T>];
  load_affine(mean, scale, beta, at, cut, cells, maps);
  load_affine(mean, b, c, at, cut, cells, slopes);
#pragma unroll
  for (int j = 0; j < PACK<T>; ++j)
    factor[j] = a[at.image * cells + cell_of(cut.place(at.pack, j), cut.length, cells)];
  const Index start = (at.image * rows + at.first) * cut.length, step = at.step * cut.length;
  const int count = at.count(at.first, MOST_ROWS);
#pragma unroll(WHOLE ? 4 : 1)
  for (int k = 0; k < count; ++k) {
    const Index row = start + k * step;
    W g[PACK<T>], values[PACK<T>];
    cut.load(grad + row, at.pack, g);
    cut.load(x + row, at.pack, values);
#pragma unroll
    for (int j = 0; j < PACK<T>; ++j) {
      const W d = values[j] - maps[j].centre;
      const W passed = !rectified || maps[j].of(d) > 0 ? g[j] : W(0);
      values[j] = factor[j] * passed + slopes[j].of(d);
    }
    cut.store(grad_x + row, at.pack, values);
  }
}

// grad_x = a * g + b * (x - mean) + c
template <typename T>
__global__ void __launch_bounds__(THREADS, 2)
slope(const T* __restrict__ grad, const T* __restrict__ x, const double* __restrict__ mean,
      const double* __restrict__ scale, const double* __restrict__ beta,
      const double* __restrict__ a, const double* __restrict__ b, const double* __restrict__ c,
      T* __restrict__ grad_x, Index rows, Index channels, Index cells, Index chunk, Index chunks,
      bool whole, bool rectified) {
  const Post at = post(rows, chunk, chunks);
  const Cut<T, true> packs(channels);
  const Cut<T, false> numbers(channels);
  if (at.pack >= packs.packs) return;
  if (whole)
    slope_rows(grad, x, mean, scale, beta, a, b, c, grad_x, at, packs, rows, cells, rectified);
  else
    slope_rows(grad, x, mean, scale, beta, a, b, c, grad_x, at, numbers, rows, cells, rectified);
}

// y[c] = x[c - before] + ... + x[c + after], as far as there are such channels.
template <typename T>
__global__ void channel_window(const T* __restrict__ x, T* __restrict__ y, Index count,
                               Index channels, Index before, Index after) {
  for (Index i = first_index(); i < count; i += index_step()) {
    const Index c = i % channels;
    const Index since = c < before ? -c : -before;
    const Index until = channels - 1 - c < after ? channels - 1 - c : after;
    Wide<T> sum = 0;
    for (Index step = since; step <= until; ++step) sum += Wide<T>(x[i + step]);
    y[i] = T(sum);
  }
}
