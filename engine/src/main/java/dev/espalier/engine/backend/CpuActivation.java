package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.CpuMatrix.get;
import static dev.espalier.engine.backend.CpuMatrix.set;

import dev.espalier.engine.network.Activation;
import java.lang.foreign.MemorySegment;

/// Activations and their derivatives over ranges of float32 elements, within [CpuMath]'s errors.
final class CpuActivation {
  private static final float LEAKY_SLOPE = (float) Activation.LEAKY_RELU.value(-1) * -1;

  private CpuActivation() {}

  /// a = φ(z) for elements `start` to `end`, whole rows of `columns`.
  static void forward(Activation activation, MemorySegment z, MemorySegment a, long start, long end,
      int columns) {
    switch (activation) {
      case IDENTITY ->
        MemorySegment.copy(z, start * Float.BYTES, a, start * Float.BYTES, (end - start) * Float.BYTES);
      case RELU -> {
        for (long i = start; i < end; i++) {
          set(a, i, Math.max(0, get(z, i)));
        }
      }
      case LEAKY_RELU -> {
        for (long i = start; i < end; i++) {
          float zi = get(z, i);
          set(a, i, Math.max(zi, LEAKY_SLOPE * zi));
        }
      }
      case SOFTMAX -> {
        for (long row = start; row < end; row += columns) {
          softmax(z, a, row, columns);
        }
      }
      case ELU, GELU, SILU, SOFTPLUS, TANH, SIGMOID -> {
        for (long i = start; i < end; i++) {
          set(a, i, (float) value(activation, get(z, i)));
        }
      }
    }
  }

  /// Elements `first` to `first + columns` of p become the softmax of those of z.
  ///
  /// @return ln Σ eᶻ
  static double softmax(MemorySegment z, MemorySegment p, long first, int columns) {
    float max = Float.NEGATIVE_INFINITY;
    for (int k = 0; k < columns; k++) {
      max = Math.max(max, get(z, first + k));
    }
    double sum = 0;
    for (int k = 0; k < columns; k++) {
      sum += CpuMath.exp(get(z, first + k) - (double) max);
    }
    for (int k = 0; k < columns; k++) {
      set(p, first + k, (float) (CpuMath.exp(get(z, first + k) - (double) max) / sum));
    }
    return max + Math.log(sum);
  }

  /// d = φ′(z) for elements `start` to `end`, of an elementwise activation.
  static void derivative(Activation activation, MemorySegment z, MemorySegment d, long start, long end) {
    for (long i = start; i < end; i++) {
      set(d, i, (float) slope(activation, get(z, i)));
    }
  }

  /// Whether φ′ is a constant on each side of 0, so that [#slopeBelow] says all of it.
  static boolean isPiecewiseLinear(Activation activation) {
    return switch (activation) {
      case IDENTITY, RELU, LEAKY_RELU -> true;
      case ELU, GELU, SILU, SOFTPLUS, TANH, SIGMOID, SOFTMAX -> false;
    };
  }

  /// φ′(z) for z ≤ 0 of a piecewise linear activation; above 0 it is 1.
  static float slopeBelow(Activation activation) {
    return (float) activation.derivative(-1);
  }

  private static double value(Activation activation, double z) {
    return switch (activation) {
      case ELU -> z > 0 ? z : CpuMath.expm1(z);
      case GELU -> z * CpuMath.normalDistribution(z);
      case SILU -> z * CpuMath.logistic(z);
      case SOFTPLUS -> CpuMath.softplus(z);
      case TANH -> CpuMath.tanh(z);
      case SIGMOID -> CpuMath.logistic(z);
      case IDENTITY, RELU, LEAKY_RELU, SOFTMAX -> activation.value(z);
    };
  }

  private static double slope(Activation activation, double z) {
    return switch (activation) {
      case ELU -> z > 0 ? 1 : CpuMath.exp(z);
      case GELU -> CpuMath.normalDistribution(z) + z * CpuMath.normalDensity(z);
      case SILU -> {
        double p = CpuMath.logistic(z);
        yield p * (1 + z * (1 - p));
      }
      case SOFTPLUS -> CpuMath.logistic(z);
      case TANH -> CpuMath.tanhSlope(z);
      case SIGMOID -> {
        double e = CpuMath.exp(-Math.abs(z));
        yield e / ((1 + e) * (1 + e));
      }
      case IDENTITY, RELU, LEAKY_RELU, SOFTMAX -> activation.derivative(z);
    };
  }
}
