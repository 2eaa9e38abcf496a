package dev.espalier.engine.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class TrainerTest {
  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /// Two classes: inside and outside of a circle.
  private Dataset circle() {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(1), 600, 2, 1, 0);
    MatrixView labels = MatrixView.allocate(arena, 600, 1);
    for (int n = 0; n < 600; n++) {
      labels.set(n, 0, Math.hypot(x.get(n, 0), x.get(n, 1)) < 1.2 ? 1 : 0);
    }
    return TestNetworks.source(x, labels);
  }

  private static TrainingOptions options(int epochs, Loss loss, boolean keepZeros) {
    return new TrainingOptions(epochs, 32, Adam.of(0.01), loss, 5, keepZeros, ProgressListener.NONE);
  }

  private DenseNetwork initial(Activation last) {
    return Trainer.initialise(List.of(2, 24, 2), List.of(Activation.RELU, last), 3, arena);
  }

  @Test
  void learnsAndFineTunesWithoutBringingWeightsBack() throws IOException {
    Dataset circle = circle();
    DenseNetwork trained = Trainer.train(backend, initial(Activation.IDENTITY), circle,
        options(30, Loss.CROSS_ENTROPY, false), arena);
    assertTrue(accuracy(trained, circle, Loss.CROSS_ENTROPY) > 0.95);
    PruningResult pruned = new Pruner(backend, PruningOptions.builder().sparsity(0.7).build()).prune(trained, circle,
        arena);
    DenseNetwork tuned = Trainer.train(backend, pruned.network(), circle, options(10, Loss.CROSS_ENTROPY, true), arena);
    assertTrue(accuracy(tuned, circle, Loss.CROSS_ENTROPY) > accuracy(pruned.network(), circle, Loss.CROSS_ENTROPY));
    for (int l = 0; l < 2; l++) {
      MatrixView before = pruned.network().layers().get(l).weights();
      MatrixView after = tuned.layers().get(l).weights();
      for (int i = 0; i < before.rows(); i++) {
        for (int j = 0; j < before.columns(); j++) {
          assertEquals(before.get(i, j) == 0, after.get(i, j) == 0);
        }
      }
    }
  }

  @Test
  void learnsBySquaredErrorAndThroughSoftmax() throws IOException {
    Dataset circle = circle();
    assertTrue(
        accuracy(Trainer.train(backend, initial(Activation.SIGMOID), circle, options(30, Loss.MSE, false), arena),
            circle, Loss.MSE) > 0.95);
    assertTrue(accuracy(
        Trainer.train(backend, initial(Activation.SOFTMAX), circle, options(30, Loss.CROSS_ENTROPY, false), arena),
        circle, Loss.CROSS_ENTROPY) > 0.95);
  }

  @Test
  void theSameSeedGivesTheSameBits() throws IOException {
    float[] first = Trainer.train(backend, initial(Activation.IDENTITY), circle(), options(2, Loss.MSE, false), arena)
        .layers().getFirst().weights().toArray();
    float[] second = Trainer.train(backend, initial(Activation.IDENTITY), circle(), options(2, Loss.MSE, false), arena)
        .layers().getFirst().weights().toArray();
    assertArrayEquals(first, second);
  }

  /// The gradient that training follows is that of the loss: central differences over one weight of each layer.
  @Test
  void followsTheGradientOfTheLoss() throws IOException {
    Dataset circle = circle();
    DenseNetwork network = TestNetworks.network(arena, 4, List.of(2, 5, 2),
        List.of(Activation.GELU, Activation.SOFTMAX));
    for (Loss loss : Loss.values()) {
      for (int l = 0; l < 2; l++) {
        MatrixView weights = network.layers().get(l).weights();
        float value = weights.get(1, 1);
        float h = 1e-2f;
        weights.set(1, 1, value + h);
        double up = Evaluation.of(backend, network, circle, loss, 64, ProgressListener.NONE).loss();
        weights.set(1, 1, value - h);
        double down = Evaluation.of(backend, network, circle, loss, 64, ProgressListener.NONE).loss();
        weights.set(1, 1, value);
        // The first step of Adam is −rate · sign of the gradient.
        TrainingOptions oneStep = new TrainingOptions(1, 600, Adam.of(1e-3), loss, 5, false, ProgressListener.NONE);
        float moved = Trainer.train(backend, network, circle, oneStep, arena).layers().get(l).weights().get(1, 1);
        assertEquals(-1e-3 * Math.signum(up - down), moved - value, 1e-5, loss + ", layer " + l);
      }
    }
  }

  @Test
  void saysWhatDoesNotFit() {
    Dataset circle = circle();
    assertEquals("cross-entropy needs identity or softmax as the last activation, not relu: use mse", assertThrows(
        IllegalArgumentException.class,
        () -> Trainer.train(backend, initial(Activation.RELU), circle, options(1, Loss.CROSS_ENTROPY, false), arena))
        .getMessage());
    MatrixView bad = MatrixView.allocate(arena, 600, 1);
    bad.set(17, 0, 2);
    Dataset labelled = TestNetworks.source(MatrixView.allocate(arena, 600, 2), bad);
    assertEquals("labels is 2.0 at sample 17: a class index is an integer from 0 to 1",
        assertThrows(IOException.class,
            () -> Trainer.train(backend, initial(Activation.IDENTITY), labelled, options(1, Loss.MSE, false), arena))
            .getMessage());
    Dataset wide = TestNetworks.source(MatrixView.allocate(arena, 600, 2), MatrixView.allocate(arena, 600, 3));
    assertEquals("labels has 3 columns: labels need 1 (a class index) or 2 (a value for each output of the network)",
        assertThrows(IllegalArgumentException.class,
            () -> Trainer.train(backend, initial(Activation.IDENTITY), wide, options(1, Loss.MSE, false), arena))
            .getMessage());
  }

  @Test
  void saysWhenItDiverges() {
    TrainingOptions wild = new TrainingOptions(3, 32, Adam.of(1e30), Loss.MSE, 5, false, ProgressListener.NONE);
    assertTrue(assertThrows(ArithmeticException.class,
        () -> Trainer.train(backend, initial(Activation.IDENTITY), circle(), wild, arena)).getMessage()
        .contains("use a lower learning rate"));
  }

  private double accuracy(DenseNetwork network, Dataset samples, Loss loss) throws IOException {
    return Evaluation.of(backend, network, samples, loss, 128, ProgressListener.NONE).accuracy().orElseThrow();
  }
}
