// Normalisation of rows (layer normalisation): x (R, M), one mean and one variance a row.
//
// blockDim.x threads, one warp or more, share a row; a block has blockDim.y rows at a time.  Each
// thread takes packs threadIdx.x, threadIdx.x + blockDim.x, ... of its row, KEPT of them a turn.
// Nearly always one turn is all, and then the row is read once and stays in registers; longer rows
// are read again, from the cache.
//
// In single precision a thread adds up only the numbers of one turn, at most 16, and all of them
// shifted: by the row's first number for the mean, by the mean for the squares.  Sums of n numbers
// are wrong by at most n u sum |d| (u = 2^-24), so the variance by 18 u = 1e-6 of itself at most.
// The rest is added up in double precision: turns, then lanes, then warps, always in this order.
#include "packs.cuh"

constexpr int MOST = 512;     // threads of a block
// Packs of x in registers.  (A row of single numbers needs an address for each, and so more.)
template <bool WHOLE> constexpr int KEPT = WHOLE ? 4 : 1;
constexpr int GRAD_KEPT = 2;  // packs of x, of dL/dy and of two sums

// The sum over the threads that share a row, the same in all of them.  Every thread comes here.
__device__ __forceinline__ double row_sum(double value) {
  __shared__ double sums[32];
  value = warp_sum(value);
  if (blockDim.x == 32) return value;
  const int warps = blockDim.x / 32, lane = threadIdx.x % 32;
  const int first = threadIdx.y * warps;
  __syncthreads();  // the sums of the call before have been read
  if (lane == 0) sums[first + threadIdx.x / 32] = value;
  __syncthreads();
  return warp_sum(lane < warps ? sums[first + lane] : 0.0);
}

__device__ __forceinline__ Index pack_of(Index turn, int k, int kept) {
  return (turn * kept + k) * blockDim.x + threadIdx.x;
}

template <typename T, bool WHOLE, int N>
__device__ __forceinline__ void load_turn(const T* __restrict__ row, Cut<T, WHOLE> cut, Index turn,
                                          Wide<T> (&kept)[N][PACK<T>]) {
#pragma unroll
  for (int k = 0; k < N; ++k)
    if (pack_of(turn, k, N) < cut.packs) cut.load(row, pack_of(turn, k, N), kept[k]);
}

// sum d, or sum d^2 if SQUARED, over a row; d = x - centre.
template <bool SQUARED, typename T, bool WHOLE>
__device__ __forceinline__ double deviations(const T* __restrict__ row, Cut<T, WHOLE> cut,
                                             Index turns, Wide<T> centre, bool loaded,
                                             Wide<T> (&kept)[KEPT<WHOLE>][PACK<T>]) {
  double total = 0;
  for (Index turn = 0; turn < turns; ++turn) {
    if (!loaded || turns > 1) load_turn(row, cut, turn, kept);
    Wide<T> part = 0;
#pragma unroll
    for (int k = 0; k < KEPT<WHOLE>; ++k) {
      const Index pack = pack_of(turn, k, KEPT<WHOLE>);
      if (pack >= cut.packs) continue;
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j) {
        const Wide<T> d = kept[k][j] - centre;
        if (cut.has(pack, j)) part += SQUARED ? d * d : d;
      }
    }
    total += part;
  }
  return row_sum(total);
}

template <typename T, bool WHOLE>
__device__ __forceinline__ void normalize_row(const T* __restrict__ x, const T* __restrict__ gamma,
                                              const T* __restrict__ beta, T* __restrict__ y,
                                              double* mean, double* rstd, Index rows,
                                              Cut<T, WHOLE> cut, double epsilon, bool centred) {
  typedef Wide<T> W;
  W kept[KEPT<WHOLE>][PACK<T>], factor[PACK<T>], shift[PACK<T>];
  const Index mine = (Index)blockIdx.x * blockDim.y + threadIdx.y;
  const Index r = mine < rows ? mine : rows - 1;  // those too many keep the others company
  const Index turns = (cut.packs + KEPT<WHOLE> * blockDim.x - 1) / (KEPT<WHOLE> * blockDim.x);
  const T* row = x + r * cut.length;

  double m = 0;
  if (centred) {
    const W first = row[0];
    m = (double)first + deviations<false>(row, cut, turns, first, false, kept) / cut.length;
  }
  const W centre = m;  // rounding makes the squares larger by a known square
  const double rounded = m - (double)centre;
  const double squares = deviations<true>(row, cut, turns, centre, centred, kept) / cut.length;
  const double spread = squares - rounded * rounded;
  const double s = 1 / sqrt((spread < 0 ? 0 : spread) + epsilon);
  if (mine >= rows) return;
  if (threadIdx.x == 0) mean[r] = m, rstd[r] = s;

  const W scale = s, rest = -rounded * s;
  for (Index turn = 0; turn < turns; ++turn) {
    if (turns > 1) load_turn(row, cut, turn, kept);
#pragma unroll
    for (int k = 0; k < KEPT<WHOLE>; ++k) {
      const Index pack = pack_of(turn, k, KEPT<WHOLE>);
      if (pack >= cut.packs) continue;
      cut.load(gamma, pack, factor);
      cut.load(beta, pack, shift);
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j)
        kept[k][j] = ((kept[k][j] - centre) * scale + rest) * factor[j] + shift[j];
      cut.store(y + r * cut.length, pack, kept[k]);
    }
  }
}

// y = gamma * (x - mean) * rstd + beta, and mean and rstd (R,); mean is 0 if not `centred`.
template <typename T>
__global__ void __launch_bounds__(MOST)
normalize_rows(const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
               T* __restrict__ y, double* __restrict__ mean, double* __restrict__ rstd, Index rows,
               Index length, double epsilon, bool whole, bool centred) {
  if (whole)
    normalize_row(x, gamma, beta, y, mean, rstd, rows, Cut<T, true>(length), epsilon, centred);
  else
    normalize_row(x, gamma, beta, y, mean, rstd, rows, Cut<T, false>(length), epsilon, centred);
}

// ---- The way back -----------------------------------------------------------------------------
//
// With z = (x - mean) * rstd and v = gamma * dL/dy:
//     dL/dx = rstd * (v - mean(v) - z * mean(v z))          (no mean(v) if not centred)
//     dL/dgamma = sum over rows of dL/dy * z,    dL/dbeta = sum over rows of dL/dy
// A block has `chunk` rows, and while it has a row in registers it adds up the latter two.

// What a row's formula needs, with c = x - centre in place of x - mean.
template <typename W> struct Line {
  W centre, scale, rest;  // z = c * scale + rest

  __device__ Line(double mean, double rstd)
      : centre((W)mean), scale((W)rstd), rest((W)(((double)(W)mean - mean) * rstd)) {}
};

// sum v and sum v * (x - centre), over a row; what is read stays in g and in kept.
template <typename T, bool WHOLE>
__device__ __forceinline__ void weighted_sums(const T* __restrict__ g_row,
                                              const T* __restrict__ row,
                                              const T* __restrict__ gamma, Cut<T, WHOLE> cut,
                                              Index turns, Wide<T> centre,
                                              Wide<T> (&g)[GRAD_KEPT][PACK<T>],
                                              Wide<T> (&kept)[GRAD_KEPT][PACK<T>], double& total,
                                              double& product) {
  Wide<T> factor[PACK<T>];
  total = product = 0;
  for (Index turn = 0; turn < turns; ++turn) {
    load_turn(g_row, cut, turn, g);
    load_turn(row, cut, turn, kept);
    Wide<T> s = 0, p = 0;
#pragma unroll
    for (int k = 0; k < GRAD_KEPT; ++k) {
      const Index pack = pack_of(turn, k, GRAD_KEPT);
      if (pack >= cut.packs) continue;
      cut.load(gamma, pack, factor);
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j) {  // g is 0 beyond the row
        s += g[k][j] * factor[j];
        p += g[k][j] * factor[j] * (kept[k][j] - centre);
      }
    }
    total += s;
    product += p;
  }
  total = row_sum(total);
  product = row_sum(product);
}

template <typename T, bool WHOLE>
__device__ __forceinline__ void slope_row(const T* __restrict__ grad, const T* __restrict__ x,
                                          const T* __restrict__ gamma, const double* mean,
                                          const double* rstd, T* __restrict__ grad_x, Index r,
                                          bool mine, Cut<T, WHOLE> cut, bool centred,
                                          Wide<T> (&gammas)[GRAD_KEPT][PACK<T>],
                                          Wide<T> (&betas)[GRAD_KEPT][PACK<T>]) {
  typedef Wide<T> W;
  W g[GRAD_KEPT][PACK<T>], kept[GRAD_KEPT][PACK<T>], factor[PACK<T>];
  const Index turns = (cut.packs + GRAD_KEPT * blockDim.x - 1) / (GRAD_KEPT * blockDim.x);
  const T *g_row = grad + r * cut.length, *row = x + r * cut.length;
  const double m = mean[r], s = rstd[r];
  const Line<W> line(m, s);
  double total, product;
  weighted_sums(g_row, row, gamma, cut, turns, line.centre, g, kept, total, product);
  if (!mine) return;

  const double moved = (double)line.centre - m;
  product += total * moved;
  const double b = -s * s * s * product / cut.length;
  const W by_x = b, by_one = (centred ? -s * total / cut.length : 0) + b * moved;
  for (Index turn = 0; turn < turns; ++turn) {
    if (turns > 1) {
      load_turn(g_row, cut, turn, g);
      load_turn(row, cut, turn, kept);
    }
#pragma unroll
    for (int k = 0; k < GRAD_KEPT; ++k) {
      const Index pack = pack_of(turn, k, GRAD_KEPT);
      if (pack >= cut.packs) continue;
      cut.load(gamma, pack, factor);
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j) {
        const W c = kept[k][j] - line.centre;
        gammas[k][j] += g[k][j] * (c * line.scale + line.rest);  // of use if there is one turn
        betas[k][j] += g[k][j];
        kept[k][j] = line.scale * (g[k][j] * factor[j]) + (by_x * c + by_one);
      }
      cut.store(grad_x + r * cut.length, pack, kept[k]);
    }
  }
}

template <typename T, bool WHOLE>
__device__ __forceinline__ void slope_chunk(const T* grad, const T* x, const T* gamma,
                                            const double* mean, const double* rstd, T* grad_x,
                                            double* parts, Index rows, Cut<T, WHOLE> cut,
                                            Index chunk, bool centred) {
  Wide<T> gammas[GRAD_KEPT][PACK<T>] = {}, betas[GRAD_KEPT][PACK<T>] = {};
  const Index first = blockIdx.x * chunk;
  for (Index k = 0; k < chunk; k += blockDim.y) {
    const Index r = first + k + threadIdx.y;
    const bool mine = k + threadIdx.y < chunk && r < rows;
    slope_row(grad, x, gamma, mean, rstd, grad_x, mine ? r : rows - 1, mine, cut, centred, gammas,
              betas);
  }
  if (parts == nullptr) return;
  double* mine = parts + blockIdx.x * 2 * cut.length;
#pragma unroll
  for (int k = 0; k < GRAD_KEPT; ++k) {
    double one[PACK<T>], two[PACK<T>];
#pragma unroll
    for (int j = 0; j < PACK<T>; ++j) one[j] = gammas[k][j], two[j] = betas[k][j];
    add_columns(one);
    add_columns(two);
    const Index pack = pack_of(0, k, GRAD_KEPT);
    if (threadIdx.y != 0 || pack >= cut.packs) continue;
#pragma unroll
    for (int j = 0; j < PACK<T>; ++j) {
      if (!cut.has(pack, j)) continue;
      mine[cut.place(pack, j)] = one[j];
      mine[cut.length + cut.place(pack, j)] = two[j];
    }
  }
}

// grad_x (R, M), and parts (chunks, 2, M) of dL/dgamma and dL/dbeta unless there are none.
template <typename T>
__global__ void __launch_bounds__(MOST)
slope_rows(const T* __restrict__ grad, const T* __restrict__ x, const T* __restrict__ gamma,
           const double* __restrict__ mean, const double* __restrict__ rstd,
           T* __restrict__ grad_x, double* __restrict__ parts, Index rows, Index length,
           Index chunk, bool whole, bool centred) {
  if (whole)
    slope_chunk(grad, x, gamma, mean, rstd, grad_x, parts, rows, Cut<T, true>(length), chunk,
                centred);
  else
    slope_chunk(grad, x, gamma, mean, rstd, grad_x, parts, rows, Cut<T, false>(length), chunk,
                centred);
}

// The same parts where rows are too long for registers: a thread to a column, `chunk` rows a
// block, at most 32 of them for each thread.
template <typename T>
__global__ void __launch_bounds__(THREADS)
feature_parts(const T* __restrict__ grad, const T* __restrict__ x,
              const double* __restrict__ mean, const double* __restrict__ rstd,
              double* __restrict__ parts, Index rows, Index length, Index chunk) {
  typedef Wide<T> W;
  const Index column = first_index();
  const Index first = blockIdx.y * chunk, last = first + chunk < rows ? first + chunk : rows;
  W gammas = 0, betas = 0;
  if (column < length)
    for (Index r = first + threadIdx.y; r < last; r += blockDim.y) {
      const Line<W> line(mean[r], rstd[r]);
      const W g = grad[r * length + column], c = W(x[r * length + column]) - line.centre;
      gammas += g * (c * line.scale + line.rest);
      betas += g;
    }
  double one[1] = {gammas}, two[1] = {betas};
  add_columns(one);
  add_columns(two);
  if (threadIdx.y != 0 || column >= length) return;
  double* mine = parts + blockIdx.y * 2 * length;
  mine[column] = one[0];
  mine[length + column] = two[0];
}
