package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A cluster of processes, which Spark starts on this machine. Speculative tasks are not tested: Spark runs none on the host
/// of the first attempt, and here is one host. They send what the first attempt sends, and Spark takes one of both.
final class ClusterTest {
  private static final int PARTITIONS = 4;

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

  private static NetworkSums gather(DenseNetwork network, JavaRDD<Row> rows, Arena arena) throws IOException {
    SparkSamples samples = SparkSamples.of(Fixture.spark().createDataFrame(rows, Fixture.ARRAYS),
        SampleColumns.of("x"));
    return SparkScorer.of(network, samples, PruningOptions.builder().build(), Device.CPU, 4).gather(arena).sums();
  }

  /// In Spark's home there must be a folder of jars; here the class path has them.
  private static SparkSession start() throws IOException {
    Path home = Path.of(System.getenv("SPARK_HOME"));
    Files.createDirectories(home.resolve("jars"));
    Files.writeString(home.resolve("RELEASE"), "");
    return SparkSession.builder().master("local-cluster[2,1,512]").config("spark.executor.memory", "512m")
        .config("spark.ui.enabled", false)
        .config("spark.executor.extraClassPath", System.getProperty("java.class.path"))
        .config("spark.executorEnv.JAVA_HOME", System.getProperty("java.home"))
        .config("spark.executorEnv.SPARK_SCALA_VERSION", "2.13")
        .config("spark.executor.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.serializer", "org.apache.spark.serializer.KryoSerializer").getOrCreate();
  }
}
