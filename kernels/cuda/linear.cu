// The matrix product three times, y (rows x columns) = a (rows x depth) b (depth x columns), each
// step of the lesson with its reason.  All three add in the same order and give the same bits.
// `matmul` itself leaves the work to cuBLAS; tensor_cores.cu has the fourth step.
#include "common.cuh"

// 1. By the definition: a thread for each number of y.  For one multiplication two numbers are
// fetched from global memory.  A GPU multiplies tens of times faster than it fetches.
template <typename T>
__global__ void product_of_threads(const T* __restrict__ a, const T* __restrict__ b,
                                   T* __restrict__ y, Index rows, Index columns, Index depth) {
  for (Index i = first_index(); i < rows * columns; i += index_step()) {
    const Index row = i / columns, column = i % columns;
    Wide<T> sum = 0;
    for (Index k = 0; k < depth; ++k)
      sum += Wide<T>(a[row * depth + k]) * Wide<T>(b[k * columns + column]);
    y[i] = T(sum);
  }
}

// 2. A block of 16 x 16 threads fetches a tile of a and one of b together and keeps them in shared
// memory, where all of them find what they need: every number is fetched once for 16 products.
constexpr int TILE = 16;

template <typename T>
__global__ void product_of_tiles(const T* __restrict__ a, const T* __restrict__ b,
                                 T* __restrict__ y, Index rows, Index columns, Index depth) {
  __shared__ T left[TILE][TILE];
  __shared__ T right[TILE][TILE];
  const Index across = (columns + TILE - 1) / TILE;
  const Index row = blockIdx.x / across * TILE + threadIdx.y;
  const Index column = blockIdx.x % across * TILE + threadIdx.x;
  Wide<T> sum = 0;
  for (Index first = 0; first < depth; first += TILE) {
    const Index k = first + threadIdx.x, l = first + threadIdx.y;
    // Past the edges are zeros: they add nothing, and every thread reaches every barrier.
    left[threadIdx.y][threadIdx.x] = row < rows && k < depth ? a[row * depth + k] : T(0.0f);
    right[threadIdx.y][threadIdx.x] = l < depth && column < columns ? b[l * columns + column]
                                                                    : T(0.0f);
    __syncthreads();  // both tiles are there
#pragma unroll
    for (int i = 0; i < TILE; ++i)
      sum += Wide<T>(left[threadIdx.y][i]) * Wide<T>(right[i][threadIdx.x]);
    __syncthreads();  // all have read them: they may be overwritten
  }
  if (row < rows && column < columns) y[row * columns + column] = T(sum);
}

// 3. Now shared memory is the narrow place: two reads for one multiplication.  So a thread takes
// 4 x 4 sums: 4 + 4 numbers go to registers and are multiplied 16 times.
constexpr int SIDE = 64, SLICE = 16, EACH = 4;

template <typename T>
__global__ void product_of_registers(const T* __restrict__ a, const T* __restrict__ b,
                                     T* __restrict__ y, Index rows, Index columns, Index depth) {
  // The tile of a is kept turned, k first.  The threads of a warp fetch 16 neighbours of two of its
  // rows (neighbours in memory come in one piece) and so write down 16 rows of `left`.  Were these
  // 64 numbers of 4 bytes apart, all 16 would lie in one of the 32 banks of shared memory and be
  // written one after the other.  Two more numbers in each row move them to 16 different banks.
  __shared__ T left[SLICE][SIDE + 2];
  __shared__ T right[SLICE][SIDE];
  const Index across = (columns + SIDE - 1) / SIDE;
  const Index top = blockIdx.x / across * SIDE, start = blockIdx.x % across * SIDE;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  Wide<T> sums[EACH][EACH] = {};
  for (Index first = 0; first < depth; first += SLICE) {
    for (int i = thread; i < SIDE * SLICE; i += 256) {
      const Index row = top + i / SLICE, k = first + i % SLICE;
      left[i % SLICE][i / SLICE] = row < rows && k < depth ? a[row * depth + k] : T(0.0f);
      const Index l = first + i / SIDE, column = start + i % SIDE;
      right[i / SIDE][i % SIDE] = l < depth && column < columns ? b[l * columns + column]
                                                                : T(0.0f);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < SLICE; ++k) {
      Wide<T> mine[EACH], others[EACH];
#pragma unroll
      for (int i = 0; i < EACH; ++i) {  // neighbours 16 apart, so that a warp reads 16 in a row
        mine[i] = left[k][threadIdx.y + i * 16];
        others[i] = right[k][threadIdx.x + i * 16];
      }
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) sums[i][j] += mine[i] * others[j];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < EACH; ++i)
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
      const Index row = top + threadIdx.y + i * 16, column = start + threadIdx.x + j * 16;
      if (row < rows && column < columns) y[row * columns + column] = T(sums[i][j]);
    }
}
