// Rows of numbers in packs, and sums down the columns of a block: what the kernels that walk
// through channels-last images have in common.
#pragma once
#include "common.cuh"

constexpr int THREADS = 256;  // of a block whose columns are added up, at most

// How many neighbours a thread reads at once: 16 bytes, or 8 of half-precision numbers, for
// coefficients and sums of eight channels would take the registers of other threads.
template <typename T> constexpr int PACK = sizeof(T) == 8 ? 2 : 4;

// How a row is cut into packs.  WHOLE: pack p is numbers p*PACK, p*PACK + 1, ..., at an address
// that is a multiple of its size.  Where that cannot be, it is numbers p, p + packs, p + 2*packs,
// ...: neighbouring threads still touch neighbouring numbers, one at a time.
template <typename T, bool WHOLE> struct Cut {
  Index length, packs;

  __device__ explicit Cut(Index numbers)
      : length(numbers), packs((numbers + PACK<T> - 1) / PACK<T>) {}

  __device__ Index place(Index pack, int j) const {
    return WHOLE ? pack * PACK<T> + j : pack + j * packs;
  }

  __device__ bool has(Index pack, int j) const { return WHOLE || place(pack, j) < length; }

  __device__ __forceinline__ void load(const T* __restrict__ row, Index pack,
                                       Wide<T> (&values)[PACK<T>]) const {
    if (WHOLE) {
      const Pack<T, PACK<T>> all = read_pack<PACK<T>>(row + pack * PACK<T>);
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j) values[j] = all.lane[j];
    } else {
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j)
        values[j] = has(pack, j) ? Wide<T>(row[place(pack, j)]) : Wide<T>(0);
    }
  }

  __device__ __forceinline__ void store(T* __restrict__ row, Index pack,
                                        const Wide<T> (&values)[PACK<T>]) const {
    if (WHOLE) {
      Pack<T, PACK<T>> all;
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j) all.lane[j] = T(values[j]);
      write_pack(row + pack * PACK<T>, all);
    } else {
#pragma unroll
      for (int j = 0; j < PACK<T>; ++j)
        if (has(pack, j)) row[place(pack, j)] = T(values[j]);
    }
  }
};

// For each j, the sum of values[j] over threadIdx.y, in the thread with threadIdx.y = 0.  In each
// round the upper half of the threads hands its sums down: which numbers are added to one another
// depends on the size of the block alone.  Every thread of the block must come here.
template <int N> __device__ void add_columns(double (&values)[N]) {
  if (blockDim.y == 1) return;
  __shared__ double columns[N][THREADS];
  const int me = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int j = 0; j < N; ++j) columns[j][me] = values[j];  // which, after a call, no other reads
  __syncthreads();
  for (int high = blockDim.y; high > 1;) {
    const int half = (high + 1) / 2;
    if ((int)threadIdx.y + half < high)
#pragma unroll
      for (int j = 0; j < N; ++j) columns[j][me] += columns[j][me + half * blockDim.x];
    __syncthreads();
    high = half;
  }
#pragma unroll
  for (int j = 0; j < N; ++j) values[j] = columns[j][me];
}
