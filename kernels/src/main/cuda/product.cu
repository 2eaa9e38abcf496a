// Matrix products: C = α op(A) op(B) + β C, where op transposes or does not.            launcher: ProductKernel
//
// product_fma_{M}x{N}x{K}_{op}          float32 arithmetic
// product_mma_{M}x{N}x{K}x{T}_{op}_v{V} TF32, operands rounded to nearest, mma.sync; copies of V floats: needs A and B,
//                                       and their strides, aligned to V floats
// op: two letters, for A and B: n as it lies, t transposed
//
// C (rows, columns)  op(A) (rows, inner)  op(B) (inner, columns): float32, row-major, `stride` elements from one row to
// the next. C is not read when β = 0.
//
// grid: tiles × 1 × parts; a block owns an M × N tile of C over one part of the inner dimension, a multiple of K. One part
// writes C; several write their sums to partials (parts, rows, columns), which add_partials then adds in order: every run
// gives the same bits. T: stages of K in flight.
#include "tiles.cuh"

struct Product {
  const float *a, *b;
  float *c, *partials;
  int rows, columns, inner, stride_a, stride_b, stride_c;
  float alpha, beta;
};

/// V sums of row i, columns j to j + V − 1.
template <int V>
struct Sums {
  int i, j;
  Vector<V> of;
};

/// Hands sums(0) to sums(COUNT − 1) to where they belong.
template <int COUNT, int V, class Of>
__device__ __forceinline__ void put(const Product& p, Of sums) {
  if (gridDim.z > 1) {
#pragma unroll
    for (int n = 0; n < COUNT; n++) {
      const Sums<V> s = sums(n);
      store_run<V, false>(p.partials + ((int64_t)blockIdx.z * p.rows + s.i) * p.columns + s.j, s.of,
                          s.i < p.rows ? p.columns - s.j : 0);
    }
    return;
  }
  Vector<V> old[COUNT];
#pragma unroll
  for (int n = 0; n < COUNT; n++) {
    const Sums<V> s = sums(n);
    old[n] = load_run<V, false>(p.c + (int64_t)s.i * p.stride_c + s.j, p.beta != 0.f && s.i < p.rows ? p.columns - s.j : 0);
  }
#pragma unroll
  for (int n = 0; n < COUNT; n++) {
    Sums<V> s = sums(n);
#pragma unroll
    for (int v = 0; v < V; v++) s.of.v[v] = fmaf(p.alpha, s.of.v[v], p.beta * old[n].v[v]);
    store_run<V, false>(p.c + (int64_t)s.i * p.stride_c + s.j, s.of, s.i < p.rows ? p.columns - s.j : 0);
  }
}

// ---------------------------------------------------------------------------------------------- float32
// 256 threads as 16×16; a thread owns M/16 × N/16 elements in runs of 4, runs 64 apart. Shared tiles have K rows
// whichever way the operands lie.

template <int M, int N, int K>
struct ProductFma {
  static constexpr int kThreads = 256, kRows = M / 16, kColumns = N / 16, kRun = 4;
  static_assert(M % (16 * kRun) == 0 && N % (16 * kRun) == 0, "");
  struct alignas(16) Shared {
    float a[2][K][M + kRun], b[2][K][N + kRun];
  };
};

/// A thread's share of W × K elements of an operand, neighbours in global memory to neighbouring threads.
template <int W, int K, bool INNER_ROWS, int THREADS>
struct Share {
  static constexpr int kCount = W * K / THREADS;
  float of[kCount];

  static __device__ __forceinline__ int k(int e) { return INNER_ROWS ? at(e) / W : at(e) % K; }
  static __device__ __forceinline__ int w(int e) { return INNER_ROWS ? at(e) % W : at(e) / K; }
  static __device__ __forceinline__ int at(int e) { return (int)threadIdx.x + e * THREADS; }

  __device__ __forceinline__ void fetch(const float* from, int64_t stride, int first, int end, int w0, int width) {
#pragma unroll
    for (int e = 0; e < kCount; e++) {
      const int inner = first + k(e), other = w0 + w(e);
      const int64_t offset = INNER_ROWS ? inner * stride + other : other * stride + inner;
      of[e] = inner < end && other < width ? from[offset] : 0.f;
    }
  }
  template <int ROW>
  __device__ __forceinline__ void store(float (&to)[K][ROW]) const {
#pragma unroll
    for (int e = 0; e < kCount; e++) to[k(e)][w(e)] = of[e];
  }
};

template <int M, int N, int K, bool TRANSPOSE_A, bool TRANSPOSE_B>
__device__ __forceinline__ void product_by_fma(const Product& p) {
  using T = ProductFma<M, N, K>;
  STATIC_SHARED(typename T::Shared, shared);
  const Corner corner = corner_of<M, N>(p.rows, p.columns);
  const Part part = part_of<K>(p.inner);
  const int row = threadIdx.x / 16 * T::kRun, column = threadIdx.x % 16 * T::kRun;
  Share<M, K, TRANSPOSE_A, T::kThreads> a_share;
  Share<N, K, !TRANSPOSE_B, T::kThreads> b_share;
  auto fetch = [&](int step) {
    a_share.fetch(p.a, p.stride_a, part.first + step * K, part.end, corner.row, p.rows);
    b_share.fetch(p.b, p.stride_b, part.first + step * K, part.end, corner.column, p.columns);
  };
  float d[T::kRows][T::kColumns] = {};
  if (part.steps > 0) fetch(0);
  for (int step = 0; step < part.steps; step++) {
    const int stage = step % 2;
    a_share.store(shared.a[stage]);
    b_share.store(shared.b[stage]);
    __syncthreads();  // the tiles are here, and all have left the other stage
    if (step + 1 < part.steps) fetch(step + 1);
#pragma unroll 4
    for (int k = 0; k < K; k++) {
      float a[T::kRows], b[T::kColumns];
#pragma unroll
      for (int e = 0; e < T::kRows; e++) a[e] = shared.a[stage][k][e / T::kRun * 64 + row + e % T::kRun];
#pragma unroll
      for (int e = 0; e < T::kColumns; e++) b[e] = shared.b[stage][k][e / T::kRun * 64 + column + e % T::kRun];
#pragma unroll
      for (int i = 0; i < T::kRows; i++)
#pragma unroll
        for (int j = 0; j < T::kColumns; j++) d[i][j] = fmaf(a[i], b[j], d[i][j]);
    }
  }
#pragma unroll
  for (int i = 0; i < T::kRows; i++)
#pragma unroll
    for (int j = 0; j < T::kColumns; j += T::kRun)
      put<1, T::kRun>(p, [&](int) {
        return Sums<T::kRun>{corner.row + i / T::kRun * 64 + row + i % T::kRun,
                             corner.column + j / T::kRun * 64 + column,
                             {d[i][j], d[i][j + 1], d[i][j + 2], d[i][j + 3]}};
      });
}

// ---------------------------------------------------------------------------------------------- mma.sync
// A warp owns WM rows × WN columns, as (WM/16) × (WN/8) tensor-core tiles.

template <int M, int N, int K, int STAGES, int WM, int WN, bool TRANSPOSE_A, bool TRANSPOSE_B>
struct ProductMma {
  static constexpr int kThreads = M / WM * (N / WN) * 32, kRows = WM / 16, kColumns = WN / 8;
  struct alignas(16) Shared {
    OperandTile<M, K, TRANSPOSE_A> a[STAGES];
    OperandTile<N, K, !TRANSPOSE_B> b[STAGES];
  };
};

template <int M, int N, int K, int STAGES, int WM, int WN, bool TRANSPOSE_A, bool TRANSPOSE_B, int V>
__device__ __forceinline__ void product_by_mma(const Product& p) {
  using T = ProductMma<M, N, K, STAGES, WM, WN, TRANSPOSE_A, TRANSPOSE_B>;
  DYNAMIC_SHARED(typename T::Shared, shared);
  const Corner corner = corner_of<M, N>(p.rows, p.columns);
  const Part part = part_of<K>(p.inner);
  const Lane l = lane();
  const int warp = threadIdx.x / 32, row = warp % (M / WM) * WM, column = warp / (M / WM) * WN;
  float d[T::kRows][T::kColumns][4] = {};
  auto start = [&](int step, int stage) {
    const int first = part.first + step * K;
    shared.a[stage].template load<V, T::kThreads>(p.a, p.stride_a, first, part.end, corner.row, p.rows);
    shared.b[stage].template load<V, T::kThreads>(p.b, p.stride_b, first, part.end, corner.column, p.columns);
  };
  auto multiply = [&](int stage) {
#pragma unroll 1
    for (int k = 0; k < K; k += 8) {
      unsigned a[T::kRows][4];
#pragma unroll
      for (int i = 0; i < T::kRows; i++) left_fragment(a[i], shared.a[stage], k, row + i * 16, l);
#pragma unroll
      for (int j = 0; j < T::kColumns; j++) {
        unsigned b[2];
        right_fragment(b, shared.b[stage], k, column + j * 8, l);
#pragma unroll
        for (int i = 0; i < T::kRows; i++) mma_m16n8k8(d[i][j], a[i], b);
      }
    }
  };
  pipeline<STAGES>(part.steps, start, multiply);
#pragma unroll
  for (int i = 0; i < T::kRows; i++)
    put<2 * T::kColumns, 2>(p, [&](int r) {
      const int j = r / 2, e = r % 2 * 2;
      return Sums<2>{corner.row + row + i * 16 + l.g + e * 4, corner.column + column + j * 8 + l.t * 2,
                     {d[i][j][e], d[i][j][e + 1]}};
    });
}

// ---------------------------------------------------------------------------------------------- exports

#define PRODUCT(name, THREADS, BLOCKS, BODY)                                                                           \
  extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)                                                        \
      name(const float* a, const float* b, float* c, float* partials, int rows, int columns, int inner, int stride_a,  \
           int stride_b, int stride_c, float alpha, float beta) {                                                      \
    BODY({a, b, c, partials, rows, columns, inner, stride_a, stride_b, stride_c, alpha, beta});                        \
  }                                                                                                                    \
  EXPORT_KERNEL(name)

#define FMA_OP(M, N, K, BLOCKS, OP, ...) \
  PRODUCT(product_fma_##M##x##N##x##K##_##OP, 256, BLOCKS, (product_by_fma<M, N, K, __VA_ARGS__>))
#define FMA(M, N, K, BLOCKS)                     \
  FMA_OP(M, N, K, BLOCKS, nn, false, false);     \
  FMA_OP(M, N, K, BLOCKS, nt, false, true);      \
  FMA_OP(M, N, K, BLOCKS, tn, true, false);      \
  FMA_OP(M, N, K, BLOCKS, tt, true, true)

FMA(128, 128, 8, 2);
FMA(64, 64, 16, 4);

#define MMA_OP(M, N, K, STAGES, WM, WN, V, BLOCKS, OP, ...)                                                     \
  PRODUCT(product_mma_##M##x##N##x##K##x##STAGES##_##OP##_v##V, (M / WM * (N / WN) * 32), BLOCKS,               \
          (product_by_mma<M, N, K, STAGES, WM, WN, __VA_ARGS__, V>))
#define MMA(M, N, K, STAGES, WM, WN, V, BLOCKS)                     \
  MMA_OP(M, N, K, STAGES, WM, WN, V, BLOCKS, nn, false, false);     \
  MMA_OP(M, N, K, STAGES, WM, WN, V, BLOCKS, nt, false, true);      \
  MMA_OP(M, N, K, STAGES, WM, WN, V, BLOCKS, tn, true, false);      \
  MMA_OP(M, N, K, STAGES, WM, WN, V, BLOCKS, tt, true, true)

MMA(128, 128, 32, 2, 64, 32, 4, 2);
MMA(64, 64, 32, 3, 32, 32, 4, 4);
MMA(64, 64, 32, 3, 32, 32, 1, 4);
// Of half the shared memory, for chips where the above would leave room for fewer blocks than they ask.
MMA(128, 128, 16, 2, 64, 32, 4, 2);
MMA(64, 64, 16, 3, 32, 32, 4, 3);
MMA(64, 64, 16, 3, 32, 32, 1, 3);
