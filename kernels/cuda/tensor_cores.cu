// Convolution as a matrix product on tensor cores: geometry.cuh says of which matrices,
// matrix_tiles.cuh how their tiles are multiplied.  The matrix of all windows is never made: while
// a stage of its columns is copied to shared memory, its pixels are picked where they lie.
//
// What _tensor_cores.py asks for, by Kind, ROWS, COLUMNS and ALIGNED:
// instances: window_product<Tf32, 128, 128, true>, window_product<Tf32, 128, 64, true>
// instances: window_product<Tf32, 64, 64, true>, window_product<Tf32, 64, 64, false>
// instances: weight_product<Tf32, 128, 128, true>, weight_product<Tf32, 128, 64, true>
// instances: weight_product<Tf32, 64, 128, true>, weight_product<Tf32, 64, 64, true>
// instances: weight_product<Tf32, 64, 64, false>
// instances: window_product<Bfloat, 128, 128, true>, window_product<Bfloat, 128, 64, true>
// instances: window_product<Bfloat, 64, 64, true>, window_product<Bfloat, 64, 64, false>
// instances: weight_product<Bfloat, 128, 128, true>, weight_product<Bfloat, 128, 64, true>
// instances: weight_product<Bfloat, 64, 128, true>, weight_product<Bfloat, 64, 64, true>
// instances: weight_product<Bfloat, 64, 64, false>
// instances: window_product<Half, 128, 128, true>, window_product<Half, 128, 64, true>
// instances: window_product<Half, 64, 64, true>, window_product<Half, 64, 64, false>
// instances: weight_product<Half, 128, 128, true>, weight_product<Half, 128, 64, true>
// instances: weight_product<Half, 64, 128, true>, weight_product<Half, 64, 64, true>
// instances: weight_product<Half, 64, 64, false>
#include "common.cuh"
#include "matrix_units.cuh"
#include "matrix_tiles.cuh"
#include "geometry.cuh"

// Where a window begins, in 16 bytes: what Row of geometry.cuh says, with the origin counted in
// pixels (the host sees to it that they are fewer than 2^31).
struct Start { int pixel, d, h, w; };

__device__ __forceinline__ Start start_of(const Geometry& g, unsigned m) {
  Start start = {0, OUTSIDE, 0, 0};
  if (m >= g.rows) return start;
  const Place at = place_of(g, m);
  start.d = (int)at.d * g.d.step + g.d.shift;
  start.h = (int)at.h * g.h.step + g.h.shift;
  start.w = (int)at.w * g.w.step + g.w.shift;
  start.pixel =
      (((int)at.n * g.d.length + start.d) * g.h.length + start.h) * g.w.length + start.w;
  return start;
}

__device__ __forceinline__ bool meets(const Geometry& g, const Start& start, const Tap& tap) {
  const Row row = {0, start.d, start.h, start.w};
  return inside(g, row, tap);
}

// The part of the result that a block makes.  Blocks of the same rows follow one another, while
// these rows of A are in the cache.
struct Part {
  unsigned row, column;  // its first
  Index group, other;    // other: the class of pixels, or the chunk of a sum
};

template <int ROWS, int COLUMNS>
__device__ __forceinline__ Part part_of(Index block, Index groups, Index row_tiles,
                                        Index column_tiles) {
  Part part;
  part.column = block % column_tiles * COLUMNS;
  block /= column_tiles;
  part.row = block % row_tiles * ROWS;
  block /= row_tiles;
  part.group = block % groups;
  part.other = block / groups;
  return part;
}

// Copy a chunk, or its number e alone; zeros if not `valid`.  `any` is an address that exists.
template <bool ALIGNED, typename Number>
__device__ __forceinline__ void copy(unsigned char* to, int e, const Number* any, Index at,
                                     bool valid) {
  if constexpr (ALIGNED) {
    copy_async(to, valid ? any + at : any, valid);
  } else {
    reinterpret_cast<Number*>(to)[e] = valid ? any[at] : Number(0.0f);
  }
}

// Two neighbours of a row of the result; `pairs`: the first lies at a multiple of two numbers.
__device__ __forceinline__ void store_pair(float* to, float first, float second, bool pairs) {
  if (pairs) {
    *reinterpret_cast<float2*>(to) = make_float2(first, second);
  } else {
    to[0] = first;
    to[1] = second;
  }
}
__device__ __forceinline__ void store_pair(half_t* to, float first, float second, bool pairs) {
  if (pairs) {
    *reinterpret_cast<Register*>(to) = to_halves(first, second);
  } else {
    to[0] = half_t(first);
    to[1] = half_t(second);
  }
}

// Store a warp's sums, whose first row and column are given.  line(m) is where row m of the result
// begins, or null if there is none; a row has so many columns.
template <typename Number, int HIGH, int WIDE, typename Line>
__device__ __forceinline__ void store_sums(const float (&sums)[HIGH][WIDE][4], unsigned row,
                                           unsigned column, unsigned columns,
                                           const Number* __restrict__ bias, const Line& line) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 2 * HIGH; ++i) {
    Number* to = line(row + 8 * i + lane / 4);
    if (!to) continue;
#pragma unroll
    for (int j = 0; j < WIDE; ++j) {
      const unsigned o = column + 8 * j + lane % 4 * 2;
      float first = sums[i / 2][j][i % 2 * 2], second = sums[i / 2][j][i % 2 * 2 + 1];
      if (bias && o < columns) first += float(bias[o]);
      if (bias && o + 1 < columns) second += float(bias[o + 1]);
      if (o + 1 < columns) {
        store_pair(to + o, first, second, columns % 2 == 0);
      } else if (o < columns) {
        to[o] = Number(first);
      }
    }
  }
}

// Begin to copy rows of A, from column k on: a chunk of each of the thread's rows.
template <typename Kind, int ROWS, bool ALIGNED, typename Number>
__device__ __forceinline__ void load_windows(unsigned char* tile, const Number* source,
                                             const Geometry& g, const Start* starts, unsigned k) {
  const int chunk = threadIdx.x % 8, line = threadIdx.x / 8;  // eight threads copy one row
#pragma unroll 1
  for (int e = 0; e < (ALIGNED ? 1 : VECTOR<Kind>); ++e) {
    const Tap tap = tap_of(g, k + e);
#pragma unroll
    for (int i = line; i < ROWS; i += THREADS / 8) {
      const Start start = starts[i];
      const Index at = (Index)start.pixel * g.source_channels + tap.offset;
      copy<ALIGNED>(row_chunk(tile, i, chunk), e, source, at, meets(g, start, tap));
    }
  }
}

// The same of the weight's rows, `depth` numbers each: the class has some of their offsets only.
template <typename Kind, int COLUMNS, bool ALIGNED, typename Number>
__device__ __forceinline__ void load_filters(unsigned char* tile, const Number* weight,
                                             const Geometry& g, Index depth, unsigned first,
                                             unsigned columns, unsigned k) {
  const int chunk = threadIdx.x % 8, line = threadIdx.x / 8;
#pragma unroll 1
  for (int e = 0; e < (ALIGNED ? 1 : VECTOR<Kind>); ++e) {
    const unsigned tap = g.channels.quotient(k + e), channel = k + e - tap * g.channels.by;
    const Index at = (Index)weight_offset(g, tap) * g.channels.by + channel;
#pragma unroll
    for (int j = line; j < COLUMNS; j += THREADS / 8)
      copy<ALIGNED>(row_chunk(tile, j, chunk), e, weight, (first + j) * depth + at,
                    k + e < g.depth && first + j < columns);
  }
}

// result[m][o] = bias[o] + sum_k A[m][k] weight[o][k]: forward, and the input gradient.
//
//   source   (images, *length, source_channels), channels last
//   weight   (groups, columns, offsets in the window, channels of a group): k is contiguous
//   result   (images, *result_length, groups * columns)
//
// ALIGNED: channels come in whole chunks of 16 bytes, which copy_async takes without registers.
// The bounds: so many blocks shall find room on a multiprocessor, which limits their registers.
template <typename Kind, int ROWS, int COLUMNS, bool ALIGNED>
__global__ void __launch_bounds__(THREADS, ALIGNED && ROWS * COLUMNS <= 64 * 64 ? 4 : 2)
window_product(const typename Kind::Number* __restrict__ source,
               const typename Kind::Number* __restrict__ weight,
               const typename Kind::Number* __restrict__ bias,
               typename Kind::Number* __restrict__ result, const int* __restrict__ table,
               Index columns, Index groups, Index row_tiles, Index column_tiles) {
  __shared__ Geometry g;
  __shared__ Start starts[ROWS];
  DYNAMIC_SHARED(unsigned char, tiles);  // [STAGES][ROWS + COLUMNS][ROW_BYTES]
  const Part part = part_of<ROWS, COLUMNS>(blockIdx.x, groups, row_tiles, column_tiles);
  load_geometry(g, table, part.other);
  if (part.row >= g.rows) return;  // the whole block: this class has fewer rows than others
  for (int i = threadIdx.x; i < ROWS; i += THREADS) starts[i] = start_of(g, part.row + i);
  __syncthreads();

  const Index depth = (Index)g.d.size * g.h.size * g.w.size * g.channels.by;
  source += part.group * g.channels.by;
  weight += part.group * columns * depth;
  result += part.group * columns;
  if (bias) bias += part.group * columns;
  auto tile = [&](int slot) { return tiles + slot * (ROWS + COLUMNS) * ROW_BYTES; };
  auto load = [&](int stage, int slot) {
    const unsigned k = stage * STAGE_DEPTH<Kind> + threadIdx.x % 8 * VECTOR<Kind>;
    unsigned char* a = tile(slot);
    load_windows<Kind, ROWS, ALIGNED>(a, source, g, starts, k);
    load_filters<Kind, COLUMNS, ALIGNED>(a + ROWS * ROW_BYTES, weight, g, depth, part.column,
                                         columns, k);
  };

  const int warp = threadIdx.x / 32;
  const int row = warp / 2 * (ROWS / 2), column = warp % 2 * (COLUMNS / 2);
  float sums[ROWS / 32][COLUMNS / 16][4] = {};
  walk_stages((g.depth + STAGE_DEPTH<Kind> - 1) / STAGE_DEPTH<Kind>, load, [&](int slot) {
    multiply_rows<Kind>(sums, tile(slot), tile(slot) + ROWS * ROW_BYTES, row, column);
  });
  store_sums(sums, part.row + row, part.column + column, columns, bias, [&](unsigned m) {
    return m < g.rows ? result + result_pixel(g, m) * g.result_channels : nullptr;
  });
}

// Begin to copy lines of grad_y, and of A, from pixel m on: some chunks of the thread's lines.
template <typename Kind, int ROWS, bool ALIGNED, typename Number>
__device__ __forceinline__ void load_grads(unsigned char* tile, const Number* grad_y,
                                           const Geometry& g, Index outputs, unsigned first,
                                           unsigned filters, unsigned m) {
  constexpr int VEC = VECTOR<Kind>, EACH = ALIGNED ? VEC : 1;
#pragma unroll
  for (int k = threadIdx.x / 8; k < STAGE_PIXELS; k += THREADS / 8)
#pragma unroll
    for (int i = threadIdx.x % 8; i < ROWS / VEC; i += 8)
#pragma unroll
      for (int e = 0; e < VEC; e += EACH) {
        const unsigned o = first + i * VEC + e;
        copy<ALIGNED>(line_chunk<Kind, ROWS>(tile, k, i), e, grad_y, (m + k) * outputs + o,
                      m + k < g.rows && o < filters);
      }
}

template <typename Kind, int COLUMNS, bool ALIGNED, typename Number>
__device__ __forceinline__ void load_pixels(unsigned char* tile, const Number* x,
                                            const Geometry& g, const Tap* taps, unsigned m) {
  constexpr int VEC = VECTOR<Kind>, EACH = ALIGNED ? VEC : 1;
#pragma unroll
  for (int k = threadIdx.x / 8; k < STAGE_PIXELS; k += THREADS / 8) {
    const Row row = row_of(g, m + k);
#pragma unroll
    for (int j = threadIdx.x % 8; j < COLUMNS / VEC; j += 8)
#pragma unroll
      for (int e = 0; e < VEC; e += EACH) {
        const Tap tap = taps[(j * VEC + e) / EACH];
        copy<ALIGNED>(line_chunk<Kind, COLUMNS>(tile, k, j), e, x, row.origin + tap.offset,
                      inside(g, row, tap));
      }
  }
}

// partial[chunk][o][k] = sum of grad_y[m][o] A[m][k] over the rows m of one chunk.
//
// The weight gradient is a small matrix with a long sum: often fewer tiles than the GPU has
// multiprocessors, each with a hundred thousand m to walk.  So the m are cut into chunks, as many
// as the shapes say (never the GPU: the same bits everywhere), and ordered_sum adds them up.
//
//   grad_y   (rows m, groups * filters)         x   (images, *length, source_channels)
//
// In both, the direction of the sum, m, goes downwards in memory: multiply_lines.
template <typename Kind, int ROWS, int COLUMNS, bool ALIGNED>
__global__ void __launch_bounds__(THREADS, ALIGNED && ROWS * COLUMNS <= 64 * 64 ? 4 : 2)
weight_product(const typename Kind::Number* __restrict__ grad_y,
               const typename Kind::Number* __restrict__ x, float* __restrict__ partial,
               const int* __restrict__ table, Index filters, Index groups, Index row_tiles,
               Index column_tiles, Index stages) {
  typedef typename Kind::Number Number;
  constexpr int EACH = ALIGNED ? VECTOR<Kind> : 1;  // numbers that are copied at once
  constexpr int HALF = STAGE_PIXELS * ROWS * sizeof(Number);
  constexpr int SLOT = HALF + STAGE_PIXELS * COLUMNS * sizeof(Number);
  __shared__ Geometry g;
  __shared__ Tap taps[COLUMNS / EACH];
  DYNAMIC_SHARED(unsigned char, tiles);  // [STAGES][STAGE_PIXELS][ROWS + COLUMNS] numbers
  const Part part = part_of<ROWS, COLUMNS>(blockIdx.x, groups, row_tiles, column_tiles);
  load_geometry(g, table, 0);
  for (int i = threadIdx.x; i < COLUMNS / EACH; i += THREADS)
    taps[i] = tap_of(g, part.column + i * EACH);
  __syncthreads();

  x += part.group * g.channels.by;
  grad_y += part.group * filters;
  partial += (part.other * groups + part.group) * filters * g.depth;
  auto load = [&](int stage, int slot) {
    const unsigned m = (part.other * stages + stage) * STAGE_PIXELS;
    unsigned char* a = tiles + slot * SLOT;
    load_grads<Kind, ROWS, ALIGNED>(a, grad_y, g, groups * filters, part.row, filters, m);
    load_pixels<Kind, COLUMNS, ALIGNED>(a + HALF, x, g, taps, m);
  };

  const int warp = threadIdx.x / 32;
  const int row = warp / 2 * (ROWS / 2), column = warp % 2 * (COLUMNS / 2);
  const Index left = (g.rows + STAGE_PIXELS - 1) / STAGE_PIXELS - part.other * stages;
  float sums[ROWS / 32][COLUMNS / 16][4] = {};
  walk_stages(left < stages ? left : stages, load, [&](int slot) {
    unsigned char* a = tiles + slot * SLOT;
    multiply_lines<Kind, ROWS, COLUMNS>(sums, a, a + HALF, row, column);
  });
  const float* no_bias = nullptr;
  store_sums(sums, part.row + row, part.column + column, g.depth, no_bias, [&](unsigned o) {
    return o < filters ? partial + (Index)o * g.depth : nullptr;
  });
}

// grad[o][c][tap] = sum over chunks of partial[chunk][o][tap][c], always in the same order.
template <typename T>
__global__ void ordered_sum(const float* __restrict__ partial, T* __restrict__ grad, Index chunks,
                            Index count, Index taps, Index channels) {
  for (Index i = first_index(); i < count; i += index_step()) {
    float sum = 0;
    for (Index chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * count + i];
    const Index c = i % channels, tap = i / channels % taps, o = i / channels / taps;
    grad[(o * channels + c) * taps + tap] = T(sum);
  }
}
