package dev.espalier.engine.pruning;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.NonlinearCost;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.scoring.Selector;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/// The deviation of a backend's scores from the reference backend's, on some layers and the first samples, and of the
/// weights that they select. It covers forward passes, backward passes, sums and selection.
///
/// @param samples that both scored with
/// @param target by which both select among these layers: the plan's, or half of the weights if that removes nothing
/// @param layers the first, a middle and the last of the planned layers
public record Verification(long samples, Target target, List<Layer> layers) {
  private static final long MOST_SAMPLES = 256;
  private static final long LEAST_SAMPLES = 8;
  /// Of the reference; a core does some 10⁹ a second.
  private static final double OPERATIONS = 2e10;

  /// Deviations as a fraction of the largest absolute value of the reference's scores of the layer.
  ///
  /// @param importance the largest of an importance
  /// @param compensation the largest of a compensation, where there are any
  /// @param selected weights that the reference removes
  /// @param differing weights that one of the two removes and the other keeps
  public record Layer(String name, double importance, OptionalDouble compensation, long selected, long differing) {}

  /// Scores on both backends.
  ///
  /// @param plan of `network` on `backend`
  /// @param data that the plan needs
  /// @throws IOException if a sample cannot be read or is not finite
  public static Verification of(Backend backend, DenseNetwork network, PruningPlan plan, Optional<Dataset> data)
      throws IOException {
    List<ScoringPlan.Layer> all = plan.scoring().layers();
    List<ScoringPlan.Layer> some = IntStream.of(0, all.size() / 2, all.size() - 1).distinct().mapToObj(all::get)
        .toList();
    ScoringPlan planned = plan.scoring();
    ScoringPlan scoring = new ScoringPlan(planned.criterion(), planned.compensation(), some, planned.sensitivity(),
        planned.loss(), planned.batchSize(), planned.seed());
    Optional<Dataset> first = data.map(source -> first(source, network, scoring));
    Target target = plan.options().target().sparsity() > 0 ? plan.options().target() : Target.sparsity(0.5);
    List<Layer> layers = new ArrayList<>();
    try (Backend reference = Device.REFERENCE.open(); Arena arena = Arena.ofConfined()) {
      List<HostScores> expected = scores(reference, network, first, scoring, target, plan, arena);
      List<HostScores> found = scores(backend, network, first, scoring, target, plan, arena);
      for (int i = 0; i < some.size(); i++) {
        layers.add(found.get(i).deviation(network.layers().get(some.get(i).number()).name(), expected.get(i)));
      }
    }
    return new Verification(first.map(source -> source.samples().samples()).orElse(0L), target, layers);
  }

  private static Dataset first(Dataset source, DenseNetwork network, ScoringPlan plan) {
    double operations = 2.0 * network.weights() * (3 + plan.sensitivity().passes(network.outputs()));
    if (plan.criterion() instanceof Criterion.NonlinearEliminationCompensation) {
      operations += 2 * NonlinearCost.operations(network.graph(), plan.layers());
    }
    return source.first(Math.clamp((long) (OPERATIONS / operations), LEAST_SAMPLES, MOST_SAMPLES));
  }

  /// @param left the weights after removal
  private record HostScores(MatrixView importance, Optional<MatrixView> compensation, MatrixView left) {
    Layer deviation(String name, HostScores expected) {
      return new Layer(name, Verification.deviation(expected.importance, importance),
          compensation.isPresent()
              ? OptionalDouble.of(Verification.deviation(expected.compensation.orElseThrow(), compensation.get()))
              : OptionalDouble.empty(),
          expected.left.zeros(), differing(expected.left, left));
    }
  }

  private static List<HostScores> scores(Backend backend, DenseNetwork network, Optional<Dataset> data,
      ScoringPlan plan, Target target, PruningPlan whole, Arena arena) throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = Scorer.score(backend, device, plan, data, ProgressListener.NONE)) {
      List<MatrixView> importances = IntStream.range(0, scores.size())
          .mapToObj(i -> backend.download(scores.importance(i), arena)).toList();
      scores.rank(device);
      scores.apply(device,
          Selector.select(backend, scores, target, whole.options().minPerLayer(), whole.ownSparsities(target)));
      return IntStream.range(0, scores.size())
          .mapToObj(i -> new HostScores(importances.get(i), scores.compensation(i).map(c -> backend.download(c, arena)),
              backend.download(device.layers().get(scores.layer(i)).weights(), arena)))
          .toList();
    }
  }

  private static long differing(MatrixView expected, MatrixView found) {
    long differing = 0;
    for (long i = 0; i < expected.elements(); i++) {
      boolean kept = expected.segment().getAtIndex(MatrixView.ELEMENT, i) != 0;
      differing += kept == (found.segment().getAtIndex(MatrixView.ELEMENT, i) != 0) ? 0 : 1;
    }
    return differing;
  }

  private static double deviation(MatrixView expected, MatrixView found) {
    double largest = 0;
    double difference = 0;
    for (long i = 0; i < expected.elements(); i++) {
      double right = expected.segment().getAtIndex(MatrixView.ELEMENT, i);
      double off = Math.abs(right - found.segment().getAtIndex(MatrixView.ELEMENT, i));
      largest = Math.max(largest, Math.abs(right));
      difference = off <= difference ? difference : off; // NaN stays
    }
    return difference == 0 ? 0 : difference / largest;
  }
}
