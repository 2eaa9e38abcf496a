// Losses and their gradients, by samples.                                               launcher: LossesKernel
//
// cross_entropy_8   p = softmax(z);  gradient = p Σₖ tₖ − t;  loss = −Σₖ tₖ ln pₖ
// binary_cross_entropy_8   p = 1/(1 + e⁻ᶻ);  gradient = (p − t)/outputs;  loss = −Σ (t ln p + (1 − t) ln(1 − p))/outputs
// squared_error_8   gradient = 2 (a − t)/outputs;  loss = Σ (a − t)²/outputs
//
// z, a, t, gradient (samples, outputs)  losses (samples): float32, row-major; gradient and losses are only written.
// block: 32×8 threads, a warp a sample; sums by lanes, then over the warp in one order. grid: ⌈samples/8⌉
#include "elementwise.cuh"

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_8(const float* z, const float* targets, float* gradient, float* losses, int samples, int outputs) {
  const int lane = threadIdx.x;
  const int64_t sample = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (sample >= samples) return;
  z += sample * outputs;
  targets += sample * outputs;
  gradient += sample * outputs;
  float top = -INFINITY, sum = 0.f, mass = 0.f, loss = 0.f;
  for (int k = lane; k < outputs; k += kLanes) top = fmaxf(top, z[k]);
  top = warp_max(top);
  for (int k = lane; k < outputs; k += kLanes) {
    gradient[k] = expf(z[k] - top);
    sum += gradient[k];
    mass += targets[k];
  }
  sum = warp_sum(sum);
  mass = warp_sum(mass);
  const float log_sum = logf(sum), scale = mass / sum;
  for (int k = lane; k < outputs; k += kLanes) {
    loss = fmaf(targets[k], log_sum - (z[k] - top), loss);
    gradient[k] = fmaf(gradient[k], scale, -targets[k]);
  }
  loss = warp_sum(loss);
  if (lane == 0) losses[sample] = loss;
}
EXPORT_KERNEL(cross_entropy_8);

// −t ln p − (1 − t) ln(1 − p) = ln(1 + eᶻ) − t z, in a form that does not overflow.
extern "C" __global__ void __launch_bounds__(256)
    binary_cross_entropy_8(const float* z, const float* targets, float* gradient, float* losses, int samples,
                           int outputs) {
  const int lane = threadIdx.x;
  const int64_t sample = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (sample >= samples) return;
  float loss = 0.f;
  for (int k = lane; k < outputs; k += kLanes) {
    const float value = z[sample * outputs + k], target = targets[sample * outputs + k];
    const float small = expf(-fabsf(value));
    loss += fmaxf(value, 0.f) - target * value + log1pf(small);
    gradient[sample * outputs + k] = ((value >= 0.f ? 1.f : small) / (1.f + small) - target) / outputs;
  }
  loss = warp_sum(loss);
  if (lane == 0) losses[sample] = loss / outputs;
}
EXPORT_KERNEL(binary_cross_entropy_8);

extern "C" __global__ void __launch_bounds__(256)
    squared_error_8(const float* activated, const float* targets, float* gradient, float* losses, int samples,
                    int outputs) {
  const int lane = threadIdx.x;
  const int64_t sample = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (sample >= samples) return;
  float loss = 0.f;
  for (int k = lane; k < outputs; k += kLanes) {
    float difference = activated[sample * outputs + k] - targets[sample * outputs + k];
    gradient[sample * outputs + k] = 2.f * difference / outputs;
    loss = fmaf(difference, difference, loss);
  }
  loss = warp_sum(loss);
  if (lane == 0) losses[sample] = loss / outputs;
}
EXPORT_KERNEL(squared_error_8);
