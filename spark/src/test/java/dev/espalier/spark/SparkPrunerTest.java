package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
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

  /// Conjugate gradients solve (H + λ h I) D = C, where h is the mean of H's diagonal, and λ = 0.1 for so few samples: the
  /// largest eigenvalue of H is at most its trace, so the condition number is at most 10 · inputs + 1. H and C are rounded
  /// by some units, as the products of each iteration are.
  @Test
  void refitsInRoundsAsOneMachine() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.6).schedule(Schedule.parse("linear:3"))
        .repair(new Repair.Refit()).build();
    PruningResult found = new SparkPruner(options, Device.REFERENCE).prune(network,
        SparkSamples.of(Fixture.arrays(4), SampleColumns.of("x")), arena);
    try (Backend backend = Device.REFERENCE.open()) {
      PruningResult expected = new Pruner(backend, options).prune(network, Dataset.of(Fixture.onOneMachine(arena)),
          arena);
      assertEquals(expected.removed(), found.removed());
      for (int l = 0; l < network.layers().size(); l++) {
        DenseLayer one = expected.network().layers().get(l);
        DenseLayer other = found.network().layers().get(l);
        double size = Math.sqrt(one.weights().squaredNorm());
        double tolerance = (10.0 * one.inputs() + 1) * 16 * 0x1p-24 * size;
        assertArrayEquals(one.weights().toArray(), other.weights().toArray(), (float) tolerance, one.name());
        assertEquals(one.weights().zeros(), other.weights().zeros());
        assertTrue(one.weights().squaredDistance(network.layers().get(l).weights()) > 0, "the layer was refitted");
      }
    }
  }

  /// One pilot mean for an input of two clusters far apart: a second pass sums the variances that cancel.
  @Test
  void carriesCancelledVariances() throws IOException {
    float[][] rows = Fixture.samples();
    for (int n = 0; n < rows.length; n++) {
      rows[n][3] += n % 10 == 0 ? 1e7f : 0;
    }
    PruningOptions options = PruningOptions.builder().sparsity(0.3).build();
    PruningResult found = new SparkPruner(options, Device.REFERENCE).prune(network,
        SparkSamples.of(Fixture.arrays(3, rows), SampleColumns.of("x")), arena);
    try (Backend backend = Device.REFERENCE.open()) {
      PruningResult expected = new Pruner(backend, options).prune(network,
          Dataset.of(Fixture.onOneMachine(arena, rows)), arena);
      for (int l = 0; l < network.layers().size(); l++) {
        assertArrayEquals(expected.network().layers().get(l).weights().toArray(),
            found.network().layers().get(l).weights().toArray());
        float[] biases = expected.network().layers().get(l).bias().orElseThrow().toArray();
        for (int i = 0; i < biases.length; i++) {
          assertEquals(biases[i], found.network().layers().get(l).bias().orElseThrow().get(0, i),
              1e-5 * Math.abs(biases[i]) + 1e-4);
        }
      }
    }
  }

  @Test
  void refitsToTheSameBits() throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.5).repair(new Repair.Refit()).build();
    SparkSamples samples = SparkSamples.of(Fixture.arrays(3), SampleColumns.of("x"));
    PruningResult first = new SparkPruner(options, Device.CPU).prune(network, samples, arena);
    PruningResult second = new SparkPruner(options, Device.CPU).prune(network, samples, arena);
    for (int l = 0; l < network.layers().size(); l++) {
      assertArrayEquals(first.network().layers().get(l).weights().toArray(),
          second.network().layers().get(l).weights().toArray());
      assertArrayEquals(first.network().layers().get(l).bias().orElseThrow().toArray(),
          second.network().layers().get(l).bias().orElseThrow().toArray());
    }
  }

  @Test
  void whatPassesTooOftenIsRefused() {
    assertEquals("repair joint passes over the samples too often for Spark: use refit, or none",
        assertThrows(MismatchException.class,
            () -> new SparkPruner(PruningOptions.builder().repair(Repairs.parse("refit+joint")).build(), Device.CPU))
            .getMessage());
    assertEquals("on Spark, sparsities of single layers are reached in one round: use oneshot, or no layer1=0.2",
        assertThrows(MismatchException.class,
            () -> new SparkPruner(PruningOptions.builder().layerSparsities(List.of(LayerSparsity.parse("layer1=0.2")))
                .schedule(Schedule.parse("linear:3")).build(), Device.CPU))
            .getMessage());
  }
}
