package dev.espalier.engine.method;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.network.Graph;
import java.math.BigDecimal;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// What a pruned network minimises when it is trained to follow the dense network on the same samples.
public sealed interface Objective {
  /// The mean over outputs of (y − y₀)², with y₀ the output of the dense network.
  record SquaredError() implements Objective {
    @Override
    public String toString() {
      return "mse";
    }
  }

  /// For classifiers: the Kullback-Leibler divergence of p₀ and p, with p = softmax(y / T), y the logits, and p₀ that of
  /// the dense network [Hinton, Vinyals and Dean 2015]. A temperature above 1 lets small probabilities count.
  ///
  /// @param temperature T, above 0
  record Divergence(double temperature) implements Objective {
    /// @throws IllegalArgumentException if the temperature is not above 0
    public Divergence {
      if (!(temperature > 0 && Double.isFinite(temperature))) {
        throw new IllegalArgumentException("kl:%s: use a temperature above 0".formatted(temperature));
      }
    }

    @Override
    public void requireFits(Graph graph) {
      graph.requireOneOutput("objective " + this, "mse");
      if (!graph.givesClasses()) {
        throw new MismatchException(
            "objective %s compares class probabilities: it needs two outputs or more, and softmax or identity as the"
                .formatted(this) + " last activation");
      }
    }

    @Override
    public String toString() {
      return "kl:" + BigDecimal.valueOf(temperature).stripTrailingZeros().toPlainString();
    }
  }

  /// @throws MismatchException if it is not defined for a network
  default void requireFits(Graph graph) {
    // The squared error is defined for every network.
  }

  /// The divergence at temperature 4 for a network that ends in a softmax, else the squared error.
  static Objective defaultFor(Graph graph) {
    return graph.endsInSoftmax() ? new Divergence(4) : new SquaredError();
  }

  /// `mse`, or `kl:T` with a temperature.
  ///
  /// @throws IllegalArgumentException for anything else
  static Objective parse(String text) {
    if (text.equals("mse")) {
      return new SquaredError();
    }
    Matcher divergence = Pattern.compile("kl:(\\d{1,6}(?:\\.\\d{1,6})?)").matcher(text);
    if (!divergence.matches()) {
      throw new IllegalArgumentException("unknown objective '%s': use mse or, for classifiers, kl:4".formatted(text));
    }
    return new Divergence(Double.parseDouble(divergence.group(1)));
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
