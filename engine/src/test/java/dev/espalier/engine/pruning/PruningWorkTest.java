package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MomentOperations;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Estimates against the products that a pruning asks a backend for.
final class PruningWorkTest {
  private static final int SAMPLES = 90;

  private final Arena arena = Arena.ofConfined();
  private final ReferenceBackend reference = new ReferenceBackend();
  private final Backend backend = proxy(Backend.class, reference);
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(14, 12, 9, 4),
      List.of(Activation.TANH, Activation.RELU, Activation.IDENTITY));
  private final Dataset data = TestNetworks
      .source(TestNetworks.normal(arena, TestNetworks.random(2), SAMPLES, 14, 1, 0));
  private double counted;

  @AfterEach
  void close() {
    reference.close();
    arena.close();
  }

  private <T> T proxy(Class<T> type, T object) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[]{type}, (_, method, arguments) -> {
      count(method, arguments);
      try {
        Object result = method.invoke(object, arguments);
        return switch (result) {
          case NetworkOperations operations -> proxy(NetworkOperations.class, operations);
          case MomentOperations operations -> proxy(MomentOperations.class, operations);
          case Workers _ -> Workers.alone(backend);
          case null, default -> result;
        };
      } catch (InvocationTargetException e) {
        throw e.getCause();
      }
    }));
  }

  private void count(Method method, Object[] arguments) {
    counted += switch (method.getName()) {
      case "product" -> (double) ((Matrix) arguments[6]).elements()
          * ((boolean) arguments[2] ? ((Matrix) arguments[1]).rows() : ((Matrix) arguments[1]).columns());
      case "denseForward", "denseBackward" ->
        (double) ((Matrix) arguments[0]).rows() * ((Matrix) arguments[1]).elements();
      case "addMoments" -> 2.0 * ((Matrix) arguments[0]).rows() * ((Matrix) arguments[4]).elements();
      default -> 0;
    };
  }

  private PruningPlan run(double sparsity, PruningOptions.Builder options) throws IOException {
    PruningOptions built = options.sparsity(sparsity).measureOutputChange(false).build();
    PruningPlan plan = PruningPlan.of(built, network, Optional.of(data), backend);
    new Pruner(backend, built).prune(network, Optional.of(data), ProgressListener.NONE, arena);
    return plan;
  }

  @Test
  void scoringIsCountedExactly() throws IOException {
    for (Criterion criterion : List.of(new Criterion.EliminationCompensation(), new Criterion.Wanda(),
        new Criterion.Magnitude())) {
      for (Schedule schedule : List.of(Schedule.parse("oneshot"), Schedule.parse("linear:3"))) {
        counted = 0;
        PruningPlan plan = run(0.9,
            PruningOptions.builder().criterion(criterion).schedule(schedule).sensitivity(new Sensitivity.Probes(2)));
        assertEquals(counted, plan.work().orElseThrow().multiplyAdds(), criterion + ", " + schedule);
      }
    }
  }

  @Test
  void aTiedLayerCountsForEachUse() throws IOException {
    Graph.Builder builder = new Graph.Builder(14);
    int first = builder.activate(builder.dense("a", 0, 12), Activation.TANH);
    int step = builder.dense("step", first, 12);
    builder.dense("b", builder.again(step, builder.activate(step, Activation.TANH)), 4);
    DenseNetwork tied = TestNetworks.network(arena, 1, builder.build());
    PruningOptions options = PruningOptions.builder().sparsity(0.9).measureOutputChange(false)
        .sensitivity(new Sensitivity.Probes(2)).build();
    PruningPlan plan = PruningPlan.of(options, tied, Optional.of(data), backend);
    new Pruner(backend, options).prune(tied, Optional.of(data), ProgressListener.NONE, arena);
    assertEquals(counted, plan.work().orElseThrow().multiplyAdds());
  }

  /// Where neurons have died, a joint repair does far less than its estimate.
  @ParameterizedTest
  @CsvSource({"0.9, refit, linear:3", "0.9, refit:iterations=7, oneshot", "0.9, distill, linear:2",
      "0.1, joint:tolerance=0, linear:4", "0.1, refit+joint:tolerance=0, oneshot"})
  void repairsAreEstimated(double sparsity, String repairs, String schedule) throws IOException {
    PruningPlan plan = run(sparsity, PruningOptions.builder().sensitivity(new Sensitivity.Probes(1))
        .schedule(Schedule.parse(schedule)).repair(Repairs.parse(repairs)));
    double estimated = plan.work().orElseThrow().multiplyAdds();
    assertTrue(counted <= 1.1 * estimated && counted >= 0.4 * estimated,
        "%.4g counted, %s".formatted(counted, plan.work()));
  }

  @Test
  void isNamedByParts() throws IOException {
    PruningPlan plan = run(0.9, PruningOptions.builder().schedule(Schedule.parse("linear:3"))
        .repair(Repairs.parse("refit+distill:mse:last=2")));
    Map<String, Double> parts = plan.work().orElseThrow().parts();
    assertEquals(List.of("scoring", "refit", "distill:mse:last=2"), List.copyOf(parts.keySet()));
    assertEquals(
        parts.entrySet().stream().map(part -> "%s %.1e".formatted(part.getKey(), part.getValue()))
            .collect(Collectors.joining(", ", "", "; the report has the seconds")),
        plan.work().get().toString().split(": ", 2)[1]);
    assertTrue(plan.toString().contains(" multiply-adds in 3 rounds: scoring "), plan.toString());
  }

  /// The last round trains longer, and the first one prepares the repairs.
  @Test
  void isSharedByRounds() throws IOException {
    PruningWork work = run(0.9, PruningOptions.builder().schedule(Schedule.parse("linear:3"))
        .repair(Repairs.parse("refit+distill:mse:epochs=2:last=9"))).work().orElseThrow();
    assertEquals(work.multiplyAdds(), work.byRound().stream().mapToDouble(Double::doubleValue).sum(),
        1e-9 * work.multiplyAdds());
    assertTrue(work.byRound().get(0) > work.byRound().get(1), work.byRound()::toString);
    assertTrue(work.byRound().get(2) > 2 * work.byRound().get(1), work.byRound()::toString);
    assertEquals(0, work.share(0));
    assertEquals(work.byRound().get(0) / work.multiplyAdds(), work.share(1), 1e-12);
    assertEquals(1, work.share(3), 1e-12);
  }
}
