package dev.espalier.engine.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.experiment.InferenceTimes.RandomZeros;
import dev.espalier.engine.experiment.InferenceTimes.Timed;
import dev.espalier.engine.experiment.InferenceTimes.Variant;
import dev.espalier.engine.experiment.Stopwatch.Times;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Test;

final class InferenceTimesTest {
  private static Times times(double... seconds) {
    return new Times(DoubleStream.of(seconds).boxed().toList());
  }

  @Test
  void quartilesAndRatiosOfRounds() {
    Times times = times(5, 1, 3, 2, 4);
    assertEquals(3, times.median());
    assertEquals(2, times.lowerQuartile());
    assertEquals(4, times.upperQuartile());
    assertEquals(2.5, times(1, 4, 2, 3).median());
    // A machine that becomes slower changes no ratio.
    assertEquals(2, times(2, 4, 20).relativeTo(times(1, 2, 10)).upperQuartile());
  }

  @Test
  void allPiecesTakeTurns() {
    List<Times> times = Stopwatch.inTurns(List.of(() -> sleep(1), () -> sleep(4)));
    assertEquals(times.getFirst().seconds().size(), times.getLast().seconds().size());
    assertTrue(times.getFirst().seconds().size() >= 5);
    assertTrue(times.getFirst().median() >= 1e-3 && times.getLast().median() >= 4e-3, times.toString());
    assertTrue(times.getLast().relativeTo(times.getFirst()).median() > 1.5, times.toString());
  }

  private static void sleep(int milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private static List<RandomZeros> curve(double... ratios) {
    List<RandomZeros> curve = new ArrayList<>();
    for (int i = 0; i < ratios.length; i++) {
      curve.add(new RandomZeros(InferenceTimes.SPARSITIES.get(i), times(1), times(ratios[i]), ratios[i]));
    }
    return curve;
  }

  @Test
  void breakEvenIsInterpolated() {
    // The time is that of what is left: half of it at 0.5 costs 2, a fifth at 0.8 costs 0.8, a quarter 1.
    assertEquals(0.75, InferenceTimes.breakEven(curve(2, 1.2, 0.8)).getAsDouble(), 1e-12);
    assertEquals(OptionalDouble.empty(), InferenceTimes.breakEven(curve(3, 2, 1)));
    assertEquals(OptionalDouble.of(0.5), InferenceTimes.breakEven(curve(0.9, 0.8, 0.7)));
    // A ratio that was disturbed at a low sparsity does not count as a win.
    assertTrue(InferenceTimes.breakEven(curve(0.9, 1.3, 0.8)).getAsDouble() > 0.7);
  }

  @Test
  void timesTheVariantsThatANetworkHas() {
    try (Arena arena = Arena.ofShared(); Backend backend = Device.CPU.open()) {
      DenseNetwork chain = TestNetworks.network(arena, 1, List.of(6, 8, 3),
          List.of(Activation.of(Activation.Kind.RELU), Activation.IDENTITY));
      DenseNetwork dead = TestNetworks.network(arena, 2, List.of(6, 8, 3),
          List.of(Activation.of(Activation.Kind.RELU), Activation.IDENTITY));
      for (int j = 0; j < 6; j++) {
        dead.layers().getFirst().weights().set(2, j, 0);
      }
      DenseNetwork graph = TestNetworks.network(arena, 3, TestNetworks.graph(3, 8));
      List<Timed> timed = new InferenceTimes(backend).of(List.of(chain, dead, graph), 3);
      assertTrue(timed.stream().allMatch(each -> each.overflown() == 0), timed::toString);
      List<Map<Variant, Times>> times = timed.stream().map(Timed::times).toList();
      assertEquals(Set.of(Variant.DENSE, Variant.CSR), times.get(0).keySet());
      assertEquals(Set.of(Variant.DENSE, Variant.SHRUNK, Variant.CSR), times.get(1).keySet());
      assertTrue(times.get(2).keySet().containsAll(Set.of(Variant.DENSE, Variant.CSR)), times.get(2)::toString);
      times.forEach(each -> each.values().forEach(time -> assertTrue(time.median() > 0)));
    }
  }

  /// Values that are squared again and again overflow.
  private static int squares(Graph.Builder graph) {
    int value = 0;
    for (int l = 0; l < 12; l++) {
      value = graph.dense("layer" + l, value, 6);
      value = graph.scale(value, Collections.nCopies(6, 4f), Collections.nCopies(6, 0f));
      value = graph.multiply(value, value);
    }
    return value;
  }

  /// The outputs of the others are compared.
  @Test
  void tellsHowManyOutputsOverflow() {
    try (Arena arena = Arena.ofShared(); Backend backend = Device.CPU.open()) {
      Graph.Builder all = new Graph.Builder(6);
      squares(all);
      Graph.Builder some = new Graph.Builder(6);
      some.concat(some.dense("finite", 0, 5), squares(some));
      List<Timed> timed = new InferenceTimes(backend)
          .of(List.of(TestNetworks.network(arena, 1, all.build()), TestNetworks.network(arena, 1, some.build())), 3);
      assertEquals(List.of(3L * 6, 3L * 6), timed.stream().map(Timed::overflown).toList());
      timed.forEach(each -> assertEquals(Set.of(Variant.DENSE, Variant.CSR), each.times().keySet()));
    }
  }

  @Test
  void timesRandomZerosInTheShapesOfAGraph() {
    try (Arena arena = Arena.ofShared(); Backend backend = Device.CPU.open()) {
      Graph.Builder graph = new Graph.Builder(6);
      squares(graph);
      List<RandomZeros> times = new InferenceTimes(backend).ofRandomZeros(TestNetworks.network(arena, 1, graph.build()),
          3);
      assertEquals(InferenceTimes.SPARSITIES, times.stream().map(RandomZeros::sparsity).toList());
      assertTrue(times.stream().allMatch(each -> each.dense().median() > 0 && each.csr().median() > 0));
    }
  }
}
