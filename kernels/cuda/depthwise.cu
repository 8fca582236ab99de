// Depthwise convolution: each output channel o sees one input channel, c = o / M.
//
// There is no product of matrices here: each number of x is used K * M times only, and the work is
// to bring x and take y away.  Threads have neighbouring channels, which lie side by side in
// memory; each has V of them, and RUN neighbouring pixels, for which a weight is read once.
#include "geometry.cuh"

constexpr int RUN = 4;         // pixels of a thread
constexpr int NEAR_TAPS = 64;  // offsets whose places a block keeps in shared memory at a time

// Places of offsets, worked out once for the whole block.
struct Taps {
  Tap tap[NEAR_TAPS];
  int row[NEAR_TAPS];  // of the filters
};

// Fill `near` with the offsets from `first` on. All threads of the block must come here.
__device__ __forceinline__ void bring_taps(const Geometry& g, Taps& near, unsigned first,
                                           unsigned taps) {
  __syncthreads();  // those before have been used
  for (unsigned k = threadIdx.x; k < NEAR_TAPS && first + k < taps; k += blockDim.x) {
    near.tap[k] = tap_at(g, first + k);
    near.row[k] = weight_offset(g, first + k);
  }
  __syncthreads();
}

// Forward and input gradient.  filters (K, O); result channel c meets columns s = c * sources ...
// (c+1) * sources - 1 of the filters and channels s / repeats of the source: forward sources is 1
// and repeats M, for the input gradient the other way round.  blockIdx.y is the class.
template <typename T, int V>
__global__ void depthwise(const int* __restrict__ table, const T* __restrict__ source,
                          const T* __restrict__ filters, const T* __restrict__ bias,
                          T* __restrict__ result, Index sources, Index repeats) {
  __shared__ Geometry g;
  __shared__ Taps near;
  load_geometry(g, table, blockIdx.y);
  int c;
  const Index run = divide(first_index(), g.result_channels / V, c);
  c *= V;
  const unsigned m0 = run * RUN < g.rows ? run * RUN : g.rows;
  const unsigned taps = g.d.taps.by * g.h.taps.by * g.w.taps.by;
  const Index width = g.result_channels * sources;  // of the filters
  Row rows[RUN];
  Wide<T> sums[RUN][V] = {};
#pragma unroll
  for (int r = 0; r < RUN; ++r) rows[r] = row_of(g, m0 + r);

  for (unsigned first = 0; first < taps; first += NEAR_TAPS) {
    bring_taps(g, near, first, taps);
    for (unsigned k = 0; k < NEAR_TAPS && first + k < taps; ++k)
      for (int s = c * sources; s < (c + 1) * sources; ++s) {
        const Pack<T, V> w = read_pack<V>(filters + near.row[k] * width + s);
        const T* __restrict__ from = source + near.tap[k].offset + s / (int)repeats;
#pragma unroll
        for (int r = 0; r < RUN; ++r) {
          if (!inside(g, rows[r], near.tap[k])) continue;
          const Pack<T, V> x = read_pack<V>(from + rows[r].origin);
#pragma unroll
          for (int v = 0; v < V; ++v) sums[r][v] += (Wide<T>)w.lane[v] * (Wide<T>)x.lane[v];
        }
      }
  }

#pragma unroll
  for (int r = 0; r < RUN; ++r) {
    if (m0 + r >= g.rows) break;
    Pack<T, V> made;
#pragma unroll
    for (int v = 0; v < V; ++v)
      made.lane[v] = T(sums[r][v] + (bias ? (Wide<T>)bias[c + v] : Wide<T>(0)));
    write_pack(result + result_pixel(g, m0 + r) * g.result_channels + c, made);
  }
}

constexpr int LANES = 32, LINES = 8;  // a block: threads side by side in channels, and in pixels
constexpr int TAPS = 9;               // offsets of a block: the sums of 3 x 3 stay in registers

// Weight gradient: grad[o][u] = sum over the pixels of grad_y[pixel][o] * x[pixel + u][o / M].
// Block (x, y, z): LANES * V channels, TAPS offsets, chunk z of `length` pixels. A thread adds up
// every LINES-th pixel; then its LINES fellows' sums are added in order. partial (chunks, K, O),
// to be added up by sum_chunks (filters.cu).
template <typename T, int V>
__global__ void __launch_bounds__(LANES * LINES)
    depthwise_weight(const int* __restrict__ table, const T* __restrict__ x,
                     const T* __restrict__ grad_y, Wide<T>* __restrict__ partial, Index repeats,
                     Index length) {
  __shared__ Geometry g;
  __shared__ Wide<T> shown[LINES][LANES * V];
  load_geometry(g, table, 0);
  const int outputs = g.result_channels, lane = threadIdx.x % LANES, line = threadIdx.x / LANES;
  const int o = (blockIdx.x * LANES + lane) * V;
  const unsigned taps = g.d.taps.by * g.h.taps.by * g.w.taps.by, first = blockIdx.y * TAPS;
  const unsigned begin = blockIdx.z * length;
  const unsigned end = begin + length < g.rows ? begin + length : g.rows;
  Wide<T> sums[TAPS][V] = {};
  Tap near[TAPS];
#pragma unroll
  for (int k = 0; k < TAPS; ++k) {
    near[k] = tap_at(g, first + k < taps ? first + k : first);
    if (first + k >= taps) near[k].d = OUTSIDE;
  }

  if (o < outputs)
    for (unsigned m = begin + line; m < end; m += LINES) {
      const Row row = row_of(g, m);
      const Pack<T, V> dy = read_pack<V>(grad_y + (Index)m * outputs + o);
#pragma unroll
      for (int k = 0; k < TAPS; ++k) {
        if (!inside(g, row, near[k])) continue;
        const Pack<T, V> seen = read_pack<V>(x + row.origin + near[k].offset + o / (int)repeats);
#pragma unroll
        for (int v = 0; v < V; ++v) sums[k][v] += (Wide<T>)dy.lane[v] * (Wide<T>)seen.lane[v];
      }
    }

#pragma unroll
  for (int k = 0; k < TAPS; ++k) {
    __syncthreads();  // the sums of the offset before have been read
#pragma unroll
    for (int v = 0; v < V; ++v) shown[line][lane * V + v] = sums[k][v];
    __syncthreads();
    if (line || o >= outputs || first + k >= taps) continue;
    for (int v = 0; v < V; ++v) {
      Wide<T> sum = 0;
      for (int other = 0; other < LINES; ++other) sum += shown[other][lane * V + v];
      partial[((Index)blockIdx.z * taps + first + k) * outputs + o + v] = sum;
    }
  }
}

// instances: depthwise<float, 4>, depthwise<float, 1>
// instances: depthwise_weight<float, 4>, depthwise_weight<float, 1>
// instances: depthwise<double, 4>, depthwise<double, 1>
// instances: depthwise_weight<double, 4>, depthwise_weight<double, 1>
// instances: depthwise<half_t, 4>, depthwise<half_t, 1>
// instances: depthwise_weight<half_t, 4>, depthwise_weight<half_t, 1>
