// The k-th smallest score over all layers, without sorting or gathering them.               launcher: SelectKernel
//
// rank_zeros_first_{C}x{R}    scores of weights that are 0 become −1, −0 becomes 0; *first is lowered to the
//                             row-major index of every score that is NaN or infinite
// select_begin_1024           state: nothing fixed, `count` to go
// select_histogram_2048       histogram += counts of the next digit over the scores that match the digits fixed so far
// select_digit_1024           fixes the next digit, clears the histogram
// select_count_2048           counts[0] += scores below the threshold, counts[1] += scores equal to it
// keep_per_group_narrow_256   marked = +∞ where the score is kept when the least of each group are removed, else the
// keep_per_group_wide_256     score; groups of up to 32, and of any width
//
// A score's bits, reordered so that they compare as unsigned numbers, are three digits of 11, 11 and 10 bits. Per
// digit every layer's scores are read once into one histogram, so the k-th smallest of any number of layers costs
// three passes, and the cuts' counts a fourth. All counts are 64-bit integers: their order of addition is free.
// Nothing returns to the host between passes.
//
// scores, weights, marked (outputs, inputs): float32, row-major; marked is written, and may be scores. histogram, count: a grid of any size, 256 threads a block,
// 2048 bins in shared memory. narrow: a warp holds whole groups in its lanes. wide: a block per group, three passes
// over the group's scores.
#include "elementwise.cuh"

constexpr int kBins = 2048;
constexpr float kZeroWeight = -1.f;

struct SelectState {
  uint32_t prefix, mask;        // the digits fixed so far, and where they are; in the end the threshold's key
  unsigned long long remaining; // 1 for the least score among those that match
  unsigned long long histogram[kBins];
};

/// Orders as the floats do.
__device__ __forceinline__ uint32_t key(float score) {
  uint32_t bits = __float_as_uint(score);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct Digit {
  int shift, bits;
};
__device__ __forceinline__ Digit digit_of(int pass) {
  if (pass == 0) return {21, 11};
  if (pass == 1) return {10, 11};
  return {0, 10};
}

template <class T>
__device__ __forceinline__ void rank_zeros(const float* weights, float* scores, unsigned long long* first, int outputs,
                                           int inputs) {
  T::for_each(outputs, inputs, [&](int, int, int64_t at) {
    auto w = load<T::V>(weights + at);
    auto s = load<T::V>(scores + at);
#pragma unroll
    for (int i = 0; i < T::V; i++) {
      if (!is_finite(s.v[i])) report_first(first, at + i);
      s.v[i] = w.v[i] == 0.f ? kZeroWeight : s.v[i] + 0.f;
    }
    store(scores + at, s);
  });
}

#define TILED(C, R)                                                                              \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads) rank_zeros_first_##C##x##R( \
      const float* weights, float* scores, unsigned long long* first, int outputs, int inputs) { \
    rank_zeros<Tile<C, R>>(weights, scores, first, outputs, inputs);                             \
  }                                                                                              \
  EXPORT_KERNEL(rank_zeros_first_##C##x##R)

TILED(128, 32);
TILED(32, 32);

extern "C" __global__ void __launch_bounds__(1024) select_begin_1024(SelectState* state, int64_t count) {
  for (int bin = threadIdx.x; bin < kBins; bin += 1024) state->histogram[bin] = 0;
  if (threadIdx.x == 0) {
    state->prefix = state->mask = 0;
    state->remaining = (unsigned long long)count;
  }
}
EXPORT_KERNEL(select_begin_1024);

struct Bins {
  unsigned count[kBins];
};

extern "C" __global__ void __launch_bounds__(256)
    select_histogram_2048(const float* scores, SelectState* state, int pass, int64_t elements) {
  STATIC_SHARED(Bins, bins);
  for (int bin = threadIdx.x; bin < kBins; bin += 256) bins.count[bin] = 0;
  __syncthreads();
  const uint32_t prefix = state->prefix, mask = state->mask;
  const Digit digit = digit_of(pass);
  for_each_value(scores, elements, [&](int64_t, float score) {
    uint32_t k = key(score);
    if ((k & mask) == prefix) atomicAdd(&bins.count[k >> digit.shift & ((1u << digit.bits) - 1)], 1u);
  });
  __syncthreads();
  for (int bin = threadIdx.x; bin < kBins; bin += 256)
    if (bins.count[bin]) atomicAdd(&state->histogram[bin], (unsigned long long)bins.count[bin]);
}
EXPORT_KERNEL(select_histogram_2048);

template <class Count>
struct Scan {
  Count warp[kLanes];
};

/// Sum over the threads before this one. Every thread of the block calls it; ends behind a barrier for `shared`.
template <class Count>
__device__ __forceinline__ Count exclusive_sum(Scan<Count>& shared, Count value) {
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  Count sum = value;
#pragma unroll
  for (int delta = 1; delta < kLanes; delta *= 2) {
    Count other = __shfl_up_sync(kAllLanes, sum, delta);
    if (lane >= delta) sum += other;
  }
  if (lane == kLanes - 1) shared.warp[warp] = sum;
  __syncthreads();
  Count before = 0;
  for (int w = 0; w < warp; w++) before += shared.warp[w];
  __syncthreads();
  return before + sum - value;
}

extern "C" __global__ void __launch_bounds__(1024) select_digit_1024(SelectState* state, int pass) {
  STATIC_SHARED(Scan<unsigned long long>, shared);
  const int bin = 2 * threadIdx.x;
  const unsigned long long low = state->histogram[bin], high = state->histogram[bin + 1];
  const unsigned long long remaining = state->remaining;
  const unsigned long long before = exclusive_sum(shared, low + high);  // its barriers: all have read the state
  state->histogram[bin] = state->histogram[bin + 1] = 0;
  if (remaining > before && remaining <= before + low + high) {         // one thread
    const Digit digit = digit_of(pass);
    const bool upper = remaining > before + low;
    state->prefix |= (uint32_t)(bin + upper) << digit.shift;
    state->mask |= ((1u << digit.bits) - 1) << digit.shift;
    state->remaining = remaining - before - (upper ? low : 0);
  }
}
EXPORT_KERNEL(select_digit_1024);

struct Counts {
  unsigned long long below, equal;
};

extern "C" __global__ void __launch_bounds__(256)
    select_count_2048(const float* scores, const SelectState* state, Counts* counts, int64_t elements) {
  const uint32_t threshold = state->prefix;
  unsigned below = 0, equal = 0;
  Run<256>::for_each(elements, [&](int64_t at, auto) {
    uint32_t k = key(scores[at]);
    below += k < threshold;
    equal += k == threshold;
  });
  below = warp_sum(below);
  equal = warp_sum(equal);
  if (threadIdx.x % kLanes == 0) {
    atomicAdd(&counts->below, (unsigned long long)below);
    atomicAdd(&counts->equal, (unsigned long long)equal);
  }
}
EXPORT_KERNEL(select_count_2048);

/// Java's Math.round: to nearest, halves up. floor(x + 0.5) is not that for the number before 0.5.
__device__ __forceinline__ int64_t round_half_up(double x) {
  double whole = floor(x);
  return (int64_t)whole + (x - whole >= 0.5);
}

struct Group {
  int64_t offset;
  int width, removed;
};
/// Group g of the matrix in row-major order; the last one of a row may be narrower.
__device__ __forceinline__ Group group_of(int64_t g, int columns, int width, double removed_per_group) {
  const int per_row = (columns + width - 1) / width;
  const int start = (int)(g % per_row) * width, here = min(width, columns - start);
  const int64_t quota =
      round_half_up(((double)g + 1) * removed_per_group) - round_half_up((double)g * removed_per_group);
  const int kept = (int)min((int64_t)here, width - quota);
  return {g / per_row * columns + start, here, here - kept};
}

extern "C" __global__ void __launch_bounds__(256)
    keep_per_group_narrow_256(const float* scores, float* marked, int64_t groups, int columns, int width,
                              double removed_per_group) {
  const int lane = threadIdx.x % kLanes, per_warp = kLanes / width, slot = lane / width, position = lane % width;
  const int64_t g = ((int64_t)blockIdx.x * 8 + threadIdx.x / kLanes) * per_warp + slot;
  const Group group = slot < per_warp && g < groups ? group_of(g, columns, width, removed_per_group) : Group{0, 0, 0};
  const bool mine = position < group.width;
  const float score = mine ? scores[group.offset + position] : 0.f;
  int rank = 0;
  for (int other = 0; other < width; other++) {
    float theirs = __shfl_sync(kAllLanes, score, (slot * width + other) % kLanes);
    rank += other < group.width && (theirs < score || (theirs == score && other < position));
  }
  if (mine) marked[group.offset + position] = rank < group.removed ? score : INFINITY;
}
EXPORT_KERNEL(keep_per_group_narrow_256);

struct GroupSelect {
  unsigned count[kBins];
  Scan<unsigned> scan;
  uint32_t prefix, mask;
  unsigned remaining;
};

extern "C" __global__ void __launch_bounds__(256)
    keep_per_group_wide_256(const float* scores, float* marked, int64_t groups, int columns, int width,
                            double removed_per_group) {
  STATIC_SHARED(GroupSelect, shared);
  const int t = threadIdx.x;
  for (int64_t g = blockIdx.x; g < groups; g += gridDim.x) {
    const Group group = group_of(g, columns, width, removed_per_group);
    const float* mine = scores + group.offset;
    if (t == 0) {
      shared.prefix = shared.mask = 0;
      shared.remaining = (unsigned)group.removed;
    }
    for (int pass = 0; pass < 3 && group.removed > 0; pass++) {
      const Digit digit = digit_of(pass);
      for (int bin = t; bin < kBins; bin += 256) shared.count[bin] = 0;
      __syncthreads();
      const uint32_t prefix = shared.prefix, mask = shared.mask;
      const unsigned remaining = shared.remaining;
      for (int i = t; i < group.width; i += 256) {
        uint32_t k = key(mine[i]);
        if ((k & mask) == prefix) atomicAdd(&shared.count[k >> digit.shift & ((1u << digit.bits) - 1)], 1u);
      }
      __syncthreads();
      unsigned total = 0;
      for (int i = 0; i < kBins / 256; i++) total += shared.count[t * (kBins / 256) + i];
      unsigned before = exclusive_sum(shared.scan, total);
      if (remaining > before && remaining <= before + total) {  // one thread
        int bin = t * (kBins / 256);
        while (remaining > before + shared.count[bin]) before += shared.count[bin++];
        shared.prefix = prefix | (uint32_t)bin << digit.shift;
        shared.mask = mask | ((1u << digit.bits) - 1) << digit.shift;
        shared.remaining = remaining - before;
      }
      __syncthreads();
    }
    __syncthreads();
    const uint32_t threshold = shared.prefix;
    const unsigned ties = shared.remaining;  // so many of the scores equal to the threshold are removed
    unsigned passed = 0;
    for (int first = 0; first < group.width; first += 256) {
      const int i = first + t;
      const float score = i < group.width ? mine[i] : 0.f;
      const uint32_t k = key(score);
      const bool tie = group.removed > 0 && i < group.width && k == threshold;
      const unsigned rank = passed + exclusive_sum(shared.scan, (unsigned)tie);
      const bool removed = group.removed > 0 && (k < threshold || (tie && rank < ties));
      if (i < group.width) marked[group.offset + i] = removed ? score : INFINITY;
      if (t == 255) shared.count[0] = rank + tie;
      __syncthreads();
      passed = shared.count[0];
      __syncthreads();
    }
  }
}
EXPORT_KERNEL(keep_per_group_wide_256);
