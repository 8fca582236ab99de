// Dropout whose random numbers are made where they are used: a mask is neither written nor read,
// and the backward pass makes the same numbers again from their counter.
//
// Counted by rows, element e of x has number k = e / spread (spread > 1: whole channels share one),
// and that is word k % 4 of Philox block first + k / 4.  A block costs some 80 instructions, four
// times what it costs to move an element; so a thread does four neighbours in the order of the
// numbers, which mostly share a block.
#include "common.cuh"

// The numbers of one thread: the last block is kept as long as the next number is in it.
struct Numbers {
  Index key, stream, first, block;
  PhiloxWords words;

  // In a captured step key, stream and first are read from `varying`, where each replay puts them.
  __device__ __forceinline__ Numbers(Index key_, Index stream_, Index first_,
                                     const Index* varying)
      : key(key_), stream(stream_), first(first_), block(-1) {
    if (varying) {
      key = varying[0];
      stream = varying[1];
      first = varying[2];
    }
  }

  // The 24 bits of number k; n * 2**-24 < rate is compared as n < rate * 2**24, a whole number.
  __device__ __forceinline__ unsigned operator()(Index k) {
    if (k / 4 != block) {
      block = k / 4;
      words = philox(first + block, stream, key);
    }
    // Words stay in registers only if their places are known: choose instead of indexing.
    const int j = (int)(k % 4);
    const unsigned low = j & 1 ? words.w[1] : words.w[0], high = j & 1 ? words.w[3] : words.w[2];
    return (j & 2 ? high : low) >> 8;
  }
};

template <typename T> __device__ __forceinline__ T dropped(T x, bool kept, double scale) {
  // The factor is rounded to T first, and a product with 0 keeps NaN and the sign: as on the CPU.
  const Wide<T> factor = (Wide<T>)T((Wide<T>)scale) * (kept ? 1 : 0);
  return T((Wide<T>)x * factor);
}

// x, y (size) by rows.
template <typename T>
__global__ void drop_rows(const T* __restrict__ x, T* __restrict__ y, Index size, Index spread,
                          Index least, double scale, Index key, Index stream, Index first,
                          const Index* __restrict__ varying) {
  for (Index four = first_index(); four < (size + 3) / 4; four += index_step()) {
    Numbers number(key, stream, first, varying);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const Index e = 4 * four + j;
      if (e >= size) break;
      const Index k = spread == 1 ? e : e / spread;
      y[e] = dropped(x[e], number(k) >= least, scale);
    }
  }
}

// x, y (N, S, C): images in channels-last memory, whose numbers are counted as if it were
// (N, C, S): four neighbours in S, and the threads of a warp beside each other in C, so that
// each of the four accesses is one row of memory.
template <typename T>
__global__ void drop_images(const T* __restrict__ x, T* __restrict__ y, Index images, Index places,
                            Index channels, Index spread, Index least, double scale, Index key,
                            Index stream, Index first, const Index* __restrict__ varying) {
  const Index fours = (places + 3) / 4;
  for (Index t = first_index(); t < images * fours * channels; t += index_step()) {
    const Index c = t % channels, rest = t / channels;
    const Index n = rest / fours, s = rest % fours * 4;
    Numbers number(key, stream, first, varying);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (s + j >= places) break;
      const Index e = (n * channels + c) * places + s + j;  // by rows
      const Index at = (n * places + s + j) * channels + c;
      const Index k = spread == 1 ? e : e / spread;
      y[at] = dropped(x[at], number(k) >= least, scale);
    }
  }
}
