// Element by element over whole buffers, or over blocks of matrices.                  launcher: UpdatesKernel
//
// axpy_{N}   y += α x
// adam_{N}   one step of Adam: m = β₁ m + (1−β₁) g;  v = β₂ v + (1−β₂) g²;
//            p −= rate · (m/correction₁) / (√(v/correction₂) + ε), with correction = 1 − βᵗ;
//            elements of p that are 0 stay 0 if keep_zeros.
//            rest = 1 − β and correction come from the host: in float32 they would cancel
// multiply_{C}x{R}, add_multiplied_{C}x{R}   to = x∘y, to += x∘y: row r of x by row r modulo the rows of y
// copy_columns_{C}x{R}   to = from
// add_columns_{C}x{R}    to += from
// transpose_32x32        to (columns, rows), without gaps, = fromᵀ; blocks of 32×8 threads own 32×32 tiles
// gather_rows_{C}x{R}    row i of to = row numbers[first + i] of from
// gather_columns_{C}x{R} column j of to = column numbers[j] of from
//
// axpy, adam: all float32 of `elements` elements. block: 256 threads own N elements (elementwise.cuh)
// needs alignment to 4 · N/256 bytes
// multiply: x, to (rows, columns)  y (factor_rows, columns), float32, row-major. block and alignment as for columns
// columns: from, to (rows, columns) float32, row-major, `stride` elements from one row to the next; they do not overlap.
// block: 32×8 threads own a tile of C columns × R rows (elementwise.cuh); columns, strides and alignment as for vectors of
// C/32 floats
// gather: from (any rows, columns)  numbers: int32, of rows of from  to (rows, columns), float32, row-major; to
// overlaps neither. block and alignment as for columns; R is 8: a thread has two loads, one for the other, and one store
// gather_columns: from (rows, from_columns)  numbers: int32, of columns of from, one for each of to  to (rows, columns);
// only to is aligned as for columns: an element of from is a load by itself
#include "elementwise.cuh"

template <class R>
__device__ __forceinline__ void axpy(float alpha, const float* x, float* y, int64_t elements) {
  R::for_each(elements, [&](int64_t at, auto width) {
    constexpr int W = decltype(width)::value;
    auto from = load<W>(x + at);
    auto to = load<W>(y + at);
#pragma unroll
    for (int i = 0; i < W; i++) to.v[i] = fmaf(alpha, from.v[i], to.v[i]);
    store(y + at, to);
  });
}

template <class R>
__device__ __forceinline__ void adam(float* parameter, const float* gradient, float* first, float* second, float rate,
                                     float beta1, float rest1, float beta2, float rest2, float epsilon,
                                     float correction1, float correction2, int keep_zeros, int64_t elements) {
  R::for_each(elements, [&](int64_t at, auto width) {
    constexpr int W = decltype(width)::value;
    auto p = load<W>(parameter + at);
    auto g = load<W>(gradient + at);
    auto m = load<W>(first + at);
    auto v = load<W>(second + at);
#pragma unroll
    for (int i = 0; i < W; i++) {
      m.v[i] = fmaf(beta1, m.v[i], rest1 * g.v[i]);
      v.v[i] = fmaf(beta2, v.v[i], rest2 * g.v[i] * g.v[i]);
      float step = rate * (m.v[i] / correction1) / (sqrtf(v.v[i] / correction2) + epsilon);
      if (!keep_zeros || p.v[i] != 0.f) p.v[i] -= step;
    }
    store(parameter + at, p);
    store(first + at, m);
    store(second + at, v);
  });
}

#define RUNS(N)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads) axpy_##N(float alpha, const float* x, float* y, \
                                                                          int64_t elements) {                    \
    axpy<Run<N>>(alpha, x, y, elements);                                                                         \
  }                                                                                                              \
  EXPORT_KERNEL(axpy_##N);                                                                                       \
  extern "C" __global__ void __launch_bounds__(Run<N>::kThreads)                                                 \
      adam_##N(float* parameter, const float* gradient, float* first, float* second, float rate, float beta1,    \
               float rest1, float beta2, float rest2, float epsilon, float correction1, float correction2,       \
               int keep_zeros, int64_t elements) {                                                               \
    adam<Run<N>>(parameter, gradient, first, second, rate, beta1, rest1, beta2, rest2, epsilon, correction1,     \
                 correction2, keep_zeros, elements);                                                             \
  }                                                                                                              \
  EXPORT_KERNEL(adam_##N)

RUNS(1024);
RUNS(256);

template <bool ADD, class T>
__device__ __forceinline__ void move_columns(const float* from, float* to, int rows, int columns, int from_stride,
                                             int to_stride) {
  T::for_each(rows, columns, [&](int row, int column, int64_t) {
    auto x = load<T::V>(from + (int64_t)row * from_stride + column);
    float* there = to + (int64_t)row * to_stride + column;
    if (ADD) {
      auto y = load<T::V>(there);
#pragma unroll
      for (int i = 0; i < T::V; i++) x.v[i] += y.v[i];
    }
    store(there, x);
  });
}

#define COLUMNS(name, ADD, C, R)                                                             \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) name##_##C##x##R(       \
      const float* from, float* to, int rows, int columns, int from_stride, int to_stride) { \
    move_columns<ADD, Tile<C, R>>(from, to, rows, columns, from_stride, to_stride);          \
  }                                                                                          \
  EXPORT_KERNEL(name##_##C##x##R)

COLUMNS(copy_columns, false, 128, 32);
COLUMNS(copy_columns, false, 32, 32);
COLUMNS(add_columns, true, 128, 32);
COLUMNS(add_columns, true, 32, 32);

template <class T>
__device__ __forceinline__ void gather_rows(const float* from, const int* numbers, float* to, int first, int rows,
                                            int columns) {
  T::for_each(rows, columns, [&](int row, int column, int64_t at) {
    store(to + at, load<T::V>(from + (int64_t)numbers[first + row] * columns + column));
  });
}

template <class T>
__device__ __forceinline__ void gather_columns(const float* from, const int* numbers, float* to, int from_columns,
                                               int rows, int columns) {
  T::for_each(rows, columns, [&](int row, int column, int64_t at) {
    const float* there = from + (int64_t)row * from_columns;
    Vector<T::V> x;
#pragma unroll
    for (int i = 0; i < T::V; i++) x.v[i] = there[numbers[column + i]];
    store(to + at, x);
  });
}

#define GATHER(C, R)                                                                               \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) gather_rows_##C##x##R(        \
      const float* from, const int* numbers, float* to, int first, int rows, int columns) {        \
    gather_rows<Tile<C, R>>(from, numbers, to, first, rows, columns);                              \
  }                                                                                                \
  EXPORT_KERNEL(gather_rows_##C##x##R);                                                            \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) gather_columns_##C##x##R(     \
      const float* from, const int* numbers, float* to, int from_columns, int rows, int columns) { \
    gather_columns<Tile<C, R>>(from, numbers, to, from_columns, rows, columns);                    \
  }                                                                                                \
  EXPORT_KERNEL(gather_columns_##C##x##R)

GATHER(128, 8);
GATHER(32, 8);

template <bool SUM, class T>
__device__ __forceinline__ void multiply_rows(const float* x, const float* factor, float* to, int factor_rows, int rows,
                                              int columns) {
  T::for_each(rows, columns, [&](int row, int column, int64_t at) {
    auto value = load<T::V>(x + at);
    auto by = load<T::V>(factor + (int64_t)(row % factor_rows) * columns + column);
    if (SUM) {
      auto sum = load<T::V>(to + at);
#pragma unroll
      for (int i = 0; i < T::V; i++) value.v[i] = fmaf(value.v[i], by.v[i], sum.v[i]);
    } else {
#pragma unroll
      for (int i = 0; i < T::V; i++) value.v[i] *= by.v[i];
    }
    store(to + at, value);
  });
}

#define MULTIPLY(name, SUM, C, R)                                                               \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) name##_##C##x##R(          \
      const float* x, const float* factor, float* to, int factor_rows, int rows, int columns) { \
    multiply_rows<SUM, Tile<C, R>>(x, factor, to, factor_rows, rows, columns);                  \
  }                                                                                             \
  EXPORT_KERNEL(name##_##C##x##R)

MULTIPLY(multiply, false, 128, 32);
MULTIPLY(multiply, false, 32, 32);
MULTIPLY(add_multiplied, true, 128, 32);
MULTIPLY(add_multiplied, true, 32, 32);

struct TransposedTile {
  float x[32][33];
};

extern "C" __global__ void __launch_bounds__(256)
    transpose_32x32(const float* from, float* to, int rows, int columns, int stride) {
  STATIC_SHARED(TransposedTile, shared);
  const int across = (int)(((int64_t)columns + 31) / 32);
  const int row0 = (int)blockIdx.x / across * 32, column0 = (int)blockIdx.x % across * 32;
  const int lane = threadIdx.x;
  float x[4];
#pragma unroll
  for (int r = 0; r < 4; r++) {
    const int row = row0 + (int)threadIdx.y + 8 * r;
    x[r] = row < rows && column0 + lane < columns ? from[(int64_t)row * stride + column0 + lane] : 0.f;
  }
#pragma unroll
  for (int r = 0; r < 4; r++) shared.x[threadIdx.y + 8 * r][lane] = x[r];
  __syncthreads();
#pragma unroll
  for (int r = 0; r < 4; r++) {
    const int column = column0 + (int)threadIdx.y + 8 * r;
    if (column < columns && row0 + lane < rows) to[(int64_t)column * rows + row0 + lane] = shared.x[lane][threadIdx.y + 8 * r];
  }
}
EXPORT_KERNEL(transpose_32x32);
