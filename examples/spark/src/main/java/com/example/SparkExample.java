package com.example;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.spark.SampleColumns;
import dev.espalier.spark.SparkPruner;
import dev.espalier.spark.SparkSamples;
import dev.espalier.spark.SparkScorer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;

/// Generates samples, writes them to Parquet, and prunes a network by them, on the cores of this machine or on the cluster
/// of `spark-submit`.
public final class SparkExample {
  private static final int INPUTS = 20;
  private static final long SAMPLES = 20_000;

  private SparkExample() {}

  public static void main(String... arguments) throws IOException {
    SparkSession.Builder builder = SparkSession.builder().appName("espalier example");
    if (System.getProperty("spark.master") == null) {
      builder.master("local[*]").config("spark.ui.enabled", false).config("spark.log.level", "WARN");
    }
    SparkSession spark = builder.getOrCreate();
    try (Arena arena = Arena.ofShared()) {
      String parquet = arguments.length > 0 ? arguments[0] : "target/samples.parquet";
      if (!Files.exists(Path.of(parquet, "_SUCCESS"))) {
        generate(spark).write().mode("overwrite").parquet(parquet);
      }
      prune(network(arena), spark.read().parquet(parquet), arena);
    } finally {
      spark.stop();
    }
  }

  /// A column of arrays of float, in four partitions.
  private static Dataset<Row> generate(SparkSession spark) {
    Column[] numbers = new Column[INPUTS];
    for (int j = 0; j < INPUTS; j++) {
      numbers[j] = functions.randn(j).cast("float");
    }
    return spark.range(0, SAMPLES, 1, 4).select(functions.array(numbers).as("features"));
  }

  private static DenseNetwork network(Arena arena) {
    Random random = new Random(0);
    return new DenseNetwork(List.of(layer("hidden", 100, INPUTS, Activation.RELU, random, arena),
        layer("output", 3, 100, Activation.IDENTITY, random, arena)));
  }

  private static DenseLayer layer(String name, int outputs, int inputs, Activation activation, Random random,
      Arena arena) {
    MatrixView weights = MatrixView.allocate(arena, outputs, inputs);
    for (int i = 0; i < outputs; i++) {
      for (int j = 0; j < inputs; j++) {
        weights.set(i, j, (float) (random.nextGaussian() / Math.sqrt(inputs)));
      }
    }
    return new DenseLayer(name, weights, Optional.of(MatrixView.allocate(arena, 1, outputs)), activation);
  }

  // @start region="prune"
  private static void prune(DenseNetwork network, Dataset<Row> rows, Arena arena) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.8).build();
    SparkSamples samples = SparkSamples.of(rows, SampleColumns.of("features"));
    SparkScorer scorer = SparkScorer.of(network, samples, options, Device.AUTO);
    SparkPruner pruner = new SparkPruner(options, Device.AUTO);
    System.out.println(scorer.plan());
    System.out.println(pruner.plan(scorer));
    PruningResult result = pruner.prune(network, scorer, arena);
    result.layers().forEach(layer -> System.out.printf("%s: %d weights removed, %d kept%n", layer.name(),
        layer.removed(), layer.kept()));
  }
  // @end
}
