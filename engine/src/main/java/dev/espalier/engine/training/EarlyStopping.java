package dev.espalier.engine.training;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;

/// A training that holds out one of ten samples, ends once some epochs in a row have not lowered the loss on them, and
/// returns to the epoch with the least: the start counts as one. Exceptions are those of [Trainer].
public final class EarlyStopping {
  private static final int HELD_OUT = 10;
  /// Most bytes of held-out samples that are kept in memory.
  private static final long KEPT_BYTES = 1L << 29;

  private final DeviceNetwork network;
  private final DeviceNetwork best;
  private final Judge judge;
  private final int patience;
  private Result result;

  /// How a training ended.
  ///
  /// @param epochs that were done
  /// @param best that whose network is kept, from 1; 0: no epoch lowered the loss, and the network is as it was
  /// @param heldOut evaluation of the network that is kept, on the samples that were held out
  public record Result(int epochs, int best, Evaluation heldOut) {}

  private interface Judge {
    Evaluation evaluate() throws IOException;
  }

  private EarlyStopping(DeviceNetwork network, DeviceNetwork best, Judge judge, int patience) throws IOException {
    this.network = network;
    this.best = best;
    this.judge = judge;
    this.patience = patience;
    result = new Result(0, 0, judge.evaluate());
  }

  /// Trains a network where it lies, in the memory of `backend`.
  ///
  /// @param data labelled samples, at least 10
  /// @param patience epochs without a lower loss that end it, at least 1
  /// @throws IllegalArgumentException if the patience is below 1
  public static Result train(Backend backend, DeviceNetwork network, Dataset data, TrainingOptions options,
      int patience, ProgressListener listener) throws IOException {
    if (patience < 1) {
      throw new IllegalArgumentException("patience %d: use at least one epoch".formatted(patience));
    }
    Dataset.Split split = data.holdOut(HELD_OUT);
    try (Arena arena = Arena.ofShared(); DeviceNetwork best = DeviceNetwork.copyOf(backend, network)) {
      Dataset heldOut = split.heldOut().inMemory(KEPT_BYTES, arena);
      EarlyStopping stopping = new EarlyStopping(network, best,
          () -> Evaluation.of(backend, network, heldOut, options.loss(), options.batchSize(), ProgressListener.NONE),
          patience);
      Trainer.train(backend, network, split.used(), options, listener, stopping::proceeds);
      network.load(best);
      return stopping.result;
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  private boolean proceeds(int epoch) {
    try {
      Evaluation now = judge.evaluate();
      if (now.loss() < result.heldOut().loss()) {
        best.load(network);
        result = new Result(epoch, epoch, now);
      } else {
        result = new Result(epoch, result.best(), result.heldOut());
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return epoch - result.best() < patience;
  }
}
