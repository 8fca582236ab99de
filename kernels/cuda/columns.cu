// The textbook's way: windows become columns that meet the filters in one product (im2col), and
// numbers go back to the pixels they came from (col2im).
#include "geometry.cuh"

// x (N, *IN, C) -> columns (N, C*K, OUT): column p of image n is the window that makes pixel p.
// The geometry is that of forward with one group. Neighbouring threads write neighbouring columns.
template <typename T>
__global__ void im2col(const int* __restrict__ table, const T* __restrict__ x,
                       T* __restrict__ columns, Index outputs, Index taps, Index count) {
  __shared__ Geometry g;
  load_geometry(g, table, 0);
  for (Index i = first_index(); i < count; i += index_step()) {
    const Index line = i / outputs, p = i - line * outputs;      // line: (n, c, offset)
    const Index pixel = line / taps, offset = line - pixel * taps;  // pixel: (n, c)
    const Index n = pixel / g.channels.by, c = pixel - n * g.channels.by;
    const Row row = row_of(g, n * outputs + p);
    const Tap tap = tap_at(g, offset);
    columns[i] = inside(g, row, tap) ? x[row.origin + tap.offset + c] : T(0.0f);
  }
}

// columns (N, C*K, OUT) -> image (N, *IN, C), the sum of each pixel's numbers: each thread has a
// pixel and gathers what the windows that saw it hold, so that nobody waits for another.  The
// geometry is that of the input gradient for one output channel, so that a source's number
// n*OUT + p is column p of image n; blockIdx.y is the class.
template <typename T>
__global__ void col2im(const int* __restrict__ table, const T* __restrict__ columns,
                       T* __restrict__ image, Index outputs) {
  __shared__ Geometry g;
  load_geometry(g, table, blockIdx.y);
  const Index channels = g.result_channels, size = (Index)g.d.size * g.h.size * g.w.size;
  for (Index i = first_index(); i < g.rows * channels; i += index_step()) {
    const Index m = i / channels, c = i - m * channels;
    const Index n = place_of(g, m).n;
    const Row row = row_of(g, m);
    Wide<T> sum = 0;
    for (unsigned k = 0; k < g.depth; ++k) {
      const Tap tap = tap_at(g, k);
      if (!inside(g, row, tap)) continue;
      const Index p = row.origin + tap.offset - n * outputs;
      const Index line = (n * channels + c) * size + weight_offset(g, k);
      sum += (Wide<T>)columns[line * outputs + p];
    }
    image[result_pixel(g, m) * channels + c] = T(sum);
  }
}
