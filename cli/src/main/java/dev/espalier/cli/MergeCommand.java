package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.statistics.GatheredSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/// `espalier merge`.
@Command(name = "merge", sortOptions = false)
final class MergeCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "STATISTICS", arity = "1..*")
  private List<Path> files;

  @ArgGroup(validate = false, order = 1, headingKey = "output.heading")
  private OutputOptions output = new OutputOptions();

  @Override
  public Integer call() throws IOException {
    global.require(output.output != null, "--output is missing: give -o FILE");
    output.checkSafetensors(global, files.toArray(Path[]::new));
    try (Arena arena = Arena.ofShared()) {
      GatheredSums merged = GatheredSums.merge(files, arena);
      merged.write(output.output, output.force);
      global.out().println("%s, %s".formatted(PLAIN.counted(merged.sums().samples(), "sample"),
          PLAIN.counted(merged.sums().layers().size(), "layer")));
      merged.provenance().missing().forEach(global::note);
      global.say("statistics: " + output.output);
    }
    return 0;
  }
}
