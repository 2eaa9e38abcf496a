package dev.espalier.engine.criterion;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.DeviceNetwork;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.calibration.Batches;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.calibration.ProgressListener;
import dev.espalier.engine.network.Architecture;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/// Scores the weights of a network in one pass over the calibration samples: forward, backward for the
/// sensitivities, moments. Memory beyond the network is two weight-sized arrays for moments, one for other
/// criteria, and one batch.
public final class Scorer {
  private Scorer() {}

  /// Bytes of a backend's memory that scores take from [#score] until they are closed.
  ///
  /// @param wanted whether the layer of a number, from 0, is scored
  /// @param compensation whether compensations are wanted beside importances
  public static long bytes(Architecture network, IntPredicate wanted, Criterion criterion,
      boolean compensation) {
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
      Optional<CalibrationSource> calibration, ScoringOptions options, ProgressListener listener)
      throws IOException {
    List<LayerScores> scores = new ArrayList<>();
    try {
      for (int l = 0; l < network.layers().size(); l++) {
        if (wanted.test(l)) {
          boolean compensable = options.newBias() || network.layers().get(l).hasBias();
          scores.add(new LayerScores(backend, network.layers().get(l), l, options, compensable));
        }
      }
      long samples = options.needsSamples()
          ? pass(backend, network, scores, calibration, options, listener)
          : 0;
      backend.enter(Phase.MOMENTS);
      scores.forEach(layer -> layer.finish(samples));
      return scores;
    } catch (IOException | RuntimeException e) {
      scores.forEach(LayerScores::close);
      throw e;
    }
  }

  private static long pass(Backend backend, DeviceNetwork network, List<LayerScores> scores,
      Optional<CalibrationSource> calibration, ScoringOptions options, ProgressListener listener)
      throws IOException {
    CalibrationSource source = calibration.orElseThrow(() -> new IllegalArgumentException(
        "criterion %s%s needs calibration samples".formatted(options.criterion(),
            options.criterion().needsSamples() ? "" : " with compensation bias")));
    source.requireWidth(network.inputs());
    long total = source.samples().samples();
    backend.enter(Phase.LOAD);
    try (Batches batches = new Batches(source, options.batchSize());
        BatchPasses passes = new BatchPasses(backend, network, source, options)) {
      while (batches.next()) {
        passes.load(batches);
        add(backend, passes, scores, batches.first() == 0);
        backend.enter(Phase.LOAD);
        listener.report("scoring", batches.end(), total);
      }
    }
    return total;
  }

  private static void add(Backend backend, BatchPasses passes, List<LayerScores> scores, boolean first) {
    if (first) {
      passes.run();
      scores.forEach(layer -> layer.begin(passes));
      accumulate(backend, passes, scores);
      return;
    }
    scores.forEach(layer -> layer.begin(passes));
    Runnable work = () -> {
      passes.run();
      accumulate(backend, passes, scores);
    };
    if (passes.isRepeatable()) {
      backend.repeat(List.of(passes, passes.forward().samples()), work);
    } else {
      work.run();
    }
  }

  private static void accumulate(Backend backend, BatchPasses passes, List<LayerScores> scores) {
    backend.enter(Phase.MOMENTS);
    scores.forEach(layer -> layer.accumulate(passes));
  }
}
