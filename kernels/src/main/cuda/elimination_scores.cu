// Scores from moments, in place.                                          launcher: EliminationScoresKernel
//
// elimination_scores_{C}x{R}   M2 ← W² max(0, M2 − M1²/M0)/samples (importance);  M1 ← W (c + M1/M0) (compensation)
// cancelled_{C}x32             largest = max over rows with M2 − M1²/M0 < fraction M2 of W² M2, by column; 0 of none
// absolute_product_{C}x{R}     scores = |W ∘ αF|, where F has the shape of W or is one row for all
// add_outer_product_{C}x{R}    S = κS + αuvᵀ
//
// W, M1, M2, S, scores (outputs, inputs)  M0, u (outputs)  c, v, largest (inputs): float32, row-major. M1 and M2 are sums over
// `samples` samples of activations shifted by c. A row with M0 = 0 (dead neuron) gets 0. A difference below 0 is
// rounding and becomes 0; a NaN stays a NaN, which rank_zeros_first (select.cu) reports.
//
// cancelled: a block of 32×32 threads owns C = 32 columns; thread row t visits rows t, t+32, …, four at a time;
// grid: ⌈inputs/C⌉
// others: 32×8 threads own a tile of C columns × R rows (elementwise.cuh); needs inputs % (C/32) == 0.
#include "elementwise.cuh"

template <class T>
__device__ __forceinline__ void scores(const float* weights, const float* m0, float* m1, float* m2, const float* pilot,
                                       float samples, int outputs, int inputs) {
  T::for_each(outputs, inputs, [&](int row, int column, int64_t at) {
    auto w = load<T::V>(weights + at);
    auto one = load<T::V>(m1 + at);
    auto two = load<T::V>(m2 + at);
    auto c = load<T::V>(pilot + column);
    const float total = m0[row];
#pragma unroll
    for (int i = 0; i < T::V; i++) {
      float mean = total == 0.f ? 0.f : one.v[i] / total;
      float variance = fmaf(-mean, one.v[i], two.v[i]);
      variance = (variance < 0.f ? 0.f : variance) / samples;  // not fmaxf, which would turn a NaN into 0
      float center = total == 0.f ? 0.f : c.v[i] + mean;
      two.v[i] = w.v[i] * w.v[i] * variance;
      one.v[i] = w.v[i] * center;
    }
    store(m1 + at, one);
    store(m2 + at, two);
  });
}

template <class T>
__device__ __forceinline__ void product(const float* weights, const float* factor, float* scores, float scale,
                                        int factor_rows, int outputs, int inputs) {
  T::for_each(outputs, inputs, [&](int, int column, int64_t at) {
    auto w = load<T::V>(weights + at);
    auto f = load<T::V>(factor + (factor_rows == 1 ? column : at));
#pragma unroll
    for (int i = 0; i < T::V; i++) w.v[i] = fabsf(w.v[i] * (scale * f.v[i]));
    store(scores + at, w);
  });
}

template <class T>
__device__ __forceinline__ void add_outer(float* sums, const float* u, const float* v, float kept, float scale,
                                          int outputs, int inputs) {
  T::for_each(outputs, inputs, [&](int row, int column, int64_t at) {
    auto sum = load<T::V>(sums + at);
    auto x = load<T::V>(v + column);
    const float factor = scale * u[row];
#pragma unroll
    for (int i = 0; i < T::V; i++) sum.v[i] = fmaf(kept, sum.v[i], factor * x.v[i]);
    store(sums + at, sum);
  });
}

struct RowMaxima {
  float of[32][kLanes];
};

extern "C" __global__ void __launch_bounds__(1024)
    cancelled_32x32(const float* weights, const float* m0, const float* m1, const float* m2, float* largest,
                   float fraction, int outputs, int inputs) {
  STATIC_SHARED(RowMaxima, shared);
  const int column = (int)blockIdx.x * kLanes + threadIdx.x;
  constexpr int kTogether = 4;
  float most = 0.f;
  for (int64_t first = threadIdx.y; first < outputs && column < inputs; first += 32 * kTogether) {
    float total[kTogether] = {}, one[kTogether], two[kTogether], w[kTogether];
#pragma unroll
    for (int r = 0; r < kTogether; r++) {
      const int64_t row = first + 32 * r;
      if (row >= outputs) continue;
      total[r] = m0[row];
      one[r] = m1[row * inputs + column];
      two[r] = m2[row * inputs + column];
    }
#pragma unroll
    for (int r = 0; r < kTogether; r++) {  // few weights are read: hardly any input cancels
      const bool is = total[r] != 0.f && fmaf(-one[r] / total[r], one[r], two[r]) < fraction * two[r];
      w[r] = is ? weights[(first + 32 * r) * inputs + column] : 0.f;
    }
#pragma unroll
    for (int r = 0; r < kTogether; r++)
      if (w[r] != 0.f) most = fmaxf(most, w[r] * w[r] * two[r]);
  }
  shared.of[threadIdx.y][threadIdx.x] = most;
  __syncthreads();
  if (threadIdx.y == 0 && column < inputs) {
#pragma unroll
    for (int t = 1; t < 32; t++) most = fmaxf(most, shared.of[t][threadIdx.x]);
    largest[column] = most;
  }
}
EXPORT_KERNEL(cancelled_32x32);

#define TILED(C, R)                                                                                                \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) elimination_scores_##C##x##R(                 \
      const float* weights, const float* m0, float* m1, float* m2, const float* pilot, float samples, int outputs, \
      int inputs) {                                                                                                \
    scores<Tile<C, R>>(weights, m0, m1, m2, pilot, samples, outputs, inputs);                                      \
  }                                                                                                                \
  EXPORT_KERNEL(elimination_scores_##C##x##R);                                                                     \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) absolute_product_##C##x##R(                   \
      const float* weights, const float* factor, float* scores, float scale, int factor_rows, int outputs,         \
      int inputs) {                                                                                                \
    product<Tile<C, R>>(weights, factor, scores, scale, factor_rows, outputs, inputs);                             \
  }                                                                                                                \
  EXPORT_KERNEL(absolute_product_##C##x##R);                                                                       \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) add_outer_product_##C##x##R(                  \
      float* sums, const float* u, const float* v, float kept, float scale, int outputs, int inputs) {             \
    add_outer<Tile<C, R>>(sums, u, v, kept, scale, outputs, inputs);                                               \
  }                                                                                                                \
  EXPORT_KERNEL(add_outer_product_##C##x##R)

TILED(128, 32);
TILED(32, 32);
