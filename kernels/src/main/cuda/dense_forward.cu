// What surrounds a dense layer's matrix products.                              launcher: DenseForwardKernel
//
// dense_forward_{φ}_{C}x{R}    z += b unless b is null;  a = φ(z)
// add_bias_{C}x{R}             z += b
// dense_backward_{φ}_{C}x{R}   g = u ∘ φ′(z);  s += scale · Σ over copies of g²
// add_squares_{C}x{R}          s += scale · Σ over copies of g²
// softmax_forward_{N}x{V}      z += b unless b is null;  a = softmax(z) by rows, or its logarithm
// softmax_backward_{N}x{V}     g = a ∘ (u − aᵀu) by rows, or for the logarithm g = u − exp(a) 1ᵀu or g = u − exp(a)ᵀu;
//                              s += scale · Σ over copies of g²
//
// z, a, s (samples, outputs)  b (outputs)  u, g (copies · samples, outputs): float32, row-major. Row c·samples + n
// of u and g belongs to sample n of copy c. z is written where b is added to it, and else only read; a and g are only
// written; g may be u. A null s is not added to. φ: see below; needs outputs % (C/32) == 0 and as much alignment.
//
// elementwise: block 32×8 owns a tile of C columns × R samples (elementwise.cuh); a thread keeps φ′(z) while it
// walks over the copies, so z is read once and every sum has one order. The launch bounds' 4 blocks allow 64 registers:
// left alone, ptxas aims at fewer and spills.
// softmax: by rows (rows.cuh); a and s stay in registers while a row's threads walk over the copies.
#include "rows.cuh"

#define DEVICE static __device__ __forceinline__ float

// value(z, p) = φ(z) and derivative(z, p) = φ′(z), with the parameter p of those that have one.
struct Identity {
  DEVICE value(float z, float) { return z; }
  DEVICE derivative(float, float) { return 1.f; }
};
struct Relu {  // not fmaxf, which would turn a NaN into 0
  DEVICE value(float z, float) { return z < 0.f ? 0.f : z; }
  DEVICE derivative(float z, float) { return z > 0.f ? 1.f : 0.f; }
};
struct Relu6 {
  DEVICE value(float z, float) { return z < 0.f ? 0.f : z > 6.f ? 6.f : z; }
  DEVICE derivative(float z, float) { return z > 0.f && z < 6.f ? 1.f : 0.f; }
};
struct LeakyRelu {
  DEVICE value(float z, float slope) { return z > 0.f ? z : slope * z; }
  DEVICE derivative(float z, float slope) { return z > 0.f ? 1.f : slope; }
};
struct Elu {
  DEVICE value(float z, float alpha) { return z > 0.f ? z : alpha * expm1f(z); }
  DEVICE derivative(float z, float alpha) { return z > 0.f ? 1.f : alpha * expf(z); }
};
struct Selu {
  static constexpr float kScale = 1.05070099f, kAlpha = 1.67326324f;
  DEVICE value(float z, float) { return kScale * Elu::value(z, kAlpha); }
  DEVICE derivative(float z, float) { return kScale * Elu::derivative(z, kAlpha); }
};
struct Gelu {
  DEVICE distribution(float z) { return 0.5f * erfcf(-0.70710678f * z); }
  DEVICE value(float z, float) { return z * distribution(z); }
  DEVICE derivative(float z, float) { return distribution(z) + z * 0.39894228f * expf(-0.5f * z * z); }
};
struct Sigmoid {
  DEVICE of(float z) { return 1.f / (1.f + expf(-z)); }
  DEVICE value(float z, float) { return of(z); }
  DEVICE derivative(float z, float) { return of(z) * of(-z); }  // 1 − p would cancel for large z
};
struct GeluTanh {  // ½ (1 + tanh u) = 1 / (1 + e⁻²ᵘ); beyond ±9 it is 0 or 1, and z² stays finite
  static constexpr float kFactor = 1.5957691f, kCubic = 0.044715f, kEnd = 9.f;
  DEVICE bounded(float z) { return z < -kEnd ? -kEnd : z > kEnd ? kEnd : z; }
  DEVICE twice_u(float z) { return kFactor * z * (1.f + kCubic * z * z); }
  DEVICE value(float z, float) { return (z > kEnd ? z : bounded(z)) * Sigmoid::of(twice_u(bounded(z))); }
  DEVICE derivative(float z, float) {
    float x = bounded(z), u = twice_u(x);
    return Sigmoid::of(u) * (1.f + x * kFactor * (1.f + 3.f * kCubic * x * x) * Sigmoid::of(-u));
  }
};
struct Silu {
  DEVICE value(float z, float) { return z * Sigmoid::of(z); }
  DEVICE derivative(float z, float) { return Sigmoid::of(z) * (1.f + z * Sigmoid::of(-z)); }
};
struct Mish {  // tanh(ln(1 + e)) = w / (w + 2) with e = eᶻ, w = e (e + 2); 1 from z = 20 on
  DEVICE bounded(float z) { return z > 20.f ? 20.f : z; }
  DEVICE value(float z, float) {
    float e = expf(bounded(z)), w = e * (e + 2.f);
    return z * (w / (w + 2.f));
  }
  DEVICE derivative(float z, float) {
    float x = bounded(z), e = expf(x), w = e * (e + 2.f), inverse = 1.f / (w + 2.f);
    return w * inverse + 4.f * x * e * (1.f + e) * inverse * inverse;
  }
};
struct HardSigmoid {
  DEVICE value(float z, float) { return Relu6::value(z + 3.f, 0.f) / 6.f; }
  DEVICE derivative(float z, float) { return fabsf(z) < 3.f ? 1.f / 6.f : 0.f; }
};
struct HardSwish {
  DEVICE value(float z, float) { return z * HardSigmoid::value(z, 0.f); }
  DEVICE derivative(float z, float) { return fabsf(z) < 3.f ? z / 3.f + 0.5f : z > 0.f ? 1.f : 0.f; }
};
struct Softplus {
  DEVICE value(float z, float) { return (z < 0.f ? 0.f : z) + log1pf(expf(-fabsf(z))); }
  DEVICE derivative(float z, float) { return Sigmoid::of(z); }
};
struct SoftSign {
  DEVICE value(float z, float) { return z / (1.f + fabsf(z)); }
  DEVICE derivative(float z, float) {
    float inverse = 1.f / (1.f + fabsf(z));
    return inverse * inverse;
  }
};
struct Tanh {
  DEVICE value(float z, float) { return tanhf(z); }
  DEVICE derivative(float z, float) {
    float t = tanhf(z);
    return (1.f - t) * (1.f + t);
  }
};
struct Sin {  // of the exact product, whose rounding would matter for large p; from 10⁶ on it has few digits anyway
  DEVICE rest(float z, float p) { return fabsf(p * z) < 1e6f ? fmaf(p, z, -(p * z)) : 0.f; }
  DEVICE value(float z, float p) {
    float s, c;
    sincosf(p * z, &s, &c);
    return fmaf(rest(z, p), c, s);
  }
  DEVICE derivative(float z, float p) {
    float s, c;
    sincosf(p * z, &s, &c);
    return p * fmaf(-rest(z, p), s, c);
  }
};
#undef DEVICE

/// z + b, stored.
template <int V>
__device__ __forceinline__ Vector<V> add_bias(float* z, const float* bias, int column, int64_t at) {
  auto x = load<V>(z + at);
  auto b = load<V>(bias + column);
#pragma unroll
  for (int i = 0; i < V; i++) x.v[i] += b.v[i];
  store(z + at, x);
  return x;
}

template <class Activation, class T, bool BIAS>
__device__ __forceinline__ void forward(float* z, const float* bias, float* activated, float parameter, int samples,
                                        int outputs) {
  T::for_each(samples, outputs, [&](int, int column, int64_t at) {
    auto x = BIAS ? add_bias<T::V>(z, bias, column, at) : load<T::V>(z + at);
#pragma unroll
    for (int i = 0; i < T::V; i++) x.v[i] = Activation::value(x.v[i], parameter);
    store(activated + at, x);
  });
}

template <class Activation, class T>
__device__ __forceinline__ void backward(const float* z, const float* upstream, float* gradient, float* sensitivity,
                                         float scale, float parameter, int copies, int samples, int outputs) {
  T::for_each(samples, outputs, [&](int, int, int64_t at) {
    auto slope = load<T::V>(z + at);
    Vector<T::V> squares = {};
#pragma unroll
    for (int i = 0; i < T::V; i++) slope.v[i] = Activation::derivative(slope.v[i], parameter);
    for (int c = 0; c < copies; c++) {
      int64_t there = (int64_t)c * samples * outputs + at;
      auto g = load<T::V>(upstream + there);
#pragma unroll
      for (int i = 0; i < T::V; i++) {
        g.v[i] *= slope.v[i];
        squares.v[i] = fmaf(g.v[i], g.v[i], squares.v[i]);
      }
      store(gradient + there, g);
    }
    if (sensitivity) {
      auto s = load<T::V>(sensitivity + at);
#pragma unroll
      for (int i = 0; i < T::V; i++) s.v[i] = fmaf(scale, squares.v[i], s.v[i]);
      store(sensitivity + at, s);
    }
  });
}

template <class T>
__device__ __forceinline__ void squares(const float* gradient, float* sensitivity, float scale, int copies,
                                        int samples, int outputs) {
  T::for_each(samples, outputs, [&](int, int, int64_t at) {
    Vector<T::V> sum = {};
    for (int c = 0; c < copies; c++) {
      auto g = load<T::V>(gradient + (int64_t)c * samples * outputs + at);
#pragma unroll
      for (int i = 0; i < T::V; i++) sum.v[i] = fmaf(g.v[i], g.v[i], sum.v[i]);
    }
    auto s = load<T::V>(sensitivity + at);
#pragma unroll
    for (int i = 0; i < T::V; i++) s.v[i] = fmaf(scale, sum.v[i], s.v[i]);
    store(sensitivity + at, s);
  });
}

#define DENSE(name, Activation, C, R)                                                                                 \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads, 4)                                               \
      dense_forward_##name##_##C##x##R(float* z, const float* bias, float* activated, float parameter, int samples,   \
                                       int outputs) {                                                                 \
    if (bias)                                                                                                         \
      forward<Activation, Tile<C, R>, true>(z, bias, activated, parameter, samples, outputs);                         \
    else                                                                                                              \
      forward<Activation, Tile<C, R>, false>(z, bias, activated, parameter, samples, outputs);                        \
  }                                                                                                                   \
  EXPORT_KERNEL(dense_forward_##name##_##C##x##R);                                                                    \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads, 4)                                               \
      dense_backward_##name##_##C##x##R(const float* z, const float* upstream, float* gradient, float* sensitivity,   \
                                        float scale, float parameter, int copies, int samples, int outputs) {         \
    backward<Activation, Tile<C, R>>(z, upstream, gradient, sensitivity, scale, parameter, copies, samples, outputs); \
  }                                                                                                                   \
  EXPORT_KERNEL(dense_backward_##name##_##C##x##R)

#define ADD_BIAS(C, R)                                                                                        \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads)                                          \
      add_bias_##C##x##R(float* z, const float* bias, int samples, int outputs) {                             \
    using T = Tile<C, R>;                                                                                     \
    T::for_each(samples, outputs, [&](int, int column, int64_t at) { add_bias<T::V>(z, bias, column, at); }); \
  }                                                                                                           \
  EXPORT_KERNEL(add_bias_##C##x##R)

#define SQUARES(C, R)                                                                                 \
  extern "C" __global__ void __launch_bounds__(Tile<C, R>::kThreads, 4) add_squares_##C##x##R(        \
      const float* gradient, float* sensitivity, float scale, int copies, int samples, int outputs) { \
    squares<Tile<C, R>>(gradient, sensitivity, scale, copies, samples, outputs);                      \
  }                                                                                                   \
  EXPORT_KERNEL(add_squares_##C##x##R)

#define TILED(C, R)                      \
  DENSE(identity, Identity, C, R);       \
  DENSE(relu, Relu, C, R);               \
  DENSE(relu6, Relu6, C, R);             \
  DENSE(leaky_relu, LeakyRelu, C, R);    \
  DENSE(elu, Elu, C, R);                 \
  DENSE(selu, Selu, C, R);               \
  DENSE(gelu, Gelu, C, R);               \
  DENSE(gelu_tanh, GeluTanh, C, R);      \
  DENSE(silu, Silu, C, R);               \
  DENSE(mish, Mish, C, R);               \
  DENSE(hardswish, HardSwish, C, R);     \
  DENSE(hardsigmoid, HardSigmoid, C, R); \
  DENSE(softplus, Softplus, C, R);       \
  DENSE(softsign, SoftSign, C, R);       \
  DENSE(tanh, Tanh, C, R);               \
  DENSE(sigmoid, Sigmoid, C, R);         \
  DENSE(sin, Sin, C, R);                 \
  ADD_BIAS(C, R);                        \
  SQUARES(C, R)

TILED(128, 16);
TILED(32, 16);

template <int N, int V>
__device__ __forceinline__ void softmax_forward(WarpValues& shared, float* z, const float* bias, float* activated,
                                                int logarithm, int samples, int outputs) {
  SummedRows<N, V> rows(shared, samples, outputs);
  z += rows.row * outputs;
  activated += rows.row * outputs;
  Held<N, V> x(z);
  if (bias) {
    Held<N, V> b(bias);
    rows.pass(
        [&](int n, int column) {
#pragma unroll
          for (int v = 0; v < V; v++) x.at[n].v[v] += b.at[n].v[v];
          store(z + column, x.at[n]);
        },
        x, b);
  }
  float top = -INFINITY, sum = 0.f;
  rows.pass(
      [&](int n, int) {
#pragma unroll
        for (int v = 0; v < V; v++) top = fmaxf(top, x.at[n].v[v]);
      },
      x);
  top = rows.max(top);
  rows.pass(
      [&](int n, int) {
#pragma unroll
        for (int v = 0; v < V; v++) sum += expf(x.at[n].v[v] - top);
      },
      x);
  const float total = rows.sum(sum), scale = 1.f / total, log_total = logf(total);
  rows.pass(
      [&](int n, int column) {
#pragma unroll
        for (int v = 0; v < V; v++) {
          const float shifted = x.at[n].v[v] - top;
          x.at[n].v[v] = logarithm ? shifted - log_total : expf(shifted) * scale;
        }
        store(activated + column, x.at[n]);
      },
      x);
}

// What softmax_backward multiplies an upstream gradient by, the numbers that SoftmaxForm in DenseForwardKernel gives.
enum SoftmaxForm { SOFTMAX_JACOBIAN, LOG_SOFTMAX_TRANSPOSED, LOG_SOFTMAX_JACOBIAN };

template <int N, int V>
__device__ __forceinline__ void softmax_backward(WarpValues& shared, const float* activated, const float* upstream,
                                                 float* gradient, float* sensitivity, float scale, int form, int copies,
                                                 int samples, int outputs) {
  SummedRows<N, V> rows(shared, samples, outputs);
  if (sensitivity) sensitivity += rows.row * outputs;
  Held<N, V> a(activated + rows.row * outputs), s(sensitivity), u(nullptr);
  for (int c = 0; c < copies; c++) {
    const int64_t row = ((int64_t)c * samples + rows.row) * outputs;
    u.move_to(upstream + row);
    float mean = 0.f;
    rows.pass(
        [&](int n, int) {
#pragma unroll
          for (int v = 0; v < V; v++) {
            const float value = a.at[n].v[v];
            const float p = form == SOFTMAX_JACOBIAN ? value : form == LOG_SOFTMAX_TRANSPOSED ? 1.f : expf(value);
            mean = fmaf(p, u.at[n].v[v], mean);
          }
        },
        a, u);
    mean = rows.sum(mean);
    rows.pass(
        [&](int n, int column) {
#pragma unroll
          for (int v = 0; v < V; v++) {
            const float value = a.at[n].v[v];
            const float difference = u.at[n].v[v] - mean;
            const float g = form == SOFTMAX_JACOBIAN         ? value * difference
                            : form == LOG_SOFTMAX_TRANSPOSED ? fmaf(-expf(value), mean, u.at[n].v[v])
                                                             : difference;
            u.at[n].v[v] = g;
            s.at[n].v[v] = fmaf(scale * g, g, s.at[n].v[v]);
          }
          store(gradient + row + column, u.at[n]);
          if (sensitivity && (c == copies - 1 || !rows.is_held())) store(sensitivity + column, s.at[n]);
        },
        a, u, s);
  }
}

#define SOFTMAX(N, V)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256, 4)                                                          \
      softmax_forward_##N##x##V(float* z, const float* bias, float* activated, int logarithm, int samples,      \
                                int outputs) {                                                                  \
    STATIC_SHARED(WarpValues, shared);                                                                          \
    softmax_forward<N, V>(shared, z, bias, activated, logarithm, samples, outputs);                             \
  }                                                                                                             \
  EXPORT_KERNEL(softmax_forward_##N##x##V);                                                                     \
  extern "C" __global__ void __launch_bounds__(256, 3)                                                          \
      softmax_backward_##N##x##V(const float* activated, const float* upstream, float* gradient,                \
                                 float* sensitivity, float scale, int form, int copies, int samples,            \
                                 int outputs) {                                                                 \
    STATIC_SHARED(WarpValues, shared);                                                                          \
    softmax_backward<N, V>(shared, activated, upstream, gradient, sensitivity, scale, form, copies, samples,    \
                           outputs);                                                                            \
  }                                                                                                             \
  EXPORT_KERNEL(softmax_backward_##N##x##V)

ROW_TILES(SOFTMAX);
