// Tensor cores and asynchronous copies, through PTX; on the CPU (MINICNN_HOST) their emulation.
//
// A warp multiplies small matrices together: each of its 32 lanes holds a few numbers of A (rows x
// k), B (k x columns) and the sums D (16 rows x 8 columns).  With g = lane / 4 and t = lane % 4
// lane holds (PTX ISA, "Matrix Fragments for mma.m16n8k8" and "mma.m16n8k16"):
//
//   D   d[0], d[1]: row g,     columns 2t, 2t+1       d[2], d[3]: row g + 8, the same columns
//
//   TF32, k = 8, one number in a register:
//   A   a[0]: (g, t)   a[1]: (g+8, t)   a[2]: (g, t+4)   a[3]: (g+8, t+4)
//   B   b[0]: (t, g)   b[1]: (t+4, g)                                      (row k, column)
//
//   float16 and bfloat16, k = 16, two neighbours of k in a register, the first in the low half:
//   A   a[0]: (g, 2t..)   a[1]: (g+8, 2t..)   a[2]: (g, 2t+8..)   a[3]: (g+8, 2t+8..)
//   B   b[0]: (2t.., g)   b[1]: (2t+8.., g)
//
// These handfuls of numbers are called *fragments*.  load_matrices fetches four at a time from
// shared memory: four matrices of 8 rows of 16 bytes.  Lane i brings the address of row i % 8 of
// matrix i / 8 and gets, of every matrix, the 4 bytes number t of row g: one TF32 number, or two
// neighbours of 16 bits, just as mma wants them.  load_matrices_transposed (16 bits only) gives
// numbers g of rows 2t and 2t + 1 instead: for matrices that lie in memory with k downwards.
//
// Nothing says in which order k is walked: any order gives the same sum (but for rounding) if A and
// B are read in the same one.  Kernels may use that to read what lies well in memory.
#pragma once
#include "common.cuh"

typedef unsigned Register;  // one TF32 number, or two of 16 bits

#ifdef MINICNN_HOST

namespace host {
struct Fragments { Register a[4], b[2]; };

inline float half_value(Register pair, int which) {
  half_t h;
  h.bits = (unsigned short)(pair >> 16 * which);
  return h;
}
inline float bfloat_value(Register pair, int which) {
  return __uint_as_float(which ? pair & 0xFFFF0000u : pair << 16);
}
inline float whole_value(Register number, int) { return __uint_as_float(number); }

// D += A B, each product exact, added up in double: the GPU's order of summation is not promised.
template <int PER_REGISTER, float (*VALUE)(Register, int)>
void multiply(float (&d)[4], const Register (&a)[4], const Register (&b)[2], int line) {
  Fragments mine;
  memcpy(mine.a, a, sizeof mine.a);
  memcpy(mine.b, b, sizeof mine.b);
  const Fragments* all = exchange_all(mine, 0xFFFFFFFFu, line);
  const unsigned g = lane() / 4, t = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const unsigned column = 2 * t + i % 2, low = i < 2 ? 0 : 1;  // a[low] and a[low + 2]
    double sum = d[i];
    for (int half = 0; half < 2; ++half)
      for (unsigned k = 0; k < 4; ++k) {
        Fragments row = shown_by(all, 4 * g + k), col = shown_by(all, 4 * column + k);
        for (int which = 0; which < PER_REGISTER; ++which)
          sum += (double)VALUE(row.a[low + 2 * half], which) * VALUE(col.b[half], which);
      }
    d[i] = (float)sum;
  }
}
}  // namespace host

inline Register to_tf32(float x) { return __float_as_uint(host::rounded_tf32(x)); }
inline Register to_halves(float low, float high) {
  return half_t(low).bits | (unsigned)half_t(high).bits << 16;
}
inline unsigned bfloat_bits(float x) {  // to nearest, ties to even
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFFu;
  return (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
}
inline Register to_bfloats(float low, float high) {
  return bfloat_bits(low) | bfloat_bits(high) << 16;
}
#define mma_tf32(d, a, b) host::multiply<1, host::whole_value>(d, a, b, __LINE__)
#define mma_half(d, a, b) host::multiply<2, host::half_value>(d, a, b, __LINE__)
#define mma_bfloat(d, a, b) host::multiply<2, host::bfloat_value>(d, a, b, __LINE__)

namespace host {
struct Line { Register word[4]; uintptr_t at; };  // one row of a matrix, and its address

inline void fetch_matrices(Register (&words)[4], const void* row, bool transposed, int line) {
  Line mine;
  memcpy(mine.word, row, sizeof mine.word);
  mine.at = (uintptr_t)row;
  if (mine.at % 16) fail("a matrix row at line %ld is not at a multiple of 16 bytes", line);
  const Line* all = exchange_all(mine, 0xFFFFFFFFu, line);
  const unsigned g = lane() / 4, t = lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    unsigned places = 0;  // of 8 rows in the 128 bytes of all banks; a GPU would only be slow
    for (unsigned r = 0; r < 8; ++r) places |= 1u << shown_by(all, 8 * i + r).at / 16 % 8;
    if (places != 0xFF) fail("the rows of a matrix at line %ld share banks", line);
    words[i] = shown_by(all, 8 * i + g).word[t];
    if (!transposed) continue;
    const Register low = shown_by(all, 8 * i + 2 * t).word[g / 2] >> 16 * (g % 2);
    const Register high = shown_by(all, 8 * i + 2 * t + 1).word[g / 2] >> 16 * (g % 2);
    words[i] = (low & 0xFFFFu) | high << 16;
  }
}
}  // namespace host
#define load_matrices(words, row) host::fetch_matrices(words, row, false, __LINE__)
#define load_matrices_transposed(words, row) host::fetch_matrices(words, row, true, __LINE__)

inline void copy_async(void* to, const void* from, bool valid) {
  if (((uintptr_t)to | (uintptr_t)from) % 16) host::fail("copy_async of no multiple of 16");
  host::Lane& me = host::current();
  me.copies.push_back({to, from, 16, valid ? 16u : 0u, me.copy_groups});
}
inline void copy_async_commit() { ++host::current().copy_groups; }
template <int PENDING> void copy_async_wait() { host::copies_until(PENDING); }

#else

__device__ __forceinline__ Register to_tf32(float x) {
  Register rounded;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
#else
  rounded = __float_as_uint(x);  // older cards have no TF32: mma_tf32 below traps
#endif
  return rounded;
}
__device__ __forceinline__ Register to_halves(float low, float high) {
  return half_t(low).bits | (unsigned)half_t(high).bits << 16;
}
__device__ __forceinline__ Register to_bfloats(float low, float high) {
  Register pair;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
  pair = __float_as_uint(low) >> 16 | (__float_as_uint(high) & 0xFFFF0000u);
#endif
  return pair;
}

// A generic address as one of shared memory, which some instructions want.
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
  return (unsigned)__cvta_generic_to_shared(pointer);
}

__device__ __forceinline__ void load_matrices(Register (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(Register (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(row))
               : "memory");
}

// D (16 x 8) += A (16 x 8) B (8 x 8). From compute capability 8.0 on; launchers ask before.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const Register (&a)[4],
                                         const Register (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  asm volatile("trap;");
#endif
}

// D (16 x 8) += A (16 x 16) B (16 x 8) of float16; older cards do it in two halves of k.
__device__ __forceinline__ void mma_half(float (&d)[4], const Register (&a)[4],
                                         const Register (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
#pragma unroll
  for (int half = 0; half < 2; ++half)
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#endif
}

// D (16 x 8) += A (16 x 16) B (16 x 8) of bfloat16. From compute capability 8.0 on.
__device__ __forceinline__ void mma_bfloat(float (&d)[4], const Register (&a)[4],
                                           const Register (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  asm volatile("trap;");
#endif
}

// Begin to copy 16 bytes (both addresses multiples of 16) to shared memory, or zeros if not `valid`
// (then nothing is read).  They are there after copy_async_wait and a barrier.  Older cards copy
// at once.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
  const unsigned shared = shared_address(to);
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(bytes)
               : "memory");
#else
  *reinterpret_cast<uint4*>(to) =
      valid ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#endif
}
// Close a group of copies.
__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Wait until at most PENDING groups, the newest, are under way.
template <int PENDING> __device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

#endif
