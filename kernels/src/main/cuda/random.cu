// Random numbers as a function of their position, and unit vectors.                     launcher: RandomKernel
//
// rademacher_8      row c·samples + n of u becomes ±1: bit k mod 64 of bits(seed, first_probe + c,
//                   (first_sample + n) · ⌈outputs/64⌉ + ⌊k/64⌋) set is −1
// unit_vectors_8    row c·samples + n of u becomes the unit vector of output first_output + c
// uniform_256       element i becomes the top 24 bits of bits(seed, stream, i), times 2⁻²⁴
//
// bits(seed, stream, index) = mix(mix(seed + G (stream+1)) + G (index+1)) modulo 2⁶⁴, with SplitMix64's output
// function [Steele, Lea, Flood 2014]. u (rows, outputs): float32, row-major, only written. By rows: block 32×8, a
// warp a row.
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

extern "C" __global__ void __launch_bounds__(256) uniform_256(float* x, int64_t elements, int64_t seed, int64_t stream) {
  Run<256>::for_each(elements, [&](int64_t at, auto) {
    x[at] = (float)(random_bits((uint64_t)seed, (uint64_t)stream, (uint64_t)at) >> 40) * 0x1p-24f;
  });
}
EXPORT_KERNEL(uniform_256);
