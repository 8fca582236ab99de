// What all kernels share.  It includes nothing, so that NVRTC compiles it on any machine with a
// driver; on the CPU (MINICNN_HOST, see kernels/cuda_host) host.cuh stands before it.
#pragma once

typedef long long Index;  // products of lengths pass 2^31

// ---- Half precision: stored in 16 bits, computed in 32 ------------------------------------------

struct half_t {
  unsigned short bits;
  half_t() = default;
  __device__ __forceinline__ half_t(float value);
  __device__ __forceinline__ operator float() const;
};

#ifdef MINICNN_HOST
inline half_t::half_t(float value) {
  _Float16 rounded = (_Float16)value;
  memcpy(&bits, &rounded, 2);
}
inline half_t::operator float() const {
  _Float16 value;
  memcpy(&value, &bits, 2);
  return (float)value;
}
namespace host { HOST_KIND(half_t, "f2") }
#else
__device__ __forceinline__ half_t::half_t(float value) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
}
__device__ __forceinline__ half_t::operator float() const {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
#define DYNAMIC_SHARED(TYPE, NAME) \
  extern __shared__ __align__(128) unsigned char dynamic_shared[]; \
  TYPE* NAME = reinterpret_cast<TYPE*>(dynamic_shared)
#ifndef INFINITY  // NVRTC has none
#define INFINITY __int_as_float(0x7f800000)
#endif
#endif

// The type in which sums of T are taken.
template <typename T> struct WideOf { typedef float type; };
template <> struct WideOf<double> { typedef double type; };
template <typename T> using Wide = typename WideOf<T>::type;

// ---- Which number is mine ---------------------------------------------------------------------

// for (Index i = first_index(); i < count; i += index_step()): any grid covers any count.
__device__ __forceinline__ Index first_index() {
  return (Index)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ Index index_step() { return (Index)gridDim.x * blockDim.x; }

// ---- Sums of a warp and of a block ------------------------------------------------------------

// The sum over a warp, the same in every lane: numbers are added in pairs, always the same pairs.
template <typename T> __device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = 16; step; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
  return value;
}

// The sum over a block of whole warps (at most 1024 threads in x), the same in every thread.
// Every thread of the block must come here.
template <typename T> __device__ T block_sum(T value) {
  __shared__ T sums[32];
  const int warps = (blockDim.x + 31) / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  value = warp_sum(value);
  __syncthreads();  // the sums of the call before have been read
  if (lane == 0) sums[warp] = value;
  __syncthreads();
  return warp_sum(lane < warps ? sums[lane] : T(0));
}

// ---- Philox4x32-10 (Salmon et al., SC 2011), as in kernels/plain/random.py --------------------

struct PhiloxWords { unsigned w[4]; };

__device__ __forceinline__ PhiloxWords philox(unsigned long long counter, unsigned long long stream,
                                              unsigned long long key) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32);
  unsigned c2 = (unsigned)stream, c3 = (unsigned)(stream >> 32);
  unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  PhiloxWords words = {{c0, c1, c2, c3}};
  return words;
}

// ---- Neighbours in memory, read and written at once ---------------------------------------------

// V numbers side by side: up to 16 bytes are one instruction, if they begin at a multiple of their
// size.  A kernel that handles V channels a thread asks its launcher whether C is a multiple of V.
template <typename T, int V> struct alignas(V * sizeof(T) < 16 ? V * sizeof(T) : 16) Pack {
  T lane[V];
};

template <int V, typename T> __device__ __forceinline__ Pack<T, V> read_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, V>*>(from);
}

template <int V, typename T> __device__ __forceinline__ void write_pack(T* to, Pack<T, V> pack) {
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// Runs BODY<T, V>(...), V being as many numbers as fill 16 bytes if `packed`, else 1.
#define FOR_PACKS(BODY, ...)                   \
  if (packed)                                  \
    BODY<T, 16 / (int)sizeof(T)>(__VA_ARGS__); \
  else                                         \
    BODY<T, 1>(__VA_ARGS__);

// (a / b, a % b) for a >= 0: 64 bits are divided by many instructions, 32 by few.
__device__ __forceinline__ Index divide(Index a, int b, int& rest) {
  if (a >> 32) {
    rest = (int)(a % b);
    return a / b;
  }
  const unsigned quotient = (unsigned)a / (unsigned)b;
  rest = (int)((unsigned)a - quotient * (unsigned)b);
  return quotient;
}

// A product that is rounded on its own, never fused with an addition into one fma: for results that
// are compared with a threshold, as on the CPU.
#ifdef MINICNN_HOST
template <typename T> T product(T a, T b) { return a * b; }
#else
__device__ __forceinline__ float product(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double product(double a, double b) { return __dmul_rn(a, b); }
#endif

// The smaller and the larger; NaN if one is NaN, which fminf and fmaxf would hide.
template <typename W> __device__ __forceinline__ W lower(W a, W b) {
  return a < b || a != a ? a : b;
}
template <typename W> __device__ __forceinline__ W upper(W a, W b) {
  return a > b || a != a ? a : b;
}
