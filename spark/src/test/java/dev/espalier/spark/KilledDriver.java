package dev.espalier.spark;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.Row;

/// The driver of a pruning in three rounds, which dies in the third: in local mode its tasks are in its process.
final class KilledDriver {
  static final int CODE = 9;
  private static final int PARTITIONS = 3;

  private KilledDriver() {}

  /// @param arguments a folder for checkpoints
  public static void main(String... arguments) throws IOException {
    File second = Path.of(arguments[0], "round-2.safetensors").toFile();
    JavaRDD<Row> rows = Fixture.arrayRows(PARTITIONS).mapPartitionsWithIndex((_, all) -> {
      if (second.exists()) {
        Runtime.getRuntime().halt(CODE);
      }
      return all;
    }, false);
    try (Arena arena = Arena.ofShared()) {
      prune(rows, Path.of(arguments[0]), network(arena), arena);
    }
  }

  /// Of which a layer gains a bias in the first round.
  static DenseNetwork network(Arena arena) {
    DenseNetwork whole = Fixture.network(arena);
    List<DenseLayer> layers = new ArrayList<>(whole.layers());
    DenseLayer second = layers.get(1);
    layers.set(1, new DenseLayer(second.name(), second.weights(), Optional.empty(), second.activation()));
    return new DenseNetwork(layers);
  }

  static JavaRDD<Row> rows() {
    return Fixture.arrayRows(PARTITIONS);
  }

  static PruningResult prune(JavaRDD<Row> rows, Path folder, DenseNetwork network, Arena arena) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.7).newBias(true).schedule(Schedule.parse("linear:3"))
        .repair(Repairs.parse("refit+joint:outer=1:inner=2")).build();
    SparkSamples samples = SparkSamples.of(Fixture.spark().createDataFrame(rows, Fixture.ARRAYS),
        SampleColumns.of("x"));
    SparkScorer scorer = SparkScorer.of(network, samples, options, Device.CPU);
    return new SparkPruner(options, Device.CPU).prune(network, scorer, folder, arena);
  }
}
