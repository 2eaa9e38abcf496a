package dev.espalier.engine.scoring;

import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Needs;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.LayerShape;
import dev.espalier.engine.statistics.Statistic;
import java.util.List;
import java.util.Optional;

/// The plan of a scoring pass: every choice is made.
///
/// @param layers the layers to score, ascending
/// @param sensitivity how sensitivities are found, where they are needed
/// @param loss of a criterion, or of a fine-tuning, that needs labels
/// @param batchSize samples in a batch, at least 1
/// @param seed of probes and of the random criterion
public record ScoringPlan(Criterion criterion, Compensation compensation, List<Layer> layers, Sensitivity sensitivity,
    Optional<Loss> loss, int batchSize, long seed) {
  /// A layer to score.
  ///
  /// @param number in its network, from 0
  /// @param compensable whether its bias may move; otherwise its weights are scored uncompensated
  public record Layer(int number, boolean compensable) {}

  /// @throws IllegalArgumentException if the batch size is below 1
  public ScoringPlan {
    layers = List.copyOf(layers);
    if (batchSize < 1) {
      throw new IllegalArgumentException("batch size %d: use at least 1".formatted(batchSize));
    }
  }

  /// Whether importances predict squared changes of the network's output.
  public boolean predictsOutputChange() {
    return switch (criterion) {
      case Criterion.EliminationCompensation() -> sensitivity.isOfOutput() && sensitivity.smoothing() == 0;
      case Criterion.NonlinearEliminationCompensation() -> true;
      case Criterion.Magnitude _,Criterion.Gradient _,Criterion.Wanda _,Criterion.Random _ -> false;
    };
  }

  /// What the plan must know of the samples.
  public Needs needs() {
    return needs(criterion, compensation, sensitivity);
  }

  /// What a choice must know of the samples.
  public static Needs needs(Criterion criterion, Compensation compensation, Sensitivity sensitivity) {
    Needs needs = criterion.needs().and(compensation.needs());
    return needs.sensitivities() && sensitivity.smoothing() > 0
        ? needs.and(Needs.of(new Statistic.InputMoments()))
        : needs;
  }

  /// Bytes that the sums and scores of a layer take.
  public static long bytes(LayerShape layer, Criterion criterion, Compensation compensation, Sensitivity sensitivity) {
    long own = LayerScorer.takesMemoryOfItsOwn(criterion) ? layer.elements() : 0;
    return (needs(criterion, compensation, sensitivity).elements(layer) + own) * Float.BYTES;
  }

  /// Bytes that scoring takes beside sums, scores and the values of a batch.
  public static long workspace(Graph graph, Criterion criterion, List<Layer> layers, int batchSize) {
    return criterion instanceof Criterion.NonlinearEliminationCompensation
        ? layers.stream().mapToLong(layer -> NonlinearScorer.bytes(graph, layer.number(), batchSize)).max().orElse(0)
        : 0;
  }
}
