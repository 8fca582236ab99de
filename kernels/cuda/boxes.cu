// Boxes (y0, x0, y1, x1): how far they overlap, and non-maximum suppression.
#include "common.cuh"

typedef unsigned long long Word;  // 64 boxes, a bit for each

// ---- How far boxes (y0, x0, y1, x1) overlap -----------------------------------------------------

template <typename W> struct Box { W y0, x0, y1, x1; };

template <typename T> __device__ __forceinline__ Box<Wide<T>> box_at(const T* __restrict__ at) {
  return {(Wide<T>)at[0], (Wide<T>)at[1], (Wide<T>)at[2], (Wide<T>)at[3]};
}

template <typename W> __device__ __forceinline__ W area(Box<W> box) {
  return product(upper(box.y1 - box.y0, W(0)), upper(box.x1 - box.x0, W(0)));
}

// Intersection over union; 0 if the union is not more than `nothing`.
template <typename W> __device__ __forceinline__ W overlap(Box<W> a, Box<W> b, W nothing) {
  const W height = lower(a.y1, b.y1) - upper(a.y0, b.y0);
  const W width = lower(a.x1, b.x1) - upper(a.x0, b.x0);
  const W shared = product(upper(height, W(0)), upper(width, W(0)));
  const W whole = area(a) + area(b) - shared;
  return whole <= nothing ? W(0) : shared / whole;
}

// a (A, 4), b (B, 4) -> y (A, B).
template <typename T>
__global__ void iou_matrix(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y,
                           Index count, Index columns, double nothing) {
  for (Index i = first_index(); i < count; i += index_step()) {
    int column;
    const Index row = divide(i, (int)columns, column);
    y[i] = T(overlap(box_at(a + 4 * row), box_at(b + 4 * column), (Wide<T>)nothing));
  }
}

// ---- Non-maximum suppression --------------------------------------------------------------------

// Whether box i stays depends on all before it, but whether it *would* suppress box j on nothing
// else.  So all pairs are compared first, in parallel; what is left to do in order is done on
// words of 64 bits.

// boxes (R, 4), groups (R,) -> words (R, R/64): bit k of word [i, w] says that box i suppresses box
// j = 64 w + k.  Only j > i counts, so words below the diagonal are not written; about boxes of
// other groups nobody will ask.  A block of 64 threads compares 64 boxes with 64.
template <typename T>
__global__ void suppressions(const T* __restrict__ boxes, const Index* __restrict__ groups,
                             Word* __restrict__ words, Index count, double threshold,
                             double nothing) {
  if (blockIdx.x < blockIdx.y) return;  // the whole block
  __shared__ T others[64][4];
  __shared__ Index their_groups[64];
  const Index i = (Index)blockIdx.y * 64 + threadIdx.x, first = (Index)blockIdx.x * 64;
  if (first + threadIdx.x < count) {
    for (int side = 0; side < 4; ++side)
      others[threadIdx.x][side] = boxes[4 * (first + threadIdx.x) + side];
    their_groups[threadIdx.x] = groups[first + threadIdx.x];
  }
  __syncthreads();
  if (i >= count) return;
  const Box<Wide<T>> own = box_at(boxes + 4 * i);
  const Index group = groups[i];
  Word word = 0;
  for (int k = 0; k < 64 && first + k < count; ++k)
    if (first + k > i && their_groups[k] == group &&
        overlap(own, box_at(others[k]), (Wide<T>)nothing) > (Wide<T>)threshold)
      word |= Word(1) << k;
  words[i * gridDim.x + blockIdx.x] = word;
}

// One run of equal groups, from box `start` on: its boxes are gone through, 64 at a time.  One
// thread decides who of them stays, by bits in shared memory; then all threads note, for the boxes
// that follow, whom those suppress.  gone (R/64,) is the block's own.
__device__ void sweep(const Index* __restrict__ groups, const Word* __restrict__ words,
                      bool* __restrict__ kept, Word* gone, Index start, Index count, Index row,
                      Index limit) {
  __shared__ Word among[64];   // whom each suppresses of the same 64
  __shared__ bool member[64];  // whether it is of the run
  __shared__ Word staying;
  __shared__ bool over;
  const int k = threadIdx.x;
  Index stay = 0;  // known to thread 0
  __syncthreads();  // the run before is done with `gone`
  for (Index w = start / 64 + k; w < row; w += blockDim.x) gone[w] = 0;
  for (Index tile = start / 64; tile < row; ++tile) {
    const Index i = tile * 64 + k;
    if (k < 64) {
      member[k] = i < count && groups[i] == groups[start];
      among[k] = i < count ? words[i * row + tile] : 0;
    }
    __syncthreads();
    if (k == 0) {
      Word bits = gone[tile], some = 0;
      over = false;
      for (int b = tile == start / 64 ? (int)(start % 64) : 0; b < 64 && !over; ++b) {
        over = !member[b] || stay == limit;
        if (over || (bits >> b & 1)) continue;
        some |= Word(1) << b;
        bits |= among[b];
        ++stay;
      }
      staying = some;
    }
    __syncthreads();
    if (k < 64 && (staying >> k & 1)) kept[i] = true;
    if (over) break;  // all threads: `over` is written anew only after the next barrier
    for (Index w = tile + 1 + k; w < row; w += blockDim.x) {
      Word word = gone[w];
      for (Word rest = staying; rest; rest &= rest - 1)
        word |= words[(tile * 64 + __ffsll((Index)rest) - 1) * row + w];
      gone[w] = word;
    }
  }
}

// groups (R,), words (R, R/64) -> kept (R,), which is all false before.  Nobody knows how many runs
// there are; block b takes those that begin among its 64 boxes.
extern "C" __global__ void keep_best(const Index* __restrict__ groups,
                                     const Word* __restrict__ words, bool* __restrict__ kept,
                                     Index count, Index limit) {
  DYNAMIC_SHARED(Word, gone);
  const Index row = gridDim.x, first = (Index)blockIdx.x * 64;
  for (Index i = first; i < first + 64 && i < count; ++i)
    if (i == 0 || groups[i] != groups[i - 1])
      sweep(groups, words, kept, gone, i, count, row, limit);
}
