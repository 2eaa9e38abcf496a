// Sums, in an order that depends on the shape alone.                               launcher: ReductionsKernel
//
// column_sums_{C}x{R}          partials[z] = Σ over the z-th part of the rows of x
// column_sums_tf32_{C}x{R}     the same with every element rounded to TF32 first
// column_square_sums_{C}x{R}   partials[z] = Σ over the z-th part of the rows of x∘x
// add_partials_256             y = α Σ over parts of partials[part] + β y; y is not read when β = 0; its rows may lie apart
// sum_1024                     total = Σ x over doubles, by one block
// first_non_finite_256         *first = min(*first, the index of each element of x that is NaN or infinite)
//
// x (rows, columns)  partials (parts, elements)  y (elements): float32, row-major. A part is ⌈rows/parts⌉ rows.
// column_sums: block 32×8 owns C = 32 columns of one part, thread row t adds rows t, t+8, …, then the eight are added
// in order; R, the rows of a part that a block reads at a time, is 8. grid: ⌈columns/C⌉ × 1 × parts
#include "elementwise.cuh"

struct RowSums {
  float of[8][kLanes];
};

struct Plain {
  static __device__ __forceinline__ float add(float sum, float x) { return sum + x; }
};
struct Tf32 {
  static __device__ __forceinline__ float add(float sum, float x) { return sum + __uint_as_float(to_tf32(x)); }
};
struct Square {
  static __device__ __forceinline__ float add(float sum, float x) { return fmaf(x, x, sum); }
};

template <class Term>
__device__ __forceinline__ void column_sums(RowSums& shared, const float* x, float* partials, int rows, int columns) {
  const int column = (int)blockIdx.x * kLanes + threadIdx.x;
  const int64_t part = ((int64_t)rows + gridDim.z - 1) / gridDim.z;
  const int64_t end = min((int64_t)rows, (blockIdx.z + 1) * part);
  float sum = 0.f;
  if (column < columns)
#pragma unroll 8
    for (int64_t row = blockIdx.z * part + threadIdx.y; row < end; row += 8)
      sum = Term::add(sum, x[row * columns + column]);
  shared.of[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < columns) {
#pragma unroll
    for (int t = 1; t < 8; t++) sum += shared.of[t][threadIdx.x];
    partials[(int64_t)blockIdx.z * columns + column] = sum;
  }
}

#define COLUMN_SUMS(name, Term)                                             \
  extern "C" __global__ void __launch_bounds__(256)                         \
      name##_32x8(const float* x, float* partials, int rows, int columns) { \
    STATIC_SHARED(RowSums, shared);                                         \
    column_sums<Term>(shared, x, partials, rows, columns);                  \
  }                                                                         \
  EXPORT_KERNEL(name##_32x8)

COLUMN_SUMS(column_sums, Plain);
COLUMN_SUMS(column_sums_tf32, Tf32);
COLUMN_SUMS(column_square_sums, Square);

extern "C" __global__ void __launch_bounds__(256)
    add_partials_256(const float* partials, float* y, float alpha, float beta, int parts, int64_t elements, int columns,
                     int stride) {
  Run<256>::for_each(elements, [&](int64_t at, auto) {
    float sum = 0.f;
    for (int part = 0; part < parts; part++) sum += partials[part * elements + at];
    float& to = y[columns == stride ? at : at / columns * stride + at % columns];
    to = beta == 0.f ? alpha * sum : fmaf(alpha, sum, beta * to);
  });
}
EXPORT_KERNEL(add_partials_256);

extern "C" __global__ void __launch_bounds__(256)
    first_non_finite_256(const float* x, unsigned long long* first, int64_t elements) {
  for_each_value(x, elements, [&](int64_t at, float value) {
    if (!is_finite(value)) report_first(first, at);
  });
}
EXPORT_KERNEL(first_non_finite_256);

struct WarpSums {
  double of[32];
};

extern "C" __global__ void __launch_bounds__(1024) sum_1024(const double* x, double* total, int64_t elements) {
  STATIC_SHARED(WarpSums, shared);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < elements; i += 1024) sum += x[i];
  sum = warp_sum(sum);
  if (threadIdx.x % kLanes == 0) shared.of[threadIdx.x / kLanes] = sum;
  __syncthreads();
  if (threadIdx.x < kLanes) {
    sum = warp_sum(shared.of[threadIdx.x]);
    if (threadIdx.x == 0) *total = sum;
  }
}
EXPORT_KERNEL(sum_1024);
