package dev.espalier.engine.repair;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class FineTuningTest {
  private static final Loss LOSS = new Loss.CrossEntropy();

  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new CpuBackend();
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(6, 16, 8, 3),
      List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
  private final Dataset data = labelled();

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /// The class tells which of the first three numbers is largest, of which the network knows nothing.
  private Dataset labelled() {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(5), 300, 6, 1, 0);
    MatrixView labels = MatrixView.allocate(arena, 300, 1);
    for (int n = 0; n < 300; n++) {
      labels.set(n, 0,
          x.get(n, 0) > x.get(n, 1) ? x.get(n, 0) > x.get(n, 2) ? 0 : 2 : x.get(n, 1) > x.get(n, 2) ? 1 : 2);
    }
    return TestNetworks.source(x, labels);
  }

  private PruningOptions.Builder options(String repair) {
    return PruningOptions.builder().sparsity(0.5).schedule(new Schedule.Linear(3)).repair(Repairs.parse(repair));
  }

  private DenseNetwork prune(PruningOptions.Builder options) throws IOException {
    return new Pruner(backend, options.build()).prune(network, data, arena).network();
  }

  private double loss(DenseNetwork of) throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, of)) {
      return Evaluation.of(backend, device, data, LOSS, 64, ProgressListener.NONE).loss();
    }
  }

  @Test
  void everyRoundLearnsTheLabelsAndKeepsTheZeros() throws IOException {
    DenseNetwork without = prune(options("none"));
    DenseNetwork tuned = prune(options("fine-tune:epochs=20:rate=0.01"));
    assertTrue(loss(tuned) < 0.5 * loss(without), loss(tuned) + " " + loss(without));
    assertEquals(without.zeros(), tuned.zeros());
    assertEquals((network.weights() + 1) / 2, tuned.zeros());
  }

  @Test
  void excludedLayersAreNotTrained() throws IOException {
    DenseNetwork tuned = prune(options("refit+fine-tune:epochs=2:rate=0.01").exclude("layer1"));
    assertArrayEquals(network.layers().get(1).weights().toArray(), tuned.layers().get(1).weights().toArray());
    assertArrayEquals(network.layers().get(1).bias().orElseThrow().toArray(),
        tuned.layers().get(1).bias().orElseThrow().toArray());
  }

  @Test
  void labelsAreNeeded() {
    String message = assertThrows(MissingDataException.class,
        () -> new Pruner(backend, options("fine-tune").build()).prune(network, Dataset.of(data.samples()), arena))
        .getMessage();
    assertEquals("repair fine-tune needs labels", message);
  }
}
