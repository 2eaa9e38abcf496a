// The k-th smallest score over all layers, without sorting or gathering them.               launcher: SelectKernel
//
// rank_zeros_first_{C}x{R}    scores of weights that are 0 become −1, −0 becomes 0; *first is lowered to the
//                             row-major index of every score that is NaN or infinite
// select_begin_1024           state: nothing fixed, `count` to go
// select_histogram_2048       histogram += counts of the next digit over the scores that match the digits fixed so far
// select_digit_1024           fixes the next digit, clears the histogram
// select_count_2048           counts[0] += scores below the threshold, counts[1] += scores equal to it
// keep_per_group_of_4_{C}x{R}  marked = +∞ where the score is kept when the least of each group are removed, else the
// keep_per_group_narrow_32x8   score; groups of 4 in rows aligned to 16 bytes, of up to 32, and of any width
// keep_per_group_wide_{N}x{V}
//
// A score's bits, reordered so that they compare as unsigned numbers, are three digits of 11, 11 and 10 bits. Per
// digit every layer's scores are read once into one histogram, so the k-th smallest of any number of layers costs
// three passes, and the cuts' counts a fourth. All counts are 64-bit integers: their order of addition is free.
// Nothing returns to the host between passes.
//
// scores, weights, marked (outputs, inputs): float32, row-major; marked is written, and may be scores. histogram,
// count: a grid of any size, 256 threads a block, 2048 bins in shared memory. of_4: a thread has a group
// (elementwise.cuh). narrow: a warp holds whole groups of a row in its lanes; the grid's y dimension strides over the
// rows. wide: a block per group, in its registers (rows.cuh); scores are ranked, in chunks, only where the threshold
// divides equal ones.
#include "rows.cuh"

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

/// How many of its scores group g of the matrix, counted in row-major order, removes; `here` are there.
__device__ __forceinline__ int removed_of(int64_t g, int width, int here, double removed_per_group) {
  const int64_t quota =
      round_half_up(((double)g + 1) * removed_per_group) - round_half_up((double)g * removed_per_group);
  return here - (int)min((int64_t)here, width - quota);
}

extern "C" __global__ void __launch_bounds__(256)
    keep_per_group_of_4_128x32(const float* scores, float* marked, int rows, int columns, double removed_per_group) {
  Tile<128, 32>::for_each(rows, columns, [&](int row, int column, int64_t at) {
    const auto s = load<4>(scores + at);
    const int removed = removed_of((int64_t)row * (columns / 4) + column / 4, 4, 4, removed_per_group);
    Vector<4> of;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int rank = 0;
#pragma unroll
      for (int other = 0; other < 4; other++)
        rank += s.v[other] < s.v[i] || (s.v[other] == s.v[i] && other < i);
      of.v[i] = rank < removed ? s.v[i] : INFINITY;
    }
    store(marked + at, of);
  });
}
EXPORT_KERNEL(keep_per_group_of_4_128x32);

extern "C" __global__ void __launch_bounds__(256)
    keep_per_group_narrow_32x8(const float* scores, float* marked, int rows, int columns, int width,
                               double removed_per_group) {
  const int lane = threadIdx.x, per_warp = kLanes / width, slot = lane / width, position = lane % width;
  const int per_row = (columns + width - 1) / width, group = (int)blockIdx.x * per_warp + slot;
  const int here = slot < per_warp && group < per_row ? min(width, columns - group * width) : 0;
  for (int64_t row = (int64_t)blockIdx.y * 8 + threadIdx.y; row < rows; row += (int64_t)gridDim.y * 8) {
    const int64_t at = row * columns + group * width + position;
    const int removed = removed_of(row * per_row + group, width, here, removed_per_group);
    const float score = position < here ? scores[at] : 0.f;
    int rank = 0;
    for (int other = 0; other < width; other++) {
      const float theirs = __shfl_sync(kAllLanes, score, (slot * width + other) % kLanes);
      rank += other < here && (theirs < score || (theirs == score && other < position));
    }
    if (position < here) marked[at] = rank < removed ? score : INFINITY;
  }
}
EXPORT_KERNEL(keep_per_group_narrow_32x8);

struct GroupSelect {
  unsigned count[kBins];
  Scan<unsigned> scan;
  uint32_t prefix, mask;
  unsigned remaining, equal;  // how many of those that match are removed, and how many there are
};

template <int N, int V>
__device__ __forceinline__ void keep_per_group_wide(GroupSelect& shared, const float* scores, float* marked,
                                                    int64_t groups, int columns, int width, double removed_per_group) {
  const int t = threadIdx.x, per_row = (columns + width - 1) / width;
  for (int64_t g = blockIdx.x; g < groups; g += gridDim.x) {
    const int start = (int)(g % per_row) * width;
    Rows<N, V> group(groups, min(width, columns - start));
    const int removed = removed_of(g, width, group.columns, removed_per_group);
    const int64_t offset = g / per_row * columns + start;
    Held<N, V> mine(scores + offset);
    if (t == 0) {
      shared.prefix = shared.mask = 0;
      shared.remaining = (unsigned)removed;
    }
    for (int pass = 0; pass < 3 && removed > 0; pass++) {
      const Digit digit = digit_of(pass);
      for (int bin = t; bin < kBins; bin += 256) shared.count[bin] = 0;
      __syncthreads();
      const uint32_t prefix = shared.prefix, mask = shared.mask;
      const unsigned remaining = shared.remaining;
      group.pass(
          [&](int n, int) {
#pragma unroll
            for (int v = 0; v < V; v++) {
              const uint32_t k = key(mine.at[n].v[v]);
              if ((k & mask) == prefix) atomicAdd(&shared.count[k >> digit.shift & ((1u << digit.bits) - 1)], 1u);
            }
          },
          mine);
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
        shared.equal = shared.count[bin];
      }
      __syncthreads();
    }
    __syncthreads();
    const uint32_t threshold = shared.prefix;
    const unsigned ties = shared.remaining;  // so many of the scores equal to the threshold are removed
    if (removed == 0 || ties == shared.equal) {
      group.pass(
          [&](int n, int column) {
            Vector<V> of;
#pragma unroll
            for (int v = 0; v < V; v++) {
              const float score = mine.at[n].v[v];
              of.v[v] = removed > 0 && key(score) <= threshold ? score : INFINITY;
            }
            store(marked + offset + column, of);
          },
          mine);
    } else {  // the first of them
      unsigned passed = 0;
      for (int first = 0; first < group.columns; first += 256) {
        const int i = first + t;
        const float score = i < group.columns ? scores[offset + i] : 0.f;
        const bool tie = i < group.columns && key(score) == threshold;
        const unsigned rank = passed + exclusive_sum(shared.scan, (unsigned)tie);
        if (i < group.columns)
          marked[offset + i] = key(score) < threshold || (tie && rank < ties) ? score : INFINITY;
        if (t == 255) shared.count[0] = rank + tie;
        __syncthreads();
        passed = shared.count[0];
        __syncthreads();
      }
    }
    __syncthreads();
  }
}

#define WIDE(N, V)                                                                                              \
  extern "C" __global__ void __launch_bounds__(256)                                                             \
      keep_per_group_wide_##N##x##V(const float* scores, float* marked, int64_t groups, int columns, int width, \
                                    double removed_per_group) {                                                 \
    STATIC_SHARED(GroupSelect, shared);                                                                         \
    keep_per_group_wide<N, V>(shared, scores, marked, groups, columns, width, removed_per_group);               \
  }                                                                                                             \
  EXPORT_KERNEL(keep_per_group_wide_##N##x##V)

ROW_TILES(WIDE);
