package dev.espalier.engine.method;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// A way to compute or estimate the sensitivity s = ‖∂y/∂z‖² of the network's output y to each neuron (docs/method.md,
/// sensitivity).
public sealed interface Sensitivity {
  /// The most outputs for which [#defaultFor] takes the Jacobian.
  int JACOBIAN_OUTPUTS = 64;

  /// Exact: one backward pass for each output.
  record Jacobian() implements Sensitivity {
    @Override
    public int passes(int outputs) {
      return outputs;
    }

    @Override
    public String toString() {
      return "jacobian";
    }
  }

  /// Unbiased: the mean of (vᵀ ∂y/∂z)² over Rademacher vectors v, each a backward pass.
  ///
  /// @param count vectors for each sample, at least 1
  record Probes(int count) implements Sensitivity {
    /// @throws IllegalArgumentException if the count is below 1
    public Probes {
      if (count < 1) {
        throw new IllegalArgumentException("probes:%d: use at least one probe".formatted(count));
      }
    }

    @Override
    public int passes(int outputs) {
      return count;
    }

    @Override
    public String toString() {
      return "probes:" + count;
    }
  }

  /// Backward passes for a network of `outputs` outputs.
  int passes(int outputs);

  /// The Jacobian for networks of up to 64 outputs, 16 probes beyond.
  static Sensitivity defaultFor(int outputs) {
    return outputs <= JACOBIAN_OUTPUTS ? new Jacobian() : new Probes(16);
  }

  /// `jacobian` or `probes:R`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Sensitivity parse(String text) {
    if (text.equals("jacobian")) {
      return new Jacobian();
    }
    Matcher probes = Pattern.compile("probes:(\\d{1,6})").matcher(text);
    if (probes.matches()) {
      return new Probes(Integer.parseInt(probes.group(1)));
    }
    throw new IllegalArgumentException(
        "unknown sensitivity '%s': use jacobian or probes:R, for example probes:16".formatted(text));
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
