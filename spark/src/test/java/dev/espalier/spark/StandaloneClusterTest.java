package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerTaskStart;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Spark's own master and workers in processes of their own. The workers have two addresses of this machine, so that
/// Spark sees two hosts.
final class StandaloneClusterTest {
  private static final int PARTITIONS = 4;
  private static final Duration PATIENCE = Duration.ofMinutes(2);
  @TempDir
  private static Path folder;

  /// A task that does not end is run once more on the other host, and a worker that is killed takes its executor and
  /// what that has sent with it.
  @Test
  void duplicatesAndKilledWorkersChangeNoBit() throws Exception {
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = Fixture.network(arena);
      NetworkSums expected = gather(network, Fixture.arrayRows(PARTITIONS), arena);
      Fixture.spark().stop();
      int port = freePort();
      List<Process> processes = new ArrayList<>();
      try {
        processes.add(start("127.0.0.1", "org.apache.spark.deploy.master.Master", "--port", String.valueOf(port)));
        await(() -> answers(port));
        for (String host : List.of("127.0.0.1", "127.0.0.2")) {
          processes.add(start(host, "org.apache.spark.deploy.worker.Worker", "--cores", "1", "--memory", "512M",
              "--work-dir", folder.resolve("work").toString(), "spark://127.0.0.1:" + port));
        }
        try (SparkSession cluster = session(port)) {
          Events events = new Events();
          cluster.sparkContext().addSparkListener(events);
          assertSame(expected, gather(network, slowAtFirst(), arena));
          cluster.sparkContext().listenerBus().waitUntilEmpty();
          assertTrue(events.duplicates.get() > 0, "a duplicate was started");
          assertEquals(0, events.removed.get());
          Thread killer = Thread.ofPlatform().start(() -> kill(processes));
          assertSame(expected, gather(network, waitingForDeath(), arena));
          killer.join();
          await(() -> events.removed.get() == 1);
        }
      } finally {
        processes.stream().flatMap(process -> process.descendants().toList().stream())
            .forEach(ProcessHandle::destroyForcibly);
        for (Process process : processes.reversed()) {
          process.destroyForcibly().waitFor(1, TimeUnit.MINUTES);
        }
      }
    }
  }

  /// What a listener is told.
  private static final class Events extends SparkListener {
    private final AtomicInteger duplicates = new AtomicInteger();
    private final AtomicInteger removed = new AtomicInteger();

    @Override
    public void onTaskStart(SparkListenerTaskStart event) {
      duplicates.addAndGet(event.taskInfo().speculative() ? 1 : 0);
    }

    @Override
    public void onExecutorRemoved(SparkListenerExecutorRemoved event) {
      removed.incrementAndGet();
    }
  }

  /// Where the rows are summed, the first attempt at the last partition waits until a second one has begun.
  private static JavaRDD<Row> slowAtFirst() {
    String counted = folder.resolve("slow-counted").toString();
    String again = folder.resolve("slow-again").toString();
    return Fixture.arrayRows(PARTITIONS).mapPartitionsWithIndex((partition, rows) -> {
      if (partition == PARTITIONS - 1 && !created(counted)) {
        if (TaskContext.get().attemptNumber() > 0) {
          created(again);
        }
        await(() -> Files.exists(Path.of(again)));
      }
      return rows;
    }, false);
  }

  /// Where the rows are summed, the first task of the last partition writes the number of its worker, and waits for its
  /// end; others wait until the worker is killed.
  private static JavaRDD<Row> waitingForDeath() {
    String counted = folder.resolve("counted").toString();
    String claimed = folder.resolve("claimed").toString();
    String worker = folder.resolve("worker").toString();
    String killed = folder.resolve("killed").toString();
    return Fixture.arrayRows(PARTITIONS).mapPartitionsWithIndex((partition, rows) -> {
      if (partition == PARTITIONS - 1 && !created(counted)) {
        if (created(claimed)) {
          Path written = Files.writeString(Path.of(worker + "-written"),
              String.valueOf(ProcessHandle.current().parent().orElseThrow().pid()));
          Files.move(written, Path.of(worker));
          Thread.sleep(PATIENCE);
        }
        await(() -> Files.exists(Path.of(killed)));
      }
      return rows;
    }, false);
  }

  /// Kills the worker that a task has named.
  private static void kill(List<Process> processes) {
    Path worker = folder.resolve("worker");
    await(() -> Files.exists(worker));
    try {
      long pid = Long.parseLong(Files.readString(worker));
      processes.stream().filter(process -> process.pid() == pid).findFirst().orElseThrow().destroyForcibly().waitFor();
      created(folder.resolve("killed").toString());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static boolean created(String file) throws IOException {
    return Path.of(file).toFile().createNewFile();
  }

  private static void await(BooleanSupplier condition) {
    Instant end = Instant.now().plus(PATIENCE);
    while (!condition.getAsBoolean()) {
      assertTrue(Instant.now().isBefore(end), "it takes too long");
      try {
        Thread.sleep(50);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IllegalStateException(e);
      }
    }
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }

  private static boolean answers(int port) {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
      return socket.isConnected();
    } catch (IOException _) {
      return false;
    }
  }

  /// A process with the options of this one.
  private static Process start(String host, String main, String... arguments) throws IOException {
    List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
    command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
    command.addAll(
        List.of("-Xmx256m", "-cp", System.getProperty("java.class.path"), main, "--host", host, "--webui-port", "0"));
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true)
        .redirectOutput(folder.resolve(main + host + ".log").toFile());
    builder.environment().put("SPARK_LOCAL_IP", host);
    builder.environment().put("SPARK_SCALA_VERSION", "2.13");
    return builder.start();
  }

  private static NetworkSums gather(DenseNetwork network, JavaRDD<Row> rows, Arena arena) throws IOException {
    SparkSamples samples = SparkSamples.of(Fixture.spark().createDataFrame(rows, Fixture.ARRAYS),
        SampleColumns.of("x"));
    return SparkScorer.of(network, samples, PruningOptions.builder().build(), Device.CPU, 4).gather(arena).sums();
  }

  private static void assertSame(NetworkSums expected, NetworkSums found) {
    expected.layers()
        .forEach((layer, all) -> all.getFirst().arrays().forEach((name, values) -> assertArrayEquals(values.toArray(),
            found.layers().get(layer).getFirst().array(name).toArray(), layer + " " + name)));
  }

  /// Begins once both workers have given a core.
  private static SparkSession session(int port) throws IOException {
    return ClusterTest.onClusters("spark://127.0.0.1:" + port).config("spark.cores.max", 2)
        .config("spark.scheduler.minRegisteredResourcesRatio", 1)
        .config("spark.scheduler.maxRegisteredResourcesWaitingTime", "120s").config("spark.driver.host", "127.0.0.1")
        .config("spark.speculation", true).config("spark.speculation.interval", "100ms")
        .config("spark.speculation.quantile", 0.5).getOrCreate();
  }
}
