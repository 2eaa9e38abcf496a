package dev.espalier.engine.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
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
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class EarlyStoppingTest {
  private static final Loss LOSS = new Loss.SquaredError();

  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();
  private final DenseNetwork initial = RandomNetwork.chain(List.of(2, 12, 1),
      List.of(Activation.TANH, Activation.IDENTITY), 3, arena);

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /// A product, and noise that a training can learn by heart.
  private Dataset samples(int count) {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(1), count, 2, 1, 0);
    MatrixView labels = TestNetworks.normal(arena, TestNetworks.random(2), count, 1, 0.3, 0);
    for (int n = 0; n < count; n++) {
      labels.set(n, 0, labels.get(n, 0) + x.get(n, 0) * x.get(n, 1));
    }
    return TestNetworks.source(x, labels);
  }

  private static TrainingOptions options(int epochs, double rate) {
    return new TrainingOptions(epochs, 8, Adam.of(rate), LOSS, 5, false);
  }

  private double heldOutLoss(DeviceNetwork network, Dataset all) throws IOException {
    return Evaluation.of(backend, network, all.holdOut(10).heldOut(), LOSS, 16, ProgressListener.NONE).loss();
  }

  @Test
  void keepsTheEpochWithTheLeastLoss() throws IOException {
    Dataset all = samples(60);
    try (DeviceNetwork network = DeviceNetwork.copyOf(backend, initial);
        DeviceNetwork again = DeviceNetwork.copyOf(backend, initial)) {
      double before = heldOutLoss(network, all);
      EarlyStopping.Result result = EarlyStopping.train(backend, network, all, options(500, 0.02), 20,
          ProgressListener.NONE);
      assertEquals(6, result.heldOut().samples());
      assertTrue(result.heldOut().loss() < before, result.toString());
      assertEquals(result.heldOut().loss(), heldOutLoss(network, all));
      assertTrue(result.epochs() < 500, "noise was never learnt by heart");
      assertEquals(20, result.epochs() - result.best());
      Trainer.train(backend, again, all.holdOut(10).used(), options(result.best(), 0.02), ProgressListener.NONE);
      assertArrayEquals(again.download(arena).layers().getFirst().weights().toArray(),
          network.download(arena).layers().getFirst().weights().toArray());
    }
  }

  @Test
  void leavesANetworkThatNoEpochBetters() throws IOException {
    try (DeviceNetwork network = DeviceNetwork.copyOf(backend, initial)) {
      EarlyStopping.Result result = EarlyStopping.train(backend, network, samples(60), options(50, 30), 3,
          ProgressListener.NONE);
      assertEquals(new EarlyStopping.Result(3, 0, result.heldOut()), result);
      assertArrayEquals(initial.layers().getFirst().weights().toArray(),
          network.download(arena).layers().getFirst().weights().toArray());
    }
  }

  @Test
  void refusesWhatLeavesNothingToJudge() {
    try (DeviceNetwork network = DeviceNetwork.copyOf(backend, initial)) {
      assertThrows(MismatchException.class,
          () -> EarlyStopping.train(backend, network, samples(9), options(5, 0.01), 3, ProgressListener.NONE));
      assertThrows(IllegalArgumentException.class,
          () -> EarlyStopping.train(backend, network, samples(60), options(5, 0.01), 0, ProgressListener.NONE));
    }
  }
}
