// From tiles in shared memory to sums in registers: the inner part of a matrix product on tensor
// cores, D (rows x columns) += A (rows x k) B (k x columns).
//
// A block has four warps, two by two; each owns a quarter of the block's sums and keeps them in
// registers until the end.  k is walked in *stages*, for shared memory holds only so much: while
// the warps multiply one stage, the next ones are on their way from global memory (copy_async), so
// that nobody waits for memory but at the very beginning.
//
// A warp of 64 x 64 sums reads 64 + 64 rows of a stage for 64 * 64 products of each k; a warp of
// half the size would read half as much for a quarter of the products, and shared memory rather
// than arithmetic would set the pace.
//
// Why tiles are *swizzled*: shared memory has 32 banks of 4 bytes, and one access reaches each
// bank once.  The 8 rows of a matrix (load_matrices) that lie 128 bytes apart would all begin in
// bank 0 and be read one after the other.  So chunk c (16 bytes) of row r lies at place c ^ (r % 8)
// of its row: any 8 rows then have their chunk c in 8 different places, all 32 banks.  Padding each
// row by 16 bytes would do the same, and take an eighth more of the memory.
#pragma once
#include "matrix_units.cuh"

constexpr int THREADS = 128, CHUNK = 16;  // four warps; bytes
constexpr int STAGES = 3;                 // one multiplied, two under way
constexpr int ROW_BYTES = 128;            // of k in a stage, where k is contiguous in memory
constexpr int STAGE_PIXELS = 32;          // of k in a stage, where rows are contiguous

// ---- What the units multiply -------------------------------------------------------------------

// float32 rounded to 10 bits of mantissa, 8 of exponent; float32 rounded to 7 bits of mantissa;
// float16.  STEP: how many numbers of k one instruction takes.
struct Tf32 { typedef float Number; static constexpr int STEP = 8; };
struct Bfloat { typedef float Number; static constexpr int STEP = 16; };
struct Half { typedef half_t Number; static constexpr int STEP = 16; };

template <typename Kind> constexpr int VECTOR = CHUNK / sizeof(typename Kind::Number);
template <typename Kind> constexpr int STAGE_DEPTH = ROW_BYTES / sizeof(typename Kind::Number);

template <typename A, typename B> struct Same { static constexpr bool value = false; };
template <typename A> struct Same<A, A> { static constexpr bool value = true; };
template <typename Kind> constexpr bool IS_TF32 = Same<Kind, Tf32>::value;
template <typename Kind> constexpr bool IS_BFLOAT = Same<Kind, Bfloat>::value;

__device__ __forceinline__ Register rounded(Register number) {
  return to_tf32(__uint_as_float(number));
}
__device__ __forceinline__ Register bfloats(Register low, Register high) {
  return to_bfloats(__uint_as_float(low), __uint_as_float(high));
}

template <typename Kind, int HIGH, int WIDE>
__device__ __forceinline__ void multiply(float (&sums)[HIGH][WIDE][4],
                                         const Register (&left)[HIGH][4],
                                         const Register (&right)[WIDE][2]) {
#pragma unroll
  for (int i = 0; i < HIGH; ++i)
#pragma unroll
    for (int j = 0; j < WIDE; ++j) {
      if constexpr (IS_TF32<Kind>) {
        mma_tf32(sums[i][j], left[i], right[j]);
      } else if constexpr (IS_BFLOAT<Kind>) {
        mma_bfloat(sums[i][j], left[i], right[j]);
      } else {
        mma_half(sums[i][j], left[i], right[j]);
      }
    }
}

// ---- Tiles in which k is contiguous: rows of A, and columns of B, of ROW_BYTES ------------------

__device__ __forceinline__ unsigned char* row_chunk(unsigned char* tile, int row, int chunk) {
  return tile + row * ROW_BYTES + (chunk ^ (row & 7)) * CHUNK;
}

// Words t of chunks `chunk` and `chunk + 1` of rows g and g + 8: a fragment of A.
__device__ __forceinline__ void left_words(Register (&words)[4], unsigned char* tile, int row,
                                           int chunk) {
  const int lane = threadIdx.x % 32;
  load_matrices(words, row_chunk(tile, row + lane % 16, chunk + lane / 16));
}

// The same of 16 columns of B, for two fragments: words 0, 1 of the first 8, then of the others.
__device__ __forceinline__ void right_words(Register (&words)[4], unsigned char* tile, int column,
                                            int chunk) {
  const int lane = threadIdx.x % 32;
  load_matrices(words,
                row_chunk(tile, column + lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2));
}

// bfloat16 is made of float32 that lie 4 to a chunk.  Two words of neighbouring chunks, t and
// t + 4, become the pair that the units call k = 2t and 2t + 1: an order of k as good as any.
template <typename Kind>
__device__ __forceinline__ void load_left(Register (&left)[4], unsigned char* tile, int row,
                                          int step) {
  if constexpr (IS_BFLOAT<Kind>) {
    Register low[4], high[4];
    left_words(low, tile, row, 4 * step);
    left_words(high, tile, row, 4 * step + 2);
    left[0] = bfloats(low[0], low[2]);
    left[1] = bfloats(low[1], low[3]);
    left[2] = bfloats(high[0], high[2]);
    left[3] = bfloats(high[1], high[3]);
  } else {
    left_words(left, tile, row, 2 * step);
    if constexpr (IS_TF32<Kind>) {
#pragma unroll
      for (int i = 0; i < 4; ++i) left[i] = rounded(left[i]);
    }
  }
}

template <typename Kind>
__device__ __forceinline__ void load_right(Register (&first)[2], Register (&second)[2],
                                           unsigned char* tile, int column, int step) {
  Register low[4], high[4];
  if constexpr (IS_BFLOAT<Kind>) {
    right_words(low, tile, column, 4 * step);
    right_words(high, tile, column, 4 * step + 2);
    first[0] = bfloats(low[0], low[1]);
    first[1] = bfloats(high[0], high[1]);
    second[0] = bfloats(low[2], low[3]);
    second[1] = bfloats(high[2], high[3]);
  } else {
    right_words(low, tile, column, 2 * step);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      first[i] = IS_TF32<Kind> ? rounded(low[i]) : low[i];
      second[i] = IS_TF32<Kind> ? rounded(low[2 + i]) : low[2 + i];
    }
  }
}

// One stage: the warp's sums, whose first row and column in the tiles are given.
template <typename Kind, int HIGH, int WIDE>
__device__ __forceinline__ void multiply_rows(float (&sums)[HIGH][WIDE][4], unsigned char* a,
                                              unsigned char* b, int row, int column) {
#pragma unroll(IS_BFLOAT<Kind> ? 1 : 4)  // bfloat16's packing leaves no registers to look ahead
  for (int step = 0; step < STAGE_DEPTH<Kind> / Kind::STEP; ++step) {
    Register left[HIGH][4], right[WIDE][2];
#pragma unroll
    for (int i = 0; i < HIGH; ++i) load_left<Kind>(left[i], a, row + 16 * i, step);
#pragma unroll
    for (int j = 0; j < WIDE; j += 2)
      load_right<Kind>(right[j], right[j + 1], b, column + 8 * j, step);
    multiply<Kind>(sums, left, right);
  }
}

// ---- Tiles in which rows (of A) or columns (of B) are contiguous, and k goes downwards ----------

// Here the lanes of a fragment, k = t and row g, read 4 lines of 8 neighbouring float32, and one
// line is a multiple of 32 banks long: chunks are swapped by twice the line's number, so that the
// 8 neighbours (2 chunks) of 4 lines lie in 32 banks.  float16 is read by load_matrices_transposed,
// one chunk of 8 lines at a time.
template <typename Kind> __device__ __forceinline__ int swap_of(int k) {
  return sizeof(typename Kind::Number) == 4 ? k % 4 * 2 : k % 8;
}

template <typename Kind, int LENGTH>
__device__ __forceinline__ unsigned char* line_chunk(unsigned char* tile, int k, int chunk) {
  constexpr int BYTES = LENGTH * sizeof(typename Kind::Number);
  return tile + k * BYTES + (chunk ^ swap_of<Kind>(k)) * CHUNK;
}

// The float32 at (k, column).
template <typename Kind, int LENGTH>
__device__ __forceinline__ Register word_at(unsigned char* tile, int k, int column) {
  const unsigned char* chunk = line_chunk<Kind, LENGTH>(tile, k, column / 4);
  return __float_as_uint(reinterpret_cast<const float*>(chunk)[column % 4]);
}

// Numbers k ... k + STEP of one column, as far as they are this lane's: half a fragment of A (rows
// g or rows g + 8), or one of B.
template <typename Kind, int LENGTH>
__device__ __forceinline__ void load_column(Register& low, Register& high, unsigned char* tile,
                                            int k, int column) {
  const Register first = word_at<Kind, LENGTH>(tile, k, column);
  const Register second = word_at<Kind, LENGTH>(tile, k + 4, column);
  if constexpr (IS_TF32<Kind>) {
    low = rounded(first);
    high = rounded(second);
  } else {
    low = bfloats(first, second);
    high = bfloats(word_at<Kind, LENGTH>(tile, k + 8, column),
                   word_at<Kind, LENGTH>(tile, k + 12, column));
  }
}

template <typename Kind, int ROWS, int COLUMNS, int HIGH, int WIDE>
__device__ __forceinline__ void multiply_lines(float (&sums)[HIGH][WIDE][4], unsigned char* a,
                                               unsigned char* b, int row, int column) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int k = 0; k < STAGE_PIXELS; k += Kind::STEP) {
    Register left[HIGH][4], right[WIDE][2];
    if constexpr (sizeof(typename Kind::Number) == 4) {
#pragma unroll
      for (int i = 0; i < HIGH; ++i) {
        const int r = row + 16 * i + g;
        load_column<Kind, ROWS>(left[i][0], left[i][2], a, k + t, r);
        load_column<Kind, ROWS>(left[i][1], left[i][3], a, k + t, r + 8);
      }
#pragma unroll
      for (int j = 0; j < WIDE; ++j)
        load_column<Kind, COLUMNS>(right[j][0], right[j][1], b, k + t, column + 8 * j + g);
    } else {
      const int line = k + lane % 8, other = lane / 8 % 2, last = lane / 16;
#pragma unroll
      for (int i = 0; i < HIGH; ++i)
        load_matrices_transposed(
            left[i], (line_chunk<Kind, ROWS>(a, line + 8 * last, row / 8 + 2 * i + other)));
#pragma unroll
      for (int j = 0; j < WIDE; j += 2) {
        Register both[4];
        load_matrices_transposed(
            both, (line_chunk<Kind, COLUMNS>(b, line + 8 * other, column / 8 + j + last)));
        right[j][0] = both[0];
        right[j][1] = both[1];
        right[j + 1][0] = both[2];
        right[j + 1][1] = both[3];
      }
    }
    multiply<Kind>(sums, left, right);
  }
}

// ---- The walk over k ----------------------------------------------------------------------------

// load(stage, slot) begins to copy a stage into one of STAGES slots, multiply(slot) uses it.
//
// The barrier does two things: after it the copies of *all* threads have arrived (each has waited
// for its own), and nobody still multiplies the slot of the stage before, which is loaded next.
template <typename Load, typename Multiply>
__device__ __forceinline__ void walk_stages(int count, const Load& load, const Multiply& multiply) {
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; ++stage) {
    if (stage < count) load(stage, stage);
    copy_async_commit();
  }
  int slot = 0, free_slot = STAGES - 1;
  for (int stage = 0; stage < count; ++stage) {
    copy_async_wait<STAGES - 2>();
    __syncthreads();
    if (stage + STAGES - 1 < count) load(stage + STAGES - 1, free_slot);
    copy_async_commit();  // a group of its own, even if empty, so that the count above holds
    multiply(slot);
    slot = slot + 1 < STAGES ? slot + 1 : 0;
    free_slot = free_slot + 1 < STAGES ? free_slot + 1 : 0;
  }
}
