package dev.espalier.engine.scoring;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.statistics.Accumulator;
import dev.espalier.engine.statistics.InputMomentsAccumulator;
import dev.espalier.engine.statistics.InputSquaresAccumulator;
import dev.espalier.engine.statistics.LayerBatch;
import dev.espalier.engine.statistics.LossGradientAccumulator;
import dev.espalier.engine.statistics.MomentsAccumulator;
import dev.espalier.engine.statistics.Statistic;
import dev.espalier.engine.statistics.Sums;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// Gathers the statistics of one layer, and turns them into its scores.
final class LayerScorer implements Resource {
  private static final double SUMS_ROUNDOFF = 0x1p-24;

  private final DeviceNetwork.Layer layer;
  private final ScoringPlan plan;
  private final ScoringPlan.Layer planned;
  private final List<Accumulator> accumulators = new ArrayList<>();
  private final Resources resources;
  private float[] cancelled = {};
  /// Of sums that were float32 once.
  private double roundoff;
  private Optional<ExactMoments> exact = Optional.empty();
  private Optional<Sums> variances = Optional.empty();
  /// Of the neurons, in all uses of the layer together.
  private float[] meanSensitivity = {};
  private final int uses;

  private LayerScorer(Backend backend, DeviceNetwork.Layer layer, int uses, ScoringPlan plan, ScoringPlan.Layer planned,
      Resources resources) {
    this.layer = layer;
    this.uses = uses;
    this.plan = plan;
    this.planned = planned;
    this.resources = resources;
    plan.needs().inOrder().forEach(
        statistic -> accumulators.add(resources.own(statistic.accumulator(backend, layer, planned.compensable()))));
  }

  static LayerScorer allocate(Backend backend, DeviceNetwork network, ScoringPlan plan, ScoringPlan.Layer planned) {
    return allocate(backend, network.layers().get(planned.number()), network.graph().uses(planned.number()).length,
        plan, planned);
  }

  /// @param uses of the layer in its network
  static LayerScorer allocate(Backend backend, DeviceNetwork.Layer layer, int uses, ScoringPlan plan,
      ScoringPlan.Layer planned) {
    return Resources.build(resources -> new LayerScorer(backend, layer, uses, plan, planned, resources));
  }

  /// Whether importances take memory beside the sums; otherwise they take that of a sum.
  static boolean takesMemoryOfItsOwn(Criterion criterion) {
    return switch (criterion) {
      case Criterion.EliminationCompensation _,Criterion.NonlinearEliminationCompensation _,Criterion.Gradient _ ->
        false;
      case Criterion.Magnitude _,Criterion.Wanda _,Criterion.Random _ -> true;
    };
  }

  /// The number of the layer in its network, from 0.
  int number() {
    return planned.number();
  }

  /// @param uses the batch at each use of the layer
  void begin(List<LayerBatch> uses) {
    accumulators.forEach(accumulator -> accumulator.begin(uses.getFirst(), uses.size()));
  }

  void add(List<LayerBatch> uses) {
    accumulators.forEach(accumulator -> uses.forEach(accumulator::add));
  }

  /// Adds the sums of the same layer over other samples.
  void merge(LayerScorer other) {
    try (Arena arena = Arena.ofShared()) {
      for (int i = 0; i < accumulators.size(); i++) {
        accumulators.get(i).merge(other.accumulators.get(i).onHost(arena));
      }
    }
  }

  /// The sums so far, in memory of `arena`.
  List<Sums> sums(Arena arena) {
    return accumulators.stream().map(accumulator -> accumulator.sums(arena)).toList();
  }

  /// Goes on from sums of the same statistics.
  void load(List<Sums> sums) {
    roundoff = SUMS_ROUNDOFF;
    variances = sums.stream().filter(each -> each.statistic() instanceof Statistic.Variances).findFirst();
    for (Accumulator accumulator : accumulators) {
      accumulator.load(sums.stream().filter(each -> each.statistic().equals(accumulator.statistic())).findFirst()
          .orElseThrow(() -> new MismatchException(
              "there are no %s of layer %s".formatted(accumulator.statistic(), layer.name()))));
    }
  }

  private <T extends Accumulator> T accumulator(Class<T> type) {
    return accumulators.stream().filter(type::isInstance).map(type::cast).findFirst().orElseThrow();
  }

  /// Turns the sums into scores, in memory that closes with this.
  ///
  /// @param backend that of the sums, or the one whose worker it is
  LayerScores finish(Backend backend) {
    accumulators.forEach(Accumulator::settle);
    Optional<Matrix> compensation = Optional.empty();
    boolean hasMoments = plan.needs().statistics().contains(new Statistic.WeightedMoments());
    if (hasMoments) {
      MomentsAccumulator moments = accumulator(MomentsAccumulator.class);
      meanSensitivity = mean(backend, moments.m0(), moments.samples());
      if (plan.sensitivity().smoothing() > 0) {
        smooth(backend, moments);
      }
      if (!planned.compensable()) {
        backend.clear(moments.m1());
      }
      if (planned.compensable() && plan.criterion() instanceof Criterion.EliminationCompensation) {
        cancelled = cancelled(backend, moments);
      }
      backend.moments().eliminationScores(layer.weights(), moments.m0(), moments.m1(), moments.m2(),
          moments.pilotMean(), moments.samples());
      if (plan.compensation() instanceof Compensation.Bias) {
        compensation = Optional.of(moments.m1());
      }
    }
    return new LayerScores(planned.number(), layer.name(), importance(backend), compensation,
        hasMoments ? Optional.of(meanSensitivity) : Optional.empty());
  }

  /// Takes a part of each neuron's sensitivity from its mean over the samples: M1 = (1 − η) M1 + η s̄ Σ (a − c)ᵀ, and so M2
  /// (docs/method.md, smoothed sensitivities).
  private void smooth(Backend backend, MomentsAccumulator moments) {
    float[] first = new float[layer.inputs()];
    float[] second = new float[layer.inputs()];
    try (Arena arena = Arena.ofConfined()) {
      Sums inputs = accumulator(InputMomentsAccumulator.class).onHost(arena);
      MatrixView pilot = backend.onHost(moments.pilotMean(), arena);
      for (int j = 0; j < first.length; j++) {
        double d = (double) inputs.array("pilot_mean").get(0, j) - pilot.get(0, j); // 0 unless the moments are raw
        double sum = inputs.array("m1").get(0, j);
        first[j] = (float) (sum + d * inputs.samples());
        second[j] = (float) (inputs.array("m2").get(0, j) + 2 * d * sum + d * d * inputs.samples());
      }
    }
    smooth(backend, moments, moments.m1(), first);
    smooth(backend, moments, moments.m2(), second);
    roundoff = SUMS_ROUNDOFF;
  }

  private void smooth(Backend backend, MomentsAccumulator moments, Matrix sums, float... ofInputs) {
    double intensity = plan.sensitivity().smoothing();
    try (Arena arena = Arena.ofConfined(); Matrix row = backend.allocate(1, ofInputs.length)) {
      backend.upload(MatrixView.of(arena, 1, ofInputs.length, ofInputs), row);
      backend.moments().addOuterProduct(1 - intensity, sums, intensity / moments.samples(), moments.m0(), row);
    }
  }

  /// Δb of `ec`, once the sums are scores, whether the plan compensates or not.
  Matrix change() {
    return accumulator(MomentsAccumulator.class).m1();
  }

  private float[] cancelled(Backend backend, MomentsAccumulator moments) {
    try (Arena arena = Arena.ofConfined(); Matrix largest = backend.allocate(1, layer.inputs())) {
      backend.moments().cancelled(layer.weights(), moments.m0(), moments.m1(), moments.m2(),
          ExactMoments.cancelled(Math.max(roundoff, backend.moments().roundoff())), largest);
      return backend.download(largest, arena).toArray();
    }
  }

  /// W² M2 of each input's variances that have cancelled in the scores; 0 of the others.
  float[] cancelled() {
    return cancelled.clone();
  }

  /// Whether variances have cancelled in the scores.
  boolean hasCancelled() {
    for (float size : cancelled) {
      if (size > 0) {
        return true;
      }
    }
    return false;
  }

  /// Finds the inputs whose importances have lost digits that matter.
  ///
  /// @param typical importance of the network's weights
  void findInexact(double typical) {
    exact = ExactMoments.of(layer.outputs(), cancelled, accumulator(MomentsAccumulator.class).samples(), typical);
    exact.ifPresent(sums -> sums.smooth(plan.sensitivity().smoothing(), i -> meanSensitivity[i] / uses));
  }

  /// Sums of the inputs that [#findInexact] found, to be gathered by a second pass.
  Optional<ExactMoments> exact() {
    return exact;
  }

  /// Those that [#findInexact] found.
  Optional<CancelledInputs> cancelledInputs() {
    return exact.map(sums -> new CancelledInputs(sums.numbers(),
        IntStream.range(0, layer.outputs()).mapToObj(i -> meanSensitivity[i] / uses).toList()));
  }

  /// Whether the sums that were [loaded][#load] have the variances of the inputs that [#findInexact] found, if it found
  /// any.
  boolean loadExact() {
    return exact.isEmpty() || (variances.isPresent() && exact.get().load(variances.get()));
  }

  /// Puts the scores that follow from [#exact] in the place of those that the moments gave.
  void replace(Backend backend, LayerScores scores) {
    exact.ifPresent(sums -> sums.replace(backend, layer.weights(), scores.importance(), scores.compensation(),
        accumulator(MomentsAccumulator.class).samples()));
  }

  /// After the moments have become scores.
  private Matrix importance(Backend backend) {
    return switch (plan.criterion()) {
      case Criterion.EliminationCompensation(),Criterion.NonlinearEliminationCompensation() ->
        accumulator(MomentsAccumulator.class).m2();
      case Criterion.Magnitude() -> scaled(backend, filled(layer.inputs(), 1));
      case Criterion.Random() -> {
        Matrix importance = allocate(backend);
        backend.moments().uniform(importance, plan.seed(), planned.number());
        yield importance;
      }
      case Criterion.Wanda() -> {
        InputSquaresAccumulator squares = accumulator(InputSquaresAccumulator.class);
        float[] roots = mean(backend, squares.squares(), squares.samples());
        for (int j = 0; j < roots.length; j++) {
          roots[j] = (float) Math.sqrt(roots[j]);
        }
        yield scaled(backend, roots);
      }
      case Criterion.Gradient() -> {
        LossGradientAccumulator sum = accumulator(LossGradientAccumulator.class);
        // Of the mean, so that scores do not depend on the number of samples.
        backend.moments().absoluteProduct(1.0 / sum.samples(), layer.weights(), sum.gradient(), sum.gradient());
        yield sum.gradient();
      }
    };
  }

  private Matrix allocate(Backend backend) {
    return resources.own(backend.allocateWeights(layer.outputs(), layer.inputs()));
  }

  private static float[] filled(int length, float value) {
    float[] values = new float[length];
    Arrays.fill(values, value);
    return values;
  }

  /// |W| with each column multiplied by a factor.
  private Matrix scaled(Backend backend, float... columnFactors) {
    Matrix importance = allocate(backend);
    try (Arena arena = Arena.ofConfined(); Matrix factor = backend.allocate(1, columnFactors.length)) {
      backend.upload(MatrixView.of(arena, 1, columnFactors.length, columnFactors), factor);
      backend.moments().absoluteProduct(1, layer.weights(), factor, importance);
    }
    return importance;
  }

  private static float[] mean(Backend backend, Matrix row, long samples) {
    try (Arena arena = Arena.ofConfined()) {
      float[] mean = backend.download(row, arena).toArray();
      for (int j = 0; j < mean.length; j++) {
        mean[j] /= samples;
      }
      return mean;
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
