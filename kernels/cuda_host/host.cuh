// CUDA C++ on the CPU: what nvcc and the GPU give to a kernel, given by g++ instead.
//
// A kernel's source is compiled as C++ after this file, which declares CUDA's words (__global__,
// threadIdx, __syncthreads, ...).  A block is run by one of two engines:
//
//   fibers.hpp    one fiber for each CUDA thread on one thread of the CPU: fast, repeatable, and
//                 strict: it says where a barrier is not reached by all
//   threads.hpp   (-DHOST_THREADS) one thread of the CPU for each CUDA thread, for small blocks,
//                 under ThreadSanitizer, which sees two threads touch one number with no
//                 barrier between
//
// Shared memory is filled with NaN before each block, so that reading what no one has written
// shows.  The blocks of a grid run one after the other, in order, the first thread first; in
// reverse or in a random order if asked (results must not depend on it).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef HOST_THREADS
#include <condition_variable>
#include <mutex>
#include <thread>
#endif

#define MINICNN_HOST 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __constant__ static
#define __restrict__

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace host {

constexpr unsigned WARP = 32;
constexpr size_t STATIC_SHARED = 48 << 10;    // bytes; more needs dynamic shared memory
constexpr size_t DYNAMIC_SHARED_LIMIT = 227 << 10;

// A copy that cp.async has begun; done when it is waited for, as late as the GPU may.
struct Copy { void* to; const void* from; unsigned bytes, valid; unsigned group; };

enum State { NEW, READY, AT_BARRIER, IN_WARP, DONE };

struct Lane {            // a CUDA thread
  uint3 thread;
  unsigned number;       // in its block
  State state;
  int line;              // where it waits
  unsigned mask;         // with whom of its warp
  unsigned exchanges;    // how many warp exchanges it took part in
  std::vector<Copy> copies;
  unsigned copy_groups;
};

inline std::vector<Lane> lanes;
inline uint3 block_index;
inline dim3 block_size, grid_size;
inline const char* kernel_name = "";
inline char error[512];
inline int order = 0;    // 0: threads by number; 1: backwards, warp by warp; 2: shuffled
inline unsigned shuffle = 1;

inline void fail(const char* what, long a = 0, long b = 0) {
  if (error[0]) return;
  char text[256];
  snprintf(text, sizeof text, what, a, b);
  snprintf(error, sizeof error, "%s, block (%u, %u, %u): %s", kernel_name, block_index.x,
           block_index.y, block_index.z, text);
}

// Shared memory: one arena; each __shared__ declaration (a site) gets its own piece in each block.
struct Arena {
  alignas(128) char bytes[STATIC_SHARED];
  size_t used = 0;
  std::vector<std::pair<const void*, size_t>> sites;
};
inline Arena arena;
inline std::vector<char> dynamic;

inline void poison_shared() {
  memset(arena.bytes, 0xFF, arena.used ? arena.used : sizeof arena.bytes);
  memset(dynamic.data(), 0xFF, dynamic.size());
}

inline size_t place_of(const void* site, size_t size) {
  for (auto& known : arena.sites)
    if (known.first == site) return known.second;
  size_t at = (arena.used + 127) / 128 * 128;
  if (at + size > sizeof arena.bytes) {
    fprintf(stderr, "%s: %zu bytes of static shared memory, more than %zu; use DYNAMIC_SHARED\n",
            kernel_name, at + size, sizeof arena.bytes);
    abort();
  }
  memset(arena.bytes + arena.used, 0xFF, at + size - arena.used);
  arena.used = at + size;
  arena.sites.push_back({site, at});
  return at;
}

inline void (*body)(void*);      // runs the kernel as the current thread
inline void* body_argument;

}  // namespace host

#ifdef HOST_THREADS
#include "threads.hpp"
#else
#include "fibers.hpp"
#endif

namespace host {

// Each thread of a warp shows a value and sees another's. Two buffers take turns, so that one
// exchange need not wait until all have read the last.
inline std::vector<char> shown;   // [2][threads][SHOWN]
constexpr size_t SHOWN = 64;

template <typename T> T* exchange_all(const T& value, unsigned mask, int line) {
  static_assert(sizeof(T) <= SHOWN, "too large to exchange");
  Lane& me = current();
  char* buffer = shown.data() + (me.exchanges++ % 2) * lanes.size() * SHOWN;
  memcpy(buffer + me.number * SHOWN, &value, sizeof value);
  wait(IN_WARP, line, mask);
  return reinterpret_cast<T*>(buffer + me.number / WARP * WARP * SHOWN);
}

template <typename T> T shown_by(const T* all, unsigned lane) {
  unsigned first = current().number / WARP * WARP;
  unsigned last = std::min<unsigned>(lanes.size() - first, WARP) - 1;
  T value;
  memcpy(&value, reinterpret_cast<const char*>(all) + std::min(lane, last) * SHOWN, sizeof value);
  return value;
}

template <typename T> T exchange(T value, unsigned from, unsigned mask, int line) {
  return shown_by(exchange_all(value, mask, line), from);
}

inline unsigned lane() { return current().number % WARP; }

inline unsigned ballot(bool vote, unsigned mask, int line) {
  const bool* all = exchange_all(vote, mask, line);
  unsigned votes = 0;
  for (unsigned i = 0; i < WARP; ++i)
    if (mask >> i & 1 && current().number / WARP * WARP + i < lanes.size() && shown_by(all, i))
      votes |= 1u << i;
  return votes;
}

// ---- Launching -----------------------------------------------------------------------------

// What Python must give for a parameter: "*f4" is a pointer to floats, "i8" a long long, ...
template <typename T> struct Kind { static const char* code() { return "?"; } };
#define HOST_KIND(TYPE, CODE) template <> struct Kind<TYPE> { static const char* code() { return CODE; } };
HOST_KIND(bool, "b1") HOST_KIND(signed char, "i1") HOST_KIND(unsigned char, "u1")
HOST_KIND(short, "i2") HOST_KIND(unsigned short, "u2") HOST_KIND(int, "i4")
HOST_KIND(unsigned, "u4") HOST_KIND(long, "i8") HOST_KIND(unsigned long, "u8")
HOST_KIND(long long, "i8") HOST_KIND(unsigned long long, "u8") HOST_KIND(float, "f4")
HOST_KIND(double, "f8")

template <typename T> struct Parameter {
  static void write(std::vector<char>& text) { add(text, Kind<std::remove_cv_t<T>>::code()); }
  static void add(std::vector<char>& text, const char* code) {
    text.insert(text.end(), code, code + strlen(code));
    text.push_back(' ');
  }
};
template <typename T> struct Parameter<T*> {
  static void write(std::vector<char>& text) {
    text.push_back(std::is_const<T>::value ? '&' : '*');
    Parameter<T>::write(text);
  }
};

template <typename... A> const char* signature(void (*)(A...)) {
  static std::vector<char> text;
  if (text.empty()) {
    (Parameter<A>::write(text), ...);
    text.push_back(0);
  }
  return text.data();
}

template <typename... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<A*>(arguments[I])...);
}

template <typename... A>
int launch(const char* name, void (*kernel)(A...), const unsigned* grid, const unsigned* block,
           size_t shared_bytes, int thread_order, void** arguments) {
  error[0] = 0;
  kernel_name = name;
  order = thread_order;
  grid_size = {grid[0], grid[1], grid[2]};
  block_size = {block[0], block[1], block[2]};
  unsigned threads = block[0] * block[1] * block[2];
  if (threads > 1024 || block[2] > 64 || shared_bytes > DYNAMIC_SHARED_LIMIT) {
    fail("%ld threads in a block, or %ld bytes of shared memory, are too many", threads,
         (long)shared_bytes);
    return 1;
  }
  lanes.resize(threads);
  for (unsigned i = 0; i < threads; ++i) {
    lanes[i].number = i;
    lanes[i].thread = {i % block[0], i / block[0] % block[1], i / block[0] / block[1]};
  }
  shown.resize(2 * threads * SHOWN);
  dynamic.assign(shared_bytes + 128, 0);
  arena.used = 0;
  arena.sites.clear();
  auto all = [&] { call(kernel, arguments, std::index_sequence_for<A...>{}); };
  body = [](void* it) { (*static_cast<decltype(all)*>(it))(); };
  body_argument = &all;
  for (block_index.z = 0; block_index.z < grid[2]; ++block_index.z)
    for (block_index.y = 0; block_index.y < grid[1]; ++block_index.y)
      for (block_index.x = 0; block_index.x < grid[0]; ++block_index.x) {
        poison_shared();
        run_block();
        if (error[0]) return 1;
      }
  return 0;
}

// ---- What PTX would do: matrix units and asynchronous copies, see common.cuh ---------------------

inline float rounded_tf32(float x) {   // 10 bits of mantissa, to nearest, ties away from 0
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7F800000u) != 0x7F800000u) bits = (bits + 0x1000u) & ~0x1FFFu;
  memcpy(&x, &bits, 4);
  return x;
}

inline void copy_now(const Copy& copy) {
  memcpy(copy.to, copy.from, copy.valid);
  memset(static_cast<char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
}

inline void copies_until(unsigned pending_groups) {   // finish all but the newest groups
  Lane& me = current();
  auto& copies = me.copies;
  size_t kept = 0;
  for (auto& copy : copies)
    if (copy.group + pending_groups < me.copy_groups) copy_now(copy);
    else copies[kept++] = copy;
  copies.resize(kept);
}

}  // namespace host

#define threadIdx (host::current().thread)
#define blockIdx host::block_index
#define blockDim host::block_size
#define gridDim host::grid_size
constexpr int warpSize = 32;

#define __syncthreads() host::wait(host::AT_BARRIER, __LINE__, 0)
#define __syncwarp(...) host::exchange(0, 0, host::mask_of(__VA_ARGS__), __LINE__)
namespace host {
inline unsigned mask_of(unsigned mask = 0xFFFFFFFFu) { return mask; }
inline unsigned below(unsigned by) { return lane() >= by ? lane() - by : lane(); }
inline unsigned above(unsigned by) { return lane() + by < WARP ? lane() + by : lane(); }
}
#define __shfl_sync(m, v, s) host::exchange(v, (s) & 31u, m, __LINE__)
#define __shfl_xor_sync(m, v, s) host::exchange(v, host::lane() ^ (s), m, __LINE__)
#define __shfl_down_sync(m, v, s) host::exchange(v, host::above(s), m, __LINE__)
#define __shfl_up_sync(m, v, s) host::exchange(v, host::below(s), m, __LINE__)
#define __ballot_sync(m, v) host::ballot(v, m, __LINE__)
#define __any_sync(m, v) (host::ballot(v, m, __LINE__) != 0)
#define __all_sync(m, v) (host::ballot(!(v), m, __LINE__) == 0)

// Shared memory: the loader writes each `__shared__ T name[n];` as HOST_SHARED (see _nvrtc.py).
#define HOST_SHARED(TYPE, NAME, SHAPE)                                                          \
  typedef TYPE NAME##_shared SHAPE;                                                             \
  static const char NAME##_site = 0;                                                            \
  NAME##_shared& NAME =                                                                         \
      *reinterpret_cast<NAME##_shared*>(host::shared_piece(&NAME##_site, sizeof(NAME##_shared)));
#define DYNAMIC_SHARED(TYPE, NAME)                                                              \
  TYPE* NAME = reinterpret_cast<TYPE*>(                                                         \
      (reinterpret_cast<uintptr_t>(host::dynamic.data()) + 127) / 128 * 128)

template <typename T> T __ldg(const T* p) { return *p; }
template <typename T> T atomicAdd(T* p, T v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
template <typename T> T atomicMax(T* p, T v) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < v && !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t(a) * b) >> 32; }
inline unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
inline float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
using std::abs; using std::ceil; using std::copysign; using std::erf; using std::exp;
using std::exp2; using std::expm1; using std::fabs; using std::floor; using std::fma;
using std::fmax; using std::fmin; using std::isfinite; using std::isinf; using std::isnan;
using std::log; using std::log1p; using std::log2; using std::max; using std::min; using std::pow;
using std::rint; using std::sqrt; using std::tanh;
#ifndef INFINITY
#define INFINITY __builtin_inff()
#endif
