// Least squares by conjugate gradients, and sums that keep what rounding drops.          launcher: SolvingKernel
//
// subtract_row_{C}x{R}   d = x − 1cᵀ
// add_carrying_{N}       sum + carry += x: sum is rounded to float32, carry is what that drops [TwoSum, Knuth]
// add_where_nonzero_{N}  y += x where y is not 0; an element that would become 0 stays as near to it as float32 goes
// diagonal_256           d_j = h_jj
// start_conjugate_gradients_8, conjugate_gradient_step_8
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
// (elementwise.cuh); diagonal: 256 elements; conjugate gradients: 32×8 threads, a warp a row, sums by lanes, then over
// the warp in one order.
#include "elementwise.cuh"

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

#define TILED(C, R)                                                                                             \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads)                                            \
      subtract_row_##C##x##R(const float* x, const float* row, float* difference, int rows, int columns) {      \
    subtract_row<Tile<C, R>>(x, row, difference, rows, columns);                                                \
  }                                                                                                             \
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

#define RUNS(N)                                                                                                 \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                                \
      add_carrying_##N(const float* x, float* sums, float* carries, int64_t elements) {                         \
    add_carrying<Run<N>>(x, sums, carries, elements);                                                           \
  }                                                                                                             \
  EXPORT_KERNEL(add_carrying_##N);                                                                              \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                                \
      add_where_nonzero_##N(const float* x, float* y, int64_t elements) {                                       \
    add_where_nonzero<Run<N>>(x, y, elements);                                                                  \
  }                                                                                                             \
  EXPORT_KERNEL(add_where_nonzero_##N);                                                                         \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                                \
      add_product_##N(float alpha, const float* x, const float* y, float* z, int64_t elements) {                \
    add_product<Run<N>>(alpha, x, y, z, elements);                                                              \
  }                                                                                                             \
  EXPORT_KERNEL(add_product_##N);                                                                               \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                                \
      divide_##N(const float* weights, const float* residual, const float* diagonal, float scale, float shift,  \
                 float* quotient, int64_t elements) {                                                           \
    divide<Run<N>>(weights, residual, diagonal, scale, shift, quotient, elements);                              \
  }                                                                                                             \
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

extern "C" __global__ void __launch_bounds__(256)
    start_conjugate_gradients_8(const float* weights, const float* diagonal, float damping, float* residual,
                                float* direction, float* norms, int rows, int columns) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= rows) return;
  float norm = 0.f;
  for (int j = threadIdx.x; j < columns; j += kLanes) {
    const int64_t at = row * columns + j;
    const float r = weights[at] == 0.f ? 0.f : residual[at];
    const float p = r == 0.f ? 0.f : r / (diagonal[j] + damping);
    residual[at] = r;
    direction[at] = p;
    norm = fmaf(r, p, norm);
  }
  norm = warp_sum(norm);
  if (threadIdx.x < 2) norms[2 * row + threadIdx.x] = norm;
}
EXPORT_KERNEL(start_conjugate_gradients_8);

extern "C" __global__ void __launch_bounds__(256)
    conjugate_gradient_step_8(const float* weights, const float* diagonal, float damping, const float* product,
                              float* residual, float* direction, float* solution, float* norms, int rows,
                              int columns) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= rows) return;
  const int64_t first = row * columns;
  const float norm = warp_sum(threadIdx.x == 0 ? norms[2 * row] : 0.f);  // one lane reads what it writes below
  if (!(norm > kConverged * norms[2 * row + 1])) return;
  float curvature = 0.f;
  for (int j = threadIdx.x; j < columns; j += kLanes) {
    const float p = direction[first + j];
    curvature = fmaf(p, fmaf(damping, p, product[first + j]), curvature);
  }
  curvature = warp_sum(curvature);
  if (!(curvature > 0.f)) return;
  const float alpha = norm / curvature;
  float next = 0.f;
  for (int j = threadIdx.x; j < columns; j += kLanes) {
    const int64_t at = first + j;
    if (weights[at] == 0.f) continue;
    const float p = direction[at];
    solution[at] = fmaf(alpha, p, solution[at]);
    const float r = fmaf(-alpha, fmaf(damping, p, product[at]), residual[at]);
    residual[at] = r;
    if (r != 0.f) next = fmaf(r, r / (diagonal[j] + damping), next);
  }
  next = warp_sum(next);
  const float beta = next / norm;
  for (int j = threadIdx.x; j < columns; j += kLanes) {
    const int64_t at = first + j;
    const float r = residual[at];
    direction[at] = fmaf(beta, direction[at], r == 0.f ? 0.f : r / (diagonal[j] + damping));
  }
  if (threadIdx.x == 0) norms[2 * row] = next;
}
EXPORT_KERNEL(conjugate_gradient_step_8);
