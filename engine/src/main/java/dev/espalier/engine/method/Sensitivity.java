package dev.espalier.engine.method;

import dev.espalier.engine.network.Architecture;

/// How the sensitivity s = ‖∂y/∂z‖² of each neuron to the network's output y is found (METHOD.md). It takes
/// [#passes] backward passes a sample.
public sealed interface Sensitivity {
  /// Outputs up to which [#defaultFor] takes the Jacobian.
  int JACOBIAN_OUTPUTS = 64;

  /// Backward passes for a network of `outputs` outputs.
  int passes(int outputs);

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

  /// Unbiased: the mean of (vᵀ ∂y/∂z)² over `count` Rademacher vectors v, each a backward pass.
  ///
  /// @param count at least 1
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

  /// The Jacobian for networks of up to 64 outputs, 16 probes beyond.
  static Sensitivity defaultFor(Architecture network) {
    return network.outputs() <= JACOBIAN_OUTPUTS ? new Jacobian() : new Probes(16);
  }

  /// `jacobian` or `probes:R`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Sensitivity parse(String text) {
    if (text.equals("jacobian")) {
      return new Jacobian();
    }
    if (text.matches("probes:\\d{1,6}")) {
      return new Probes(Integer.parseInt(text.substring("probes:".length())));
    }
    throw new IllegalArgumentException(
        "unknown sensitivity '%s': use jacobian or probes:R, for example probes:16".formatted(text));
  }
}
