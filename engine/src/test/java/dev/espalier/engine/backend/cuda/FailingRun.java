package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;

/// A short run through all that a backend does with its driver.
final class FailingRun {
  private FailingRun() {}

  /// Uploads a network, scores it in batches that are run, recorded and replayed, selects and removes, and downloads
  /// the scores and the network.
  static void of(Backend backend) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(6, 5, 3),
          List.of(Activation.RELU, Activation.IDENTITY));
      Optional<Dataset> samples = Optional
          .of(TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 20, 6, 1, 0.5)));
      PruningOptions options = PruningOptions.builder().batchSize(5).build();
      try (DeviceNetwork there = DeviceNetwork.copyOf(backend, network);
          Scores scores = Scorer.score(backend, there, PruningPlan.of(options, network, samples, backend).scoring(),
              samples, ProgressListener.NONE)) {
        backend.download(scores.importance(0), arena);
        scores.rank(there);
        scores.apply(there, backend.selection().cuts(List.of(scores.importance(0), scores.importance(1)), 20));
        there.download(arena);
        backend.seconds();
      }
    }
  }
}
