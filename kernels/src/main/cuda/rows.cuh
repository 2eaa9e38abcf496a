// A walk over rows for kernels that need sums of a row before they write it: what a thread has of a row stays in
// registers, so that device memory is read once. Matrices are float32, row-major, without gaps.
//
// block: 256 threads, blockDim.x of them for a row, a multiple of 32. grid: ⌈rows/blockDim.y⌉
// tile {N}x{V}: a thread holds N vectors of V elements of a part of the row, N · V · blockDim.x columns; a wider row has
// more parts, which are read again in every pass over it, from the cache. Needs columns % V == 0 and as much alignment.
#pragma once
#include "elementwise.cuh"

/// What the warps of a block tell each other, in two places by turns: then one barrier is enough.
struct WarpValues {
  float of[2][3][8];
};

/// A thread's vectors of one part of a row.
template <int N, int V>
struct Held {
  const float* row;  // null: nothing is read, and the values are 0
  int first = -1;    // the part's first column
  Vector<V> at[N] = {};

  __device__ __forceinline__ explicit Held(const float* row) : row(row) {}
  __device__ __forceinline__ void move_to(const float* another) {
    row = another;
    first = -1;
  }
};

template <int N, int V>
struct Rows {
  int64_t row;
  int columns;  // 0 behind the last row, and in a row that is left alone: its threads go on to the barriers

  __device__ __forceinline__ Rows(int64_t rows, int columns)
      : row((int64_t)blockIdx.x * blockDim.y + threadIdx.y), columns(row < rows ? columns : 0) {}

  /// Whether a row is one part, which then stays in registers from pass to pass.
  __device__ __forceinline__ bool is_held() const { return columns <= N * V * (int)blockDim.x; }

  /// A pass over the row: by parts, reads those of `held` that are not there yet, and calls visit(n, column) for each
  /// vector.
  template <class Visit, class... H>
  __device__ __forceinline__ void pass(Visit visit, H&... held) {
#pragma unroll 1
    for (int first = 0; first < columns; first += N * V * (int)blockDim.x) {
      (take(held, first), ...);
      for_each(first, visit);
    }
  }

 private:
  template <class Visit>
  __device__ __forceinline__ void for_each(int first, Visit visit) {
    const int mine = first + ((int)threadIdx.x / kLanes * N * kLanes + (int)threadIdx.x % kLanes) * V;
#pragma unroll
    for (int n = 0; n < N; n++)  // a warp's vectors lie together: their offsets are constants
      if (mine + n * kLanes * V < columns) visit(n, mine + n * kLanes * V);
  }

  __device__ __forceinline__ void take(Held<N, V>& held, int first) {
    if (!held.row || held.first == first) return;
    held.first = first;
    for_each(first, [&](int n, int column) { held.at[n] = load<V>(held.row + column); });
  }
};

/// Rows with what is the same for all threads of one: every thread of the block takes part in it.
template <int N, int V>
struct SummedRows : Rows<N, V> {
  WarpValues& shared;
  int turn = 0;

  __device__ __forceinline__ SummedRows(WarpValues& shared, int64_t rows, int columns)
      : Rows<N, V>(rows, columns), shared(shared) {}

  /// value[k] becomes the sum over the row's threads, in one order.
  template <int K>
  __device__ __forceinline__ void sum(float (&value)[K]) {
    combine(value, [](float a, float b) { return a + b; });
  }
  __device__ __forceinline__ float sum(float value) {
    float only[] = {value};
    sum(only);
    return only[0];
  }
  __device__ __forceinline__ float max(float value) {
    float only[] = {value};
    combine(only, [](float a, float b) { return fmaxf(a, b); });
    return only[0];
  }

 private:
  template <class Combine, int K>
  __device__ __forceinline__ void combine(float (&value)[K], Combine of) {
#pragma unroll
    for (int k = 0; k < K; k++)
#pragma unroll
      for (int bit = 16; bit; bit >>= 1) value[k] = of(value[k], __shfl_xor_sync(kAllLanes, value[k], bit));
    const int warps = (int)blockDim.x / kLanes, before = (int)threadIdx.y * warps;
    if (warps == 1) return;
    turn ^= 1;
#pragma unroll
    for (int k = 0; k < K; k++)
      if (threadIdx.x % kLanes == 0) shared.of[turn][k][before + threadIdx.x / kLanes] = value[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; k++) {
      value[k] = shared.of[turn][k][before];
      for (int warp = 1; warp < warps; warp++) value[k] = of(value[k], shared.of[turn][k][before + warp]);
    }
  }
};

/// Kernels of the tiles that launchers choose from: RowTile.
#define ROW_TILES(KERNELS) \
  KERNELS(4, 4);           \
  KERNELS(16, 1)
