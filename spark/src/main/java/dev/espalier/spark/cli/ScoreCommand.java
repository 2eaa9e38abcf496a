package dev.espalier.spark.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.spark.SparkScorer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.apache.spark.sql.SparkSession;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/// `score`.
@Command(name = "score", sortOptions = false, header = "Gather the statistics that scores follow from.",
    customSynopsis = "espalier-spark score MODEL --data PARQUET --columns NAMES -o FILE [OPTION]...",
    description = {"",
        "Writes a safetensors file of statistics: 'espalier prune MODEL --statistics FILE' prunes by it on one machine, "
            + "in one round, without a repair or a search, and 'espalier merge' adds it to those of other data.",
        ""})
final class ScoreCommand implements Callable<Integer> {
  private final Supplier<SparkSession> session;

  @Mixin
  private GatheringOptions gathering;

  ScoreCommand(Supplier<SparkSession> session) {
    this.session = session;
  }

  @Override
  public Integer call() throws IOException {
    gathering.require(gathering.output != null, "--output is missing: give -o FILE");
    gathering.check();
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = gathering.load(arena).network();
      SparkScorer scorer = SparkScorer.of(network, gathering.samples(session.get()), gathering.builder().build(),
          gathering.device);
      scorer.plan().toString().lines().forEach(line -> gathering.say("plan: " + line));
      gathering.say(
          "plan: the driver takes %s outside Java's heap".formatted(MemoryBudget.text(scorer.plan().driverMemory())));
      GatheredSums sums = scorer.gather(arena);
      sums.write(gathering.output, gathering.force);
      gathering.print("%s samples, %s layers".formatted(PLAIN.count(sums.sums().samples()),
          PLAIN.count(sums.sums().layers().size())));
      gathering.say("statistics: " + gathering.output);
    }
    return 0;
  }
}
