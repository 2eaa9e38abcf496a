package dev.espalier.engine.scoring;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.statistics.LayerBatch;
import java.io.IOException;
import java.util.List;

/// A worker's share of a scoring pass: some of the batches, with sums of its own.
final class Share {
  private final BatchPasses passes;
  private final List<LayerScorer> layers;
  private boolean begun;

  /// @param layers take the batches up, on the backend of the passes
  Share(BatchPasses passes, List<LayerScorer> layers) {
    this.passes = passes;
    this.layers = layers;
  }

  /// Adds all batches of a division.
  ///
  /// @throws IOException if a sample cannot be read or is not finite
  void run(SampleBatches batches, ProgressListener listener) throws IOException {
    passes.backend().enter(Phase.LOAD);
    while (batches.next()) {
      passes.load(batches);
      add();
      passes.backend().enter(Phase.LOAD);
      listener.report("scoring", batches.end(), batches.total());
    }
  }

  /// Runs the passes of the batch that was loaded, and adds what they find. Sums may look at the first batch, so its
  /// passes come before it is counted; those of later batches may be repeated together with their sums.
  private void add() {
    Backend backend = passes.backend();
    if (!begun) {
      begun = true;
      passes.run();
      layers.forEach(layer -> layer.begin(batch(layer)));
      sum();
      return;
    }
    layers.forEach(layer -> layer.begin(batch(layer)));
    backend.repeat(List.of(passes, passes.samples()), () -> {
      passes.run();
      sum();
    });
  }

  private void sum() {
    passes.backend().enter(Phase.MOMENTS);
    layers.forEach(layer -> layer.add(batch(layer)));
  }

  private List<LayerBatch> batch(LayerScorer layer) {
    return passes.layer(layer.number());
  }

  List<LayerScorer> layers() {
    return layers;
  }
}
