package dev.espalier.engine.pruning;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Needs;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import dev.espalier.engine.scoring.NonlinearCost;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.Statistic;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// The multiply-adds of the matrix products that a pruning takes, estimated from the shapes of the dense network,
/// those of a tied layer once for each use. A `refit` takes fewer than that where inputs of a layer have no weights left,
/// and a `joint` repair, because it computes without neurons that do nothing and ends when it gains little: what a round
/// will leave is not known before. A training that is repeated at a lower rate takes more.
///
/// @param rounds of the schedule, or the attempts of a search: the multiply-adds of the scoring, and of each repair by
///               its name; what a repair does once counts for the first
/// @param isSearch whether they are attempts
public record PruningWork(List<Map<String, Double>> rounds, boolean isSearch) {
  /// The name of the scoring among the parts.
  public static final String SCORING = "scoring";

  /// Counts for one sample; a layer that reads the samples themselves passes no gradient on.
  private record Counts(Graph graph, List<ScoringPlan.Layer> layers) {
    double forward() {
      return graph.multiplyAdds();
    }

    double backward() {
      return sum(node -> readsSamples(node) ? 0 : weights(node));
    }

    /// Forward, backward, and the gradients of the weights.
    double training() {
      return 2 * forward() + backward();
    }

    /// The Gauss-Newton matrix times a direction: tangents from weights and from inputs, backward, gradients.
    double curvature() {
      return 2 * (forward() + backward());
    }

    double scoring(ScoringPlan plan) {
      Needs needs = plan.needs();
      if (!needs.samples()) {
        return 0;
      }
      double statistics = planned(
          node -> needs.statistics().stream().mapToDouble(statistic -> products(statistic, node)).sum());
      double changes = plan.criterion() instanceof Criterion.NonlinearEliminationCompensation
          ? NonlinearCost.operations(graph, layers)
          : 0;
      return forward() + needs.backwardPasses(plan.sensitivity(), graph.outputs()) * backward() + statistics + changes;
    }

    private static double products(Statistic statistic, Node.Dense node) {
      return switch (statistic) {
        case Statistic.WeightedMoments() -> 2 * weights(node);
        case Statistic.LossGradient() -> weights(node);
        case Statistic.InputSquares(),Statistic.InputMoments(),Statistic.Parameters() -> 0;
        case Statistic.Variances() -> 0; // on the host
        case Statistic.Covariance(Statistic.Covariance.Pair pair) -> switch (pair) {
          case INPUTS -> (double) node.inputWidth() * node.inputWidth();
          case ERRORS -> weights(node);
        };
      };
    }

    /// Forward, layers again behind a layer that was fitted, the inputs with themselves, and the errors with the inputs.
    double refitSums() {
      return forward() + backward()
          + planned(node -> readsSamples(node) ? 0 : (double) node.inputWidth() * (node.inputWidth() + node.width()));
    }

    /// What a repair does once: it runs the dense network, and a refit multiplies samples with themselves.
    double once(Repair repair) {
      return switch (repair) {
        case Repair.Refit _ ->
          forward() + planned(node -> readsSamples(node) ? (double) node.inputWidth() * node.inputWidth() : 0);
        case Repair.Joint _,Repair.Distill _ -> forward();
        case Repair.FineTune _ -> 0;
      };
    }

    /// The search for the weights, which takes as long for any number of samples.
    double refitSteps(Repair.Refit refit) {
      int iterations = refit.iterations().orElse(Repair.Refit.ITERATIONS);
      return layers.stream().map(layer -> graph.layers().get(layer.number()))
          .mapToDouble(node -> (iterations + (readsSamples(node) ? 1 : 0)) * weights(node) * node.inputWidth()).sum();
    }

    /// Over all uses of the layers of the plan.
    private double planned(ToDoubleFunction<Node.Dense> count) {
      return layers.stream().flatMapToInt(layer -> Arrays.stream(graph.uses(layer.number())))
          .mapToDouble(use -> count.applyAsDouble((Node.Dense) graph.nodes().get(use))).sum();
    }

    private double sum(ToDoubleFunction<Node.Dense> count) {
      return graph.denseNodes().stream().mapToDouble(count).sum();
    }

    private static boolean readsSamples(Node.Dense node) {
      return node.input() == 0;
    }

    private static double weights(Node.Dense node) {
      return (double) node.width() * node.inputWidth();
    }
  }

  /// Keeps the order.
  public PruningWork {
    rounds = rounds.stream().map(parts -> Collections.unmodifiableMap(new LinkedHashMap<>(parts))).toList();
  }

  /// Of the rounds of a schedule.
  ///
  /// @param rounds the target of each
  /// @param stops those whose networks are wanted
  static PruningWork of(Graph graph, ScoringPlan scoring, Repairs repairs, List<Target> rounds, List<Target> stops,
      long samples) {
    return new PruningWork(IntStream.range(0, rounds.size())
        .mapToObj(r -> round(graph, scoring, repairs, rounds.get(r), stops.contains(rounds.get(r)), r == 0, samples))
        .toList(), false);
  }

  /// One round.
  ///
  /// @param isStop whether its network is wanted
  /// @param isFirst whether repairs begin with it
  static Map<String, Double> round(Graph graph, ScoringPlan scoring, Repairs repairs, Target target, boolean isStop,
      boolean isFirst, long samples) {
    Counts counts = new Counts(graph, scoring.layers());
    Map<String, Double> parts = new LinkedHashMap<>();
    parts.put(SCORING, samples * counts.scoring(scoring));
    for (Repair repair : repairs.steps()) {
      double work = (isFirst ? samples * counts.once(repair) : 0)
          + repair(counts, repair, isStop, 1 - target.sparsity(), samples);
      parts.merge(repair.toString(), work, Double::sum);
    }
    return parts;
  }

  /// @param left the part of the weights that is left
  private static double repair(Counts counts, Repair repair, boolean isStop, double left, long samples) {
    return switch (repair) {
      case Repair.Refit refit -> samples * counts.refitSums() + counts.refitSteps(refit);
      case Repair.Joint joint -> {
        if (!isStop && left > Repair.Joint.ROUNDS_FROM) {
          yield 0;
        }
        int parts = isStop ? 1 : 2;
        int outer = Math.ceilDiv(joint.outer().orElse(Repair.Joint.OUTER), parts);
        int inner = Math.ceilDiv(joint.inner().orElse(Repair.Joint.INNER), parts);
        yield samples * outer * (counts.training() + counts.forward() + inner * counts.curvature());
      }
      case Repair.Distill distill -> samples * counts.training()
          * (isStop
              ? distill.lastEpochs().orElse(Repair.Distill.LAST_EPOCHS)
              : distill.epochs().orElse(Repair.Distill.EPOCHS));
      case Repair.FineTune tuning -> samples * counts.training() * tuning.epochs().orElse(Repair.FineTune.EPOCHS);
    };
  }

  /// The rounds from one on.
  ///
  /// @param done how many are left out
  public PruningWork after(int done) {
    return new PruningWork(rounds.subList(Math.min(done, rounds.size()), rounds.size()), isSearch);
  }

  /// Those of all rounds together, by the names of the parts.
  public Map<String, Double> parts() {
    Map<String, Double> all = new LinkedHashMap<>();
    rounds.forEach(round -> round.forEach((part, work) -> all.merge(part, work, Double::sum)));
    return all;
  }

  /// Those of each round.
  public List<Double> byRound() {
    return rounds.stream().map(round -> round.values().stream().mapToDouble(Double::doubleValue).sum()).toList();
  }

  /// The share of the work that the first rounds take, 0..1.
  double share(int firstRounds) {
    double all = multiplyAdds();
    return all == 0
        ? (double) firstRounds / rounds.size()
        : byRound().stream().limit(firstRounds).mapToDouble(Double::doubleValue).sum() / all;
  }

  /// The multiply-adds of all parts.
  public double multiplyAdds() {
    return parts().values().stream().mapToDouble(Double::doubleValue).sum();
  }

  private String attempts() {
    long scored = rounds.stream().filter(round -> round.getOrDefault(SCORING, 0.0) > 0).count();
    String attempts = Nouns.counted(rounds.size(), "attempt");
    return scored == 0 || scored == rounds.size()
        ? attempts
        : attempts + (scored == 1 ? ", scored once" : ", scored %d times".formatted(scored));
  }

  /// For example `2.4e+11 multiply-adds in 22 rounds: scoring 1.1e+11, refit 1.3e+11; the report has the seconds`. Of a
  /// search `in 11 attempts, scored once`, where scores by samples are not those of each attempt.
  @Override
  public String toString() {
    return String.format(Locale.ROOT, "%.1e multiply-adds in %s: ", multiplyAdds(),
        isSearch ? attempts() : Nouns.counted(rounds.size(), "round"))
        + parts().entrySet().stream().map(part -> String.format(Locale.ROOT, "%s %.1e", part.getKey(), part.getValue()))
            .collect(Collectors.joining(", ", "", "; the report has the seconds"));
  }
}
