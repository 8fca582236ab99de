// One step of an optimiser for all parameters of a type in one launch.
//
// A net has dozens of small parameters; a launch for each would take longer than the arithmetic.
// So they are one line of pieces of PIECE numbers, a piece for each block of threads, and a table
// says where each parameter begins on the line and where its arrays lie in memory:
//
//     row of the table: first piece, size, address of the weight, of the gradient, of its slots
//
// Every element is computed alike, by the formulas of kernels/plain/optimizer.py, in Wide<T>: half
// precision is computed, and its slots are kept, in single precision.
#include "common.cuh"

constexpr int THREADS = 256, EACH = 4;     // numbers for each thread, loaded before any is stored
constexpr Index PIECE = THREADS * EACH;    // as in optimizer.py
constexpr int MANY = 16;                   // pieces that a block of the sum of squares adds up

// Which parameter the piece belongs to: the last row that begins at it or before.
__device__ __forceinline__ const Index* row_of(const Index* __restrict__ table, Index parameters,
                                               int columns, Index piece) {
  Index low = 0, high = parameters;  // the row is in [low, high)
  while (high - low > 1) {
    const Index middle = (low + high) / 2;
    if (table[middle * columns] <= piece) low = middle;
    else high = middle;
  }
  return table + low * columns;
}

template <typename N> __device__ __forceinline__ N* array_at(Index address) {
  return reinterpret_cast<N*>(address);
}

// What gradients are multiplied by. If it is not finite, a gradient was not, and nothing may be
// written: so the host need not wait to find out before it launches the update.
__device__ __forceinline__ double factor_of(const double* __restrict__ factor) {
  return factor ? *factor : 1.0;
}
__device__ __forceinline__ bool usable(double factor) { return factor - factor == 0.0; }

// The place of a thread's j-th number in its parameter; the threads lie side by side.
__device__ __forceinline__ Index place_of(const Index* row, Index piece, int j) {
  return (piece - row[0]) * PIECE + j * THREADS + threadIdx.x;
}

// table (P, 5): with the velocity's address, 0 if there is no momentum.
// varying, if it is there: the learning rate.
template <typename T>
__global__ void sgd_update(const Index* __restrict__ table, Index parameters, double learning_rate,
                           double momentum, bool nesterov, double weight_decay,
                           const double* __restrict__ factor, const double* __restrict__ varying) {
  typedef Wide<T> W;
  const double scale = factor_of(factor);
  if (!usable(scale)) return;
  const Index piece = blockIdx.x;
  const Index* row = row_of(table, parameters, 5, piece);
  T* weight = array_at<T>(row[2]);
  const T* grad = array_at<const T>(row[3]);
  W* velocity = array_at<W>(row[4]);
  const W rate = (W)(varying ? varying[0] : learning_rate);
  const W keep = (W)momentum, decay = (W)weight_decay;
  W w[EACH], g[EACH], v[EACH];
#pragma unroll
  for (int j = 0; j < EACH; ++j) {
    const Index i = place_of(row, piece, j);
    if (i >= row[1]) continue;
    w[j] = weight[i];
    g[j] = factor ? (W)grad[i] * (W)scale : (W)grad[i];
    v[j] = velocity ? velocity[i] : W(0);
  }
#pragma unroll
  for (int j = 0; j < EACH; ++j) {
    const Index i = place_of(row, piece, j);
    if (i >= row[1]) continue;
    g[j] += decay * w[j];
    if (velocity) {
      v[j] = keep * v[j] + g[j];
      velocity[i] = v[j];
      g[j] = nesterov ? g[j] + keep * v[j] : v[j];
    }
    weight[i] = T(w[j] - rate * g[j]);
  }
}

// table (P, 6): with the addresses of the mean and of the square.
// varying, if it is there: rate, correction, shrink.
template <typename T>
__global__ void adam_update(const Index* __restrict__ table, Index parameters, double rate_,
                            double correction_, double shrink_, double beta1, double beta2,
                            double epsilon_, double weight_decay,
                            const double* __restrict__ factor,
                            const double* __restrict__ varying) {
  typedef Wide<T> W;
  const double scale = factor_of(factor);
  if (!usable(scale)) return;
  const Index piece = blockIdx.x;
  const Index* row = row_of(table, parameters, 6, piece);
  T* weight = array_at<T>(row[2]);
  const T* grad = array_at<const T>(row[3]);
  W* mean = array_at<W>(row[4]);
  W* square = array_at<W>(row[5]);
  const W rate = (W)(varying ? varying[0] : rate_);
  const W correction = (W)(varying ? varying[1] : correction_);
  const W shrink = (W)(varying ? varying[2] : shrink_);
  const W keep1 = (W)beta1, rest1 = (W)(1 - beta1), keep2 = (W)beta2, rest2 = (W)(1 - beta2);
  const W epsilon = (W)epsilon_, decay = (W)weight_decay;
  W w[EACH], g[EACH], m[EACH], s[EACH];
#pragma unroll
  for (int j = 0; j < EACH; ++j) {
    const Index i = place_of(row, piece, j);
    if (i >= row[1]) continue;
    w[j] = weight[i];
    g[j] = factor ? (W)grad[i] * (W)scale : (W)grad[i];
    m[j] = mean[i];
    s[j] = square[i];
  }
#pragma unroll
  for (int j = 0; j < EACH; ++j) {
    const Index i = place_of(row, piece, j);
    if (i >= row[1]) continue;
    g[j] += decay * w[j];
    m[j] = keep1 * m[j] + rest1 * g[j];
    s[j] = keep2 * s[j] + rest2 * (g[j] * g[j]);
    mean[i] = m[j];
    square[i] = s[j];
    weight[i] = T(w[j] - shrink * w[j] - rate * m[j] / (sqrt(s[j] * correction) + epsilon));
  }
}

// The squares of MANY pieces at a time are added up by a block, in float64 and in one order.
// table (P, 3), a row: first block, size, address -> partial (blocks).
template <typename T>
__global__ void partial_squares(const Index* __restrict__ table, Index arrays,
                                double* __restrict__ partial) {
  const Index block = blockIdx.x;
  const Index* row = row_of(table, arrays, 3, block);
  const T* x = array_at<const T>(row[2]);
  const Index begin = (block - row[0]) * PIECE * MANY;
  const Index end = begin + PIECE * MANY < row[1] ? begin + PIECE * MANY : row[1];
  double sum = 0;
  for (Index i = begin + threadIdx.x; i < end; i += THREADS) {
    const double value = (Wide<T>)x[i];
    sum += value * value;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[block] = sum;
}

// partial (blocks) -> squares: array a's goes to place row[1].
// table (P, 3), a row: first block, place, blocks.
extern "C" __global__ void total_squares(const Index* __restrict__ table,
                                         const double* __restrict__ partial,
                                         double* __restrict__ squares) {
  const Index* row = table + 3 * (Index)blockIdx.x;
  double sum = 0;
  for (Index i = threadIdx.x; i < row[2]; i += THREADS) sum += partial[row[0] + i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) squares[row[1]] = sum;
}
