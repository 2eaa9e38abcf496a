package dev.espalier.engine.scoring;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.network.Architecture;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.MemoryPlan;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/// Scores the weights of a network in one pass over the calibration samples: forward, backward for the
/// sensitivities, moments. Memory beyond the network is two weight-sized arrays for moments, one for other
/// criteria, and one batch; the [Workers] of a backend have the same each.
public final class Scorer {
  private Scorer() {}

  /// Bytes of a backend's memory that scores take from [#score] until they are closed.
  ///
  /// @param wanted whether the layer of a number, from 0, is scored
  /// @param compensation whether compensations are wanted beside importances
  public static long bytes(Architecture network, IntPredicate wanted, Criterion criterion, boolean compensation) {
    return IntStream.range(0, network.layers().size()).filter(wanted)
        .mapToLong(l -> LayerScores.bytes(network.layers().get(l), criterion, compensation)).sum();
  }

  /// Scores of some layers.
  ///
  /// @param wanted whether the layer of a number, from 0, is scored
  /// @param calibration samples, and labels for the gradient criterion
  /// @return one for each layer wanted, in order; closed by the caller
  /// @throws IOException if a sample cannot be read or is not finite
  /// @throws IllegalArgumentException if samples or labels are needed and missing, or do not fit the network
  public static List<LayerScores> score(Backend backend, DeviceNetwork network, IntPredicate wanted,
      Optional<Dataset> calibration, ScoringOptions options, ProgressListener listener) throws IOException {
    List<LayerScores> scores = empty(backend, network, wanted, options);
    try {
      long samples = options.needsSamples()
          ? pass(backend, network, wanted, scores, calibration, options, listener)
          : 0;
      backend.enter(Phase.MOMENTS);
      scores.forEach(layer -> layer.finish(samples));
      return scores;
    } catch (IOException | RuntimeException e) {
      scores.forEach(LayerScores::close);
      throw e;
    }
  }

  /// Scores of no samples.
  private static List<LayerScores> empty(Backend backend, DeviceNetwork network, IntPredicate wanted,
      ScoringOptions options) {
    List<LayerScores> scores = new ArrayList<>();
    try {
      for (int l = 0; l < network.layers().size(); l++) {
        if (wanted.test(l)) {
          boolean compensable = options.newBias() || network.layers().get(l).hasBias();
          scores.add(new LayerScores(backend, network.layers().get(l), l, options, compensable));
        }
      }
      return scores;
    } catch (RuntimeException e) {
      scores.forEach(LayerScores::close);
      throw e;
    }
  }

  private static long pass(Backend backend, DeviceNetwork network, IntPredicate wanted, List<LayerScores> scores,
      Optional<Dataset> calibration, ScoringOptions options, ProgressListener listener) throws IOException {
    Dataset source = calibration
        .orElseThrow(() -> new IllegalArgumentException("criterion %s%s needs calibration samples"
            .formatted(options.criterion(), options.criterion().needsSamples() ? "" : " with compensation bias")));
    source.requireWidth(network.inputs());
    long total = source.samples().samples();
    backend.enter(Phase.LOAD);
    int passes = options.needsMoments() ? options.sensitivity().passes(network.outputs()) : 1;
    Workers workers = source.isThreadConfined()
        ? Workers.alone(backend)
        : backend.workers(total, bytes(network, wanted, options.criterion(), options.compensation())
            + MemoryPlan.batchBytes(backend, network, passes, options.batchSize()));
    int count = workers.backends().size();
    int batchSize = batchSize(total, count, options.batchSize());
    try (Resources resources = new Resources()) {
      List<Share> shares = new ArrayList<>();
      for (Backend worker : workers.backends()) {
        List<LayerScores> own = scores;
        if (!shares.isEmpty()) {
          own = empty(backend, network, wanted, options);
          own.forEach(resources::own);
        }
        shares.add(new Share(resources.own(new BatchPasses(worker, network, source, options, batchSize)), own));
      }
      run(workers, shares, Batches.divided(source, batchSize, count), listener);
      backend.enter(Phase.MOMENTS);
      shares.stream().skip(1).forEach(shares.getFirst()::merge);
    }
    if (count > 1) {
      listener.report("scoring", total, total);
    }
    return total;
  }

  private static void run(Workers workers, List<Share> shares, List<Batches> batches, ProgressListener listener)
      throws IOException {
    List<Runnable> work = new ArrayList<>();
    for (int i = 0; i < shares.size(); i++) {
      Share share = shares.get(i);
      Batches own = batches.get(i);
      ProgressListener progress = i == 0 ? listener : ProgressListener.NONE;
      work.add(() -> share.run(own, progress));
    }
    try {
      workers.run(work);
    } catch (UncheckedIOException e) {
      throw e.getCause();
    } finally {
      for (Batches each : batches) {
        each.close();
      }
    }
  }

  /// At most `most` samples, and as many for each of several workers, so that none waits for the others at the end.
  private static int batchSize(long samples, int workers, int most) {
    if (workers == 1) {
      return (int) Math.min(samples, most);
    }
    long rounds = Math.ceilDiv(samples, (long) workers * most);
    return (int) Math.ceilDiv(samples, workers * rounds);
  }
}
