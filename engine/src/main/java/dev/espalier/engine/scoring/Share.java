package dev.espalier.engine.scoring;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Batches;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;

/// A worker's share of a scoring pass: some of the batches, gathered in scores of its own.
final class Share {
  private final BatchPasses passes;
  private final List<LayerScores> scores;
  private boolean begun;

  /// @param scores to which the batches are added
  Share(BatchPasses passes, List<LayerScores> scores) {
    this.passes = passes;
    this.scores = scores;
  }

  /// Adds all batches of a division.
  ///
  /// @throws UncheckedIOException if a sample cannot be read or is not finite
  void run(Batches batches, ProgressListener listener) {
    try (batches) {
      passes.backend().enter(Phase.LOAD);
      while (batches.next()) {
        passes.load(batches);
        add();
        passes.backend().enter(Phase.LOAD);
        listener.report("scoring", batches.end(), batches.total());
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Runs the passes of the batch that was loaded, and adds it to the scores.
  private void add() {
    Backend backend = passes.backend();
    if (!begun) {
      begun = true;
      passes.run();
      scores.forEach(layer -> layer.begin(passes));
      accumulate();
      return;
    }
    scores.forEach(layer -> layer.begin(passes));
    Runnable work = () -> {
      passes.run();
      accumulate();
    };
    if (passes.isRepeatable()) {
      backend.repeat(List.of(passes, passes.forward().samples()), work);
    } else {
      work.run();
    }
  }

  /// Adds what `other` gathered, which must then not be used again.
  void merge(Share other) {
    for (int i = 0; i < scores.size(); i++) {
      scores.get(i).merge(other.scores.get(i));
    }
  }

  private void accumulate() {
    passes.backend().enter(Phase.MOMENTS);
    scores.forEach(layer -> layer.accumulate(passes));
  }
}
