// Two walks over matrices that the memory-bound kernels share. Matrices are float32, row-major, without gaps.
#pragma once
#include "device.cuh"

constexpr int kLanes = 32;

/// By tiles of COLUMNS × ROWS, a block of 32 × 8 threads each: a thread visits V = COLUMNS/32 columns side by
/// side in rows 8 apart, so that ROWS/8 independent loads are in flight. The grid covers the columns; its y
/// dimension strides over the rows. Needs columns % V == 0 and buffers aligned to 4 V bytes.
template <int COLUMNS, int ROWS>
struct Tile {
  static constexpr int kThreadRows = 8, kThreads = kLanes * kThreadRows, V = COLUMNS / kLanes;
  static_assert(COLUMNS % kLanes == 0 && (V == 1 || V == 4) && ROWS % kThreadRows == 0, "");

  /// Calls visit(row, column, offset).
  template <class Visit>
  static __device__ __forceinline__ void for_each(int rows, int columns, Visit visit) {
    int column = (int)(blockIdx.x * kLanes + threadIdx.x) * V;
    if (column >= columns) return;
    for (int64_t first = (int64_t)blockIdx.y * ROWS + threadIdx.y; first < rows; first += (int64_t)gridDim.y * ROWS)
#pragma unroll
      for (int r = 0; r < ROWS; r += kThreadRows) {
        int64_t row = first + r;
        if (row < rows) visit((int)row, column, row * columns + column);
      }
  }
};

/// A vector width as an argument.
template <int N>
struct Width {
  static constexpr int value = N;
};

/// By runs of ELEMENTS, a block of 256 threads each: a thread visits V = ELEMENTS/256 elements side by side, the
/// grid strides over the rest. Needs buffers aligned to 4 V bytes.
template <int ELEMENTS>
struct Run {
  static constexpr int kThreads = 256, V = ELEMENTS / kThreads;
  static_assert(V == 1 || V == 4, "");

  /// Calls visit(offset, Width): whole vectors, then the last elements one by one.
  template <class Visit>
  static __device__ __forceinline__ void for_each(int64_t elements, Visit visit) {
    int64_t vectors = elements / V, stride = (int64_t)gridDim.x * kThreads;
    int64_t first = (int64_t)blockIdx.x * kThreads + threadIdx.x;
    for (int64_t i = first; i < vectors; i += stride) visit(i * V, Width<V>{});
    if (V > 1 && first < elements - vectors * V) visit(vectors * V + first, Width<1>{});
  }
};

/// Calls visit(offset, value) for all elements of x, by blocks of 256 threads, for kernels that only read: four vectors of
/// a thread are on their way at a time. Where x is not aligned to 16 bytes, elements come one by one.
template <class Visit>
__device__ __forceinline__ void for_each_value(const float* x, int64_t elements, Visit visit) {
  constexpr int kThreads = 256, V = 4, kLoads = 4;
  const int64_t vectors = (uintptr_t)x % (V * sizeof(float)) == 0 ? elements / V : 0;
  const int64_t stride = (int64_t)gridDim.x * kThreads, first = (int64_t)blockIdx.x * kThreads + threadIdx.x;
  for (int64_t i = first; i < vectors; i += kLoads * stride) {
    Vector<V> loaded[kLoads];
#pragma unroll
    for (int n = 0; n < kLoads; n++)
      if (i + n * stride < vectors) loaded[n] = load<V>(x + (i + n * stride) * V);
#pragma unroll
    for (int n = 0; n < kLoads; n++)
      if (i + n * stride < vectors)
#pragma unroll
        for (int v = 0; v < V; v++) visit((i + n * stride) * V + v, loaded[n].v[v]);
  }
  for (int64_t i = vectors * V + first; i < elements; i += stride) visit(i, x[i]);
}

__device__ __forceinline__ bool is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }

/// Lowers *first to `index`; the order of threads does not matter.
__device__ __forceinline__ void report_first(unsigned long long* first, int64_t index) {
  atomicMin(first, (unsigned long long)index);
}

/// Sum over the warp, the same in every lane and in every run.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int bit = 16; bit; bit >>= 1) value += __shfl_xor_sync(kAllLanes, value, bit);
  return value;
}
