package dev.espalier.engine.scoring;

import dev.espalier.engine.ExcessiveTimeException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import dev.espalier.engine.pass.ChangePass;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.function.LongToDoubleFunction;

/// What scores by `ec-nonlinear` cost, estimated before they are computed: within a factor of about two.
///
/// @param operations multiply-adds, and what takes as long as one
/// @param rate operations in a second
public record NonlinearCost(double operations, double rate) {
  /// What a run may take without being asked for.
  static final Duration REASONABLE = Duration.ofMinutes(10);

  /// Trials that the search for the minimum of a weight takes, about.
  private static final int TRIALS = 5;
  /// Rows and columns of the products that are timed, how many are at least, and for how long.
  private static final int ROWS = 1024;
  private static final int COLUMNS = 64;
  private static final int LEAST_PRODUCTS = 10;
  private static final long BRIEF = 20_000_000;
  /// How long is measured, and how often at most, where the brief measurement has not shown a time below this.
  private static final long LONG = 200_000_000;
  private static final int MEASUREMENTS = 3;
  private static final Duration CLEARLY_REASONABLE = REASONABLE.dividedBy(10);

  /// The cost of scoring all weights of some layers.
  ///
  /// @param backend multiplies a few matrices to be timed
  /// @param scorings how many; a part of one where some of the weights are left
  public static NonlinearCost of(Backend backend, Graph graph, List<ScoringPlan.Layer> layers, long samples,
      double scorings) {
    return of(scorings * samples * operations(graph, layers), nanos -> rate(backend, nanos));
  }

  /// Operations for a single sample.
  public static double operations(Graph graph, List<ScoringPlan.Layer> layers) {
    double operations = 0;
    for (ScoringPlan.Layer layer : layers) {
      Node.Dense dense = graph.layers().get(layer.number());
      double trials = (double) dense.width() * dense.inputWidth() * (layer.compensable() ? TRIALS : 1);
      operations += trials * ChangePass.operations(graph, layer.number());
    }
    return operations;
  }

  /// The cost at the highest rate of several measurements, of which there are more the more depends on them: on a busy
  /// machine any may be too low.
  ///
  /// @param rate operations in a second, measured for a number of nanoseconds
  static NonlinearCost of(double operations, LongToDoubleFunction rate) {
    NonlinearCost cost = new NonlinearCost(operations, rate.applyAsDouble(BRIEF));
    if (cost.time().compareTo(CLEARLY_REASONABLE) > 0) {
      for (int i = 0; i < MEASUREMENTS && (i == 0 || cost.time().compareTo(REASONABLE) > 0); i++) {
        cost = new NonlinearCost(operations, Math.max(cost.rate, rate.applyAsDouble(LONG)));
      }
    }
    return cost;
  }

  /// That of the fastest product: the first ones compile their code, and any may wait for a core.
  ///
  /// @param nanos to measure for at least
  private static double rate(Backend backend, long nanos) {
    try (Resources resources = new Resources()) {
      Matrix rows = resources.own(backend.allocate(ROWS, COLUMNS));
      Matrix weights = resources.own(backend.allocate(COLUMNS, COLUMNS));
      Matrix products = resources.own(backend.allocate(ROWS, COLUMNS));
      long least = Long.MAX_VALUE;
      long elapsed = 0;
      for (int i = 0; i < LEAST_PRODUCTS || elapsed < nanos; i++) {
        long start = System.nanoTime();
        backend.network().product(1, rows, false, weights, true, 0, products);
        backend.solving().dot(products, products); // waits for it
        long took = System.nanoTime() - start;
        least = Math.min(least, took);
        elapsed += took;
      }
      return (double) ROWS * COLUMNS * COLUMNS / (least * 1e-9);
    }
  }

  /// The time that it takes.
  public Duration time() {
    return Duration.ofSeconds(Math.round(operations / rate));
  }

  /// @throws ExcessiveTimeException if it takes more than ten minutes
  public void requireReasonable() {
    if (time().compareTo(REASONABLE) > 0) {
      throw new ExcessiveTimeException(
          String.format(Locale.ROOT, "criterion ec-nonlinear would take about %s: %.1e multiply-adds at %.1e a second",
              text(time()), operations, rate),
          time());
    }
  }

  /// In minutes, hours or days.
  private static String text(Duration time) {
    if (time.toHours() < 2) {
      return time.toMinutes() + " minutes";
    }
    return time.toDays() < 2 ? time.toHours() + " hours" : time.toDays() + " days";
  }
}
