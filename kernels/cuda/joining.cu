// Joining arrays is copying runs of memory to their places.
#include "map.cuh"

// source (runs, length) -> y (runs, step), from place `at` of each run.  Unit is only a number of
// bytes: the largest that divides all runs, so that as few instructions as possible move them.
// instances: copy_runs<uint4>, copy_runs<uint2>, copy_runs<unsigned>, copy_runs<unsigned short>
// instances: copy_runs<unsigned char>
template <typename Unit>
__global__ void copy_runs(const Unit* __restrict__ source, Unit* __restrict__ y, Index count,
                          Index length, Index step, Index at) {
#pragma unroll 4
  for (Index i = first_index(); i < count; i += index_step()) {
    const Index run = quotient(i, length);
    y[run * step + at + (i - run * length)] = source[i];
  }
}
