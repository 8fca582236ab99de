// Many numbers become one: how the threads of blocks of 256 share sums and extremes.
//
// Results must not depend on the card, so the cut into parts comes from the shape alone (the
// launcher chooses it), and each part is joined in one fixed order, by pairs.
#pragma once
#include "map.cuh"

constexpr int REDUCE_THREADS = 256, REDUCE_WIDTH = 64;

template <> struct WideOf<Index> { typedef Index type; };

// ---- What is joined -----------------------------------------------------------------------------

struct Sum {
  template <typename X> using Total = Wide<X>;
  template <typename X> static __device__ __forceinline__ Wide<X> value(X x, X) { return x; }
  template <typename A> static __device__ __forceinline__ A start() { return A(0); }
  template <typename A> static __device__ __forceinline__ A join(A a, A b) { return a + b; }
};

// A NaN wins: no comparison holds for it, and b != b finds it.
struct Largest {
  template <typename X> using Total = Wide<X>;
  template <typename X> static __device__ __forceinline__ Wide<X> value(X x, X) { return x; }
  template <typename A> static __device__ __forceinline__ A start() { return A(-INFINITY); }
  template <typename A> static __device__ __forceinline__ A join(A a, A b) {
    return b > a || b != b ? b : a;
  }
};

struct Smallest {
  template <typename X> using Total = Wide<X>;
  template <typename X> static __device__ __forceinline__ Wide<X> value(X x, X) { return x; }
  template <typename A> static __device__ __forceinline__ A start() { return A(INFINITY); }
  template <typename A> static __device__ __forceinline__ A join(A a, A b) {
    return b < a || b != b ? b : a;
  }
};

// How many are the best, which is known already; a NaN always is.
struct Ties {
  template <typename X> using Total = Index;
  template <typename X> static __device__ __forceinline__ Index value(X x, X best) {
    const Wide<X> v = x;
    return v == Wide<X>(best) || v != v;
  }
  template <typename A> static __device__ __forceinline__ A start() { return A(0); }
  template <typename A> static __device__ __forceinline__ A join(A a, A b) { return a + b; }
};

// ---- Rows: a team of 1, 2, 4, ... 32 neighbouring threads, or all 256, join one row -------------

// for (Index begin = mine.first; begin < rows; begin += mine.step) row = begin + mine.number;
struct Team {
  unsigned size, lane, number;  // how many threads; which one is this; of which team of the block
  Index first, step;

  __device__ __forceinline__ explicit Team(Index threads) {
    size = (unsigned)threads;
    lane = threadIdx.x % size;
    number = threadIdx.x / size;
    first = (Index)blockIdx.x * (REDUCE_THREADS / size);
    step = (Index)gridDim.x * (REDUCE_THREADS / size);
  }
};

// All threads of the block must come here; each gets what its team has joined.
template <typename Op, typename A>
__device__ __forceinline__ A join_team(A value, const Team& mine) {
  for (unsigned step = (mine.size < 32 ? mine.size : 32) / 2; step; step /= 2)
    value = Op::join(value, __shfl_xor_sync(0xFFFFFFFFu, value, step));
  if (mine.size > 32) {
    constexpr int WARPS = REDUCE_THREADS / 32;
    __shared__ A of_warp[WARPS];
    __syncthreads();  // what the call before has left here was read
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warp[0];
#pragma unroll
    for (int w = 1; w < WARPS; ++w) value = Op::join(value, of_warp[w]);
  }
  return value;
}

// Where number 0 of a row lies in (outer, count, inner); the next lies `inner` further.
__device__ __forceinline__ Index row_start(Index row, Index count, Index inner) {
  if (inner == 1) return row * count;
  const Index outer = quotient(row, inner);
  return outer * count * inner + (row - outer * inner);
}

// ---- Columns: (outer, count, inner), where inner numbers lie side by side -----------------------

// A block takes up to 64 neighbouring columns of one part of `count`; if they are fewer, or just
// 64, several groups of threads take every so many-th row, and are joined at the end:
//
//      column        0 1 2 ... | 0 1 2 ... | 0 1 2 ...      width = 3, say
//      row           0         | 1         | 2              groups = 256 / 3 = 85
//
// So neighbouring threads always read neighbouring numbers.
__device__ __forceinline__ Index column_tiles(Index inner) {
  return (inner + REDUCE_WIDTH - 1) / REDUCE_WIDTH;
}

__device__ __forceinline__ Index column_blocks(Index outer, Index inner, Index parts) {
  return column_tiles(inner) * parts * outer;
}

struct Columns {
  int width, groups;          // of the block
  Index outer, part, column;  // of this thread
  Index first, stop, step;    // its rows; none if it has no column
  bool active, writes;

  __device__ __forceinline__ Columns(Index block, Index count, Index inner, Index parts) {
    width = inner < REDUCE_WIDTH ? (int)inner : REDUCE_WIDTH;
    groups = REDUCE_THREADS / width;
    const Index tiles = column_tiles(inner), length = (count + parts - 1) / parts;
    const Index others = quotient(block, tiles);
    const int group = threadIdx.x / width;
    outer = quotient(others, parts);
    part = others - outer * parts;
    column = (block - others * tiles) * width + threadIdx.x % width;
    active = group < groups && column < inner;
    writes = active && group == 0;
    step = groups;
    first = part * length + group;
    stop = part * length + length < count ? part * length + length : count;
    if (!active) stop = first;
  }
};

// Joins what the groups of a block have found; the threads that write get the result.
// All threads of the block must come here.
template <typename Op, typename A> __device__ A join_groups(A value, const Columns& mine) {
  __shared__ A found[REDUCE_THREADS];  // of the call before, each thread reads only its own at last
  found[threadIdx.x] = value;
  __syncthreads();
  for (int left = mine.groups; left > 1; left = (left + 1) / 2) {
    const int half = (left + 1) / 2, other = threadIdx.x + half * mine.width;
    if (other < left * mine.width)
      found[threadIdx.x] = Op::join(found[threadIdx.x], found[other]);
    __syncthreads();
  }
  return found[threadIdx.x];
}
