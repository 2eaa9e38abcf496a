package dev.espalier.engine.method;

import dev.espalier.engine.network.Graph;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// What a round does to the weights and biases that are left, once it has removed weights and compensated them. It needs
/// samples, and no labels, unless it is a [FineTune].
public sealed interface Repair {
  /// Layer by layer from the input, a least-squares fit of the weights that are left and the bias: the pre-activations
  /// of the pruned network are to match those of the dense network on the same samples (docs/method.md, refit).
  ///
  /// @param iterations of conjugate gradients, at least 1; empty: [#ITERATIONS]
  /// @param damping λ, the weight of the squared change relative to the mean variance of the inputs, above 0; empty:
  ///                [#damping] of the number of samples
  record Refit(OptionalInt iterations, OptionalDouble damping) implements Repair {
    /// Iterations unless others are asked for: 10 leave 5 % more error, 100 gain next to nothing (docs/method.md).
    public static final int ITERATIONS = 30;

    private static final double[] SAMPLES = {300, 1000, 5000};
    private static final double[] DAMPINGS = {1e-1, 1e-2, 1e-3};

    /// The defaults.
    public Refit() {
      this(OptionalInt.empty(), OptionalDouble.empty());
    }

    /// @throws IllegalArgumentException if a number is out of its range
    public Refit {
      if (iterations.orElse(1) < 1) {
        throw new IllegalArgumentException(
            "refit:iterations=%d: use at least one iteration".formatted(iterations.getAsInt()));
      }
      if (!(damping.orElse(1) > 0 && Double.isFinite(damping.orElse(1)))) {
        throw new IllegalArgumentException("refit:damping=%s: use a damping above 0".formatted(damping.getAsDouble()));
      }
    }

    /// The damping in force for a number of samples: the fewer there are, the more a fit follows their noise. 0.1 up to
    /// 300 samples, 0.01 at 1,000, 0.001 from 5,000 on, and a straight line between them in logarithms.
    public double damping(long samples) {
      if (damping.isPresent()) {
        return damping.getAsDouble();
      }
      for (int i = 0; i < SAMPLES.length; i++) {
        if (samples <= SAMPLES[i]) {
          double part = i == 0 ? 0 : Math.log(samples / SAMPLES[i]) / Math.log(SAMPLES[i - 1] / SAMPLES[i]);
          return DAMPINGS[i] * (i == 0 ? 1 : Math.pow(DAMPINGS[i - 1] / DAMPINGS[i], part));
        }
      }
      return DAMPINGS[DAMPINGS.length - 1];
    }

    @Override
    public String toString() {
      return "refit" + RepairText.option("iterations", iterations) + RepairText.option("damping", damping);
    }
  }

  /// Training by mini-batch Adam with the dense network as the teacher: the outputs of the pruned network are to follow
  /// those of the dense network on the same samples (docs/method.md, distillation).
  ///
  /// @param objective empty: [Objective#defaultFor] the network
  /// @param epochs in each round but the last, 0 or more; empty: [#EPOCHS]
  /// @param lastEpochs in the last round, at least 1; empty: [#LAST_EPOCHS]
  /// @param learningRate at the start of a round, above 0; empty: [#LEARNING_RATE]
  record Distill(Optional<Objective> objective, OptionalInt epochs, OptionalInt lastEpochs,
      OptionalDouble learningRate) implements Following {
    /// Epochs in each round but the last, unless others are asked for.
    public static final int EPOCHS = 5;
    /// Epochs in the last round, unless others are asked for.
    public static final int LAST_EPOCHS = 30;
    /// The learning rate, unless another one is asked for.
    public static final double LEARNING_RATE = 3e-3;

    /// The defaults.
    public Distill() {
      this(Optional.empty(), OptionalInt.empty(), OptionalInt.empty(), OptionalDouble.empty());
    }

    /// @throws IllegalArgumentException if a number is out of its range
    public Distill {
      if (epochs.orElse(0) < 0 || lastEpochs.orElse(1) < 1) {
        throw new IllegalArgumentException("distill: %s epochs in a round and %s in the last one: use at least 0 and 1"
            .formatted(epochs.orElse(EPOCHS), lastEpochs.orElse(LAST_EPOCHS)));
      }
      if (!(learningRate.orElse(1) > 0 && Double.isFinite(learningRate.orElse(1)))) {
        throw new IllegalArgumentException(
            "distill:rate=%s: use a learning rate above 0".formatted(learningRate.getAsDouble()));
      }
    }

    @Override
    public Distill withObjective(Objective value) {
      return new Distill(Optional.of(value), epochs, lastEpochs, learningRate);
    }

    @Override
    public boolean doesMoreAtStops() {
      return lastEpochs.orElse(LAST_EPOCHS) > epochs.orElse(EPOCHS);
    }

    @Override
    public String toString() {
      return "distill" + objective.map(value -> ":" + value).orElse("") + RepairText.option("epochs", epochs)
          + RepairText.option("last", lastEpochs) + RepairText.option("rate", learningRate);
    }
  }

  /// Training by mini-batch Adam with labels, in every round.
  ///
  /// @param epochs in each round, at least 1; empty: [#EPOCHS]
  /// @param learningRate above 0; empty: [#LEARNING_RATE]
  /// @param patience epochs, at least 1, without a lower loss on held-out samples that end a round's training early, at
  ///                 the network with the least loss; empty: no samples are held out, and all epochs are done
  record FineTune(OptionalInt epochs, OptionalDouble learningRate, OptionalInt patience) implements Repair {
    /// Epochs in a round, unless others are asked for.
    public static final int EPOCHS = 1;
    /// The learning rate, unless another one is asked for.
    public static final double LEARNING_RATE = 1e-4;

    /// The defaults.
    public FineTune() {
      this(OptionalInt.empty(), OptionalDouble.empty(), OptionalInt.empty());
    }

    /// @throws IllegalArgumentException if a number is out of its range
    public FineTune {
      if (epochs.orElse(1) < 1 || patience.orElse(1) < 1) {
        throw new IllegalArgumentException("fine-tune: %s epochs, patience %s: use at least one epoch of each"
            .formatted(epochs.orElse(EPOCHS), patience.isPresent() ? patience.getAsInt() : "none"));
      }
      if (!(learningRate.orElse(1) > 0 && Double.isFinite(learningRate.orElse(1)))) {
        throw new IllegalArgumentException(
            "fine-tune:rate=%s: use a learning rate above 0".formatted(learningRate.getAsDouble()));
      }
    }

    @Override
    public String toString() {
      return "fine-tune" + RepairText.option("epochs", epochs) + RepairText.option("rate", learningRate)
          + RepairText.option("patience", patience);
    }
  }

  /// Gauss-Newton steps over all weights and biases that are left in the whole network: the outputs of the pruned network
  /// are to follow those of the dense network on the same samples (docs/method.md, joint repair).
  ///
  /// @param objective empty: [Objective#defaultFor] the network
  /// @param outer Gauss-Newton steps where a network is wanted as it is, at least 1; empty: [#OUTER]
  /// @param inner iterations of conjugate gradients for each of them, at least 1; empty: [#INNER]
  /// @param damping λ at the start, relative to the curvature by each parameter, above 0; empty: [#DAMPING]
  /// @param tolerance the part of the distance below which a gain ends the steps, at least 0 and below 1; empty:
  ///                  [#TOLERANCE]
  record Joint(Optional<Objective> objective, OptionalInt outer, OptionalInt inner, OptionalDouble damping,
      OptionalDouble tolerance) implements Following {
    /// Gauss-Newton steps, unless others are asked for.
    public static final int OUTER = 4;
    /// Iterations of each step, unless others are asked for.
    public static final int INNER = 20;
    /// The damping of the first step, unless another one is asked for.
    public static final double DAMPING = 1e-2;
    /// The least gain, unless another one is asked for.
    public static final double TOLERANCE = 0.02;
    /// Rounds before a network is wanted are repaired from this part of the weights on, by half of the steps and
    /// iterations.
    public static final double ROUNDS_FROM = 0.15;

    /// The defaults.
    public Joint() {
      this(Optional.empty(), OptionalInt.empty(), OptionalInt.empty(), OptionalDouble.empty(), OptionalDouble.empty());
    }

    /// @throws IllegalArgumentException if a number is out of its range
    public Joint {
      if (outer.orElse(1) < 1 || inner.orElse(1) < 1) {
        throw new IllegalArgumentException("joint: %s steps of %s iterations: use at least one of each"
            .formatted(outer.orElse(OUTER), inner.orElse(INNER)));
      }
      if (!(damping.orElse(1) > 0 && Double.isFinite(damping.orElse(1)))) {
        throw new IllegalArgumentException("joint:damping=%s: use a damping above 0".formatted(damping.getAsDouble()));
      }
      if (!(tolerance.orElse(0) >= 0 && tolerance.orElse(0) < 1)) {
        throw new IllegalArgumentException(
            "joint:tolerance=%s: use a tolerance from 0 to below 1".formatted(tolerance.getAsDouble()));
      }
    }

    @Override
    public boolean doesMoreAtStops() {
      return true;
    }

    @Override
    public Joint withObjective(Objective value) {
      return new Joint(Optional.of(value), outer, inner, damping, tolerance);
    }

    @Override
    public String toString() {
      return "joint" + objective.map(value -> ":" + value).orElse("") + RepairText.option("outer", outer)
          + RepairText.option("inner", inner) + RepairText.option("damping", damping)
          + RepairText.option("tolerance", tolerance);
    }
  }

  /// A repair that minimises a distance of the outputs from those of the dense network.
  sealed interface Following extends Repair {
    /// The distance; empty: [Objective#defaultFor] the network.
    Optional<Objective> objective();

    /// This repair with a distance.
    Following withObjective(Objective value);

    /// The distance in force for a network.
    default Objective objective(Graph graph) {
      return objective().orElseGet(() -> Objective.defaultFor(graph));
    }

    @Override
    default void requireFits(Graph graph) {
      objective(graph).requireFits(graph);
    }

    @Override
    default Repair inForce(Graph graph) {
      return withObjective(objective(graph));
    }
  }

  /// @throws dev.espalier.engine.MismatchException if it is not defined for a network
  default void requireFits(Graph graph) {
    // A refit is defined for every network.
  }

  /// Whether it does more in a round whose network is wanted than in one on the way.
  default boolean doesMoreAtStops() {
    return false;
  }

  /// This repair with the choices that a network makes.
  default Repair inForce(Graph graph) {
    return this;
  }

  /// `refit`, `joint`, `distill` or `fine-tune`, with options after colons where they are not the defaults:
  /// `refit:iterations=50`, `refit:damping=0.01`, `joint:mse`, `joint:kl:4`, `joint:outer=2`, `joint:inner=10`,
  /// `joint:damping=0.1`, `joint:tolerance=0.01`, `distill:mse`, `distill:kl:4`, `distill:epochs=2`, `distill:last=15`,
  /// `distill:rate=0.001`, `fine-tune:epochs=2`, `fine-tune:rate=0.001`, `fine-tune:patience=2`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Repair parse(String text) {
    RepairText options = new RepairText(text);
    Repair repair = switch (options.name()) {
      case "refit" -> new Refit(options.integer("iterations"), options.decimal("damping"));
      case "joint" -> new Joint(options.objective(), options.integer("outer"), options.integer("inner"),
          options.decimal("damping"), options.decimal("tolerance"));
      case "distill" ->
        new Distill(options.objective(), options.integer("epochs"), options.integer("last"), options.decimal("rate"));
      case "fine-tune" -> new FineTune(options.integer("epochs"), options.decimal("rate"), options.integer("patience"));
      default -> throw new IllegalArgumentException(
          "unknown repair '%s': use none, refit, joint, distill, fine-tune, or several, as refit+joint"
              .formatted(text));
    };
    options.requireAllRead();
    return repair;
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
