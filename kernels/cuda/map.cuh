// One pass over memory: y = f(x), number by number, as fast as memory is.
#pragma once
#include "common.cuh"

// ---- Sixteen bytes at a time --------------------------------------------------------------------

// What only passes over memory is as fast as memory if enough is under way: each thread asks for
// 16 bytes with one instruction, the most there is.
template <typename T> union Sixteen {
  enum { COUNT = 16 / sizeof(T) };
  uint4 bits;
  T of[COUNT];
};

template <typename T>
__device__ __forceinline__ Sixteen<T> load_pack(const T* __restrict__ x, Index pack) {
  Sixteen<T> found;
  found.bits = reinterpret_cast<const uint4*>(x)[pack];
  return found;
}

template <typename T>
__device__ __forceinline__ void store_pack(T* __restrict__ y, Index pack, const Sixteen<T>& given) {
  reinterpret_cast<uint4*>(y)[pack] = given.bits;
}

// Whether both arrays begin where 16 bytes may be read at once.
__device__ __forceinline__ bool aligned(const void* a, const void* b) {
  return (((unsigned long long)a | (unsigned long long)b) & 15) == 0;
}

// y = f(x), for each of `count` numbers; launch about count / Sixteen<T>::COUNT threads.
template <typename T, typename F>
__device__ __forceinline__ void map(const T* __restrict__ x, T* __restrict__ y, Index count, F f) {
  const Index packs = aligned(x, y) ? count / Sixteen<T>::COUNT : 0;
  for (Index i = first_index(); i < packs; i += index_step()) {
    Sixteen<T> some = load_pack(x, i);
#pragma unroll
    for (int k = 0; k < Sixteen<T>::COUNT; ++k) some.of[k] = T(f(Wide<T>(some.of[k])));
    store_pack(y, i, some);
  }
  for (Index i = packs * Sixteen<T>::COUNT + first_index(); i < count; i += index_step())
    y[i] = T(f(Wide<T>(x[i])));
}

// y = f(a, b), likewise.
template <typename T, typename F>
__device__ __forceinline__ void map(const T* __restrict__ a, const T* __restrict__ b,
                                    T* __restrict__ y, Index count, F f) {
  const Index packs = aligned(a, b) && aligned(y, y) ? count / Sixteen<T>::COUNT : 0;
  for (Index i = first_index(); i < packs; i += index_step()) {
    Sixteen<T> some = load_pack(a, i);
    const Sixteen<T> other = load_pack(b, i);
#pragma unroll
    for (int k = 0; k < Sixteen<T>::COUNT; ++k)
      some.of[k] = T(f(Wide<T>(some.of[k]), Wide<T>(other.of[k])));
    store_pack(y, i, some);
  }
  for (Index i = packs * Sixteen<T>::COUNT + first_index(); i < count; i += index_step())
    y[i] = T(f(Wide<T>(a[i]), Wide<T>(b[i])));
}

// ---- Division of indices ------------------------------------------------------------------------

// A 64-bit division takes some ten times as long as one of 32 bits, which most often suffices.
__device__ __forceinline__ Index quotient(Index a, Index b) {
  return (a | b) >> 32 ? a / b : (Index)((unsigned)a / (unsigned)b);
}
