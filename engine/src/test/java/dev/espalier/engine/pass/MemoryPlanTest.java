package dev.espalier.engine.pass;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.lang.reflect.Proxy;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import org.junit.jupiter.api.Test;

/// Of a residual block: nodes 0 to 6 of 10, 20, 20, 20, 20, 5 and 5 numbers a sample, 710 weights and biases.
final class MemoryPlanTest {
  private static final Graph GRAPH = graph();
  private static final long WEIGHTS = (20 * 11 + 20 * 21 + 5 * 21) * 4L;
  private static final long SCORES = 5000;
  /// Values of all nodes.
  private static final int VALUES = 10 + 20 + 20 + 20 + 20 + 5 + 5;
  /// Gradients of all nodes but the input, because several read the first activation and a sum is no activation.
  private static final int GRADIENTS = 20 + 20 + 20 + 20 + 5 + 5;
  private static final int SENSITIVITIES = 20 + 20 + 5;

  private static Graph graph() {
    Graph.Builder builder = new Graph.Builder(10);
    int hidden = builder.activate(builder.dense("first", 0, 20), Activation.RELU);
    int sum = builder.add(hidden, builder.dense("second", hidden, 20));
    builder.activate(builder.dense("last", sum, 5), Activation.SOFTMAX);
    return builder.build();
  }

  /// Of sensitivities and stacked gradients beside those of a loss, its targets and losses.
  private static long batch(int samples, int copies) {
    return samples * (VALUES + Math.max(VALUES, SENSITIVITIES + (copies + 1L) * GRADIENTS + 3 * 5 + 1)) * 4;
  }

  private static MemoryPlan plan(Optional<MemoryBudget> budget, OptionalInt requested) {
    return plan(budget, requested, 0);
  }

  private static MemoryPlan plan(Optional<MemoryBudget> budget, OptionalInt requested, long samples) {
    try (Backend reference = new ReferenceBackend()) {
      Backend backend = (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(), new Class<?>[]{Backend.class},
          (_, method, arguments) -> method.getName().equals("memory") ? budget : method.invoke(reference, arguments));
      return MemoryPlan.of(backend, GRAPH, new MemoryPlan.Demand(SCORES, _ -> 0, 5, samples), requested);
    }
  }

  @Test
  void countsWhatIsAllocatedWhereMemoryIsNotCounted() {
    assertEquals(new MemoryPlan(WEIGHTS, SCORES, batch(512, 5), 0, 0, 0, 512, OptionalLong.empty(), 1),
        plan(Optional.empty(), OptionalInt.empty()));
    assertEquals(new MemoryPlan(WEIGHTS, SCORES, batch(7, 5), 0, 0, 0, 7, OptionalLong.empty(), 1),
        plan(Optional.empty(), OptionalInt.of(7)));
    assertEquals("weights 3 KiB, scores 5 KiB, batch of 7 samples 20 KiB",
        plan(Optional.empty(), OptionalInt.of(7)).toString());
  }

  @Test
  void halvesTheBatchUntilItFits() {
    long bytes = WEIGHTS + SCORES + batch(128, 5);
    assertEquals(new MemoryPlan(WEIGHTS, SCORES, batch(128, 5), 0, 0, 0, 128, OptionalLong.of(bytes), 1),
        plan(Optional.of(new MemoryBudget(bytes, bytes)), OptionalInt.empty()));
    assertEquals(64, plan(Optional.of(new MemoryBudget(bytes - 1, bytes)), OptionalInt.empty()).batchSize());
    assertEquals(1,
        plan(Optional.of(new MemoryBudget(WEIGHTS + SCORES + batch(1, 5), bytes)), OptionalInt.empty()).batchSize());
  }

  @Test
  void whatDoesNotFitLiesInHostMemory() {
    MemoryPlan plan = plan(Optional.of(new MemoryBudget(1 << 20, 6000)), OptionalInt.of(100));
    assertEquals(WEIGHTS + SCORES - 6000, plan.onHost());
    assertEquals("weights 3 KiB, scores 5 KiB, batch of 100 samples 274 KiB, of 1.0 MiB; "
        + "2 KiB of weights and scores lie in host memory", plan.toString());
  }

  /// Beside the run and copies of the network, within what weights may take.
  @Test
  void samplesStayWhereTheyFit() {
    long run = 5 * WEIGHTS + SCORES + batch(100, 5);
    MemoryPlan plan = plan(Optional.of(new MemoryBudget(1 << 20, run + 4000)), OptionalInt.of(100), 4000);
    assertEquals(4000, plan.samples());
    assertEquals("weights 3 KiB, scores 5 KiB, batch of 100 samples 274 KiB, samples that stay 4 KiB, of 1.0 MiB",
        plan.toString());
    assertEquals(0, plan(Optional.of(new MemoryBudget(1 << 20, run + 3999)), OptionalInt.of(100), 4000).samples());
    assertEquals(0, plan(Optional.empty(), OptionalInt.of(100), 4000).samples(), "there memory is the host's");
  }

  @Test
  void refusesABatchThatDoesNotFit() {
    MemoryBudget budget = new MemoryBudget(100_000, 6000);
    refused(
        "a batch of 100 samples needs 274 KiB beside 6 KiB of weights and scores, and the GPU memory to use is 98 KiB",
        Remedy.SMALLER_BATCH, budget, OptionalInt.of(100));
    MemoryBudget none = new MemoryBudget(8000, 6000);
    for (OptionalInt requested : new OptionalInt[]{OptionalInt.empty(), OptionalInt.of(1)}) {
      refused("a batch of 1 sample needs 3 KiB beside 6 KiB of weights and scores, and the GPU memory to use is 8 KiB",
          Remedy.MORE_DEVICE_MEMORY, none, requested);
    }
  }

  private static void refused(String message, Remedy remedy, MemoryBudget budget, OptionalInt requested) {
    OutOfBackendMemoryException refusal = assertThrows(OutOfBackendMemoryException.class,
        () -> plan(Optional.of(budget), requested));
    assertEquals(message, refusal.getMessage());
    assertEquals(Set.of(remedy), refusal.remedies());
  }

  /// As many of the passes as give a gradient of the widest node 2²³ elements at the most, and about as many in each.
  @Test
  void stacksPassesUpToALimit() {
    try (Backend backend = new ReferenceBackend()) {
      assertEquals(5, MemoryPlan.stackedCopies(backend, 512, GRAPH, 5));
      assertEquals(1, MemoryPlan.stackedCopies(backend, 1 << 20, GRAPH, 5));
      int samples = (1 << 23) / (20 * 7); // seven copies fit
      assertEquals(7, MemoryPlan.stackedCopies(backend, samples, GRAPH, 7));
      assertEquals(4, MemoryPlan.stackedCopies(backend, samples, GRAPH, 8));
      assertEquals(5, MemoryPlan.stackedCopies(backend, samples, GRAPH, 15));
    }
  }
}
