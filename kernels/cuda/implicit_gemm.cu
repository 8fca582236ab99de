// Convolution as a matrix product whose matrix of windows is never made: implicit GEMM.
//
// See geometry.cuh for A (rows m: pixels of the result; columns k: offsets and channels).  A block
// makes a tile of BM x BN sums.  It walks along k in steps of BK; for each it brings a tile of A
// and a tile of the filters to shared memory, where each number is used BN or BM times:
//
//                             filters  +--------+
//                                 BK   |////////|          one thread's sums, TM x TN = 8 x 8, in
//                                      +--------+          four pieces of 4 x 4 (so that the
//                                      |        |          threads of a warp read neighbouring
//                       A   BK         |        |          vectors of shared memory):
//               +-----+----+----+      +--------+                BN/2    BN/2
//            BM |     |////|    |      | sums   | BM           +--+----+--+----+
//               |     |////|    |      |        |              |##|    |##|    |  BM/2
//               +-----+----+----+      +--------+              +--+----+--+----+
//                      k -->               BN                  |##|    |##|    |  BM/2
//
// For each k a thread reads TM + TN numbers and makes TM * TN multiplications: that is what hides
// the memory.  Both tiles exist twice: while one pair is multiplied, the next is on its way from
// global memory into registers, and goes to the other pair before the barrier.  One barrier a step
// suffices: what is overwritten after it was last read before it.
//
// Every sum is taken by one thread, k after k: the tile's shape does not change a bit of it.
#include "geometry.cuh"

// Tiles in shared memory: a[k][m], so that the rows of one k lie side by side; b[k][n].  The rows
// are 4 longer than need be, or those who store one m for many k would meet in a bank.
template <typename T, int BM, int BN, int BK> struct Tiles {
  alignas(16) Wide<T> a[BK][BM + 4];
  alignas(16) Wide<T> b[BK][BN + 4];
};

// ---- One thread's sums ------------------------------------------------------------------------

template <typename W, int BM, int BN, int TM, int TN> struct Sums {
  W sum[TM][TN];
  int m, n;  // where the first of its pieces begins

  // A warp takes 4 x 8 threads' pieces of the tile: few different vectors of a and of b.
  __device__ __forceinline__ Sums() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    constexpr int WARPS_ACROSS = BN / TN / 8;
    m = 4 * (lane / 8 + 4 * (warp / WARPS_ACROSS));
    n = 4 * (lane % 8 + 8 * (warp % WARPS_ACROSS));
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
      for (int j = 0; j < TN; ++j) sum[i][j] = 0;
  }

  // Row i of its TM rows, and column j of its TN, in the tile.
  __device__ __forceinline__ int row(int i) const { return m + i / 4 * (4 * BM / TM) + i % 4; }
  __device__ __forceinline__ int column(int j) const { return n + j / 4 * (4 * BN / TN) + j % 4; }

  // sum += a b for one pair of tiles.
  template <typename Tile> __device__ __forceinline__ void add(const Tile& tile) {
    constexpr int BK = sizeof(tile.a) / sizeof(tile.a[0]);
#pragma unroll
    for (int k = 0; k < BK; ++k) {
      Pack<W, 4> a[TM / 4], b[TN / 4];
#pragma unroll
      for (int i = 0; i < TM / 4; ++i)
        a[i] = read_pack<4>(&tile.a[k][row(4 * i)]);
#pragma unroll
      for (int j = 0; j < TN / 4; ++j)
        b[j] = read_pack<4>(&tile.b[k][column(4 * j)]);
#pragma unroll
      for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sum[i][j] += a[i / 4].lane[i % 4] * b[j / 4].lane[j % 4];
    }
  }
};

// ---- Bringing tiles ---------------------------------------------------------------------------
// Each has a fetch() into registers and a store() to shared memory, for a block of THREADS threads
// and vectors of V numbers.

template <typename T, int V>
__device__ __forceinline__ Pack<T, V> load_or_zero(const T* __restrict__ from, bool valid) {
  Pack<T, V> found = {};
  if (valid) found = read_pack<V>(from);
  return found;
}

// A tile of A, BM x BK: a thread has some rows, always the same, and V neighbours of k.  Where the
// rows' windows begin is kept in shared memory: registers are for sums.
template <typename T, int BM, int BK, int V, int THREADS> struct Windows {
  static constexpr int ACROSS = BK / V, APART = THREADS / ACROSS, COUNT = BM / APART;
  static_assert(COUNT * APART == BM, "the threads divide the rows");
  Pack<T, V> held[COUNT];

  __device__ __forceinline__ void fetch(const Geometry& g, const T* __restrict__ source,
                                        const Row (&rows)[BM], unsigned k0) {
    const Tap tap = tap_of(g, k0 + threadIdx.x % ACROSS * V);
#pragma unroll
    for (int r = 0; r < COUNT; ++r) {
      const Row row = rows[threadIdx.x / ACROSS + r * APART];
      held[r] = load_or_zero<T, V>(source + row.origin + tap.offset, inside(g, row, tap));
    }
  }
  template <typename Tile> __device__ __forceinline__ void store(Tile& tile) const {
    const int m = threadIdx.x / ACROSS, k = threadIdx.x % ACROSS * V;
#pragma unroll
    for (int r = 0; r < COUNT; ++r)
#pragma unroll
      for (int v = 0; v < V; ++v) tile.a[k + v][m + r * APART] = (Wide<T>)held[r].lane[v];
  }
};

// A tile of A for the weight gradient, BK x BM: there k (kk here) counts pixels, and m counts
// offsets and channels, of which a thread has V neighbours, always the same.
template <typename T, int BM, int BK, int V, int THREADS> struct Columns {
  static constexpr int ACROSS = BM / V, APART = THREADS / ACROSS, COUNT = BK / APART;
  static_assert(COUNT * APART == BK, "the threads divide the pixels");
  Tap tap;
  Pack<T, V> held[COUNT];

  __device__ __forceinline__ Columns(const Geometry& g, unsigned m0)
      : tap(tap_of(g, m0 + threadIdx.x % ACROSS * V)) {}
  __device__ __forceinline__ void fetch(const Geometry& g, const T* __restrict__ source,
                                        const Row (&rows)[BK]) {
#pragma unroll
    for (int r = 0; r < COUNT; ++r) {
      const Row row = rows[threadIdx.x / ACROSS + r * APART];
      held[r] = load_or_zero<T, V>(source + row.origin + tap.offset, inside(g, row, tap));
    }
  }
  template <typename Tile> __device__ __forceinline__ void store(Tile& tile) const {
    const int kk = threadIdx.x / ACROSS, m = threadIdx.x % ACROSS * V;
#pragma unroll
    for (int r = 0; r < COUNT; ++r)
#pragma unroll
      for (int v = 0; v < V; ++v) tile.a[kk + r * APART][m + v] = (Wide<T>)held[r].lane[v];
  }
};

// A tile of an ordinary matrix, BK x BN, whose rows are `stride` numbers apart.  Tiles follow one
// another downwards; a thread has V neighbouring columns, always the same.
template <typename T, int BN, int BK, int V, int THREADS> struct Matrix {
  static constexpr int ACROSS = BN / V, APART = THREADS / ACROSS;
  static constexpr int COUNT = APART < BK ? BK / APART : 1;  // some threads may have none
  static_assert(COUNT == 1 || COUNT * APART == BK, "the threads divide the rows");
  const T* from;
  int left;  // rows before the end, from the thread's first one on
  Pack<T, V> held[COUNT];

  // The tile at column n0 of the matrix, which has so many rows and columns.
  __device__ __forceinline__ Matrix(const T* __restrict__ matrix, Index stride, int rows,
                                    unsigned n0, unsigned columns) {
    const int row = threadIdx.x / ACROSS, column = n0 + threadIdx.x % ACROSS * V;
    from = matrix + row * stride + column;
    left = row < BK && column < (int)columns ? rows - row : 0;
  }
  __device__ __forceinline__ void fetch(Index stride) {
#pragma unroll
    for (int r = 0; r < COUNT; ++r)
      held[r] = load_or_zero<T, V>(from + r * APART * stride, r * APART < left);
    from += BK * stride;
    left -= BK;
  }
  template <typename Tile> __device__ __forceinline__ void store(Tile& tile) const {
    const int row = threadIdx.x / ACROSS, column = threadIdx.x % ACROSS * V;
    if (row >= BK) return;
#pragma unroll
    for (int r = 0; r < COUNT; ++r)
#pragma unroll
      for (int v = 0; v < V; ++v)
        tile.b[row + r * APART][column + v] = (Wide<T>)held[r].lane[v];
  }
};

// Work out, once for the whole block, where the windows of the pixels from `first` on begin.  What
// is not before `end` is outside.
template <int THREADS, int COUNT>
__device__ __forceinline__ void bring_rows(const Geometry& g, Row (&rows)[COUNT], unsigned first,
                                           unsigned end) {
#pragma unroll
  for (int i = threadIdx.x; i < COUNT; i += THREADS)
    rows[i] = row_of(g, first + i < end ? first + i : g.rows);
}

// Write 4 sums to `to`, or as many of them as lie before `left`; at once if `aligned`.
template <typename W, typename T>
__device__ __forceinline__ void write4(const W (&sums)[4], T* __restrict__ to, int left,
                                       bool aligned) {
  if (aligned && left >= 4) {
    Pack<T, 4> four;
#pragma unroll
    for (int j = 0; j < 4; ++j) four.lane[j] = (T)sums[j];
    write_pack(to, four);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (j < left) to[j] = (T)sums[j];
  }
}

// Rows of sums -> pixels of the result, of whose channels `columns` are the group's; plus the bias.
template <typename T, typename W, int BM, int BN, int TM, int TN>
__device__ __forceinline__ void write_pixels(const Geometry& g,
                                             const Sums<W, BM, BN, TM, TN>& sums, unsigned m0,
                                             unsigned n0, const T* __restrict__ bias,
                                             T* __restrict__ result, Index columns, bool aligned) {
#pragma unroll
  for (int i = 0; i < TM; ++i) {
    const unsigned m = m0 + sums.row(i);
    if (m >= g.rows) continue;
    T* __restrict__ pixel = result + result_pixel(g, m) * g.result_channels;
#pragma unroll
    for (int j = 0; j < TN; j += 4) {
      const int o = n0 + sums.column(j);
      W four[4];
#pragma unroll
      for (int l = 0; l < 4; ++l)
        four[l] = sums.sum[i][j + l] + (bias && o + l < columns ? (W)bias[o + l] : W(0));
      write4(four, pixel + o, columns - o, aligned);
    }
  }
}

// Rows of sums -> rows of a matrix of partial sums (depth, columns).
template <typename W, int BM, int BN, int TM, int TN>
__device__ __forceinline__ void write_weights(const Geometry& g,
                                              const Sums<W, BM, BN, TM, TN>& sums, unsigned m0,
                                              unsigned n0, W* __restrict__ partial,
                                              Index columns) {
#pragma unroll
  for (int i = 0; i < TM; ++i) {
    const unsigned m = m0 + sums.row(i);
    if (m >= g.depth) continue;
#pragma unroll
    for (int j = 0; j < TN; j += 4) {
      const int o = n0 + sums.column(j);
      W four[4];
#pragma unroll
      for (int l = 0; l < 4; ++l) four[l] = sums.sum[i][j + l];
      write4(four, partial + m * columns + o, columns - o, columns % 4 == 0);
    }
  }
}

// ---- The kernels ------------------------------------------------------------------------------

template <int BM, int BN, int TM, int TN> constexpr int BLOCK = BM / TM * (BN / TN);  // threads

// How many blocks a processor shall hold at once, so that some multiply while others wait.  It has
// 65536 registers, and the compiler gives a thread 65536 / (blocks * threads) of them: 128 here, or
// 168 where a thread has 64 sums and yet brings more than one vector of a tile.
template <typename T, int BM, int BN, int TM, int TN, int V>
constexpr int RESIDENT = sizeof(Wide<T>) > 4 ? 1
                         : (V == 1 || BM * BN == 128 * 64 ? 384 : 512) / BLOCK<BM, BN, TM, TN>;

// Forward and input gradient.  source: images, channels last; filters (classes, groups, depth,
// width): rows k, columns o, zeros behind the last; bias (result channels) or none.  Block (x, y,
// z): rows x*BM, columns y*BN, class and group z = class * groups + group.  `columns` of a group;
// `aligned`: the result's pixels begin at multiples of 4 numbers, and so do their groups.
template <typename T, int BM, int BN, int BK, int TM, int TN, int V>
__global__ void __launch_bounds__(BLOCK<BM, BN, TM, TN>, RESIDENT<T, BM, BN, TM, TN, V>)
    implicit_gemm(const int* __restrict__ table, const T* __restrict__ source,
                  const T* __restrict__ filters, const T* __restrict__ bias,
                  T* __restrict__ result, Index groups, Index depth, Index width, Index columns,
                  bool aligned) {
  constexpr int THREADS = BLOCK<BM, BN, TM, TN>;
  __shared__ Geometry g;
  typedef Tiles<T, BM, BN, BK> Both;
  __shared__ Both tiles[2];
  load_geometry(g, table, blockIdx.z / groups);
  const Index group = blockIdx.z % groups;
  const unsigned m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
  if (m0 >= g.rows) return;  // the whole block: this class has fewer rows than others
  source += group * g.channels.by;
  filters += blockIdx.z * depth * width;
  __shared__ Row rows[BM];
  bring_rows<THREADS>(g, rows, m0, g.rows);
  __syncthreads();

  Windows<T, BM, BK, V, THREADS> a;
  Matrix<T, BN, BK, 4, THREADS> b(filters, width, depth, n0, width);
  Sums<Wide<T>, BM, BN, TM, TN> sums;
  const unsigned steps = (g.depth + BK - 1) / BK;
  for (unsigned step = 0; step <= steps; ++step) {  // step brings one pair and uses the last
    if (step < steps) {
      a.fetch(g, source, rows, step * BK);
      b.fetch(width);
    }
    if (step) sums.add(tiles[(step - 1) % 2]);
    if (step < steps) {
      a.store(tiles[step % 2]);
      b.store(tiles[step % 2]);
    }
    __syncthreads();
  }

  write_pixels(g, sums, m0, n0, bias ? bias + group * columns : bias, result + group * columns,
               columns, aligned);
}

// Weight gradient, A^T * grad_y: the sums run over all pixels, far more than there are weights.
// Hence they are cut into chunks of `length` pixels, one block each; sum_chunks (filters.cu) adds
// up what they leave.  grad_y: images (pixels, groups * columns); partial (chunks, groups, depth,
// columns).  Block (x, y, z): rows x*BM of A^T, columns y*BN, z = chunk * groups + group.
template <typename T, int BM, int BN, int BK, int TM, int TN, int VA, int VB>
__global__ void __launch_bounds__(BLOCK<BM, BN, TM, TN>, RESIDENT<T, BM, BN, TM, TN, VA>)
    implicit_gemm_weight(const int* __restrict__ table, const T* __restrict__ source,
                         const T* __restrict__ grad_y, Wide<T>* __restrict__ partial, Index groups,
                         Index length, Index columns) {
  constexpr int THREADS = BLOCK<BM, BN, TM, TN>;
  __shared__ Geometry g;
  typedef Tiles<T, BM, BN, BK> Both;
  __shared__ Both tiles[2];
  load_geometry(g, table, 0);
  const Index group = blockIdx.z % groups, chunk = blockIdx.z / groups;
  const unsigned m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
  const unsigned begin = chunk * length;
  const unsigned end = begin + length < g.rows ? begin + length : g.rows;
  source += group * g.channels.by;
  grad_y += group * columns;
  __shared__ Row rows[2][BK];  // of this step's pixels and of the next one's
  bring_rows<THREADS>(g, rows[0], begin, end);
  __syncthreads();

  const Index stride = g.result_channels;
  Columns<T, BM, BK, VA, THREADS> a(g, m0);
  Matrix<T, BN, BK, VB, THREADS> b(grad_y + begin * stride, stride, end - begin, n0, columns);
  Sums<Wide<T>, BM, BN, TM, TN> sums;
  const unsigned steps = (end - begin + BK - 1) / BK;
  for (unsigned step = 0; step <= steps; ++step) {
    if (step < steps) {
      a.fetch(g, source, rows[step % 2]);
      b.fetch(stride);
      bring_rows<THREADS>(g, rows[(step + 1) % 2], begin + (step + 1) * BK, end);
    }
    if (step) sums.add(tiles[(step - 1) % 2]);
    if (step < steps) {
      a.store(tiles[step % 2]);
      b.store(tiles[step % 2]);
    }
    __syncthreads();
  }

  write_weights(g, sums, m0, n0, partial + (Index)blockIdx.z * g.depth * columns, columns);
}

// Some of them, for the tests; launchers ask for each tile with each type and size of vectors.
// instances: implicit_gemm<float, 128, 128, 8, 8, 8, 4>, implicit_gemm<float, 128, 64, 8, 8, 8, 4>
// instances: implicit_gemm<float, 128, 32, 8, 8, 4, 4>, implicit_gemm<float, 64, 64, 16, 4, 4, 4>
// instances: implicit_gemm<float, 32, 32, 16, 4, 4, 4>, implicit_gemm<float, 128, 64, 8, 8, 8, 1>
// instances: implicit_gemm<double, 64, 64, 16, 4, 4, 4>, implicit_gemm<half_t, 64, 64, 16, 4, 4, 1>
// instances: implicit_gemm_weight<float, 128, 128, 8, 8, 8, 4, 4>
// instances: implicit_gemm_weight<float, 128, 64, 8, 8, 8, 4, 4>
// instances: implicit_gemm_weight<float, 128, 32, 8, 8, 4, 1, 4>
// instances: implicit_gemm_weight<float, 32, 32, 16, 4, 4, 1, 1>
// instances: implicit_gemm_weight<double, 64, 64, 16, 4, 4, 1, 1>
// instances: implicit_gemm_weight<half_t, 64, 64, 16, 4, 4, 4, 4>
