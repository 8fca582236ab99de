// Pooling.  Memory is channels-last, (N, PIXELS, C): neighbouring threads take neighbours among the
// channels of one window (or pixel), so that a warp reads and writes memory in a row; and where C
// allows it, a thread takes as many channels as fill 16 bytes.
//
// Signals and images are volumes one pixel deep (and high), so one loop serves all; windows and
// pixels are numbered through, row by row.  Going forward a thread owns a window, and looks at its
// pixels.  Going back it owns a pixel, and looks at the windows that see it: where windows overlap
// nothing is added to one place by two threads, and every sum has one order.
#include "common.cuh"

// ---- Which pixels a window sees, which windows see a pixel --------------------------------------

// Both are told axis by axis, by a table of ints: what is visited is a box.  The first six ints are
// the volume that is walked through, (D, H, W), and that of those who walk, (QD, QH, QW).

// In `spans` then come the steps of the axes, and for each axis the starts and the counts:
// window i sees counts[i] pixels from starts[i], `step` apart.
template <typename Visit>
__device__ __forceinline__ void pixels_of(const int* __restrict__ spans, int window, Visit visit) {
  const int height = spans[1], width = spans[2];
  const int depths = spans[3], rows = spans[4], columns = spans[5];
  const int j = window % columns, i = window / columns % rows, q = window / columns / rows;
  const int* d_start = spans + 9;
  const int* h_start = d_start + 2 * depths;
  const int* w_start = h_start + 2 * rows;
  const int d_count = d_start[depths + q], d_step = spans[6];
  const int h_count = h_start[rows + i], h_step = spans[7];
  const int w_count = w_start[columns + j], w_step = spans[8];
  for (int d = 0; d < d_count; ++d)
    for (int h = 0; h < h_count; ++h) {
      int pixel = (d_start[q] + d * d_step) * height + h_start[i] + h * h_step;
      pixel = pixel * width + w_start[j];
      for (int w = 0; w < w_count; ++w, pixel += w_step) visit(pixel);
    }
}

// In `seen` then comes for each axis a list of windows, those of pixel p from ends[p] on, before
// ends[p + 1], in order.
template <typename Visit>
__device__ __forceinline__ void windows_of(const int* __restrict__ seen, int pixel, Visit visit) {
  const int rows = seen[1], columns = seen[2];  // of windows
  const int depth = seen[3], height = seen[4], width = seen[5];
  const int x = pixel % width, y = pixel / width % height, z = pixel / width / height;
  const int* d_ends = seen + 6;
  const int* d_list = d_ends + depth + 1;
  const int* h_ends = d_list + d_ends[depth];
  const int* h_list = h_ends + height + 1;
  const int* w_ends = h_list + h_ends[height];
  const int* w_list = w_ends + width + 1;
  for (int d = d_ends[z]; d < d_ends[z + 1]; ++d)
    for (int h = h_ends[y]; h < h_ends[y + 1]; ++h)
      for (int w = w_ends[x]; w < w_ends[x + 1]; ++w)
        visit((d_list[d] * rows + h_list[h]) * columns + w_list[w]);
}

// Which V channels of which place of which image are mine.
struct Mine {
  int place;          // the window or the pixel
  Index own, others;  // where its channels begin; and those of the first place walked through
};

template <int V>
__device__ __forceinline__ Mine mine(Index i, const int* __restrict__ table, int channels) {
  int group;
  Mine it;
  const Index place = divide(i, channels / V, group);
  const Index n = divide(place, table[3] * table[4] * table[5], it.place);
  it.own = i * V;
  it.others = n * table[0] * table[1] * table[2] * channels + group * V;
  return it;
}

// ---- The largest --------------------------------------------------------------------------------

template <typename T, int V>
__device__ void max_windows(const T* __restrict__ x, T* __restrict__ y, int* __restrict__ winner,
                            const int* __restrict__ spans, Index count, int channels) {
  for (Index i = first_index(); i < count; i += index_step()) {
    const Mine it = mine<V>(i, spans, channels);
    Wide<T> best[V];
    Pack<int, V> at;
    for (int c = 0; c < V; ++c) at.lane[c] = -1;
    pixels_of(spans, it.place, [&](int pixel) {
      const Pack<T, V> values = read_pack<V>(x + it.others + (Index)pixel * channels);
      for (int c = 0; c < V; ++c) {
        const Wide<T> v = values.lane[c], b = best[c];
        // Only what is larger wins, so the first of equals stays; and a NaN over all numbers.
        if (at.lane[c] < 0 || v > b || (v != v && b == b)) {
          best[c] = v;
          at.lane[c] = pixel;
        }
      }
    });
    Pack<T, V> largest;
    for (int c = 0; c < V; ++c) largest.lane[c] = T(best[c]);
    write_pack(y + it.own, largest);
    write_pack(winner + it.own, at);
  }
}

// x (N, PIXELS, C) -> y, winner (N, WINDOWS, C); count: threads' shares of y.
template <typename T>
__global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, int* __restrict__ winner,
                         const int* __restrict__ spans, Index count, Index channels, bool packed) {
  FOR_PACKS(max_windows, x, y, winner, spans, count, (int)channels)
}

template <typename T, int V>
__device__ void add_won(const T* __restrict__ x, const int* __restrict__ winner,
                        T* __restrict__ y, const int* __restrict__ seen, Index count,
                        int channels) {
  for (Index i = first_index(); i < count; i += index_step()) {
    const Mine it = mine<V>(i, seen, channels);
    Wide<T> total[V] = {};
    windows_of(seen, it.place, [&](int window) {
      const Index at = it.others + (Index)window * channels;
      const Pack<int, V> winners = read_pack<V>(winner + at);
      const Pack<T, V> values = read_pack<V>(x + at);
      for (int c = 0; c < V; ++c)
        if (winners.lane[c] == it.place) total[c] += values.lane[c];
    });
    Pack<T, V> sums;
    for (int c = 0; c < V; ++c) sums.lane[c] = T(total[c]);
    write_pack(y + it.own, sums);
  }
}

// x, winner (N, WINDOWS, C) -> y (N, PIXELS, C): each pixel adds up the windows that it won.
template <typename T>
__global__ void max_unpool(const T* __restrict__ x, const int* __restrict__ winner,
                           T* __restrict__ y, const int* __restrict__ seen, Index count,
                           Index channels, bool packed) {
  FOR_PACKS(add_won, x, winner, y, seen, count, (int)channels)
}

// The same where nobody knows which windows a pixel may have won: a thread owns a channel of an
// image, of zeros, and goes through its winners in order.  count: N * C.
template <typename T>
__global__ void put_winners(const T* __restrict__ x, const int* __restrict__ winner,
                            Wide<T>* __restrict__ y, Index count, Index windows, Index pixels,
                            Index channels) {
  for (Index i = first_index(); i < count; i += index_step()) {
    const Index n = i / channels, c = i % channels;
    for (Index o = 0; o < windows; ++o) {
      const Index at = (n * windows + o) * channels + c;
      y[(n * pixels + winner[at]) * channels + c] += (Wide<T>)x[at];
    }
  }
}

// x (N, PIXELS, C), winner (N, WINDOWS, C) -> y (N, WINDOWS, C).
template <typename T>
__global__ void take_winners(const T* __restrict__ x, const int* __restrict__ winner,
                             T* __restrict__ y, Index count, Index windows, Index pixels,
                             Index channels) {
  for (Index i = first_index(); i < count; i += index_step()) {
    int c, window;
    const Index n = divide(divide(i, (int)channels, c), (int)windows, window);
    y[i] = x[(n * pixels + winner[i]) * channels + c];
  }
}

// ---- Sums ---------------------------------------------------------------------------------------

// What a thread does with a sum, going forward or back: the same but for whom it visits.
template <typename T, int V> struct Total {
  Wide<T> sum[V] = {};
  __device__ __forceinline__ void add(const T* __restrict__ from) {
    const Pack<T, V> values = read_pack<V>(from);
    for (int c = 0; c < V; ++c) sum[c] += values.lane[c];
  }
  __device__ __forceinline__ void write(T* __restrict__ to, Wide<T> scale) {
    Pack<T, V> scaled;
    for (int c = 0; c < V; ++c) scaled.lane[c] = T(sum[c] * scale);
    write_pack(to, scaled);
  }
};

template <typename T, int V>
__device__ void sum_windows(const T* __restrict__ x, T* __restrict__ y,
                            const int* __restrict__ spans, Index count, int channels,
                            Wide<T> scale) {
  for (Index i = first_index(); i < count; i += index_step()) {
    const Mine it = mine<V>(i, spans, channels);
    Total<T, V> total;
    pixels_of(spans, it.place,
              [&](int pixel) { total.add(x + it.others + (Index)pixel * channels); });
    total.write(y + it.own, scale);
  }
}

// x (N, PIXELS, C) -> y (N, WINDOWS, C).
template <typename T>
__global__ void sum_pool(const T* __restrict__ x, T* __restrict__ y, const int* __restrict__ spans,
                         Index count, Index channels, double scale, bool packed) {
  FOR_PACKS(sum_windows, x, y, spans, count, (int)channels, (Wide<T>)scale)
}

template <typename T, int V>
__device__ void sum_seen(const T* __restrict__ x, T* __restrict__ y, const int* __restrict__ seen,
                         Index count, int channels, Wide<T> scale) {
  for (Index i = first_index(); i < count; i += index_step()) {
    const Mine it = mine<V>(i, seen, channels);
    Total<T, V> total;
    windows_of(seen, it.place,
               [&](int window) { total.add(x + it.others + (Index)window * channels); });
    total.write(y + it.own, scale);
  }
}

// x (N, WINDOWS, C) -> y (N, PIXELS, C).
template <typename T>
__global__ void sum_unpool(const T* __restrict__ x, T* __restrict__ y,
                           const int* __restrict__ seen, Index count, Index channels,
                           double scale, bool packed) {
  FOR_PACKS(sum_seen, x, y, seen, count, (int)channels, (Wide<T>)scale)
}

// ---- Norms --------------------------------------------------------------------------------------

__device__ __forceinline__ float raised(float base, float power) {
  if (power == 2) return base * base;
  if (power == 1) return base;
  return power == 0.5f ? sqrtf(base) : powf(base, power);
}
__device__ __forceinline__ double raised(double base, double power) {
  if (power == 2) return base * base;
  if (power == 1) return base;
  return power == 0.5 ? sqrt(base) : pow(base, power);
}
__device__ __forceinline__ float size_of(float x) { return fabsf(x); }
__device__ __forceinline__ double size_of(double x) { return fabs(x); }

// x (N, PIXELS, C) -> y (N, WINDOWS, C) = (sum |x|^p)^(1/p), with root = 1/p.
//
// Numbers are divided by the largest of their window first, or their powers would over- or
// underflow.  If that is infinite, `most` stands for it, because inf / inf is NaN.
template <typename T>
__global__ void lp_pool(const T* __restrict__ x, T* __restrict__ y, const int* __restrict__ spans,
                        Index count, Index channels, double p, double root, double most) {
  typedef Wide<T> W;
  for (Index i = first_index(); i < count; i += index_step()) {
    const Mine it = mine<1>(i, spans, (int)channels);
    W largest = 0, sum = 0;
    pixels_of(spans, it.place, [&](int pixel) {
      const W size = size_of((W)x[it.others + pixel * channels]);
      largest = size > largest ? size : largest;
    });
    const W scale = largest > (W)most ? (W)most : largest > 0 ? largest : 1;
    pixels_of(spans, it.place, [&](int pixel) {
      sum += raised(size_of((W)x[it.others + pixel * channels]) / scale, (W)p);
    });
    y[i] = T(scale * raised(sum, (W)root));
  }
}

// (|x|/y)^power, times the sign of x if odd; 0 where y is 0 or it were infinite.
template <typename W> __device__ __forceinline__ W share(W x, W y, W power, bool odd) {
  if (y == 0 || (x == 0 && power < 0)) return 0;
  const W ratio = size_of(x) / y;
  const W part = power == 0 ? ratio * 0 + 1 : raised(ratio, power);  // a NaN stays
  if (!odd || x != x) return part;
  return x < 0 ? -part : x > 0 ? part : part * 0;
}

// grad_y, y (N, WINDOWS, C), x (N, PIXELS, C) -> grad_x like x.
template <typename T>
__global__ void lp_unpool(const T* __restrict__ grad_y, const T* __restrict__ x,
                          const T* __restrict__ y, T* __restrict__ grad_x,
                          const int* __restrict__ seen, Index count, Index channels, double power,
                          bool odd) {
  typedef Wide<T> W;
  for (Index i = first_index(); i < count; i += index_step()) {
    const Mine it = mine<1>(i, seen, (int)channels);
    const W own = x[i];
    W sum = 0;
    windows_of(seen, it.place, [&](int window) {
      const Index at = it.others + window * channels;
      sum += (W)grad_y[at] * share(own, (W)y[at], (W)power, odd);
    });
    grad_x[i] = T(sum);
  }
}

// v, x (N, PIXELS, C), y (N, WINDOWS, C) -> taken like y: the transpose of lp_unpool.
template <typename T>
__global__ void lp_take(const T* __restrict__ v, const T* __restrict__ x, const T* __restrict__ y,
                        T* __restrict__ taken, const int* __restrict__ spans, Index count,
                        Index channels, double power, bool odd) {
  typedef Wide<T> W;
  for (Index i = first_index(); i < count; i += index_step()) {
    const Mine it = mine<1>(i, spans, (int)channels);
    const W own = y[i];
    W sum = 0;
    pixels_of(spans, it.place, [&](int pixel) {
      const Index at = it.others + pixel * channels;
      sum += (W)v[at] * share((W)x[at], own, (W)power, odd);
    });
    taken[i] = T(sum);
  }
}
