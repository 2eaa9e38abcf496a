// Losses and their gradients, by samples.                                               launcher: LossesKernel
//
// cross_entropy_{N}x{V}         p = softmax(z);  gradient = p Σₖ tₖ − t;  loss = −Σₖ tₖ ln pₖ
// binary_cross_entropy_{N}x{V}  p = 1/(1 + e⁻ᶻ);  gradient = (p − t)/outputs;
//                               loss = −Σ (t ln p + (1 − t) ln(1 − p))/outputs
// squared_error_{N}x{V}         gradient = 2 (a − t)/outputs;  loss = Σ (a − t)²/outputs
//
// z, a, t, gradient (samples, outputs)  losses (samples): float32, row-major; gradient and losses are only written.
// walk, block and grid: rows.cuh
#include "rows.cuh"

template <int N, int V>
__device__ __forceinline__ void cross_entropy(WarpValues& shared, const float* values, const float* targets,
                                              float* gradient, float* losses, int samples, int outputs) {
  SummedRows<N, V> rows(shared, samples, outputs);
  Held<N, V> z(values + rows.row * outputs), t(targets + rows.row * outputs);
  gradient += rows.row * outputs;
  float top = -INFINITY, sums[3] = {};  // of eᶻ, t and t z, with z less the greatest
  rows.pass(
      [&](int n, int) {
#pragma unroll
        for (int v = 0; v < V; v++) top = fmaxf(top, z.at[n].v[v]);
      },
      z, t);
  top = rows.max(top);
  rows.pass(
      [&](int n, int) {
#pragma unroll
        for (int v = 0; v < V; v++) {
          const float below = z.at[n].v[v] - top;
          sums[0] += expf(below);
          sums[1] += t.at[n].v[v];
          sums[2] = fmaf(t.at[n].v[v], below, sums[2]);
        }
      },
      z, t);
  rows.sum(sums);
  const float scale = sums[1] / sums[0];
  rows.pass(
      [&](int n, int column) {
#pragma unroll
        for (int v = 0; v < V; v++) z.at[n].v[v] = fmaf(expf(z.at[n].v[v] - top), scale, -t.at[n].v[v]);
        store(gradient + column, z.at[n]);
      },
      z, t);
  if (threadIdx.x == 0 && rows.row < samples) losses[rows.row] = fmaf(sums[1], logf(sums[0]), -sums[2]);
}

// −t ln p − (1 − t) ln(1 − p) = ln(1 + eᶻ) − t z, in a form that does not overflow.
struct BinaryCrossEntropy {
  static __device__ __forceinline__ float loss(float z, float t) {
    return fmaxf(z, 0.f) - t * z + log1pf(expf(-fabsf(z)));
  }
  static __device__ __forceinline__ float gradient(float z, float t) {
    const float small = expf(-fabsf(z));
    return (z >= 0.f ? 1.f : small) / (1.f + small) - t;
  }
};
struct SquaredError {
  static __device__ __forceinline__ float loss(float a, float t) { return (a - t) * (a - t); }
  static __device__ __forceinline__ float gradient(float a, float t) { return 2.f * (a - t); }
};

/// The mean over the outputs of a loss of each.
template <class Loss, int N, int V>
__device__ __forceinline__ void mean_loss(WarpValues& shared, const float* values, const float* targets,
                                          float* gradient, float* losses, int samples, int outputs) {
  SummedRows<N, V> rows(shared, samples, outputs);
  Held<N, V> z(values + rows.row * outputs), t(targets + rows.row * outputs);
  gradient += rows.row * outputs;
  float loss = 0.f;
  rows.pass(
      [&](int n, int column) {
#pragma unroll
        for (int v = 0; v < V; v++) {
          const float value = z.at[n].v[v];
          loss += Loss::loss(value, t.at[n].v[v]);
          z.at[n].v[v] = Loss::gradient(value, t.at[n].v[v]) / outputs;
        }
        store(gradient + column, z.at[n]);
      },
      z, t);
  loss = rows.sum(loss);
  if (threadIdx.x == 0 && rows.row < samples) losses[rows.row] = loss / outputs;
}

#define LOSS(name, of, N, V)                                                                            \
  extern "C" __global__ void __launch_bounds__(256, 4) name##_##N##x##V(                                \
      const float* z, const float* targets, float* gradient, float* losses, int samples, int outputs) { \
    STATIC_SHARED(WarpValues, shared);                                                                  \
    of(shared, z, targets, gradient, losses, samples, outputs);                                         \
  }                                                                                                     \
  EXPORT_KERNEL(name##_##N##x##V)

#define LOSSES(N, V)                                                       \
  LOSS(cross_entropy, (cross_entropy<N, V>), N, V);                        \
  LOSS(binary_cross_entropy, (mean_loss<BinaryCrossEntropy, N, V>), N, V); \
  LOSS(squared_error, (mean_loss<SquaredError, N, V>), N, V)

ROW_TILES(LOSSES);
