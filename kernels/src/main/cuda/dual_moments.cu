// Moments of shifted activations weighted by sensitivities, in one pass.                launcher: DualMomentsKernel
//
// M1 += Sᵀ X,  M2 += Sᵀ (X∘X)  with X = A − c:
//   dual_moments_fma_{I}x{O}x{K}           float32 arithmetic, any shape and alignment
//   dual_moments_mma_{I}x{O}x{K}x{T}_v{V}  TF32, mma.sync; copies of V floats: needs inputs and outputs % V == 0
//   dual_moments_wgmma_{I}x{O}x{K}x{T}     TF32, wgmma and TMA; needs sm_90a, inputs % 4 == 0, S rounded and transposed
//   dual_moments_wgmma_{I}x{O}x{K}x{T}x{R}_transposing   takes S as it is; also needs outputs % 4 == 0
// dual_moments_transpose_32x32             Sᵀ (outputs, stride) from S, rounded to TF32, columns from samples on are 0;
//   each eight samples lie in the order 0 2 4 6 1 3 5 7, in which wgmma's fragments take them. partials[z] (outputs) = sums
//   of the rounded S over the z-th part of the samples
// dual_moments_add_32x8_v{V}               M0, M1 and M2 += the sums of their partial results, in order
// dual_moments_shift_{C}x{R}               X and X∘X (samples, inputs), rounded to TF32 if `round`   launcher:
// dual_moments_round_{C}x{R}               S rounded to TF32                                         MomentsByProducts
//
// S (samples, outputs)  A (samples, inputs)  c (inputs)  M1, M2 (outputs, inputs): float32, row-major. Each tile of
// S and A is loaded once and feeds both products; A is shifted and squared in registers. TF32 rounds S, X and X∘X to
// nearest; M0 sums the rounded S, so that M2 − M1²/M0 sees one weighting.
//
// grid: ⌈inputs/I⌉ × ⌈outputs/O⌉ × parts; a block owns an I × O tile of both results over one part of the samples,
// a multiple of K each. One part adds to M1 and M2; several write theirs to partial1, partial2 (parts, outputs,
// inputs), which dual_moments_add then adds in order: every run gives the same bits. T: stages of K samples in flight;
// R: of S alone.
#include "elementwise.cuh"
#include "tiles.cuh"

struct Moments {
  float *m1, *m2, *partial1, *partial2;
  int samples, outputs, inputs;
};

/// V sums of each moment: of output o, inputs i to i + V − 1.
template <int V>
struct Sums {
  int o, i;
  Vector<V> first, second;
};

/// Hands sums(0) to sums(COUNT − 1) to where they belong. WHOLE: inputs and i are multiples of V.
template <int COUNT, int V, bool WHOLE, class Of>
__device__ __forceinline__ void put(const Moments& m, Of sums) {
  const bool adds = gridDim.z == 1;
  const int64_t part = adds ? 0 : (int64_t)blockIdx.z * m.outputs * m.inputs;
  float *to1 = adds ? m.m1 : m.partial1 + part, *to2 = adds ? m.m2 : m.partial2 + part;
  Vector<V> old1[COUNT], old2[COUNT];
#pragma unroll
  for (int n = 0; n < COUNT; n++) {
    const Sums<V> s = sums(n);
    const int64_t at = (int64_t)s.o * m.inputs + s.i;
    const int there = adds && s.o < m.outputs ? m.inputs - s.i : 0;
    old1[n] = load_run<V, WHOLE>(to1 + at, there);
    old2[n] = load_run<V, WHOLE>(to2 + at, there);
  }
#pragma unroll
  for (int n = 0; n < COUNT; n++) {
    Sums<V> s = sums(n);
    const int64_t at = (int64_t)s.o * m.inputs + s.i;
    const int there = s.o < m.outputs ? m.inputs - s.i : 0;
#pragma unroll
    for (int v = 0; v < V; v++) {
      s.first.v[v] += old1[n].v[v];
      s.second.v[v] += old2[n].v[v];
    }
    store_run<V, WHOLE>(to1 + at, s.first, there);
    store_run<V, WHOLE>(to2 + at, s.second, there);
  }
}

// ---------------------------------------------------------------------------------------------- float32
// 256 threads as 16×16, each 4 outputs × 4 inputs.

template <int I, int O, int K>
struct FmaTile {
  static constexpr int kThreads = 256, kPer = 4;
  static_assert(I == 16 * kPer && O == 16 * kPer, "");
  struct alignas(16) Shared {
    float s[K][O], x[K][I];
  };
};

template <int I, int O, int K>
__device__ __forceinline__ void fma_product(const Moments& m, const float* sensitivity, const float* activation,
                                            const float* pilot) {
  using T = FmaTile<I, O, K>;
  STATIC_SHARED(typename T::Shared, shared);
  const int t = threadIdx.x, i0 = blockIdx.x * I, o0 = blockIdx.y * O;
  const int column = t % 16 * T::kPer, row = t / 16 * T::kPer;
  const Part part = part_of<K>(m.samples);
  float d1[T::kPer][T::kPer] = {}, d2[T::kPer][T::kPer] = {};
  for (int step = 0; step < part.steps; step++) {
    const int first = part.first + step * K;
    for (int e = t; e < K * O; e += T::kThreads) {
      const int n = first + e / O, o = o0 + e % O;
      shared.s[e / O][e % O] = n < part.end && o < m.outputs ? sensitivity[(int64_t)n * m.outputs + o] : 0.f;
    }
    for (int e = t; e < K * I; e += T::kThreads) {
      const int n = first + e / I, i = i0 + e % I;
      shared.x[e / I][e % I] = n < part.end && i < m.inputs ? activation[(int64_t)n * m.inputs + i] - pilot[i] : 0.f;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; k++) {
      float s[T::kPer], x[T::kPer], squared[T::kPer];
#pragma unroll
      for (int e = 0; e < T::kPer; e++) {
        s[e] = shared.s[k][row + e];
        x[e] = shared.x[k][column + e];
        squared[e] = x[e] * x[e];
      }
#pragma unroll
      for (int a = 0; a < T::kPer; a++)
#pragma unroll
        for (int b = 0; b < T::kPer; b++) {
          d1[a][b] = fmaf(s[a], x[b], d1[a][b]);
          d2[a][b] = fmaf(s[a], squared[b], d2[a][b]);
        }
    }
    __syncthreads();
  }
  put<T::kPer, T::kPer, false>(m, [&](int a) {
    Sums<T::kPer> s{o0 + row + a, i0 + column, {}, {}};
#pragma unroll
    for (int b = 0; b < T::kPer; b++) {
      s.first.v[b] = d1[a][b];
      s.second.v[b] = d2[a][b];
    }
    return s;
  });
}

#define FMA(I, O, K)                                                                                              \
  extern "C" __global__ void __launch_bounds__(FmaTile<I, O, K>::kThreads, 2) dual_moments_fma_##I##x##O##x##K(   \
      float* m1, float* m2, float* partial1, float* partial2, const float* sensitivity, const float* activation,  \
      const float* pilot, int samples, int outputs, int inputs) {                                                 \
    fma_product<I, O, K>({m1, m2, partial1, partial2, samples, outputs, inputs}, sensitivity, activation, pilot); \
  }                                                                                                               \
  EXPORT_KERNEL(dual_moments_fma_##I##x##O##x##K)

FMA(64, 64, 16);

// ---------------------------------------------------------------------------------------------- mma.sync
// 256 threads: a warp owns WI inputs × WO outputs, as (WO/16) × (WI/8) tensor-core tiles for each product.

template <int I, int O, int K, int STAGES, int WI, int WO>
struct MmaTile {
  static constexpr int kThreads = I / WI * (O / WO) * 32, kOutputTiles = WO / 16, kInputTiles = WI / 8;
  static_assert(kThreads == 256, "");
  struct alignas(16) Shared {
    OperandTile<O, K, true> s[STAGES];
    OperandTile<I, K, true> x[STAGES];
  };
};

template <int I, int O, int K, int STAGES, int WI, int WO, int V>
__device__ __forceinline__ void mma_product(const Moments& m, const float* sensitivity, const float* activation,
                                            const float* pilot) {
  using T = MmaTile<I, O, K, STAGES, WI, WO>;
  DYNAMIC_SHARED(typename T::Shared, shared);
  const Lane l = lane();
  const int warp = threadIdx.x / 32;
  const int o0 = blockIdx.y * O, i0 = blockIdx.x * I, wo = warp % (O / WO) * WO, wi = warp / (O / WO) * WI;
  const Part part = part_of<K>(m.samples);
  float c[T::kInputTiles];
#pragma unroll
  for (int n = 0; n < T::kInputTiles; n++) {
    const int i = i0 + wi + n * 8 + l.g;
    c[n] = i < m.inputs ? pilot[i] : 0.f;
  }
  float d1[T::kOutputTiles][T::kInputTiles][4] = {}, d2[T::kOutputTiles][T::kInputTiles][4] = {};
  auto start = [&](int step, int stage) {
    const int first = part.first + step * K;
    shared.s[stage].template load<V, T::kThreads>(sensitivity, m.outputs, first, part.end, o0, m.outputs);
    shared.x[stage].template load<V, T::kThreads>(activation, m.inputs, first, part.end, i0, m.inputs);
  };
  auto multiply = [&](int stage) {
#pragma unroll 2
    for (int k = 0; k < K; k += 8) {
      unsigned a[T::kOutputTiles][4];
#pragma unroll
      for (int o = 0; o < T::kOutputTiles; o++) left_fragment(a[o], shared.s[stage], k, wo + o * 16, l);
#pragma unroll
      for (int n = 0; n < T::kInputTiles; n++) {
        const float low = shared.x[stage].at(k + l.t, wi + n * 8 + l.g) - c[n];
        const float high = shared.x[stage].at(k + l.t + 4, wi + n * 8 + l.g) - c[n];
        const unsigned b[2] = {to_tf32(low), to_tf32(high)}, squared[2] = {to_tf32(low * low), to_tf32(high * high)};
#pragma unroll
        for (int o = 0; o < T::kOutputTiles; o++) {
          mma_m16n8k8(d1[o][n], a[o], b);
          mma_m16n8k8(d2[o][n], a[o], squared);
        }
      }
    }
  };
  pipeline<STAGES>(part.steps, start, multiply);
#pragma unroll
  for (int o = 0; o < T::kOutputTiles; o++)
    put<2 * T::kInputTiles, 2, (V > 1)>(m, [&](int r) {
      const int n = r / 2, e = r % 2 * 2;
      return Sums<2>{o0 + wo + o * 16 + l.g + e * 4, i0 + wi + n * 8 + l.t * 2, {d1[o][n][e], d1[o][n][e + 1]},
                     {d2[o][n][e], d2[o][n][e + 1]}};
    });
}

// Blocks of the small tile of 32 samples a step that share a multiprocessor. From compute capability 12.0 on registers for two
// would spill; its 100 KB of shared memory would hold only one, so that the tile of 16 samples a step is taken there.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
#define SMALL_BLOCKS 1
#else
#define SMALL_BLOCKS 2
#endif

#define MMA(I, O, K, STAGES, WI, WO, V, BLOCKS)                                                                  \
  extern "C" __global__ void __launch_bounds__(256, BLOCKS) dual_moments_mma_##I##x##O##x##K##x##STAGES##_v##V(  \
      float* m1, float* m2, float* partial1, float* partial2, const float* sensitivity, const float* activation, \
      const float* pilot, int samples, int outputs, int inputs) {                                                \
    mma_product<I, O, K, STAGES, WI, WO, V>({m1, m2, partial1, partial2, samples, outputs, inputs}, sensitivity, \
                                            activation, pilot);                                                  \
  }                                                                                                              \
  EXPORT_KERNEL(dual_moments_mma_##I##x##O##x##K##x##STAGES##_v##V)

MMA(128, 128, 32, 2, 32, 64, 4, 1);
MMA(64, 128, 32, 3, 32, 32, 4, SMALL_BLOCKS);
MMA(64, 128, 32, 3, 32, 32, 1, SMALL_BLOCKS);
MMA(64, 128, 16, 3, 32, 32, 4, 2);
MMA(64, 128, 16, 3, 32, 32, 1, 2);

// ---------------------------------------------------------------------------------------------- transpose

// A block of 32×8 threads goes over the tiles of 32 outputs × 32 samples of one part of the samples: thread row t has rows
// t, t + 8, … of each. grid: ⌈outputs/32⌉ × 1 × parts

struct TransposeTile {
  float s[32][33], sums[8][32];
};

extern "C" __global__ void __launch_bounds__(256)
    dual_moments_transpose_32x32(const float* sensitivity, float* transposed, float* partials, int samples, int outputs,
                                 int stride) {
  STATIC_SHARED(TransposeTile, shared);
  const int o0 = blockIdx.x * 32, column = o0 + (int)threadIdx.x;
  const int tiles = (int)(((int64_t)stride + 31) / 32), each = (int)(((int64_t)tiles + gridDim.z - 1) / gridDim.z);
  const int end = (int)min((int64_t)tiles, (blockIdx.z + 1) * (int64_t)each);
  float sum = 0.f, next[4];
  auto load = [&](int tile) {
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const int n = tile * 32 + (int)threadIdx.y + 8 * r;
      next[r] = tile < end && n < samples && column < outputs ? sensitivity[(int64_t)n * outputs + column] : 0.f;
    }
  };
  load(blockIdx.z * each);
  for (int tile = blockIdx.z * each; tile < end; tile++) {
    const int n0 = tile * 32;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const float s = __uint_as_float(to_tf32(next[r]));
      shared.s[threadIdx.y + 8 * r][threadIdx.x] = s;
      sum += s;
    }
    load(tile + 1);  // on its way while this one is written
    __syncthreads();
    const int p = (int)threadIdx.x, n = (p & ~7) | (p & 3) << 1 | (p >> 2 & 1);
    float row[4];
#pragma unroll
    for (int r = 0; r < 4; r++) row[r] = shared.s[n][threadIdx.y + 8 * r];
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const int o = o0 + (int)threadIdx.y + 8 * r;
      if (o < outputs && n0 + p < stride) transposed[(int64_t)o * stride + n0 + p] = row[r];
    }
    __syncthreads();
  }
  shared.sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < outputs) {
#pragma unroll
    for (int t = 1; t < 8; t++) sum += shared.sums[t][threadIdx.x];
    partials[(int64_t)blockIdx.z * outputs + column] = sum;
  }
}
EXPORT_KERNEL(dual_moments_transpose_32x32);

// ---------------------------------------------------------------------------------------------- partial results
// A block of 32×8 threads takes V elements a thread of one moment, 256 V in all; of many parts 32 V elements, whose parts the
// eight thread rows share, so that more loads are on their way. grid: its x dimension strides over the elements; y: moments

template <int V>
struct alignas(16) ThreadSums {
  Vector<V> of[8][32];
};

/// y += Σ over parts of partials[part] (elements). WHOLE: elements is a multiple of V.
template <int V, bool WHOLE>
__device__ __forceinline__ void add_parts(ThreadSums<V>& shared, const float* partials, float* y, int parts,
                                          int64_t elements) {
  constexpr int kLoads = 8;
  const bool together = parts > kLoads;
  const int first = together ? threadIdx.y : 0, apart = together ? 8 : 1;
  const int64_t each = (together ? 32 : 256) * V;
  for (int64_t start = blockIdx.x * each; start < elements; start += gridDim.x * each) {
    const int64_t at = start + ((together ? 0 : threadIdx.y * 32) + threadIdx.x) * V;
    const int there = (int)min((int64_t)V, elements - at);
    Vector<V> sum = {};
    for (int part = first; part < parts; part += kLoads * apart) {
      Vector<V> loaded[kLoads];
#pragma unroll
      for (int n = 0; n < kLoads; n++)
        loaded[n] = load_run<V, WHOLE>(partials + (part + n * apart) * elements + at, part + n * apart < parts ? there : 0);
#pragma unroll
      for (int n = 0; n < kLoads; n++)
#pragma unroll
        for (int v = 0; v < V; v++) sum.v[v] += loaded[n].v[v];
    }
    if (together) {
      __syncthreads();  // the sums before were read
      shared.of[threadIdx.y][threadIdx.x] = sum;
      __syncthreads();
      if (threadIdx.y > 0) continue;
#pragma unroll
      for (int row = 1; row < 8; row++)
#pragma unroll
        for (int v = 0; v < V; v++) sum.v[v] += shared.of[row][threadIdx.x].v[v];
    }
    Vector<V> total = load_run<V, WHOLE>(y + at, there);
#pragma unroll
    for (int v = 0; v < V; v++) total.v[v] += sum.v[v];
    store_run<V, WHOLE>(y + at, total, there);
  }
}

#define ADD(V)                                                                                                       \
  extern "C" __global__ void __launch_bounds__(256)                                                                  \
      dual_moments_add_32x8_v##V(const float* partial0, const float* partial1, const float* partial2, float* m0,     \
                                 float* m1, float* m2, int weight_parts, int parts, int outputs, int inputs) {       \
    STATIC_SHARED(ThreadSums<V>, shared);                                                                            \
    if (blockIdx.y == 0)                                                                                             \
      add_parts<V, false>(shared, partial0, m0, weight_parts, outputs);                                              \
    else                                                                                                             \
      add_parts<V, (V > 1)>(shared, blockIdx.y == 1 ? partial1 : partial2, blockIdx.y == 1 ? m1 : m2, parts,         \
                            (int64_t)outputs * inputs);                                                              \
  }                                                                                                                  \
  EXPORT_KERNEL(dual_moments_add_32x8_v##V)

ADD(1);
ADD(4);

// ---------------------------------------------------------------------------------------------- operands of products
// block: 32×8 threads own a tile of C columns × R rows (elementwise.cuh); needs columns % (C/32) == 0

__device__ __forceinline__ float rounded(float x, bool round) { return round ? __uint_as_float(to_tf32(x)) : x; }

template <class T>
__device__ __forceinline__ void shift(const float* activation, const float* pilot, float* x, float* squares, int samples,
                                      int inputs, bool round) {
  T::for_each(samples, inputs, [&](int, int column, int64_t at) {
    auto a = load<T::V>(activation + at);
    const auto c = load<T::V>(pilot + column);
    Vector<T::V> squared;
#pragma unroll
    for (int v = 0; v < T::V; v++) {
      a.v[v] -= c.v[v];
      squared.v[v] = rounded(a.v[v] * a.v[v], round);
      a.v[v] = rounded(a.v[v], round);
    }
    store(x + at, a);
    store(squares + at, squared);
  });
}

#define SHIFT(C, R)                                                                                              \
  extern "C" __global__ void __launch_bounds__(256)                                                              \
      dual_moments_shift_##C##x##R(const float* activation, const float* pilot, float* x, float* squares,        \
                                   int samples, int inputs, int round) {                                         \
    shift<Tile<C, R>>(activation, pilot, x, squares, samples, inputs, round);                                    \
  }                                                                                                              \
  EXPORT_KERNEL(dual_moments_shift_##C##x##R)

SHIFT(32, 32);
SHIFT(128, 32);

#define ROUND(C, R)                                                                                              \
  extern "C" __global__ void __launch_bounds__(256)                                                              \
      dual_moments_round_##C##x##R(const float* from, float* to, int rows, int columns) {                        \
    Tile<C, R>::for_each(rows, columns, [&](int, int, int64_t at) {                                              \
      auto x = load<Tile<C, R>::V>(from + at);                                                                   \
      for (int v = 0; v < Tile<C, R>::V; v++) x.v[v] = rounded(x.v[v], true);                                    \
      store(to + at, x);                                                                                         \
    });                                                                                                          \
  }                                                                                                              \
  EXPORT_KERNEL(dual_moments_round_##C##x##R)

ROUND(32, 32);
ROUND(128, 32);

// ---------------------------------------------------------------------------------------------- wgmma
// One producer warpgroup starts TMA copies, two consumer warpgroups own 64 inputs each. The products are transposed:
// A = Xᵀ from registers, where it is shifted and squared; B = S, whose copy Sᵀ is K-major as TF32 requires.

#if defined(HAS_WGMMA)
template <int I, int O, int K, int STAGES>
struct WgmmaTile {
  static constexpr int kConsumers = 2, kThreads = (1 + kConsumers) * 128, kConsumerWarps = kConsumers * 4;
  static constexpr int kStages = STAGES;
  static constexpr int kBox = 32, kBoxes = I / kBox;  // a row of a swizzled box is 128 bytes
  static_assert(I == kConsumers * 64 && O == 128 && K == kBox, "");
  struct alignas(1024) Stage {
    unsigned char x[kBoxes][K * 128];  // K samples × 32 inputs each
    unsigned char s[O * 128];          // O outputs × K samples
  };
  struct Shared {
    Stage stage[STAGES];
    uint64_t full[STAGES], empty[STAGES];
  };
};

/// With a ring of RAW stages for S as it lies in memory, from which the producer warpgroup makes the other's.
template <int I, int O, int K, int STAGES, int RAW>
struct TransposingTile : WgmmaTile<I, O, K, STAGES> {
  using Base = WgmmaTile<I, O, K, STAGES>;
  static constexpr int kRaw = RAW, kRawBoxes = O / Base::kBox, kProducerWarps = 4;
  static_assert(O == kProducerWarps * 32, "a producer thread has an output");
  struct alignas(1024) RawStage {
    unsigned char s[kRawBoxes][K * 128];  // K samples × 32 outputs each
  };
  struct Shared {
    typename Base::Stage stage[STAGES];
    RawStage raw[RAW];
    uint64_t full[STAGES], empty[STAGES], raw_full[RAW], raw_empty[RAW];
  };
};

/// Fragments of 8 samples: of x and x². Rows g and g + 8 are inputs 2 g and 2 g + 1, columns t and t + 4 are samples 2 t and
/// 2 t + 1, because a lane then reads two neighbours, and 16 lanes 32 banks. Sᵀ has its columns in the same order.
struct Fragments {
  unsigned x[4], squared[4];
};

/// What a consumer thread has to itself of a block.
struct Consumer {
  int input;       // of two neighbours, in the tile
  unsigned at[2];  // where samples 2 t and 2 t + 1 of these inputs lie in a stage's x
  float c[2];
};

__device__ __forceinline__ void load_pairs(float2 (&pairs)[2], const unsigned char* x, const Consumer& own, int k) {
#pragma unroll
  for (int h = 0; h < 2; h++) pairs[h] = *reinterpret_cast<const float2*>(x + own.at[h] + k * 1024);
}

__device__ __forceinline__ void shift_and_square(Fragments& f, const float2 (&pairs)[2], const Consumer& own) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const float low = pairs[h].x - own.c[0], high = pairs[h].y - own.c[1];
    f.x[2 * h] = round_for_tensor_core(low);
    f.x[2 * h + 1] = round_for_tensor_core(high);
    f.squared[2 * h] = round_for_tensor_core(low * low);
    f.squared[2 * h + 1] = round_for_tensor_core(high * high);
  }
}

template <class T, class Shared>
__device__ __forceinline__ void produce(Shared& shared, const TensorMap& sensitivity, const TensorMap& activation, Part part,
                                        int i0, int o0) {
  for (int step = 0; step < part.steps; step++) {
    const int s = step % T::kStages, n = part.first + step * T::kBox;
    mbarrier_wait(&shared.empty[s], (unsigned)(step / T::kStages & 1) ^ 1);  // the first round finds it empty
    mbarrier_arrive_expect(&shared.full[s], sizeof(typename T::Stage));
    for (int box = 0; box < T::kBoxes; box++)
      tensor_copy(shared.stage[s].x[box], &activation, &shared.full[s], i0 + box * T::kBox, n);
    tensor_copy(shared.stage[s].s, &sensitivity, &shared.full[s], n, o0);
  }
}

/// As produce, by all threads of the warpgroup: S arrives as it lies in memory, each thread writes the row of its output.
/// Returns the sum of that output's rounded sensitivities.
template <class T, class Shared>
__device__ __forceinline__ float produce_transposing(Shared& shared, const TensorMap& sensitivity,
                                                     const TensorMap& activation, Part part, int i0, int o0) {
  const int output = threadIdx.x;
  auto copy = [&](int step) {
    const int r = step % T::kRaw;
    mbarrier_wait(&shared.raw_empty[r], (unsigned)(step / T::kRaw & 1) ^ 1);  // the first round finds it empty
    mbarrier_arrive_expect(&shared.raw_full[r], sizeof(typename T::RawStage));
    for (int box = 0; box < T::kRawBoxes; box++)
      tensor_copy(shared.raw[r].s[box], &sensitivity, &shared.raw_full[r], o0 + box * T::kBox,
                  part.first + step * T::kBox);
  };
  if (output == 0)
    for (int step = 0; step < min(T::kRaw - 1, part.steps); step++) copy(step);
  float sum = 0.f;
  for (int step = 0; step < part.steps; step++) {
    const int s = step % T::kStages, r = step % T::kRaw;
    if (output == 0 && step + T::kRaw - 1 < part.steps) copy(step + T::kRaw - 1);
    mbarrier_wait(&shared.empty[s], (unsigned)(step / T::kStages & 1) ^ 1);
    if (output == 0) {
      mbarrier_arrive_expect(&shared.full[s], sizeof shared.stage[s].x);
      for (int box = 0; box < T::kBoxes; box++)
        tensor_copy(shared.stage[s].x[box], &activation, &shared.full[s], i0 + box * T::kBox,
                    part.first + step * T::kBox);
    }
    mbarrier_wait(&shared.raw_full[r], (unsigned)(step / T::kRaw & 1));
    const unsigned char* from = shared.raw[r].s[output / T::kBox];
#pragma unroll
    for (int n = 0; n < T::kBox; n += 8) {
      Vector<4> even, odd;  // samples in the order of the fragments' columns
#pragma unroll
      for (int e = 0; e < 8; e++) {
        const unsigned at = swizzle_128((unsigned)((n + e) * 128 + output % T::kBox * 4));
        const float rounded = truncated(round_for_tensor_core(*reinterpret_cast<const float*>(from + at)));
        (e % 2 ? odd : even).v[e / 2] = rounded;
        sum += rounded;
      }
      store_shared(shared.stage[s].s + swizzle_128((unsigned)(output * 128 + n * 4)), even);
      store_shared(shared.stage[s].s + swizzle_128((unsigned)(output * 128 + n * 4 + 16)), odd);
    }
    show_to_tensor_cores();
    __syncwarp();
    mbarrier_arrive_if(threadIdx.x % 32 == 0, &shared.full[s]);
    mbarrier_arrive_if(threadIdx.x % 32 == 0, &shared.raw_empty[r]);
  }
  return sum;
}

/// Sums over all steps. A slice is 8 samples: slice k of every step has fragments k. After the products of slice
/// q are started, those of q − 1 and q may still run: fragments of slice q + 2 take the place of those of q − 2, and
/// elements of slice q + 3 are on their way from shared memory.
template <class T, class Shared>
__device__ __forceinline__ void multiply(Shared& shared, int steps, const Consumer& own, float (&d1)[64],
                                         float (&d2)[64]) {
  if (steps == 0) return;
  const bool leads = threadIdx.x % 32 == 0;
  Fragments f[4];
  float2 even[2], odd[2];  // elements of slices 0 and 2, 1 and 3
  const unsigned char* x = &shared.stage[0].x[0][0];
  mbarrier_wait(&shared.full[0], 0);
  load_pairs(even, x, own, 0);
  load_pairs(odd, x, own, 1);
  shift_and_square(f[0], even, own);
  shift_and_square(f[1], odd, own);
  load_pairs(even, x, own, 2);
  for (int step = 0; step < steps; step++) {
    const uint64_t operand = swizzled_operand(shared_address(shared.stage[step % T::kStages].s));
    const bool more = step + 1 < steps;
    auto start = [&](int k) {  // 8 samples are 32 bytes of a row, 2 in the descriptor's units
      wgmma_fence();
      wgmma_m64n128k8(d1, f[k].x, operand + 2 * k);
      wgmma_m64n128k8(d2, f[k].squared, operand + 2 * k);
      wgmma_commit();
      wgmma_wait<2>();
    };
    start(0);
    load_pairs(odd, x, own, 3);
    shift_and_square(f[2], even, own);
    start(1);
    // The step before is done. Every warp says so for itself: one warp's wait tells nothing about the other three.
    mbarrier_arrive_if(leads && step > 0, &shared.empty[(step + T::kStages - 1) % T::kStages]);
    if (more) {
      const int s = (step + 1) % T::kStages;
      mbarrier_wait(&shared.full[s], (unsigned)((step + 1) / T::kStages & 1));
      x = &shared.stage[s].x[0][0];
      load_pairs(even, x, own, 0);
    }
    shift_and_square(f[3], odd, own);
    start(2);
    if (more) {
      load_pairs(odd, x, own, 1);
      shift_and_square(f[0], even, own);
    }
    start(3);
    if (more) {
      load_pairs(even, x, own, 2);
      shift_and_square(f[1], odd, own);
    }
  }
  wgmma_wait<0>();
}

template <class T, class Shared>
__device__ __forceinline__ void consume(Shared& shared, const Moments& m, Part part, const float* pilot, int i0, int o0) {
  const int t = threadIdx.x % 4, warpgroup = threadIdx.x / 128 - 1;
  Consumer own;
  own.input = warpgroup * 64 + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4 * 2;
#pragma unroll
  for (int e = 0; e < 2; e++) {
    own.c[e] = i0 + own.input + e < m.inputs ? pilot[i0 + own.input + e] : 0.f;
    own.at[e] = (unsigned)(own.input / T::kBox * sizeof shared.stage[0].x[0]) +
                swizzle_128((unsigned)((2 * t + e) * 128 + own.input % T::kBox * 4));
  }
  float d1[64], d2[64];
#pragma unroll
  for (int e = 0; e < 64; e++) d1[e] = d2[e] = 0.f;
  multiply<T>(shared, part.steps, own, d1, d2);
#pragma unroll
  for (int j = 0; j < 16; j += 4)
    put<8, 2, true>(m, [&](int r) {
      const int o = j * 8 + r / 2 * 8 + t * 2 + r % 2, d = j * 4 + r / 2 * 4 + r % 2;
      return Sums<2>{o0 + o, i0 + own.input, {d1[d], d1[d + 2]}, {d2[d], d2[d + 2]}};
    });
}

template <int I, int O, int K, int STAGES>
__device__ __forceinline__ void wgmma_product(const Moments& m, const TensorMap& sensitivity,
                                              const TensorMap& activation, const float* pilot) {
  using T = WgmmaTile<I, O, K, STAGES>;
  DYNAMIC_SHARED(typename T::Shared, shared);
  const int i0 = blockIdx.x * I, o0 = blockIdx.y * O;
  const Part part = part_of<K>(m.samples);
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier_init(&shared.full[s], 1);
      mbarrier_init(&shared.empty[s], T::kConsumerWarps);
    }
    mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<40>();
    if (threadIdx.x == 0) produce<T>(shared, sensitivity, activation, part, i0, o0);
  } else {
    take_registers<232>();
    consume<T>(shared, m, part, pilot, i0, o0);
  }
}

/// @param sums (parts, outputs): of the rounded S over each part of the samples
template <int I, int O, int K, int STAGES, int RAW>
__device__ __forceinline__ void transposing_product(const Moments& m, float* sums, const TensorMap& sensitivity,
                                                    const TensorMap& activation, const float* pilot) {
  using T = TransposingTile<I, O, K, STAGES, RAW>;
  DYNAMIC_SHARED(typename T::Shared, shared);
  const int i0 = blockIdx.x * I, o0 = blockIdx.y * O;
  const Part part = part_of<K>(m.samples);
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier_init(&shared.full[s], 1 + T::kProducerWarps);
      mbarrier_init(&shared.empty[s], T::kConsumerWarps);
    }
    for (int r = 0; r < RAW; r++) {
      mbarrier_init(&shared.raw_full[r], 1);
      mbarrier_init(&shared.raw_empty[r], T::kProducerWarps);
    }
    mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    give_registers<72>();
    const float sum = produce_transposing<T>(shared, sensitivity, activation, part, i0, o0);
    const int output = o0 + (int)threadIdx.x;
    if (blockIdx.x == 0 && output < m.outputs) sums[(int64_t)blockIdx.z * m.outputs + output] = sum;
  } else {
    take_registers<216>();
    consume<T>(shared, m, part, pilot, i0, o0);
  }
}

#define WGMMA(I, O, K, STAGES)                                                                        \
  extern "C" __global__ void __launch_bounds__(WgmmaTile<I, O, K, STAGES>::kThreads, 1)                             \
      dual_moments_wgmma_##I##x##O##x##K##x##STAGES(                                                        \
          float* m1, float* m2, float* partial1, float* partial2, const __grid_constant__ TensorMap sensitivity,    \
          const __grid_constant__ TensorMap activation, const float* pilot, int samples, int outputs, int inputs) { \
    wgmma_product<I, O, K, STAGES>({m1, m2, partial1, partial2, samples, outputs, inputs}, sensitivity,       \
                                         activation, pilot);                                                        \
  }                                                                                                                 \
  EXPORT_KERNEL(dual_moments_wgmma_##I##x##O##x##K##x##STAGES)

WGMMA(128, 128, 32, 5);

#define TRANSPOSING(I, O, K, STAGES, RAW)                                                                               \
  extern "C" __global__ void __launch_bounds__(WgmmaTile<I, O, K, STAGES>::kThreads, 1)                                 \
      dual_moments_wgmma_##I##x##O##x##K##x##STAGES##x##RAW##_transposing(                                              \
          float* m1, float* m2, float* partial1, float* partial2, const __grid_constant__ TensorMap sensitivity,        \
          const __grid_constant__ TensorMap activation, const float* pilot, int samples, int outputs, int inputs,       \
          float* sums) {                                                                                                \
    transposing_product<I, O, K, STAGES, RAW>({m1, m2, partial1, partial2, samples, outputs, inputs}, sums, sensitivity, \
                                              activation, pilot);                                                       \
  }                                                                                                                     \
  EXPORT_KERNEL(dual_moments_wgmma_##I##x##O##x##K##x##STAGES##x##RAW##_transposing)

TRANSPOSING(128, 128, 32, 4, 3);
#endif
