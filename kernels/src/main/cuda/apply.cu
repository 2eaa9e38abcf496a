// Removes what a cut removes, and compensates.                                           launcher: ApplyKernel
//
// count_ties_{C}x8   ties[row] = scores of the row that equal the threshold
// scan_ties_1024     ties becomes its running sum, each row's own left out, by one block; removed->count = 0
// apply_{C}x8        a weight is removed whose score is below the threshold, or equals it with fewer than `ties`
//                    such scores before it in row-major order. weights: removed ones become 0;
//                    bias += Σ over the row's removed of compensation; row_sums[row] = Σ over them of max(0, score);
//                    removed->count += how many
//
// weights, scores, compensation (outputs, inputs)  bias (outputs): float32, row-major; row_sums (outputs) float64;
// tie counts int64. bias may be null: then compensation is not read. sum_1024 (reductions.cu) adds row_sums up into
// removed->score_sum.
// block: 32×8 threads, a warp a row, C columns at a time; a row's sums run by lanes over the columns, then over the
// warp, so every run gives the same bits. needs inputs % (C/32) == 0 and as much alignment
#include "elementwise.cuh"

struct Removed {
  unsigned long long count;
  double score_sum;
};

template <int V>
__device__ __forceinline__ void count_ties(const float* scores, int64_t* ties, float threshold, int outputs,
                                           int inputs) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= outputs) return;
  int64_t count = 0;
  for (int column = threadIdx.x * V; column < inputs; column += kLanes * V) {
    auto s = load<V>(scores + row * inputs + column);
#pragma unroll
    for (int i = 0; i < V; i++) count += s.v[i] == threshold;
  }
  count = warp_sum(count);
  if (threadIdx.x == 0) ties[row] = count;
}

template <int V>
__device__ __forceinline__ void apply(float* weights, float* bias, const float* scores, const float* compensation,
                                      const int64_t* ties_before, float threshold, int64_t ties, double* row_sums,
                                      Removed* removed, int outputs, int inputs) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= outputs) return;
  const unsigned lanes_before = (1u << threadIdx.x) - 1;
  int64_t rank = ties_before[row];
  float moved = 0.f;
  double score_sum = 0;
  unsigned count = 0;
  for (int first = 0; first < inputs; first += kLanes * V) {  // all lanes together: they vote
    const int column = first + (int)threadIdx.x * V;
    const int64_t at = row * inputs + column;
    const bool inside = column < inputs;
    Vector<V> s = {};
    if (inside) s = load<V>(scores + at);
    int64_t mine = rank;
#pragma unroll
    for (int i = 0; i < V; i++) {
      unsigned votes = __ballot_sync(kAllLanes, inside && s.v[i] == threshold);
      mine += __popc(votes & lanes_before);
      rank += __popc(votes);
    }
    if (!inside) continue;
    auto w = load<V>(weights + at);
#pragma unroll
    for (int i = 0; i < V; i++) {
      bool tie = s.v[i] == threshold;
      if (s.v[i] < threshold || (tie && mine < ties)) {
        w.v[i] = 0.f;
        count++;
        score_sum += s.v[i] > 0.f ? s.v[i] : 0.f;
        if (bias) moved += compensation[at + i];
      }
      mine += tie;
    }
    store(weights + at, w);
  }
  count = warp_sum(count);
  moved = warp_sum(moved);
  score_sum = warp_sum(score_sum);
  if (threadIdx.x == 0) {
    if (bias) bias[row] += moved;
    row_sums[row] = score_sum;
    atomicAdd(&removed->count, (unsigned long long)count);
  }
}

#define ROWS(C)                                                                                                      \
  extern "C" __global__ void __launch_bounds__(256)                                                                  \
      count_ties_##C##x8(const float* scores, int64_t* ties, float threshold, int outputs, int inputs) {             \
    count_ties<C / kLanes>(scores, ties, threshold, outputs, inputs);                                                \
  }                                                                                                                  \
  EXPORT_KERNEL(count_ties_##C##x8);                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) apply_##C##x8(                                                   \
      float* weights, float* bias, const float* scores, const float* compensation, const int64_t* ties_before,       \
      float threshold, int64_t ties, double* row_sums, Removed* removed, int outputs, int inputs) {                  \
    apply<C / kLanes>(weights, bias, scores, compensation, ties_before, threshold, ties, row_sums, removed, outputs, \
                      inputs);                                                                                       \
  }                                                                                                                  \
  EXPORT_KERNEL(apply_##C##x8)

ROWS(128);
ROWS(32);

struct TieScan {
  int64_t warp[kLanes];
};

extern "C" __global__ void __launch_bounds__(1024) scan_ties_1024(int64_t* ties, Removed* removed, int outputs) {
  STATIC_SHARED(TieScan, shared);
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  if (threadIdx.x == 0) removed->count = 0;
  int64_t carried = 0;
  for (int first = 0; first < outputs; first += 1024) {
    const int row = first + (int)threadIdx.x;
    const int64_t own = row < outputs ? ties[row] : 0;
    int64_t sum = own;
#pragma unroll
    for (int delta = 1; delta < kLanes; delta *= 2) {
      int64_t other = __shfl_up_sync(kAllLanes, sum, delta);
      if (lane >= delta) sum += other;
    }
    if (lane == kLanes - 1) shared.warp[warp] = sum;
    __syncthreads();
    int64_t before = carried;
    for (int w = 0; w < kLanes; w++) {
      if (w < warp) before += shared.warp[w];
      carried += shared.warp[w];
    }
    if (row < outputs) ties[row] = before + sum - own;
    __syncthreads();
  }
}
EXPORT_KERNEL(scan_ties_1024);
