package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.statistics.GatheredSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

/// Data to prune with, or what was gathered from them.
final class PruneData extends DataOptions {
  @Option(names = "--head", paramLabel = "NAME", order = 3)
  String head;

  @Option(names = "--statistics", paramLabel = "FILE", order = 9)
  Path statistics;

  @Option(names = "--layers-from", paramLabel = "DIR", order = 9)
  Path layersFrom;

  /// The plans of pruning by the statistics, of which it says what they lack: one for each target of the path, all of
  /// the same scores.
  List<PruningPlan> plans(PruningOptions options, DenseNetwork network, Backend backend, GlobalOptions global,
      Arena arena) throws IOException {
    GatheredSums sums = GatheredSums.read(statistics, arena);
    sums.provenance().missing().forEach(global::note);
    return options
        .path().stream().map(target -> PruningPlan
            .of(options.stops().isEmpty() ? options : options.withPath(List.of(target)), network, sums, backend))
        .toList();
  }

  @Override
  Path[] files() {
    return Stream.concat(Stream.of(super.files()), Stream.of(statistics)).toArray(Path[]::new);
  }

  /// Refuses what statistics do not do.
  void check(SelectionOptions selection, GlobalOptions global) {
    if (statistics == null) {
      return;
    }
    for (String option : new String[]{"--data", "--labels", "--label-column", "--max-samples", "--checkpoint",
        "--verify", "--fine-tune"}) {
      global.require(!global.isGiven(option),
          "--statistics takes the place of samples, and %s needs them: give one of them".formatted(option));
    }
    global.require(selection.limits().isEmpty(), "--statistics is for a sparsity or a mask: a search needs samples");
    global.require(selection.repair().steps().isEmpty(),
        "--statistics takes the place of samples, and repair %s needs them: leave it out, or give --data"
            .formatted(selection.repair()));
    global.require(selection.schedule() instanceof Schedule.OneShot,
        "--statistics is for one round: leave out --schedule %s, or give --data".formatted(selection.schedule()));
  }
}
