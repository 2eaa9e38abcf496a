package dev.espalier.engine.method;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.network.Graph;
import java.math.BigDecimal;
import java.util.OptionalInt;
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

  /// For classifiers: the sensitivity of the class probabilities p = softmax(y / T), y the logits, by their Fisher
  /// information: the expectation over classes k drawn from p of ‖∂ log p_k/∂z‖². It weighs an output by how much it
  /// matters to the probabilities; no labels are needed.
  ///
  /// @param draws classes drawn for each sample, each a backward pass; empty: the expectation over all classes, a
  ///              backward pass for each
  /// @param temperature T, above 0
  record Fisher(OptionalInt draws, double temperature) implements Sensitivity {
    /// @throws IllegalArgumentException if there is no draw, or the temperature is not above 0
    public Fisher {
      if (draws.isPresent() && draws.getAsInt() < 1) {
        throw new IllegalArgumentException("fisher:%d: use at least one draw".formatted(draws.getAsInt()));
      }
      if (!(temperature > 0 && Double.isFinite(temperature))) {
        throw new IllegalArgumentException("fisher:T=%s: use a temperature above 0".formatted(temperature));
      }
    }

    @Override
    public int passes(int outputs) {
      return draws.orElse(outputs);
    }

    @Override
    public boolean isOfOutput() {
      return false;
    }

    @Override
    public void requireFits(Graph graph) {
      graph.requireOneOutput("sensitivity " + this, "jacobian or probes");
      if (!graph.givesClasses()) {
        throw new MismatchException(
            "sensitivity %s is that of class probabilities: it needs two outputs or more, and softmax or identity as the"
                .formatted(this) + " last activation");
      }
    }

    @Override
    public String toString() {
      return "fisher" + (draws.isPresent() ? ":" + draws.getAsInt() : "")
          + (temperature == 1 ? "" : ":T=" + BigDecimal.valueOf(temperature).stripTrailingZeros().toPlainString());
    }
  }

  /// Another sensitivity, smoothed towards its mean s̄ over the samples: s̃ = (1 − η) s + η s̄ (docs/method.md, smoothed
  /// sensitivities). Where the first order sees no effect of a neuron, as at a unit that is off, a large removal may have
  /// one.
  ///
  /// @param of what is smoothed; not smoothed itself
  /// @param intensity η, above 0 and up to 1
  record Smoothed(Sensitivity of, double intensity) implements Sensitivity {
    /// @throws IllegalArgumentException if η is out of its range
    public Smoothed {
      if (of.smoothing() > 0) {
        throw new IllegalArgumentException("%s is smoothed already".formatted(of));
      }
      if (!(intensity > 0 && intensity <= 1)) {
        throw new IllegalArgumentException("smooth=%s: use a number above 0 and up to 1".formatted(intensity));
      }
    }

    @Override
    public int passes(int outputs) {
      return of.passes(outputs);
    }

    @Override
    public boolean isOfOutput() {
      return of.isOfOutput();
    }

    @Override
    public void requireFits(Graph graph) {
      of.requireFits(graph);
    }

    @Override
    public double smoothing() {
      return intensity;
    }

    @Override
    public Sensitivity unsmoothed() {
      return of;
    }

    @Override
    public String toString() {
      return "%s:smooth=%s".formatted(of, BigDecimal.valueOf(intensity).stripTrailingZeros().toPlainString());
    }
  }

  /// η of a [Smoothed] one; otherwise 0.
  default double smoothing() {
    return 0;
  }

  /// What backward passes compute.
  default Sensitivity unsmoothed() {
    return this;
  }

  /// Backward passes for a network of `outputs` outputs.
  int passes(int outputs);

  /// Whether importances are squared changes of the network's output.
  default boolean isOfOutput() {
    return true;
  }

  /// @throws MismatchException if a network has no such sensitivity
  default void requireFits(Graph graph) {
    // The output of any network has a Jacobian.
  }

  /// The Jacobian for networks of up to 64 outputs, 16 probes beyond.
  static Sensitivity defaultFor(int outputs) {
    return outputs <= JACOBIAN_OUTPUTS ? new Jacobian() : new Probes(16);
  }

  /// `jacobian`, `probes:R`, or `fisher` with `:R` for R draws and `:T=…` for a temperature; each may end in `:smooth=η`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Sensitivity parse(String text) {
    Matcher smoothed = Pattern.compile("(.*):smooth=(\\d{1,6}(?:\\.\\d{1,20})?)").matcher(text);
    if (smoothed.matches()) {
      return new Smoothed(parseUnsmoothed(smoothed.group(1), text), Double.parseDouble(smoothed.group(2)));
    }
    return parseUnsmoothed(text, text);
  }

  private static Sensitivity parseUnsmoothed(String text, String whole) {
    if (text.equals("jacobian")) {
      return new Jacobian();
    }
    Matcher probes = Pattern.compile("probes:(\\d{1,6})").matcher(text);
    if (probes.matches()) {
      return new Probes(Integer.parseInt(probes.group(1)));
    }
    Matcher fisher = Pattern.compile("fisher(?::(\\d{1,6}))?(?::T=(\\d{1,6}(?:\\.\\d{1,6})?))?").matcher(text);
    if (fisher.matches()) {
      return new Fisher(
          fisher.group(1) == null ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(fisher.group(1))),
          fisher.group(2) == null ? 1 : Double.parseDouble(fisher.group(2)));
    }
    throw new IllegalArgumentException(
        ("unknown sensitivity '%s': use jacobian, probes:R such as probes:16, or fisher, fisher:R or fisher:T=4; "
            + ":smooth=0.2 may follow").formatted(whole));
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
