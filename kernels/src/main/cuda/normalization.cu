// Normalisation by rows, and its Jacobian.                                       launcher: NormalizationKernel
//
// normalize_8           y = (x − m) / √(v + ε), with m the mean of a row and v the mean of (x − m)²; m = 0 if not centred
// normalize_backward_8  g = (u − mean(u) − y mean(y∘u)) / √(v + ε), without mean(u) if not centred
//
// x, y (samples, width)  u, g (copies · samples, width), stacked copies: float32, row-major; y and g are only written,
// g may be u
// block: 32×8 threads, a warp a sample; sums by lanes, then over the warp in one order; rows are read again from the
// cache. grid: ⌈samples/8⌉
#include "elementwise.cuh"

struct Spread {
  float mean, scale;  // m, 1 / √(v + ε)
};

__device__ __forceinline__ Spread spread(const float* x, float epsilon, int centred, int width) {
  float sum = 0.f, squares = 0.f;
  if (centred)
    for (int k = threadIdx.x; k < width; k += kLanes) sum += x[k];
  const float mean = warp_sum(sum) / width;
  for (int k = threadIdx.x; k < width; k += kLanes) squares = fmaf(x[k] - mean, x[k] - mean, squares);
  return {mean, 1.f / sqrtf(warp_sum(squares) / width + epsilon)};
}

extern "C" __global__ void __launch_bounds__(256)
    normalize_8(const float* x, float* normalized, float epsilon, int centred, int samples, int width) {
  const int64_t sample = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (sample >= samples) return;
  x += sample * width;
  const Spread of = spread(x, epsilon, centred, width);
  for (int k = threadIdx.x; k < width; k += kLanes) normalized[sample * width + k] = (x[k] - of.mean) * of.scale;
}
EXPORT_KERNEL(normalize_8);

extern "C" __global__ void __launch_bounds__(256)
    normalize_backward_8(const float* x, const float* normalized, const float* upstream, float* gradient, float epsilon,
                         int centred, int copies, int samples, int width) {
  const int64_t sample = (int64_t)blockIdx.x * 8 + threadIdx.y;
  if (sample >= samples) return;
  const Spread of = spread(x + sample * width, epsilon, centred, width);
  const float* y = normalized + sample * width;
  for (int c = 0; c < copies; c++) {
    const int64_t row = ((int64_t)c * samples + sample) * width;
    float mean = 0.f, along = 0.f;
    for (int k = threadIdx.x; k < width; k += kLanes) {
      if (centred) mean += upstream[row + k];
      along = fmaf(y[k], upstream[row + k], along);
    }
    mean = warp_sum(mean) / width;
    along = warp_sum(along) / width;
    for (int k = threadIdx.x; k < width; k += kLanes)
      gradient[row + k] = (upstream[row + k] - mean - y[k] * along) * of.scale;
  }
}
EXPORT_KERNEL(normalize_backward_8);
