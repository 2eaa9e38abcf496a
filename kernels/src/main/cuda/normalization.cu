// Normalisation by rows, and its Jacobian.                                       launcher: NormalizationKernel
//
// normalize_{N}x{V}           y = (x − m) / √(v + ε), with m the mean of a row and v the mean of (x − m)²; m = 0 if not
//                             centred
// normalize_backward_{N}x{V}  g = (u − mean(u) − y mean(y∘u)) / √(v + ε), without mean(u) if not centred
//
// x, y (samples, width)  u, g (copies · samples, width), stacked copies: float32, row-major; y and g are only written,
// g may be u
// walk, block and grid: rows.cuh
#include "rows.cuh"

struct Spread {
  float mean, scale;  // m, 1 / √(v + ε)
};

template <int N, int V>
__device__ __forceinline__ Spread spread(SummedRows<N, V>& rows, Held<N, V>& x, float epsilon, int centred, int width) {
  float mean = 0.f, squares = 0.f;
  if (centred) {
    rows.pass(
        [&](int n, int) {
#pragma unroll
          for (int v = 0; v < V; v++) mean += x.at[n].v[v];
        },
        x);
    mean = rows.sum(mean) / width;
  }
  rows.pass(
      [&](int n, int) {
#pragma unroll
        for (int v = 0; v < V; v++) squares = fmaf(x.at[n].v[v] - mean, x.at[n].v[v] - mean, squares);
      },
      x);
  return {mean, 1.f / sqrtf(rows.sum(squares) / width + epsilon)};
}

template <int N, int V>
__device__ __forceinline__ void normalize(WarpValues& shared, const float* values, float* normalized, float epsilon,
                                          int centred, int samples, int width) {
  SummedRows<N, V> rows(shared, samples, width);
  Held<N, V> x(values + rows.row * width);
  normalized += rows.row * width;
  const Spread of = spread(rows, x, epsilon, centred, width);
  rows.pass(
      [&](int n, int column) {
#pragma unroll
        for (int v = 0; v < V; v++) x.at[n].v[v] = (x.at[n].v[v] - of.mean) * of.scale;
        store(normalized + column, x.at[n]);
      },
      x);
}

template <int N, int V>
__device__ __forceinline__ void backward(WarpValues& shared, const float* values, const float* normalized,
                                         const float* upstream, float* gradient, float epsilon, int centred, int copies,
                                         int samples, int width) {
  SummedRows<N, V> rows(shared, samples, width);
  Held<N, V> x(values + rows.row * width), y(normalized + rows.row * width), u(nullptr);
  const Spread of = spread(rows, x, epsilon, centred, width);
  for (int c = 0; c < copies; c++) {
    const int64_t row = ((int64_t)c * samples + rows.row) * width;
    u.move_to(upstream + row);
    float means[2] = {};  // of u, of y∘u
    rows.pass(
        [&](int n, int) {
#pragma unroll
          for (int v = 0; v < V; v++) {
            if (centred) means[0] += u.at[n].v[v];
            means[1] = fmaf(y.at[n].v[v], u.at[n].v[v], means[1]);
          }
        },
        y, u);
    rows.sum(means);
    const float mean = means[0] / width, along = means[1] / width;
    rows.pass(
        [&](int n, int column) {
#pragma unroll
          for (int v = 0; v < V; v++) u.at[n].v[v] = (u.at[n].v[v] - mean - y.at[n].v[v] * along) * of.scale;
          store(gradient + row + column, u.at[n]);
        },
        y, u);
  }
}

#define NORMALIZE(N, V)                                                                                             \
  extern "C" __global__ void __launch_bounds__(256, 4) normalize_##N##x##V(                                         \
      const float* x, float* normalized, float epsilon, int centred, int samples, int width) {                      \
    STATIC_SHARED(WarpValues, shared);                                                                              \
    normalize<N, V>(shared, x, normalized, epsilon, centred, samples, width);                                       \
  }                                                                                                                 \
  EXPORT_KERNEL(normalize_##N##x##V);                                                                               \
  extern "C" __global__ void __launch_bounds__(256, 4)                                                              \
      normalize_backward_##N##x##V(const float* x, const float* normalized, const float* upstream, float* gradient, \
                                   float epsilon, int centred, int copies, int samples, int width) {                \
    STATIC_SHARED(WarpValues, shared);                                                                              \
    backward<N, V>(shared, x, normalized, upstream, gradient, epsilon, centred, copies, samples, width);            \
  }                                                                                                                 \
  EXPORT_KERNEL(normalize_backward_##N##x##V)

ROW_TILES(NORMALIZE);
