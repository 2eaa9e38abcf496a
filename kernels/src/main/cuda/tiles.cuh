// What the tiled matrix products share: the inner dimension split over blocks, operands' tiles in shared memory, a ring
// of stages that cp.async fills ahead of the products, and fragments for mma.sync.
#pragma once
#include "device.cuh"

/// The part of the inner dimension that this block sums over, K at a time: a multiple of K, but for the last part.
struct Part {
  int first, end, steps;
};
template <int K>
__device__ __forceinline__ Part part_of(int inner) {
  const int64_t tiles = ((int64_t)inner + K - 1) / K, each = (tiles + gridDim.z - 1) / gridDim.z;
  const int first = (int)min((int64_t)inner, blockIdx.z * each * K);
  const int end = (int)min((int64_t)inner, (blockIdx.z + 1) * each * K);
  return {first, end, (end - first + K - 1) / K};
}

/// First row and column of this block's tile. Blocks that run at one time make about a square of tiles, whose operands
/// stay in L2: eight tiles down, then the next column of tiles.
struct Corner {
  int row, column;
};
template <int M, int N>
__device__ __forceinline__ Corner corner_of(int rows, int columns) {
  const int kDown = 8;
  const int down = (int)(((int64_t)rows + M - 1) / M), across = (int)(((int64_t)columns + N - 1) / N);
  const int group = (int)(blockIdx.x / ((int64_t)kDown * across)), within = (int)(blockIdx.x % ((int64_t)kDown * across));
  const int height = min(kDown, down - group * kDown);
  return {(group * kDown + within % height) * M, within / height * N};
}

/// W rows or columns of a product's operand × K of the inner dimension, as they lie in global memory: INNER_ROWS if the
/// operand's rows run along the inner dimension's index, so that a row holds W. The rows' padding spreads the 32
/// elements (k + t, w + g) of a fragment over all banks: 8 t + g, or an odd multiple of 4 g, + t.
template <int W, int K, bool INNER_ROWS>
struct OperandTile {
  static constexpr int kRows = INNER_ROWS ? K : W, kColumns = INNER_ROWS ? W : K;
  static_assert(W % 8 == 0 && K % 8 == 0, "");
  float of[kRows][kColumns + (INNER_ROWS ? 8 : 4)];

  __device__ __forceinline__ float at(int k, int w) const { return INNER_ROWS ? of[k][w] : of[w][k]; }

  /// Starts its copy, V floats at a time; what lies at `end` of the inner dimension, at `width` of the other, or beyond
  /// becomes zero.
  template <int V, int THREADS>
  __device__ __forceinline__ void load(const float* from, int64_t stride, int k, int end, int w, int width) {
    const int row = INNER_ROWS ? k : w, column = INNER_ROWS ? w : k;
    const int rows = INNER_ROWS ? end : width, columns = INNER_ROWS ? width : end;
#pragma unroll
    for (int e = threadIdx.x; e < kRows * (kColumns / V); e += THREADS) {
      const int r = e / (kColumns / V), c = e % (kColumns / V) * V;
      const int valid = row + r < rows ? max(0, min(V, columns - column - c)) : 0;
      const float* source = valid ? from + (row + r) * stride + column + c : from;
      copy_async<V * 4>(&of[r][c], source, valid * 4);
    }
  }
};

/// start(step, stage) starts the copies of a step into a stage, multiply(stage) uses them: up to STAGES − 1 steps are on
/// their way while one is used.
template <int STAGES, class Start, class Multiply>
__device__ __forceinline__ void pipeline(int steps, Start start, Multiply multiply) {
  static_assert(STAGES >= 2, "");
#pragma unroll
  for (int step = 0; step < STAGES - 1; step++) {
    if (step < steps) start(step, step);
    copy_async_commit();
  }
  for (int step = 0; step < steps; step++) {
    copy_async_wait<STAGES - 2>();
    __syncthreads();  // all copies of this step are here, and all have left the stage that is filled next
    const int ahead = step + STAGES - 1;
    if (ahead < steps) start(ahead, ahead % STAGES);
    copy_async_commit();
    multiply(step % STAGES);
  }
  copy_async_wait<0>();
}

/// Lane 4 g + t of a warp.
struct Lane {
  int g, t;
};
__device__ __forceinline__ Lane lane() { return {(int)threadIdx.x % 32 / 4, (int)threadIdx.x % 4}; }

/// The left operand of mma_m16n8k8, rounded: 16 rows from w on, 8 of the inner dimension from k on.
template <class Tile>
__device__ __forceinline__ void left_fragment(unsigned (&a)[4], const Tile& tile, int k, int w, Lane l) {
#pragma unroll
  for (int e = 0; e < 4; e++) a[e] = to_tf32(tile.at(k + l.t + (e >> 1) * 4, w + l.g + (e & 1) * 8));
}
/// The right operand: 8 columns from w on.
template <class Tile>
__device__ __forceinline__ void right_fragment(unsigned (&b)[2], const Tile& tile, int k, int w, Lane l) {
#pragma unroll
  for (int e = 0; e < 2; e++) b[e] = to_tf32(tile.at(k + l.t + e * 4, w + l.g));
}

// ---- Results. A thread adds runs of V neighbours to a row. All loads of a batch come before its stores: the compiler must
// take both for the same memory, and would wait for each load before the next.

/// The run from `from` on, of which `there` elements lie in the matrix; the others are 0. WHOLE: all do or none, and they
/// move as one access, so their address must be aligned to it.
template <int V, bool WHOLE>
__device__ __forceinline__ Vector<V> load_run(const float* from, int there) {
  Vector<V> run = {};
  if constexpr (WHOLE) {
    if (there > 0) run = load<V>(from);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++)
      if (v < there) run.v[v] = from[v];
  }
  return run;
}
template <int V, bool WHOLE>
__device__ __forceinline__ void store_run(float* to, const Vector<V>& run, int there) {
  if constexpr (WHOLE) {
    if (there > 0) store<V>(to, run);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++)
      if (v < there) to[v] = run.v[v];
  }
}
