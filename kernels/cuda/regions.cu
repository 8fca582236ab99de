// Regions of images: RoI pooling and RoI align.
//
// A region's output is a grid of cells (I, J); memory is channels-last, (R, I, J, C) and
// (N, H, W, C), and a thread takes one channel, or as many as fill 16 bytes.  Going back it owns a
// pixel of an image and looks through the regions of that image in order: only so are sums
// without atomics of one order.  Most regions are passed over at a glance, by their bounds.
#include "common.cuh"

// ---- RoI pooling --------------------------------------------------------------------------------

// Which cell of which region is mine, and the first of its channels.
struct Cell {
  Index region;
  int i, j, channel;
};

template <int V>
__device__ __forceinline__ Cell cell_of(Index number, int rows, int columns, int channels) {
  Cell it;
  const Index place = divide(number, channels / V, it.channel);
  it.region = divide(divide(place, columns, it.j), rows, it.i);
  it.channel *= V;
  return it;
}

// Which pixel of which image is mine, and the first of its channels.
struct Pixel {
  Index image;
  int h, w, channel;
};

template <int V>
__device__ __forceinline__ Pixel pixel_of(Index number, int height, int width, int channels) {
  Pixel it;
  const Index place = divide(number, channels / V, it.channel);
  it.image = divide(divide(place, width, it.w), height, it.h);
  it.channel *= V;
  return it;
}

template <typename T, int V>
__device__ void max_cells(const T* __restrict__ x, const Index* __restrict__ images,
                          const Index* __restrict__ tops, const Index* __restrict__ bottoms,
                          const Index* __restrict__ lefts, const Index* __restrict__ rights,
                          T* __restrict__ y, int* __restrict__ winner, Index count, int rows,
                          int columns, int height, int width, int channels) {
  for (Index number = first_index(); number < count; number += index_step()) {
    const Cell it = cell_of<V>(number, rows, columns, channels);
    const T* image = x + images[it.region] * height * width * channels + it.channel;
    const int bottom = (int)bottoms[it.region * rows + it.i];
    const int left = (int)lefts[it.region * columns + it.j];
    const int right = (int)rights[it.region * columns + it.j];
    Wide<T> best[V] = {};
    Pack<int, V> at;
    for (int c = 0; c < V; ++c) at.lane[c] = -1;
    for (int h = (int)tops[it.region * rows + it.i]; h < bottom; ++h)
      for (int w = left; w < right; ++w) {
        const int place = h * width + w;
        const Pack<T, V> values = read_pack<V>(image + (Index)place * channels);
        for (int c = 0; c < V; ++c) {
          const Wide<T> v = values.lane[c], b = best[c];
          if (at.lane[c] < 0 || v > b || (v != v && b == b)) {  // the first NaN, or of the largest
            best[c] = v;
            at.lane[c] = place;
          }
        }
      }
    Pack<T, V> largest;
    for (int c = 0; c < V; ++c) largest.lane[c] = T(best[c]);
    write_pack(y + number * V, largest);
    write_pack(winner + number * V, at);
  }
}

// x (N, H, W, C), images (R,), tops and bottoms (R, I), lefts and rights (R, J) -> y and winner
// (R, I, J, C).
template <typename T>
__global__ void roi_max_pool(const T* __restrict__ x, const Index* __restrict__ images,
                             const Index* __restrict__ tops, const Index* __restrict__ bottoms,
                             const Index* __restrict__ lefts, const Index* __restrict__ rights,
                             T* __restrict__ y, int* __restrict__ winner, Index count, Index rows,
                             Index columns, Index height, Index width, Index channels,
                             bool packed) {
  FOR_PACKS(max_cells, x, images, tops, bottoms, lefts, rights, y, winner, count, (int)rows,
            (int)columns, (int)height, (int)width, (int)channels)
}

// tops, bottoms (R, I), lefts, rights (R, J) -> bounds (R, 4), which all cells of a region are in.
extern "C" __global__ void cell_bounds(const Index* __restrict__ tops,
                                       const Index* __restrict__ bottoms,
                                       const Index* __restrict__ lefts,
                                       const Index* __restrict__ rights,
                                       int* __restrict__ bounds, Index count, Index rows,
                                       Index columns) {
  for (Index r = first_index(); r < count; r += index_step()) {
    Index top = tops[r * rows], bottom = bottoms[r * rows];
    Index left = lefts[r * columns], right = rights[r * columns];
    for (Index i = r * rows; i < (r + 1) * rows; ++i) {
      top = lower(top, tops[i]);
      bottom = upper(bottom, bottoms[i]);
    }
    for (Index j = r * columns; j < (r + 1) * columns; ++j) {
      left = lower(left, lefts[j]);
      right = upper(right, rights[j]);
    }
    write_pack(bounds + 4 * r, Pack<int, 4>{{(int)top, (int)bottom, (int)left, (int)right}});
  }
}

// Whether a pixel is of the region's image, and within its bounds (top, bottom, left, right).
__device__ __forceinline__ bool is_near(Pixel it, Index image, const int* __restrict__ bounds) {
  if (image != it.image) return false;
  const Pack<int, 4> b = read_pack<4>(bounds);
  return it.h >= b.lane[0] && it.h < b.lane[1] && it.w >= b.lane[2] && it.w < b.lane[3];
}

template <typename T, int V>
__device__ void add_cells_won(const T* __restrict__ grad_y, const int* __restrict__ winner,
                              const Index* __restrict__ images, const Index* __restrict__ tops,
                              const Index* __restrict__ bottoms, const Index* __restrict__ lefts,
                              const Index* __restrict__ rights, const int* __restrict__ bounds,
                              T* __restrict__ grad_x, Index count, Index regions, int rows,
                              int columns, int height, int width, int channels) {
  for (Index number = first_index(); number < count; number += index_step()) {
    const Pixel it = pixel_of<V>(number, height, width, channels);
    Wide<T> total[V] = {};
    for (Index r = 0; r < regions; ++r) {
      if (!is_near(it, images[r], bounds + 4 * r)) continue;
      for (int i = 0; i < rows; ++i) {
        if (it.h < tops[r * rows + i] || it.h >= bottoms[r * rows + i]) continue;
        for (int j = 0; j < columns; ++j) {
          if (it.w < lefts[r * columns + j] || it.w >= rights[r * columns + j]) continue;
          const Index at = ((r * rows + i) * columns + j) * channels + it.channel;
          const Pack<int, V> winners = read_pack<V>(winner + at);
          const Pack<T, V> values = read_pack<V>(grad_y + at);
          for (int c = 0; c < V; ++c)
            if (winners.lane[c] == it.h * width + it.w) total[c] += values.lane[c];
        }
      }
    }
    Pack<T, V> sums;
    for (int c = 0; c < V; ++c) sums.lane[c] = T(total[c]);
    write_pack(grad_x + number * V, sums);
  }
}

// grad_y, winner (R, I, J, C) -> grad_x (N, H, W, C).
template <typename T>
__global__ void roi_max_unpool(const T* __restrict__ grad_y, const int* __restrict__ winner,
                               const Index* __restrict__ images, const Index* __restrict__ tops,
                               const Index* __restrict__ bottoms, const Index* __restrict__ lefts,
                               const Index* __restrict__ rights, const int* __restrict__ bounds,
                               T* __restrict__ grad_x, Index count, Index regions, Index rows,
                               Index columns, Index height, Index width, Index channels,
                               bool packed) {
  FOR_PACKS(add_cells_won, grad_y, winner, images, tops, bottoms, lefts, rights, bounds, grad_x,
            count, regions, (int)rows, (int)columns, (int)height, (int)width, (int)channels)
}

// x (N, PIXELS, C), winner (R, CELLS, C) -> y like winner: the pixels that won, 0 where none did.
template <typename T>
__global__ void roi_take_winners(const T* __restrict__ x, const int* __restrict__ winner,
                                 const Index* __restrict__ images, T* __restrict__ y, Index count,
                                 Index cells, Index pixels, Index channels) {
  for (Index number = first_index(); number < count; number += index_step()) {
    int c, cell;
    const Index r = divide(divide(number, (int)channels, c), (int)cells, cell);
    const int at = winner[number];
    y[number] = at < 0 ? T(0.0f) : x[(images[r] * pixels + at) * channels + c];
  }
}

// ---- RoI align ----------------------------------------------------------------------------------

// What a region's rows (or columns) are read from: line i of region r is the sum over k of the
// image's row first[r, i] + k times weights[r, i, k].
template <typename W> struct Taps {
  const Index* __restrict__ first;  // (R, lines)
  const W* __restrict__ weights;    // (R, lines, taps)
  int lines, taps, pixels;

  __device__ __forceinline__ W weight(Index line, int k) const { return weights[line * taps + k]; }
  // The row that tap k looks at: beyond the image it is that at its border.
  __device__ __forceinline__ int pixel(Index line, int k) const {
    return (int)lower(upper(first[line] + k, Index(0)), Index(pixels - 1));
  }
  // The taps from..to of a line that look at a pixel: one at most, but for the borders.
  __device__ __forceinline__ void reaching(Index line, int pixel, int& from, int& to) const {
    const Index k = pixel - first[line];
    from = pixel == 0 ? 0 : (int)upper(k, Index(0));
    to = pixel == pixels - 1 ? taps - 1 : (int)lower(k, Index(taps - 1));
  }
  // The pixels that a region looks at are from `start` on, before `stop`.
  __device__ void bounds(Index region, int& start, int& stop) const {
    start = pixels, stop = 0;
    for (Index line = region * lines; line < (region + 1) * lines; ++line)
      for (int k = 0; k < taps; ++k)
        if (weight(line, k) != 0) {
          start = lower(start, pixel(line, k));
          stop = upper(stop, pixel(line, k) + 1);
        }
  }
};

template <typename T, int V>
__device__ void sample_cells(const T* __restrict__ x, const Index* __restrict__ images,
                             Taps<Wide<T>> rows, Taps<Wide<T>> columns, T* __restrict__ y,
                             Index count, int channels) {
  for (Index number = first_index(); number < count; number += index_step()) {
    const Cell it = cell_of<V>(number, rows.lines, columns.lines, channels);
    const Index row = it.region * rows.lines + it.i, column = it.region * columns.lines + it.j;
    const T* image = x + images[it.region] * rows.pixels * columns.pixels * channels + it.channel;
    Wide<T> total[V] = {};
    for (int k = 0; k < rows.taps; ++k) {
      if (rows.weight(row, k) == 0) continue;  // what weighs nothing may be NaN
      const Index h = rows.pixel(row, k);
      for (int m = 0; m < columns.taps; ++m) {
        const Wide<T> weight = rows.weight(row, k) * columns.weight(column, m);
        if (weight == 0) continue;
        const Index at = h * columns.pixels + columns.pixel(column, m);
        const Pack<T, V> values = read_pack<V>(image + at * channels);
        for (int c = 0; c < V; ++c) total[c] += weight * (Wide<T>)values.lane[c];
      }
    }
    Pack<T, V> sums;
    for (int c = 0; c < V; ++c) sums.lane[c] = T(total[c]);
    write_pack(y + number * V, sums);
  }
}

// x (N, H, W, C), images (R,), rows and columns: see Taps -> y (R, I, J, C).
template <typename T>
__global__ void roi_sample(const T* __restrict__ x, const Index* __restrict__ images,
                           const Index* __restrict__ first_row,
                           const Wide<T>* __restrict__ row_weights,
                           const Index* __restrict__ first_column,
                           const Wide<T>* __restrict__ column_weights, T* __restrict__ y,
                           Index count, Index rows, Index row_taps, Index columns,
                           Index column_taps, Index height, Index width, Index channels,
                           bool packed) {
  const Taps<Wide<T>> down = {first_row, row_weights, (int)rows, (int)row_taps, (int)height};
  const Taps<Wide<T>> across = {first_column, column_weights, (int)columns, (int)column_taps,
                                (int)width};
  FOR_PACKS(sample_cells, x, images, down, across, y, count, (int)channels)
}

// Rows and columns: see Taps -> bounds (R, 4): the pixels that a region looks at are within.
template <typename T>
__global__ void tap_bounds(const Index* __restrict__ first_row,
                           const Wide<T>* __restrict__ row_weights,
                           const Index* __restrict__ first_column,
                           const Wide<T>* __restrict__ column_weights, int* __restrict__ bounds,
                           Index count, Index rows, Index row_taps, Index columns,
                           Index column_taps, Index height, Index width) {
  const Taps<Wide<T>> down = {first_row, row_weights, (int)rows, (int)row_taps, (int)height};
  const Taps<Wide<T>> across = {first_column, column_weights, (int)columns, (int)column_taps,
                                (int)width};
  for (Index r = first_index(); r < count; r += index_step()) {
    Pack<int, 4> box;
    down.bounds(r, box.lane[0], box.lane[1]);
    across.bounds(r, box.lane[2], box.lane[3]);
    write_pack(bounds + 4 * r, box);
  }
}

template <typename T, int V>
__device__ void spread_cells(const T* __restrict__ grad_y, const Index* __restrict__ images,
                             Taps<Wide<T>> rows, Taps<Wide<T>> columns,
                             const int* __restrict__ bounds, T* __restrict__ grad_x, Index count,
                             Index regions, int channels) {
  for (Index number = first_index(); number < count; number += index_step()) {
    const Pixel it = pixel_of<V>(number, rows.pixels, columns.pixels, channels);
    Wide<T> total[V] = {};
    for (Index r = 0; r < regions; ++r) {
      if (!is_near(it, images[r], bounds + 4 * r)) continue;
      for (Index row = r * rows.lines; row < (r + 1) * rows.lines; ++row) {
        int k, last;
        for (rows.reaching(row, it.h, k, last); k <= last; ++k) {
          const Wide<T> down = rows.weight(row, k);
          if (down == 0) continue;
          for (int j = 0; j < columns.lines; ++j) {
            const Index column = r * columns.lines + j;
            int m, right;
            for (columns.reaching(column, it.w, m, right); m <= right; ++m) {
              const Wide<T> weight = down * columns.weight(column, m);
              if (weight == 0) continue;
              const Index at = (row * columns.lines + j) * channels + it.channel;
              const Pack<T, V> values = read_pack<V>(grad_y + at);
              for (int c = 0; c < V; ++c) total[c] += weight * (Wide<T>)values.lane[c];
            }
          }
        }
      }
    }
    Pack<T, V> sums;
    for (int c = 0; c < V; ++c) sums.lane[c] = T(total[c]);
    write_pack(grad_x + number * V, sums);
  }
}

// grad_y (R, I, J, C) -> grad_x (N, H, W, C): the transpose of roi_sample.
template <typename T>
__global__ void roi_spread(const T* __restrict__ grad_y, const Index* __restrict__ images,
                           const Index* __restrict__ first_row,
                           const Wide<T>* __restrict__ row_weights,
                           const Index* __restrict__ first_column,
                           const Wide<T>* __restrict__ column_weights,
                           const int* __restrict__ bounds, T* __restrict__ grad_x, Index count,
                           Index regions, Index rows, Index row_taps, Index columns,
                           Index column_taps, Index height, Index width, Index channels,
                           bool packed) {
  const Taps<Wide<T>> down = {first_row, row_weights, (int)rows, (int)row_taps, (int)height};
  const Taps<Wide<T>> across = {first_column, column_weights, (int)columns, (int)column_taps,
                                (int)width};
  FOR_PACKS(spread_cells, grad_y, images, down, across, bounds, grad_x, count, regions,
            (int)channels)
}
