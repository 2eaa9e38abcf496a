// Random numbers as a function of their position; unit vectors and Fisher vectors.      launcher: RandomKernel
//
// rademacher_{N}x{V}            row c·samples + n of u becomes ±1: bit k mod 64 of bits(seed, first_probe + c,
//                               (first_sample + n) · ⌈outputs/64⌉ + ⌊k/64⌋) set is −1
// unit_vectors_{N}x{V}          row c·samples + n of u becomes the unit vector of output first_output + c
// fisher_vectors_{N}x{V}        row c·samples + n of u becomes scale √p_k (e_k − p) with k = first_class + c and p row n
//                               of P
// drawn_fisher_vectors_{N}x{V}  the same without the root, where k is drawn from p: the first class at which the sum of
//                               p up to it exceeds the top 24 bits of bits(seed, first_draw + c, first_sample + n),
//                               times 2⁻²⁴
// set_origin_256                origin becomes {seed, first_sample}, one block
// uniform_256                   element i becomes the top 24 bits of bits(seed, stream, i), times 2⁻²⁴
//
// bits(seed, stream, index) = mix(mix(seed + G (stream+1)) + G (index+1)) modulo 2⁶⁴, with SplitMix64's output
// function [Steele, Lea, Flood 2014]. u (rows, outputs), P (samples, outputs): float32, row-major; u only written. By
// rows: rows.cuh, a warp a row. seed and first_sample come by a pointer to both, so that a recorded launch takes those of the
// batch for which it is replayed.
#include "rows.cuh"

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

__device__ __forceinline__ uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
__device__ __forceinline__ uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
  return mix(mix(seed + kGolden * (stream + 1)) + kGolden * (index + 1));
}

__device__ __forceinline__ float uniform(uint64_t seed, uint64_t stream, uint64_t index) {
  return (float)(random_bits(seed, stream, index) >> 40) * 0x1p-24f;
}

/// Where the random vectors of a batch begin.
struct Origin {
  int64_t seed, first_sample;
};

/// The place of a row of stacked copies.
struct Place {
  int copy, sample;
  __device__ __forceinline__ Place(int64_t row, int samples)
      : copy((int)(row / samples)), sample((int)(row % samples)) {}
};

template <int N, int V>
__device__ __forceinline__ void rademacher(float* upstream, int64_t count, int samples, int outputs, int first_probe,
                                           const Origin* origin) {
  Rows<N, V> rows(count, outputs);
  const Place at(rows.row, samples);
  upstream += rows.row * outputs;
  const uint64_t seed = (uint64_t)origin->seed;
  const uint64_t words = ((uint64_t)outputs + 63) / 64, first = (uint64_t)(origin->first_sample + at.sample) * words;
  rows.pass([&](int, int k) {
    const uint64_t word = random_bits(seed, (uint64_t)(first_probe + at.copy), first + (uint64_t)k / 64);
    Vector<V> u;
#pragma unroll
    for (int v = 0; v < V; v++) u.v[v] = word >> ((k + v) % 64) & 1 ? -1.f : 1.f;
    store(upstream + k, u);
  });
}

template <int N, int V>
__device__ __forceinline__ void unit_vectors(float* upstream, int64_t count, int samples,
                                             int outputs, int first_output) {
  Rows<N, V> rows(count, outputs);
  const int one = first_output + Place(rows.row, samples).copy;
  upstream += rows.row * outputs;
  rows.pass([&](int, int k) {
    Vector<V> u;
#pragma unroll
    for (int v = 0; v < V; v++) u.v[v] = k + v == one ? 1.f : 0.f;
    store(upstream + k, u);
  });
}

/// u = factor (e_k − p), a row of each.
template <int N, int V>
__device__ __forceinline__ void fisher_row(Rows<N, V>& rows, float* u, const float* probabilities, int k,
                                           float factor) {
  Held<N, V> p(probabilities);
  rows.pass(
      [&](int n, int j) {
        Vector<V> of;
#pragma unroll
        for (int v = 0; v < V; v++) of.v[v] = factor * ((j + v == k ? 1.f : 0.f) - p.at[n].v[v]);
        store(u + j, of);
      },
      p);
}

template <int N, int V>
__device__ __forceinline__ void fisher_vectors(float* upstream, const float* probabilities,
                                               int64_t count, int samples, int outputs, int first_class, float scale) {
  Rows<N, V> rows(count, outputs);
  if (rows.columns == 0) return;
  const Place at(rows.row, samples);
  const float* p = probabilities + (int64_t)at.sample * outputs;
  const int k = first_class + at.copy;
  fisher_row(rows, upstream + rows.row * outputs, p, k, scale * sqrtf(p[k]));
}

// Every lane adds up the row: the loads are broadcasts, and all lanes draw the same class.
template <int N, int V>
__device__ __forceinline__ void drawn_fisher_vectors(float* upstream, const float* probabilities,
                                                     int64_t count, int samples, int outputs, int first_draw,
                                                     const Origin* origin, float scale) {
  Rows<N, V> rows(count, outputs);
  if (rows.columns == 0) return;
  const Place at(rows.row, samples);
  const float* p = probabilities + (int64_t)at.sample * outputs;
  const float drawn = uniform((uint64_t)origin->seed, (uint64_t)(first_draw + at.copy),
                              (uint64_t)(origin->first_sample + at.sample));
  int k = 0;
  for (float sum = p[0]; k < outputs - 1 && !(sum > drawn); sum += p[k]) k++;
  fisher_row(rows, upstream + rows.row * outputs, p, k, scale);
}
#define ROWS(N, V)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256)                                                                 \
      rademacher_##N##x##V(float* upstream, int64_t rows, int samples, int outputs, int first_probe,                \
                           const Origin* origin) {                                                                  \
    rademacher<N, V>(upstream, rows, samples, outputs, first_probe, origin);                                        \
  }                                                                                                                 \
  EXPORT_KERNEL(rademacher_##N##x##V);                                                                              \
  extern "C" __global__ void __launch_bounds__(256)                                                                 \
      unit_vectors_##N##x##V(float* upstream, int64_t rows, int samples, int outputs, int first_output) {           \
    unit_vectors<N, V>(upstream, rows, samples, outputs, first_output);                                             \
  }                                                                                                                 \
  EXPORT_KERNEL(unit_vectors_##N##x##V);                                                                            \
  extern "C" __global__ void __launch_bounds__(256)                                                                 \
      fisher_vectors_##N##x##V(float* upstream, const float* probabilities, int64_t rows, int samples, int outputs, \
                               int first_class, float scale) {                                                      \
    fisher_vectors<N, V>(upstream, probabilities, rows, samples, outputs, first_class, scale);                      \
  }                                                                                                                 \
  EXPORT_KERNEL(fisher_vectors_##N##x##V);                                                                          \
  extern "C" __global__ void __launch_bounds__(256)                                                                 \
      drawn_fisher_vectors_##N##x##V(float* upstream, const float* probabilities, int64_t rows, int samples,        \
                                     int outputs, int first_draw, const Origin* origin, float scale) {              \
    drawn_fisher_vectors<N, V>(upstream, probabilities, rows, samples, outputs, first_draw, origin, scale);         \
  }                                                                                                                 \
  EXPORT_KERNEL(drawn_fisher_vectors_##N##x##V)

ROW_TILES(ROWS);

extern "C" __global__ void __launch_bounds__(256) set_origin_256(Origin* origin, int64_t seed, int64_t first_sample) {
  if (threadIdx.x == 0) *origin = {seed, first_sample};
}
EXPORT_KERNEL(set_origin_256);

extern "C" __global__ void __launch_bounds__(256) uniform_256(float* x, int64_t elements, int64_t seed, int64_t stream) {
  Run<256>::for_each(elements, [&](int64_t at, auto) {
    x[at] = uniform((uint64_t)seed, (uint64_t)stream, (uint64_t)at);
  });
}
EXPORT_KERNEL(uniform_256);
