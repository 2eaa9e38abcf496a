package dev.espalier.spark;

import static dev.espalier.engine.report.Numbers.PLAIN;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.PriorityQueue;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// What adding up takes on a cluster, by the groups that [Reduction] makes, task by task: each executor sends its
/// tiles, and then tasks are launched one after the other, each on the core that is free first. A task takes as long as
/// it adds, or as its share of the network and of the disks needs. [#main] prints the table of docs/scale.md.
///
/// @param executors each with one partition
/// @param cores of an executor, each for a task that adds
/// @param sending bytes a second of the one task that sends
/// @param adding bytes a second of a task that adds, with what it takes to read
/// @param disk bytes a second of an executor's disks, written or read
/// @param network bytes a second of an executor
/// @param launch seconds that the driver takes to launch a task
record ReductionSimulation(int executors, int cores, double sending, double adding, double disk, double network,
    double launch) {
  private static final int LAYERS = 100;
  /// Executors differ in speed by up to a tenth.
  private static final double SPREAD = 0.1;

  /// What a simulation came to.
  ///
  /// @param tasks that add
  /// @param added bytes at both levels
  /// @param send seconds
  /// @param levels seconds of each
  record Result(long tasks, double added, double send, List<Double> levels) {
    double seconds() {
      return send + levels.stream().mapToDouble(Double::doubleValue).sum();
    }
  }

  /// Rates of one core as measured, and assumed ones of disks, networks and the driver.
  static ReductionSimulation of(int executors) {
    return new ReductionSimulation(executors, 16, 0.5e9, 1e9, 3e9, 25e9, 1e-3);
  }

  public static void main(String... arguments) {
    for (double weights : new double[]{1e9, 1e10, 1e11, 1e12}) {
      for (int executors : new int[]{8, 64, 1024}) {
        System.out.println(row(weights, executors));
      }
    }
  }

  /// A row of the table in docs/scale.md.
  static String row(double weights, int executors) {
    Result result = of(executors).simulate(weights);
    String power = String.valueOf(Math.round(Math.log10(weights))).chars()
        .mapToObj(digit -> "⁰¹²³⁴⁵⁶⁷⁸⁹".substring(digit - '0', digit - '0' + 1)).collect(Collectors.joining());
    return "| 10%s | %d | %s | %s | %s | %s | %s |".formatted(power, executors, PLAIN.count(result.tasks),
        seconds(result.send), seconds(result.levels.getFirst()),
        result.levels.size() > 1 ? seconds(result.levels.get(1)) : "", seconds(result.seconds()));
  }

  private static String seconds(double seconds) {
    return seconds >= 120
        ? "%d min".formatted(Math.round(seconds / 60))
        : String.format(Locale.ROOT, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
  }

  /// A network of square layers.
  Result simulate(double weights) {
    long[] tiles = tiles(Math.sqrt(weights / LAYERS));
    List<Double> levels = new ArrayList<>();
    long tasks = 0;
    double added = 0;
    int parts = executors;
    do {
      TileKey.ByGroup groups = new TileKey.ByGroup(tiles.length, parts, Reduction.together(parts));
      double[] bytes = new double[groups.numPartitions()];
      for (int tile = 0; tile < tiles.length; tile++) {
        for (int part = 0; part < parts; part++) {
          bytes[groups.getPartition(TileKey.of(tile, part))] += tiles[tile];
        }
      }
      levels.add(level(bytes));
      tasks += bytes.length;
      added += Arrays.stream(bytes).sum();
      parts = groups.groups();
    } while (parts > 1);
    double send = Arrays.stream(tiles).sum() / Math.min(sending * (1 - SPREAD), disk);
    return new Result(tasks, added, send, levels);
  }

  /// Bytes of M1 and M2 in each tile.
  private static long[] tiles(double side) {
    long width = Math.round(side);
    long[] sides = IntStream.range(0, (int) Math.ceilDiv(width, Tiles.SIDE))
        .mapToLong(i -> Math.min(Tiles.SIDE, width - (long) i * Tiles.SIDE)).toArray();
    long[] ofLayer = Arrays.stream(sides)
        .flatMap(outputs -> Arrays.stream(sides).map(inputs -> 2 * Float.BYTES * outputs * inputs)).toArray();
    return IntStream.range(0, LAYERS).boxed().flatMapToLong(_ -> Arrays.stream(ofLayer)).toArray();
  }

  /// Seconds until the last task has ended.
  private double level(double... bytes) {
    record Core(int executor, double free) {}
    PriorityQueue<Core> all = new PriorityQueue<>(
        (a, b) -> a.free != b.free ? Double.compare(a.free, b.free) : Integer.compare(a.executor, b.executor));
    for (int core = 0; core < cores; core++) {
      for (int executor = 0; executor < executors; executor++) {
        all.add(new Core(executor, 0));
      }
    }
    int together = Math.min(cores, Math.ceilDiv(bytes.length, executors));
    double share = Math.min(network, disk) / together;
    double end = 0;
    for (int task = 0; task < bytes.length; task++) {
      Core core = all.remove();
      double rate = Math.min(adding * speed(core.executor), share);
      double done = Math.max(core.free, (task + 1) * launch) + bytes[task] / rate;
      all.add(new Core(core.executor, done));
      end = Math.max(end, done);
    }
    return end;
  }

  /// From 1 − [#SPREAD] to 1, in no order.
  private static double speed(int executor) {
    return 1 - SPREAD * (executor * 7919L % 1009) / 1008;
  }
}
