// Products with weights of which at most two in each four are not zero: C = X Wᵀ.          launcher: SparseProductKernel
//
// sparse_product_{M}x{N}x{K}x{T}       X as sparse_product_round_256 leaves it
// sparse_product_{M}x{N}x{K}x{T}_v{V}  X as it is, float32, for few samples; copies of V floats: needs X and its rows
//                                      aligned to V floats
//
// X (samples, inputs)  C (samples, outputs): float32, row-major; C is only written
// W (outputs, inputs): WeightBlocks of 32 × 32, one after another along the inputs, then the next 32 outputs
// X rounded: SampleBlocks of 8 samples × 32 inputs, in the same order. What lies outside a matrix is 0.
//
// Both factors are rounded to bfloat16 and lie as the tensor cores take them: a lane reads its share of an operand as 16
// bytes. The sparse operand of mma.sp is the left one, so the blocks compute tiles of Cᵀ = W Xᵀ.
//
// grid: tiles × 1 × parts; a block owns M outputs × N samples over one part of the inputs, a multiple of K. One part writes
// C; several write their sums to partials (parts, samples, outputs), which add_partials then adds in order. Within a block,
// warps share a step's K inputs, and their sums are added in order, too: every run gives the same bits. T: stages of K in
// flight.
#include "tiles.cuh"

constexpr int kSide = 32;  // of a block of weights

/// A lane's share of an operand.
struct alignas(16) Fragment {
  unsigned of[4];
};

/// 32 outputs × 32 inputs, as two left operands of mma_sparse_m16n8k32: row g + 8 e of operand h is output 4 g + 2 h + e, so
/// that a lane's results are of four neighbours. Lanes of selector h have the metadata of operand h.
struct WeightBlock {
  Fragment values[2][32];
  unsigned metadata[32];
};

/// 8 samples × 32 inputs, as the right operand: lane 4 g + t has inputs 8 r + 2 t and the next of sample g in of[r].
struct SampleBlock {
  Fragment of[32];
};

struct SparseProduct {
  const WeightBlock* weights;
  const void* x;
  float *c, *partials;
  int samples, outputs, inputs;
};

/// A warp owns WM outputs × WN samples; DEEP warps share a step of 32·DEEP inputs. V: 0 for X rounded.
template <int M, int N, int DEEP, int STAGES, int WM, int WN, int V>
struct SparseTile {
  static constexpr int kThreads = M / WM * (N / WN) * DEEP * 32, kWarps = kThreads / 32;
  static constexpr int kRows = WM / kSide, kColumns = WN / 8, kRuns = kRows * kColumns * 2;
  static_assert(M % WM == 0 && N % WN == 0 && WM % kSide == 0 && WN % 8 == 0, "");
  struct alignas(16) Stage {
    WeightBlock weights[M / kSide][DEEP];
    std::conditional_t<V == 0, SampleBlock[N / 8][DEEP], OperandTile<N, kSide * DEEP, false>> x;
  };
  union Shared {
    Stage stages[STAGES];
    Vector<4> sums[DEEP > 1 ? kWarps : 1][kRuns][32];
  };
};

/// Starts copies of the blocks from (row, first) on, ROWS × COLUMNS of a matrix of `columns` blocks a row. What lies at
/// `end` or beyond becomes zero; so do, unless LAST_AGAIN, rows at `rows` or beyond.
template <int ROWS, int COLUMNS, int THREADS, bool LAST_AGAIN, class Block>
__device__ __forceinline__ void copy_blocks(Block (&to)[ROWS][COLUMNS], const Block* from, int row, int rows, int first,
                                            int end, int columns) {
  constexpr int kCopies = (int)sizeof(Block) / 16;
#pragma unroll
  for (int e = threadIdx.x; e < ROWS * COLUMNS * kCopies; e += THREADS) {
    const int copy = e % kCopies, c = e / kCopies % COLUMNS, r = e / kCopies / COLUMNS;
    const int source = LAST_AGAIN ? min(row + r, rows - 1) : row + r;
    const bool valid = source < rows && first + c < end;
    const Block* block = valid ? from + (int64_t)source * columns + first + c : from;
    copy_async<16>((char*)&to[r][c] + copy * 16, (const char*)block + copy * 16, valid ? 16 : 0);
  }
}

template <int M, int N, int DEEP, int STAGES, int WM, int WN, int V>
__device__ __forceinline__ void sparse_product(const SparseProduct& p) {
  using T = SparseTile<M, N, DEEP, STAGES, WM, WN, V>;
  DYNAMIC_SHARED(typename T::Shared, shared);
  const Corner corner = corner_of<M, N>(p.outputs, p.samples);
  const int blocks = (p.inputs - 1) / kSide + 1;
  const Part part = part_of<DEEP>(blocks);
  const Lane l = lane();
  const int warp = threadIdx.x / 32, deep = warp % DEEP, in_warp = threadIdx.x % 32;
  const int down = warp / DEEP % (M / WM) * T::kRows, across = warp / DEEP / (M / WM) * T::kColumns;

  auto start = [&](int step, int stage) {
    typename T::Stage& to = shared.stages[stage];
    const int first = part.first + step * DEEP;
    // Rows past the end are those of the last outputs, because no metadata is zero.
    copy_blocks<M / kSide, DEEP, T::kThreads, true>(to.weights, p.weights, corner.row / kSide, (p.outputs - 1) / kSide + 1,
                                                    first, part.end, blocks);
    if constexpr (V == 0)
      copy_blocks<N / 8, DEEP, T::kThreads, false>(to.x, static_cast<const SampleBlock*>(p.x), corner.column / 8,
                                                   (p.samples - 1) / 8 + 1, first, part.end, blocks);
    else
      to.x.template load<V, T::kThreads>(static_cast<const float*>(p.x), p.inputs, first * kSide, p.inputs, corner.column,
                                         p.samples);
  };

  float d[T::kRows][T::kColumns][2][4] = {};
  int left = part.end - part.first - deep;
  auto multiply = [&](int stage) {
    const typename T::Stage& of = shared.stages[stage];
    if (left > 0) {
      Fragment a[T::kRows][2];
      unsigned metadata[T::kRows];
#pragma unroll
      for (int i = 0; i < T::kRows; i++) {
        const WeightBlock& block = of.weights[down + i][deep];
#pragma unroll
        for (int h = 0; h < 2; h++) a[i][h] = block.values[h][in_warp];
        metadata[i] = block.metadata[in_warp];
      }
#pragma unroll
      for (int j = 0; j < T::kColumns; j++) {
        Fragment b;
        if constexpr (V == 0) {
          b = of.x[across + j][deep].of[in_warp];
        } else {
#pragma unroll
          for (int r = 0; r < 4; r++) {
            const int k = deep * kSide + r * 8 + l.t * 2, w = (across + j) * 8 + l.g;
            b.of[r] = to_bf16_pair(of.x.at(k, w), of.x.at(k + 1, w));
          }
        }
#pragma unroll
        for (int i = 0; i < T::kRows; i++)
#pragma unroll
          for (int h = 0; h < 2; h++) mma_sparse_m16n8k32(d[i][j][h], a[i][h].of, b.of, metadata[i], h);
      }
    }
    left -= DEEP;
  };
  pipeline<STAGES>(part.steps, start, multiply);

  float* to = gridDim.z > 1 ? p.partials + (int64_t)blockIdx.z * p.samples * p.outputs : p.c;
  const bool whole = p.outputs % 4 == 0 && ((uintptr_t)to & 15) == 0;
  // Outputs 4 g to 4 g + 3 of 32, of sample 2 t + s of 8.
  auto put = [&](int i, int j, int s, const Vector<4>& run) {
    const int output = corner.row + (down + i) * kSide + l.g * 4, sample = corner.column + (across + j) * 8 + l.t * 2 + s;
    const int there = sample < p.samples ? p.outputs - output : 0;
    float* at = to + (int64_t)sample * p.outputs + output;
    if (whole)
      store_run<4, true>(at, run, there);
    else
      store_run<4, false>(at, run, there);
  };
  if (DEEP > 1) __syncthreads();  // all have left the stages, which the sums take
#pragma unroll
  for (int i = 0; i < T::kRows; i++)
#pragma unroll
    for (int j = 0; j < T::kColumns; j++)
#pragma unroll
      for (int s = 0; s < 2; s++) {
        const Vector<4> run = {d[i][j][0][s], d[i][j][0][s + 2], d[i][j][1][s], d[i][j][1][s + 2]};
        if constexpr (DEEP > 1)
          store_shared(&shared.sums[warp][(i * T::kColumns + j) * 2 + s][in_warp], run);
        else
          put(i, j, s, run);
      }
  if constexpr (DEEP > 1) {
    __syncthreads();
    for (int run = deep; run < T::kRuns; run += DEEP) {
      Vector<4> sum = {};
      for (int k = 0; k < DEEP; k++) {
        const Vector<4> more = shared.sums[warp - deep + k][run][in_warp];
#pragma unroll
        for (int v = 0; v < 4; v++) sum.v[v] += more.v[v];
      }
      put(run / 2 / T::kColumns, run / 2 % T::kColumns, run % 2, sum);
    }
  }
}

// ---------------------------------------------------------------------------------------------- exports

#define SPARSE_PRODUCT(name, THREADS, BLOCKS, ...)                                                                     \
  extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)                                                        \
      name(const WeightBlock* weights, const void* x, float* c, float* partials, int samples, int outputs, int inputs) { \
    sparse_product<__VA_ARGS__>({weights, x, c, partials, samples, outputs, inputs});                                  \
  }                                                                                                                    \
  EXPORT_KERNEL(name)

SPARSE_PRODUCT(sparse_product_256x128x32x5, 256, 1, 256, 128, 1, 5, 64, 64, 0);
SPARSE_PRODUCT(sparse_product_64x64x64x3, 256, 2, 64, 64, 2, 3, 32, 32, 0);
SPARSE_PRODUCT(sparse_product_32x32x256x3, 256, 1, 32, 32, 8, 3, 32, 32, 0);
SPARSE_PRODUCT(sparse_product_32x8x256x4_v4, 256, 1, 32, 8, 8, 4, 32, 8, 4);
SPARSE_PRODUCT(sparse_product_32x8x256x4_v1, 256, 1, 32, 8, 8, 4, 32, 8, 1);

// grid: ⌈lanes of all SampleBlocks / 256⌉
extern "C" __global__ void __launch_bounds__(256)
    sparse_product_round_256(const float* x, SampleBlock* rounded, int samples, int inputs) {
  const int blocks = (inputs - 1) / kSide + 1, eights = (samples - 1) / 8 + 1;
  const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x, block = i / 32;
  if (block >= (int64_t)eights * blocks) return;
  const Lane l = lane();
  const int sample = (int)(block / blocks) * 8 + l.g, first = (int)(block % blocks) * kSide + l.t * 2;
  const bool whole = inputs % 2 == 0 && ((uintptr_t)x & 7) == 0;
  Fragment fragment;
#pragma unroll
  for (int r = 0; r < 4; r++) {
    const int input = first + r * 8, there = sample < samples ? inputs - input : 0;
    const float* from = x + (int64_t)sample * inputs + input;
    const Vector<2> pair = whole ? load_run<2, true>(from, there) : load_run<2, false>(from, there);
    fragment.of[r] = to_bf16_pair(pair.v[0], pair.v[1]);
  }
  rounded[block].of[threadIdx.x % 32] = fragment;
}
EXPORT_KERNEL(sparse_product_round_256);
