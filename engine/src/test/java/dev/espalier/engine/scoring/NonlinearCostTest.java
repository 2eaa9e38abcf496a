package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ExcessiveTimeException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class NonlinearCostTest {
  /// Widths 6, 5, 4, 3.
  private static Graph graph() {
    Graph.Builder builder = new Graph.Builder(6);
    int first = builder.activate(builder.dense("first", 0, 5), Activation.TANH);
    int second = builder.activate(builder.dense("second", first, 4), Activation.RELU);
    builder.dense("last", second, 3);
    return builder.build();
  }

  /// Five trials of each weight: one column of z and of its activation, which counts 40-fold, then four columns that
  /// follow from it, their activations, and a dense layer.
  @Test
  void countsWhatIsAboveALayer() {
    double first = 30 * 5 * (1 + 40 + 4 + 4 * 40 + 4 * 3);
    double second = 20 * 5 * (1 + 40 + 3);
    double last = 12 * 5 * 1;
    assertEquals(first + second + last, NonlinearCost.operations(graph(),
        List.of(new ScoringPlan.Layer(0, true), new ScoringPlan.Layer(1, true), new ScoringPlan.Layer(2, true))));
    assertEquals(first / 5, NonlinearCost.operations(graph(), List.of(new ScoringPlan.Layer(0, false))),
        "without a bias, one trial is enough");
  }

  @Test
  void growsWithSamplesAndRounds() {
    try (Backend reference = new ReferenceBackend()) {
      List<ScoringPlan.Layer> layers = List.of(new ScoringPlan.Layer(1, true));
      NonlinearCost cost = NonlinearCost.of(reference, graph(), layers, 1000, 2.5);
      assertEquals(2500 * NonlinearCost.operations(graph(), layers), cost.operations());
      assertTrue(cost.rate() > 1e5 && cost.rate() < 1e12, cost::toString);
    }
  }

  /// Milliseconds that are measured, and the rate that each measurement finds; the work takes 600 s at a rate of 1.
  @ParameterizedTest
  @CsvSource({"20, 10", // clearly reasonable
      "20 200, 9 8", // reasonable
      "20 200, 0.5 1", // reasonable at the second look
      "20 200 200 200, 0.01 0.5 0.2 1.5", // a busy machine
      "20 200 200 200, 0.5 0.25 0.75 0.5"}) // unreasonable
  void measuresAgainBeforeItRefuses(String measured, String rates) {
    double[] found = Arrays.stream(rates.split(" ")).mapToDouble(Double::parseDouble).toArray();
    List<String> asked = new ArrayList<>();
    NonlinearCost cost = NonlinearCost.of(600, nanos -> {
      asked.add(String.valueOf(Duration.ofNanos(nanos).toMillis()));
      return found[asked.size() - 1];
    });
    assertEquals(measured, String.join(" ", asked));
    assertEquals(new NonlinearCost(600, Arrays.stream(found).max().orElseThrow()), cost);
  }

  @ParameterizedTest
  @CsvSource({"601, 10 minutes", "7199, 119 minutes", "7200, 2 hours", "172799, 47 hours", "172800, 2 days"})
  void refusesMoreThanTenMinutes(long seconds, String text) {
    new NonlinearCost(600e9, 1e9).requireReasonable();
    ExcessiveTimeException refusal = assertThrows(ExcessiveTimeException.class,
        () -> new NonlinearCost(seconds * 1e9, 1e9).requireReasonable());
    assertTrue(refusal.getMessage().startsWith("criterion ec-nonlinear would take about %s: ".formatted(text)),
        refusal::getMessage);
    assertTrue(refusal.getMessage().endsWith(" multiply-adds at 1.0e+09 a second"), refusal::getMessage);
    assertEquals(Duration.ofSeconds(seconds), refusal.estimate());
  }
}
