package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class SparkPrunerTest {
  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = Fixture.network(arena);

  @AfterEach
  void close() {
    arena.close();
  }

  @Test
  void prunesAsOneMachine() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.6).build();
    PruningResult found = new SparkPruner(options, Device.CPU).prune(network,
        SparkSamples.of(Fixture.arrays(4), SampleColumns.of("x")), arena);
    try (Backend backend = Device.CPU.open()) {
      PruningResult expected = new Pruner(backend, options).prune(network, Dataset.of(Fixture.onOneMachine(arena)),
          arena);
      assertEquals(expected.removed(), found.removed());
      for (int l = 0; l < network.layers().size(); l++) {
        DenseLayer one = expected.network().layers().get(l);
        DenseLayer other = found.network().layers().get(l);
        assertArrayEquals(one.weights().toArray(), other.weights().toArray(), one.name());
        assertBiases(one, other, Fixture.largestInputs(network, l));
      }
    }
  }

  /// A bias moves by wᵢⱼ times a weighted mean of aⱼ for each weight that is removed. A sum of n terms rounds n times,
  /// with n u of their sizes at most: that is n u |aⱼ| of a mean, for each of M0 and M1, on each of the two machines.
  private static void assertBiases(DenseLayer one, DenseLayer other, double... largest) {
    for (int i = 0; i < one.outputs(); i++) {
      double tolerance = 0;
      for (int j = 0; j < one.inputs(); j++) {
        tolerance += 4 * Fixture.SAMPLES * 0x1p-24 * largest[j];
      }
      assertEquals(one.bias().orElseThrow().get(0, i), other.bias().orElseThrow().get(0, i), tolerance);
    }
  }

  @Test
  void whatNeedsTheSamplesInEachRoundIsRefused() {
    assertEquals("repair refit needs the samples in each round, and Spark gathers sums for scores alone: leave it out",
        assertThrows(MismatchException.class,
            () -> new SparkPruner(PruningOptions.builder().repair(new Repair.Refit()).build(), Device.CPU))
            .getMessage());
    assertEquals("schedule linear:3 needs the samples in each round, and Spark gathers sums once: use oneshot",
        assertThrows(MismatchException.class,
            () -> new SparkPruner(PruningOptions.builder().schedule(Schedule.parse("linear:3")).build(), Device.CPU))
            .getMessage());
  }
}
