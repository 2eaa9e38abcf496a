// Random numbers as a function of their position; unit vectors and Fisher vectors.      launcher: RandomKernel
//
// rademacher_8      row c·samples + n of u becomes ±1: bit k mod 64 of bits(seed, first_probe + c,
//                   (first_sample + n) · ⌈outputs/64⌉ + ⌊k/64⌋) set is −1
// unit_vectors_8    row c·samples + n of u becomes the unit vector of output first_output + c
// fisher_vectors_8  row c·samples + n of u becomes scale √p_k (e_k − p) with k = first_class + c and p row n of P
// drawn_fisher_vectors_8  the same without the root, where k is drawn from p: the first class at which the sum of p up
//                   to it exceeds the top 24 bits of bits(seed, first_draw + c, first_sample + n), times 2⁻²⁴
// uniform_256       element i becomes the top 24 bits of bits(seed, stream, i), times 2⁻²⁴
//
// bits(seed, stream, index) = mix(mix(seed + G (stream+1)) + G (index+1)) modulo 2⁶⁴, with SplitMix64's output
// function [Steele, Lea, Flood 2014]. u (rows, outputs), P (samples, outputs): float32, row-major; u only written. By
// rows: block 32×8, a warp a row.
#include "elementwise.cuh"

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

__device__ __forceinline__ uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
__device__ __forceinline__ uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
  return mix(mix(seed + kGolden * (stream + 1)) + kGolden * (index + 1));
}

extern "C" __global__ void __launch_bounds__(256)
    rademacher_8(float* upstream, int64_t rows, int samples, int outputs, int first_probe, int64_t first_sample,
                 int64_t seed) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= rows) return;
  const uint64_t probe = (uint64_t)(first_probe + row / samples), sample = (uint64_t)(first_sample + row % samples);
  const uint64_t words = ((uint64_t)outputs + 63) / 64;
  for (int k = threadIdx.x; k < outputs; k += kLanes) {
    uint64_t word = random_bits((uint64_t)seed, probe, sample * words + (uint64_t)k / 64);
    upstream[row * outputs + k] = word >> (k % 64) & 1 ? -1.f : 1.f;
  }
}
EXPORT_KERNEL(rademacher_8);

extern "C" __global__ void __launch_bounds__(256)
    unit_vectors_8(float* upstream, int64_t rows, int samples, int outputs, int first_output) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= rows) return;
  const int64_t one = first_output + row / samples;
  for (int k = threadIdx.x; k < outputs; k += kLanes) upstream[row * outputs + k] = k == one ? 1.f : 0.f;
}
EXPORT_KERNEL(unit_vectors_8);

__device__ __forceinline__ float uniform(uint64_t seed, uint64_t stream, uint64_t index) {
  return (float)(random_bits(seed, stream, index) >> 40) * 0x1p-24f;
}

__device__ __forceinline__ void fisher_row(float* u, const float* p, int outputs, int k, float factor) {
  for (int j = threadIdx.x; j < outputs; j += kLanes) u[j] = factor * ((j == k ? 1.f : 0.f) - p[j]);
}

extern "C" __global__ void __launch_bounds__(256)
    fisher_vectors_8(float* upstream, const float* probabilities, int64_t rows, int samples, int outputs,
                     int first_class, float scale) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= rows) return;
  const float* p = probabilities + row % samples * outputs;
  const int k = first_class + (int)(row / samples);
  fisher_row(upstream + row * outputs, p, outputs, k, scale * sqrtf(p[k]));
}
EXPORT_KERNEL(fisher_vectors_8);

// Every lane adds up the row: the loads are broadcasts, and all lanes draw the same class.
extern "C" __global__ void __launch_bounds__(256)
    drawn_fisher_vectors_8(float* upstream, const float* probabilities, int64_t rows, int samples, int outputs,
                           int first_draw, int64_t first_sample, int64_t seed, float scale) {
  const int64_t row = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (row >= rows) return;
  const float* p = probabilities + row % samples * outputs;
  const float drawn = uniform((uint64_t)seed, (uint64_t)(first_draw + row / samples),
                              (uint64_t)(first_sample + row % samples));
  int k = 0;
  for (float sum = p[0]; k < outputs - 1 && !(sum > drawn); sum += p[k]) k++;
  fisher_row(upstream + row * outputs, p, outputs, k, scale);
}
EXPORT_KERNEL(drawn_fisher_vectors_8);

extern "C" __global__ void __launch_bounds__(256) uniform_256(float* x, int64_t elements, int64_t seed, int64_t stream) {
  Run<256>::for_each(elements, [&](int64_t at, auto) {
    x[at] = uniform((uint64_t)seed, (uint64_t)stream, (uint64_t)at);
  });
}
EXPORT_KERNEL(uniform_256);
