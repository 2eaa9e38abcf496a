// Least squares by conjugate gradients, and sums that keep what rounding drops.          launcher: SolvingKernel
//
// subtract_row_{C}x{R}   d = x − 1cᵀ
// add_carrying_{N}       sum + carry += x: sum is rounded to float32, carry is what that drops [TwoSum, Knuth]
// add_where_nonzero_{N}  y += x where y is not 0; an element that would become 0 stays as near to it as float32 goes
// diagonal_256           d_j = h_jj
// start_conjugate_gradients_{N}x{V}, conjugate_gradient_step_{N}x{V}
//     a step of conjugate gradients, preconditioned by a diagonal, for every row of (H + λI) y = r by itself, among the
//     elements where w is not 0. Start: r = 0 where w is 0; p = r / (d + λ); n = n₀ = r·p. Step, with q = p·H:
//     q += λp;  α = n / (p·q);  y += αp;  r −= αq;  z = r / (d + λ);  n′ = r·z;  p = z + (n′/n) p;  n = n′
//     A row whose n is at most 2⁻⁴⁶ n₀ stays as it is: further steps would follow rounding.
//
// add_product_{N}         z += α x∘y
// divide_{N}              z = r / (α d + β) where w is not 0, 0 elsewhere; d as r
// dot_256                 partials[b] = Σ x∘y, in double, over the b-th of as many ranges as there are blocks
//
// x, sum, carry, y, w, r, p, q (rows, columns)  c, d (columns)  n and n₀ (rows, 2)  h (columns, columns): float32,
// row-major.
// block: subtract_row 32×8 threads own a tile of C columns × R rows; add_…: 256 threads own N elements
// (elementwise.cuh); diagonal: 256 elements; conjugate gradients: rows.cuh
#include "rows.cuh"

/// The least normal float32.
constexpr float kLeast = 1.17549435e-38f;
/// The squared norm of a residual, relative to the first one, at which a row is solved.
constexpr float kConverged = 1.f / (1ll << 46);

template <class T>
__device__ __forceinline__ void subtract_row(const float* x, const float* row, float* difference, int rows,
                                             int columns) {
  T::for_each(rows, columns, [&](int, int column, int64_t at) {
    auto value = load<T::V>(x + at);
    auto c = load<T::V>(row + column);
#pragma unroll
    for (int i = 0; i < T::V; i++) value.v[i] -= c.v[i];
    store(difference + at, value);
  });
}

#define TILED(C, R)                                                                                        \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads)                                       \
      subtract_row_##C##x##R(const float* x, const float* row, float* difference, int rows, int columns) { \
    subtract_row<Tile<C, R>>(x, row, difference, rows, columns);                                           \
  }                                                                                                        \
  EXPORT_KERNEL(subtract_row_##C##x##R)

TILED(128, 32);
TILED(32, 32);

template <class R>
__device__ __forceinline__ void add_carrying(const float* x, float* sums, float* carries, int64_t elements) {
  R::for_each(elements, [&](int64_t at, auto width) {
    constexpr int W = decltype(width)::value;
    auto from = load<W>(x + at);
    auto sum = load<W>(sums + at);
    auto carry = load<W>(carries + at);
#pragma unroll
    for (int i = 0; i < W; i++) {
      const float a = sum.v[i], b = from.v[i], s = a + b, rounded = s - a;
      carry.v[i] += (a - (s - rounded)) + (b - rounded);
      sum.v[i] = s;
    }
    store(sums + at, sum);
    store(carries + at, carry);
  });
}

template <class R>
__device__ __forceinline__ void add_where_nonzero(const float* x, float* y, int64_t elements) {
  R::for_each(elements, [&](int64_t at, auto width) {
    constexpr int W = decltype(width)::value;
    auto from = load<W>(x + at);
    auto to = load<W>(y + at);
#pragma unroll
    for (int i = 0; i < W; i++) {
      const float sum = to.v[i] + from.v[i];
      if (to.v[i] != 0.f) to.v[i] = sum == 0.f ? copysignf(kLeast, to.v[i]) : sum;
    }
    store(y + at, to);
  });
}

template <class R>
__device__ __forceinline__ void add_product(float alpha, const float* x, const float* y, float* z, int64_t elements) {
  R::for_each(elements, [&](int64_t at, auto width) {
    constexpr int W = decltype(width)::value;
    auto a = load<W>(x + at);
    auto b = load<W>(y + at);
    auto to = load<W>(z + at);
#pragma unroll
    for (int i = 0; i < W; i++) to.v[i] = fmaf(alpha * a.v[i], b.v[i], to.v[i]);
    store(z + at, to);
  });
}

template <class R>
__device__ __forceinline__ void divide(const float* weights, const float* residual, const float* diagonal, float scale,
                                       float shift, float* quotient, int64_t elements) {
  R::for_each(elements, [&](int64_t at, auto width) {
    constexpr int W = decltype(width)::value;
    auto w = load<W>(weights + at);
    auto r = load<W>(residual + at);
    auto d = load<W>(diagonal + at);
#pragma unroll
    for (int i = 0; i < W; i++) r.v[i] = w.v[i] == 0.f ? 0.f : r.v[i] / fmaf(scale, d.v[i], shift);
    store(quotient + at, r);
  });
}

#define RUNS(N)                                                                                                \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                               \
      add_carrying_##N(const float* x, float* sums, float* carries, int64_t elements) {                        \
    add_carrying<Run<N>>(x, sums, carries, elements);                                                          \
  }                                                                                                            \
  EXPORT_KERNEL(add_carrying_##N);                                                                             \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                               \
      add_where_nonzero_##N(const float* x, float* y, int64_t elements) {                                      \
    add_where_nonzero<Run<N>>(x, y, elements);                                                                 \
  }                                                                                                            \
  EXPORT_KERNEL(add_where_nonzero_##N);                                                                        \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                               \
      add_product_##N(float alpha, const float* x, const float* y, float* z, int64_t elements) {               \
    add_product<Run<N>>(alpha, x, y, z, elements);                                                             \
  }                                                                                                            \
  EXPORT_KERNEL(add_product_##N);                                                                              \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                               \
      divide_##N(const float* weights, const float* residual, const float* diagonal, float scale, float shift, \
                 float* quotient, int64_t elements) {                                                          \
    divide<Run<N>>(weights, residual, diagonal, scale, shift, quotient, elements);                             \
  }                                                                                                            \
  EXPORT_KERNEL(divide_##N)

RUNS(1024);
RUNS(256);

struct BlockSums {
  double of[8];
};

extern "C" __global__ void __launch_bounds__(256)
    dot_256(const float* x, const float* y, double* partials, int64_t elements) {
  STATIC_SHARED(BlockSums, shared);
  double sum = 0;
  Run<256>::for_each(elements, [&](int64_t at, auto) { sum += (double)x[at] * y[at]; });
  sum = warp_sum(sum);
  if (threadIdx.x % kLanes == 0) shared.of[threadIdx.x / kLanes] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
#pragma unroll
    for (int warp = 1; warp < 8; warp++) sum += shared.of[warp];
    partials[blockIdx.x] = sum;
  }
}
EXPORT_KERNEL(dot_256);

extern "C" __global__ void __launch_bounds__(256) diagonal_256(const float* square, float* diagonal, int columns) {
  Run<256>::for_each(columns, [&](int64_t j, auto) { diagonal[j] = square[j * columns + j]; });
}
EXPORT_KERNEL(diagonal_256);

template <int N, int V>
__device__ __forceinline__ void start(WarpValues& shared, const float* weights, const float* diagonal, float damping,
                                      float* residual, float* direction, float* norms, int count, int columns) {
  SummedRows<N, V> rows(shared, count, columns);
  const int64_t first = rows.row * columns;
  Held<N, V> w(weights + first), r(residual + first), d(diagonal);
  float norm = 0.f;
  rows.pass(
      [&](int n, int column) {
        Vector<V> p;
#pragma unroll
        for (int v = 0; v < V; v++) {
          float& to = r.at[n].v[v];
          if (w.at[n].v[v] == 0.f) to = 0.f;
          p.v[v] = to == 0.f ? 0.f : to / (d.at[n].v[v] + damping);
          norm = fmaf(to, p.v[v], norm);
        }
        store(residual + first + column, r.at[n]);
        store(direction + first + column, p);
      },
      w, r, d);
  norm = rows.sum(norm);
  if (threadIdx.x < 2 && rows.row < count) norms[2 * rows.row + threadIdx.x] = norm;
}

template <int N, int V>
__device__ __forceinline__ void step(WarpValues& shared, const float* weights, const float* diagonal, float damping,
                                     const float* product, float* residual, float* direction, float* solution,
                                     float* norms, int count, int columns) {
  SummedRows<N, V> rows(shared, count, columns);
  const int64_t first = rows.row * columns;
  norms += 2 * rows.row;
  const bool writes = threadIdx.x == 0 && rows.row < count;
  const float norm = rows.sum(writes ? norms[0] : 0.f);  // one thread reads what it writes below
  if (rows.row < count && !(norm > kConverged * norms[1])) rows.columns = 0;
  Held<N, V> p(direction + first), q(product + first), r(residual + first), w(weights + first), y(solution + first),
      d(diagonal);
  float curvature = 0.f;
  rows.pass(
      [&](int n, int) {
#pragma unroll
        for (int v = 0; v < V; v++) {
          const float along = p.at[n].v[v];
          curvature = fmaf(along, fmaf(damping, along, q.at[n].v[v]), curvature);
        }
      },
      p, q);
  curvature = rows.sum(curvature);
  if (!(curvature > 0.f)) rows.columns = 0;
  const float alpha = norm / curvature;
  float next = 0.f;
  rows.pass(
      [&](int n, int column) {
#pragma unroll
        for (int v = 0; v < V; v++) {
          if (w.at[n].v[v] == 0.f) continue;
          const float along = p.at[n].v[v];
          y.at[n].v[v] = fmaf(alpha, along, y.at[n].v[v]);
          const float left = fmaf(-alpha, fmaf(damping, along, q.at[n].v[v]), r.at[n].v[v]);
          r.at[n].v[v] = left;
          if (left != 0.f) next = fmaf(left, left / (d.at[n].v[v] + damping), next);
        }
        store(solution + first + column, y.at[n]);
        store(residual + first + column, r.at[n]);
      },
      p, q, r, w, y, d);
  next = rows.sum(next);
  const float beta = next / norm;
  rows.pass(
      [&](int n, int column) {
#pragma unroll
        for (int v = 0; v < V; v++) {
          const float left = r.at[n].v[v], z = left == 0.f ? 0.f : left / (d.at[n].v[v] + damping);
          p.at[n].v[v] = fmaf(beta, p.at[n].v[v], z);
        }
        store(direction + first + column, p.at[n]);
      },
      p, r, d);
  if (writes && rows.columns > 0) norms[0] = next;
}

#define CONJUGATE_GRADIENTS(N, V)                                                                                  \
  extern "C" __global__ void __launch_bounds__(256, 3) start_conjugate_gradients_##N##x##V(                        \
      const float* weights, const float* diagonal, float damping, float* residual, float* direction, float* norms, \
      int rows, int columns) {                                                                                     \
    STATIC_SHARED(WarpValues, shared);                                                                             \
    start<N, V>(shared, weights, diagonal, damping, residual, direction, norms, rows, columns);                    \
  }                                                                                                                \
  EXPORT_KERNEL(start_conjugate_gradients_##N##x##V);                                                              \
  extern "C" __global__ void __launch_bounds__(256, 2) conjugate_gradient_step_##N##x##V(                          \
      const float* weights, const float* diagonal, float damping, const float* product, float* residual,           \
      float* direction, float* solution, float* norms, int rows, int columns) {                                    \
    STATIC_SHARED(WarpValues, shared);                                                                             \
    step<N, V>(shared, weights, diagonal, damping, product, residual, direction, solution, norms, rows, columns);  \
  }                                                                                                                \
  EXPORT_KERNEL(conjugate_gradient_step_##N##x##V)

ROW_TILES(CONJUGATE_GRADIENTS);
