package dev.espalier.engine.pruning;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Predicate;

/// How a network is pruned. Made by [#builder].
///
/// @param sparsity            fraction of the prunable weights that are zero afterwards, 0..1; `n:m` scopes have their own
/// @param criterion           what a weight's importance is
/// @param compensation        what makes up for removed weights; empty: the bias for `ec`, else nothing
/// @param sensitivity         empty: [Sensitivity#defaultFor] the network
/// @param scope               among which weights the least important are sought
/// @param schedule            in which rounds
/// @param excluded            layers, by name, that are left alone and do not count
/// @param minPerLayer         weights that every layer keeps at least
/// @param newBias             whether a layer without a bias may gain one
/// @param loss                of the gradient criterion; empty: what fits network and labels
/// @param batchSize           samples in a batch; empty: what suits the backend and fits its memory
/// @param seed                of probes and of the random criterion
/// @param measureOutputChange whether to measure, on the calibration samples, what the pruning did to the output
/// @param histogramBins       bins of each layer's importance histogram; 0: no histograms
/// @param listener            told of progress
public record PruningOptions(double sparsity, Criterion criterion, Optional<Compensation> compensation,
    Optional<Sensitivity> sensitivity, Scope scope, Schedule schedule, Predicate<String> excluded, long minPerLayer,
    boolean newBias, Optional<Loss> loss, OptionalInt batchSize, long seed, boolean measureOutputChange,
    int histogramBins, ProgressListener listener) {

  /// @throws IllegalArgumentException if a number is out of its range
  public PruningOptions {
    if (!(sparsity >= 0 && sparsity <= 1)) {
      throw new IllegalArgumentException(
          "sparsity %s: use a fraction from 0 to 1, for example 0.9 to remove 90 %% of the weights"
              .formatted(sparsity));
    }
    if (minPerLayer < 0 || batchSize.orElse(1) < 1 || histogramBins < 0) {
      throw new IllegalArgumentException("min-per-layer %d, batch size %d, histogram bins %d: use at least 0, 1, 0"
          .formatted(minPerLayer, batchSize.orElse(1), histogramBins));
    }
  }

  /// The compensation in force.
  public Compensation effectiveCompensation() {
    return compensation.orElse(criterion == Criterion.ELIMINATION_COMPENSATION ? Compensation.BIAS : Compensation.NONE);
  }

  /// The sparsity in force.
  public double effectiveSparsity() {
    return scope instanceof Scope.Grouped grouped ? grouped.sparsity() : sparsity;
  }

  /// The defaults: half of the weights, by `ec`, compensated, globally, in one shot.
  public static Builder builder() {
    return new Builder();
  }

  /// Collects options; each may be given once or not at all.
  public static final class Builder {
    private double sparsity = 0.5;
    private Criterion criterion = Criterion.ELIMINATION_COMPENSATION;
    private Optional<Compensation> compensation = Optional.empty();
    private Optional<Sensitivity> sensitivity = Optional.empty();
    private Scope scope = new Scope.Global();
    private Schedule schedule = new Schedule.OneShot();
    private Predicate<String> excluded = _ -> false;
    private long minPerLayer = 1;
    private boolean newBias = true;
    private Optional<Loss> loss = Optional.empty();
    private OptionalInt batchSize = OptionalInt.empty();
    private long seed;
    private boolean measureOutputChange = true;
    private int histogramBins;
    private ProgressListener listener = ProgressListener.NONE;

    private Builder() {}

    /// Fraction of the prunable weights that are zero afterwards, 0..1.
    public Builder sparsity(double value) {
      sparsity = value;
      return this;
    }

    /// What a weight's importance is.
    public Builder criterion(Criterion value) {
      criterion = value;
      return this;
    }

    /// What makes up for removed weights.
    public Builder compensation(Compensation value) {
      compensation = Optional.of(value);
      return this;
    }

    /// How the sensitivity of neurons is found.
    public Builder sensitivity(Sensitivity value) {
      sensitivity = Optional.of(value);
      return this;
    }

    /// Among which weights the least important are sought.
    public Builder scope(Scope value) {
      scope = value;
      return this;
    }

    /// In which rounds.
    public Builder schedule(Schedule value) {
      schedule = value;
      return this;
    }

    /// Layers, by name, that are left alone and do not count.
    public Builder exclude(Predicate<String> value) {
      excluded = value;
      return this;
    }

    /// Weights that every layer keeps at least.
    public Builder minPerLayer(long value) {
      minPerLayer = value;
      return this;
    }

    /// Whether a layer without a bias may gain one.
    public Builder newBias(boolean value) {
      newBias = value;
      return this;
    }

    /// Of the gradient criterion.
    public Builder loss(Loss value) {
      loss = Optional.of(value);
      return this;
    }

    /// Samples in a batch; changes the result by rounding only.
    public Builder batchSize(int value) {
      batchSize = OptionalInt.of(value);
      return this;
    }

    /// Of probes and of the random criterion.
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /// Whether to measure, on the calibration samples, what the pruning did to the output.
    public Builder measureOutputChange(boolean value) {
      measureOutputChange = value;
      return this;
    }

    /// Bins of each layer's importance histogram; 0: no histograms.
    public Builder histogramBins(int value) {
      histogramBins = value;
      return this;
    }

    /// Told of progress; may cancel.
    public Builder listener(ProgressListener value) {
      listener = value;
      return this;
    }

    /// The options.
    ///
    /// @throws IllegalArgumentException if a number is out of its range
    public PruningOptions build() {
      return new PruningOptions(sparsity, criterion, compensation, sensitivity, scope, schedule, excluded, minPerLayer,
          newBias, loss, batchSize, seed, measureOutputChange, histogramBins, listener);
    }
  }
}
