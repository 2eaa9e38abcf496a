package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import javax.management.ObjectName;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A cluster of processes, which Spark starts on this machine. Duplicates of slow tasks are those of
/// [StandaloneClusterTest]: Spark runs none on the host of the first attempt, and here is one host.
final class ClusterTest {
  private static final int PARTITIONS = 4;
  private static final int WIDTH = 1024;
  /// Bytes, far below what the sums of a layer take twice.
  private static final long BUFFERS = 8 << 20;

  /// The executor that dies takes what its other tasks have sent with it, so Spark computes them again.
  @Test
  void anExecutorThatDiesChangesNoBit(@TempDir Path folder) throws Exception {
    String counted = folder.resolve("counted").toString();
    String died = folder.resolve("died").toString();
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = Fixture.network(arena);
      NetworkSums expected = gather(network, Fixture.arrayRows(PARTITIONS), arena);
      Fixture.spark().stop();
      AtomicInteger removed = new AtomicInteger();
      try (SparkSession cluster = start()) {
        cluster.sparkContext().addSparkListener(new SparkListener() {
          @Override
          public void onExecutorRemoved(SparkListenerExecutorRemoved event) {
            removed.incrementAndGet();
          }
        });
        NetworkSums found = gather(network, Fixture.arrayRows(PARTITIONS).mapPartitionsWithIndex((partition, rows) -> {
          if (partition == PARTITIONS - 1 && !new File(counted).createNewFile() && new File(died).createNewFile()) {
            Runtime.getRuntime().halt(1);
          }
          return rows;
        }, false), arena);
        expected.layers().forEach(
            (layer, all) -> all.getFirst().arrays().forEach((name, values) -> assertArrayEquals(values.toArray(),
                found.layers().get(layer).getFirst().array(name).toArray(), layer + " " + name)));
        cluster.sparkContext().listenerBus().waitUntilEmpty();
      }
      assertEquals(1, removed.get());
    }
  }

  /// Outside their heaps, tasks take network and sums twice, and a batch: in local mode, this process has them, beside
  /// the driver's memory for the sums. On a cluster, executors have processes of their own, and the driver takes the
  /// network and sums, or those of a layer, beside the buffers of Spark's network. A peak only grows, so the smaller
  /// ones come first.
  @Test
  void tasksAndTheDriverTakeWhatWasPlanned() throws Exception {
    Fixture.spark().stop();
    PruningOptions options = PruningOptions.builder().sparsity(0.5).sensitivity(new Sensitivity.Probes(1)).batchSize(8)
        .build();
    try (SparkSession _ = SparkSession.builder().master("local[1]").config("spark.ui.enabled", false).getOrCreate();
        Arena arena = Arena.ofShared()) {
      SparkScorer scorer = scorer(network(1, arena), options);
      long before = allocated(false);
      try (Arena own = Arena.ofShared()) {
        scorer.gather(own);
      }
      long planned = scorer.plan().taskMemory() + scorer.sumBytes();
      long taken = allocated(true) - before;
      assertTrue(taken > 0.9 * planned && taken < planned + BUFFERS, "took %s, planned %s".formatted(taken, planned));
    }
    try (SparkSession _ = start(); Arena arena = Arena.ofShared()) {
      DenseNetwork network = network(4, arena);
      SparkScorer scorer = scorer(network, options);
      long before = allocated(false) - scorer.weightBytes();
      for (Selection selection : List.of(Selection.EXECUTORS, Selection.DRIVER)) {
        SparkPruner pruner = new SparkPruner(options, Device.CPU, selection);
        try (Arena own = Arena.ofShared()) {
          pruner.prune(network, scorer, own);
        }
        long planned = pruner.driverMemory(scorer);
        long taken = allocated(true) - before;
        assertTrue(taken > 0.9 * planned && taken < planned + BUFFERS,
            "%s: took %s, planned %s".formatted(selection, taken, planned));
      }
    }
  }

  private static SparkScorer scorer(DenseNetwork network, PruningOptions options) {
    float[][] rows = new float[8][WIDTH];
    for (int i = 0; i < rows.length; i++) {
      rows[i][i] = 1;
    }
    return SparkScorer.of(network, SparkSamples
        .of(Fixture.spark().createDataFrame(Fixture.arrayRows(1, rows), Fixture.ARRAYS), SampleColumns.of("x")),
        options, Device.CPU);
  }

  private static DenseNetwork network(int layers, Arena arena) {
    return new DenseNetwork(IntStream.range(0, layers).mapToObj(l -> layer(l, arena)).toList());
  }

  private static DenseLayer layer(int number, Arena arena) {
    MatrixView weights = MatrixView.allocate(arena, WIDTH, WIDTH);
    for (long i = 0; i < weights.elements(); i++) {
      weights.segment().setAtIndex(MatrixView.ELEMENT, i, 1f / (1 + (i * 7919) % 10007));
    }
    return new DenseLayer("layer" + number, weights, Optional.of(MatrixView.allocate(arena, 1, WIDTH)),
        Activation.IDENTITY);
  }

  /// Bytes that this process has allocated outside its heap, by native memory tracking.
  ///
  /// @param most at a time, rather than now
  private static long allocated(boolean most) throws Exception {
    String summary = (String) ManagementFactory.getPlatformMBeanServer().invoke(
        new ObjectName("com.sun.management:type=DiagnosticCommand"), "vmNativeMemory",
        new Object[]{new String[]{"summary", "scale=B"}}, new String[]{String[].class.getName()});
    Matcher other = Pattern.compile("- +Other .*\n.*malloc=(\\d+).*?(peak=(\\d+).*|at peak.*)").matcher(summary);
    assertTrue(other.find(), summary);
    return Long.parseLong(most && other.group(3) != null ? other.group(3) : other.group(1));
  }

  private static NetworkSums gather(DenseNetwork network, JavaRDD<Row> rows, Arena arena) throws IOException {
    SparkSamples samples = SparkSamples.of(Fixture.spark().createDataFrame(rows, Fixture.ARRAYS),
        SampleColumns.of("x"));
    return SparkScorer.of(network, samples, PruningOptions.builder().build(), Device.CPU, 4).gather(arena).sums();
  }

  private static SparkSession start() throws IOException {
    return onClusters("local-cluster[2,1,512]").getOrCreate();
  }

  /// Of executors in processes of their own. In Spark's home there must be a folder of jars; here the class path has
  /// them.
  static SparkSession.Builder onClusters(String master) throws IOException {
    Path home = Path.of(System.getenv("SPARK_HOME"));
    Files.createDirectories(home.resolve("jars"));
    Files.writeString(home.resolve("RELEASE"), "");
    return SparkSession.builder().master(master).config("spark.executor.memory", "512m")
        .config("spark.ui.enabled", false)
        .config("spark.executor.extraClassPath", System.getProperty("java.class.path"))
        .config("spark.executorEnv.JAVA_HOME", System.getProperty("java.home"))
        .config("spark.executorEnv.SPARK_SCALA_VERSION", "2.13")
        .config("spark.executor.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.serializer", "org.apache.spark.serializer.KryoSerializer");
  }
}
