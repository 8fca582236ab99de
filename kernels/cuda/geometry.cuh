// Where the pixels of a convolution lie: what its kernels share.
//
// A convolution is a matrix product, result = A * filters, whose matrix A is never made:
//
//                     k: offset in the window, then channel (the fastest)
//                   +---------------------------------------+          +-----------+
//   m: image n,     |                                       |          |           |
//   then place      |  A[m][k] = the source's pixel that    |    k     |  filters  |
//   (d, h, w) in    |  offset (t, u, v) of the window of    |          |           |
//   the result      |  row m lies on, channel c             |          +-----------+
//                   +---------------------------------------+           o of a group
//
// All is written for volumes: an image is a volume one pixel deep.  Memory is channels-last.
// Along each axis, row i and offset u of the window meet the source's pixel
//
//     p = i * step + shift + u * hop,        which is 0 if it does not lie in [0, length).
//
// Forward: source x, result y, step S, shift -P (the padding before), hop D (the dilation).
//
// Input gradient: source grad_y, result grad_x.  Pixel h of x was seen at offset u by window
// (h + P - u*D) / S, if that is whole.  No division is needed: pixels h = r, r + S, r + 2S, ...
// of one *class* r are seen at offsets u0, u0 + U, u0 + 2U, ... alone, where u0 is the first with
// u0*D = r + P (mod S) and U = S / gcd(S, D).  With h = r + i*S and the offset u0 + u*U
//
//     (h + P - u*D) / S  becomes  i + (r + P - u0*D) / S - u * (U*D / S),
//
// which is p with step 1: each class is a convolution of stride 1 of its own (and one without
// offsets if the congruence has no solution: its gradient is 0).  The same kernels serve.
//
// Weight gradient: A^T * grad_y with the A of forward.
//
// The host (_geometry.py) makes one Geometry for each class, a row of ints in a table in global
// memory; a block copies its own to shared memory by load_geometry().  What lies within one image
// has 32 bits (the host checks), what lies between images has 64.
#pragma once
#include "common.cuh"

// n / by for n < 2^31, by a multiplication: a division takes a GPU tens of instructions.
// With 2^(shift-1) < by <= 2^shift and magic = floor(2^32 * (2^shift - by) / by) + 1 the quotient
// is (n * (2^32 + magic)) >> (32 + shift)  (Granlund and Montgomery, PLDI 1994, figure 4.1).
struct Divider {
  unsigned by, magic, shift;
  __device__ __forceinline__ unsigned quotient(unsigned n) const {
    return (__umulhi(n, magic) + n) >> shift;
  }
};

struct Axis {
  Divider rows;            // places i of the result that this class has along this axis
  Divider taps;            // offsets u of the window that it has
  int step, shift, hop;    // p = i * step + shift + u * hop
  int length, between;     // of the source: its pixels, and numbers from one to the next
  int first, stride;       // place i is the result's pixel first + i * stride ...
  int result_length;       // ... of so many
  int tap, tap_stride;     // offset u is the weight's offset tap + u * tap_stride ...
  int size;                // ... of so many
};

struct Geometry {
  Axis d, h, w;
  Divider channels;        // of the source that one group has
  unsigned rows, depth;    // how many m and k there are: images * places, taps * channels
  int source_channels;     // of all groups: numbers from one pixel to the next
  int source_image;        // numbers from one image to the next
  int result_channels;
};

constexpr int GEOMETRY_INTS = sizeof(Geometry) / sizeof(int);

// Copy row `which` of the table to shared memory.  All threads of the block (its first axis) must
// come here; the barrier is inside.
__device__ __forceinline__ void load_geometry(Geometry& g, const int* __restrict__ table,
                                              Index which) {
  for (int i = threadIdx.x; i < GEOMETRY_INTS; i += blockDim.x)
    reinterpret_cast<int*>(&g)[i] = table[which * GEOMETRY_INTS + i];
  __syncthreads();
}

constexpr int OUTSIDE = -(1 << 30);  // a place in no image, wherever the window's offset leads

// Where the window of row m begins.
struct Row {
  Index origin;            // the number in the source below offset (0, 0, 0), channel 0
  int d, h, w;             // its pixel, which may lie outside, in the padding
};

// From the begin of a window to one of its pixels and channels: k.
struct Tap {
  int offset;              // in numbers
  int d, h, w;             // in pixels
};

struct Place { unsigned n, d, h, w; };

// Row m -> image n and place (d, h, w) among those of the class.
__device__ __forceinline__ Place place_of(const Geometry& g, unsigned m) {
  const unsigned lines = g.w.rows.quotient(m);
  const unsigned planes = g.h.rows.quotient(lines);
  Place at;
  at.n = g.d.rows.quotient(planes);
  at.d = planes - at.n * g.d.rows.by;
  at.h = lines - planes * g.h.rows.by;
  at.w = m - lines * g.w.rows.by;
  return at;
}

// Rows past the last lie outside of all images, so that their A is 0.
__device__ __forceinline__ Row row_of(const Geometry& g, unsigned m) {
  Row row = {0, OUTSIDE, 0, 0};
  if (m >= g.rows) return row;
  const Place at = place_of(g, m);
  row.d = (int)at.d * g.d.step + g.d.shift;
  row.h = (int)at.h * g.h.step + g.h.shift;
  row.w = (int)at.w * g.w.step + g.w.shift;
  row.origin = (Index)at.n * g.source_image + (Index)row.d * g.d.between +
               (Index)row.h * g.h.between + (Index)row.w * g.w.between;
  return row;
}

// The window's offset number `tap` among those of the class, row by row; channel 0.
__device__ __forceinline__ Tap tap_at(const Geometry& g, unsigned tap) {
  const unsigned lines = g.w.taps.quotient(tap);
  const unsigned t = g.h.taps.quotient(lines);
  Tap found;
  found.d = (int)t * g.d.hop;
  found.h = (int)(lines - t * g.h.taps.by) * g.h.hop;
  found.w = (int)(tap - lines * g.w.taps.by) * g.w.hop;
  found.offset = found.d * g.d.between + found.h * g.h.between + found.w * g.w.between;
  return found;
}

// k -> offset and channel.  A k past the last leads outside of all images, so that A is 0.
__device__ __forceinline__ Tap tap_of(const Geometry& g, unsigned k) {
  if (k >= g.depth) return {0, OUTSIDE, 0, 0};
  const unsigned tap = g.channels.quotient(k);
  Tap found = tap_at(g, tap);
  found.offset += (int)(k - tap * g.channels.by);
  return found;
}

// Does the window of that row have that offset on a pixel?  (A negative number is a huge unsigned
// one, so one comparison does for both ends.)  Then A[m][k] = source[row.origin + tap.offset].
__device__ __forceinline__ bool inside(const Geometry& g, const Row& row, const Tap& tap) {
  return (unsigned)(row.d + tap.d) < (unsigned)g.d.length &&
         (unsigned)(row.h + tap.h) < (unsigned)g.h.length &&
         (unsigned)(row.w + tap.w) < (unsigned)g.w.length;
}

// Row m -> its pixel in the result, counted through all images; times channels: its first number.
__device__ __forceinline__ Index result_pixel(const Geometry& g, unsigned m) {
  const Place at = place_of(g, m);
  const Index plane = (Index)at.n * g.d.result_length + g.d.first + at.d * g.d.stride;
  const Index line = plane * g.h.result_length + g.h.first + at.h * g.h.stride;
  return line * g.w.result_length + g.w.first + at.w * g.w.stride;
}

// Offset number `tap` of the class -> its place among all offsets of the weight.
__device__ __forceinline__ int weight_offset(const Geometry& g, unsigned tap) {
  const unsigned lines = g.w.taps.quotient(tap);
  const unsigned t = g.h.taps.quotient(lines);
  const int u = lines - t * g.h.taps.by, v = tap - lines * g.w.taps.by;
  const int plane = g.d.tap + (int)t * g.d.tap_stride;
  const int line = plane * g.h.size + g.h.tap + u * g.h.tap_stride;
  return line * g.w.size + g.w.tap + v * g.w.tap_stride;
}
