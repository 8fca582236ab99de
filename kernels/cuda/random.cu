// Random words: see philox() in common.cuh.  Each thread makes blocks of four from their number
// alone, so the words are those of the CPU, in any order.
#include "common.cuh"

// words (blocks, 4): block i is the counter first + i, in `stream`, under `key`.
extern "C" __global__ void philox_words(unsigned* __restrict__ words, Index key, Index stream,
                                        Index first, Index blocks) {
  for (Index i = first_index(); i < blocks; i += index_step()) {
    const PhiloxWords four = philox(first + i, stream, key);
    for (int j = 0; j < 4; ++j) words[4 * i + j] = four.w[j];
  }
}
