package dev.espalier.spark;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.Scale;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.Needs;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Gathering;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Provenance;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.InternalRow;
import scala.Tuple2;

/// Gathers on a Spark cluster the sums that scores follow from. Each partition of the samples is streamed through the
/// network by a task; its sums are cut into tiles, which are added up tile by tile in the order of the partitions, in
/// double. So the result has the same bits however often tasks fail, are repeated or run twice, as long as the
/// partitions hold the same rows, and the executors are of one kind. It equals that of one machine within the rounding of
/// float32.
///
/// On the executors there must be memory outside Java's heap, as [#plan] tells (`spark.executor.memoryOverhead`).
public final class SparkScorer {
  /// Bytes of tiles that the driver fetches at a time, far below `spark.driver.maxResultSize`.
  private static final long FETCHED = 1L << 28;
  /// Samples that tell the data from others.
  private static final int HEAD = 64;
  /// Bytes of a key, and of what a serialiser writes around a tile.
  private static final long AROUND_TILE = 256;

  private final DenseNetwork network;
  private final SparkSamples samples;
  private final PruningPlan plan;
  private final Device device;
  private final RowReader reader;
  private final JavaRDD<InternalRow> rows;
  private final Tiles tiles;

  private SparkScorer(DenseNetwork network, SparkSamples samples, PruningPlan plan, Device device, RowReader reader,
      JavaRDD<InternalRow> rows, Tiles tiles) {
    this.network = network;
    this.samples = samples;
    this.plan = plan;
    this.device = device;
    this.reader = reader;
    this.rows = rows;
    this.tiles = tiles;
  }

  /// Prepares a gathering, and starts no work, unless Spark must shuffle to find out what the partitions are.
  ///
  /// @param options of which criterion, compensation, sensitivity, excluded layers, new biases, batch size and seed are
  ///                in force
  /// @param device of each task: `auto` is the GPU that Spark gives the task, and the CPU where it gives none
  /// @throws MismatchException if the samples or the options do not fit the network, or the criterion needs what Spark
  ///                           does not gather; the message names it
  public static SparkScorer of(DenseNetwork network, SparkSamples samples, PruningOptions options, Device device) {
    return of(network, samples, options, device, Tiles.SIDE);
  }

  /// @param side most neurons and most inputs of a tile
  static SparkScorer of(DenseNetwork network, SparkSamples samples, PruningOptions options, Device device, int side) {
    requireGathered(options);
    List<SampleColumns.Found> columns = samples.columns().in(samples.rows());
    int width = columns.getFirst().isArray() ? network.inputs() : columns.size();
    JavaRDD<InternalRow> rows = rows(SampleColumns.select(samples.rows(), columns));
    try (Backend backend = DriverBackend.open(device)) {
      Dataset shape = Dataset.of(new SampleHead(samples.name(), 1, width, List.of()));
      PruningPlan plan = PruningPlan.of(forGathering(options, options.batchSize()), network, Optional.of(shape),
          backend);
      return new SparkScorer(network, samples, plan, device, new RowReader(columns, width), rows, Tiles.of(plan, side));
    }
  }

  private static void requireGathered(PruningOptions options) {
    Gathering.requireFollows(options.criterion());
    Needs needs = options.criterion().needs().and(options.effectiveCompensation().needs());
    if (needs.labels()) {
      throw new MismatchException(
          "criterion %s needs labels, which Spark does not gather: use another one".formatted(options.criterion()));
    }
    if (!needs.samples()) {
      throw new MismatchException("criterion %s with compensation %s needs no samples: prune without Spark"
          .formatted(options.criterion(), options.effectiveCompensation()));
    }
  }

  /// What sums depend on: neither a target nor rounds.
  private static PruningOptions forGathering(PruningOptions options, OptionalInt batchSize) {
    PruningOptions.Builder builder = PruningOptions.builder().criterion(options.criterion())
        .compensation(options.effectiveCompensation()).newBias(options.newBias()).seed(options.seed())
        .exclude(options.excluded().stream().map(LayerPattern::glob).toArray(String[]::new));
    options.sensitivity().ifPresent(builder::sensitivity);
    batchSize.ifPresent(builder::batchSize);
    return builder.build();
  }

  private static JavaRDD<InternalRow> rows(org.apache.spark.sql.Dataset<Row> data) {
    if (!(data instanceof org.apache.spark.sql.classic.Dataset<Row> classic)) {
      throw new MismatchException("the data are those of Spark Connect: use a session in Spark's own process");
    }
    return classic.queryExecution().toRdd().toJavaRDD();
  }

  /// What the gathering will cost.
  public GatheringPlan plan() {
    int partitions = rows.getNumPartitions();
    long sums = tiles.bytes();
    long weights = plan.memory().weights();
    long largest = IntStream.range(0, tiles.count()).mapToLong(tiles::bytes).max().orElseThrow();
    // A task has sums in its backend and copies them; a tile's total is in double, beside a part of it and the result.
    return new GatheringPlan(partitions, plan.scoring().batchSize(), 2, weights,
        partitions * (sums + tiles.count() * AROUND_TILE), tiles.count(),
        2 * weights + 2 * sums + plan.memory().batch(), 5 * largest, weights + sums);
  }

  /// Gathers the sums.
  ///
  /// @param arena takes their memory
  /// @throws IOException if a sample has no finite number where one should be, or another width; the message names the
  ///                     column and the sample
  /// @throws MismatchException if there are no samples
  public GatheredSums gather(Arena arena) throws IOException {
    try {
      long[] firsts = firsts();
      long total = firsts[firsts.length - 1];
      if (total == 0) {
        throw new MismatchException("%s: there are no rows".formatted(samples.name()));
      }
      NetworkSums sums = sums(firsts, arena);
      String scale = samples.columns().scale().map(Scale::toString).orElse("");
      Dataset all = Dataset
          .of(PartitionSums.scaled(new SampleHead(samples.name(), total, reader.width(), head()), scale));
      Provenance provenance = Gathering.provenance(network, plan, all, 0, total, samples.columns().readingText());
      return new GatheredSums(sums, provenance);
    } catch (IOException | RuntimeException e) {
      throw e;
    } catch (Exception e) { // Spark's are checked, and its methods do not declare them
      throw Failures.of(e);
    }
  }

  /// The position of each partition's first sample, and at last the number of all samples.
  private long[] firsts() {
    List<Long> counts = rows.mapPartitions(RowCount::of).collect();
    long[] firsts = new long[counts.size() + 1];
    for (int p = 0; p < counts.size(); p++) {
      firsts[p + 1] = firsts[p] + counts.get(p);
    }
    return firsts;
  }

  private List<float[]> head() {
    return rows.mapPartitions(new FirstRows(reader, HEAD)).take(HEAD);
  }

  private NetworkSums sums(long[] firsts, Arena arena) {
    JavaSparkContext context = JavaSparkContext.fromSparkContext(rows.context());
    Broadcast<NetworkParcel> parcel = context.broadcast(new NetworkParcel(network));
    try {
      PruningOptions inForce = forGathering(plan.options(), OptionalInt.of(plan.scoring().batchSize()));
      JavaRDD<Tuple2<Long, byte[]>> parts = rows.mapPartitionsWithIndex(
          new PartitionSums(parcel, inForce, device, reader, samples.name(), samples.columns().scale(), firsts, tiles),
          false);
      JavaRDD<byte[]> totals = JavaPairRDD.fromJavaRDD(parts)
          .repartitionAndSortWithinPartitions(new TileKey.ByTile(tiles.count())).mapPartitions(new TileTotal(tiles));
      NetworkSums sums = tiles.allocate(firsts[firsts.length - 1], arena);
      for (int first = 0, end; first < tiles.count(); first = end) {
        end = wave(first);
        List<byte[]>[] fetched = totals.collectPartitions(IntStream.range(first, end).toArray());
        for (int tile = first; tile < end; tile++) {
          tiles.put(sums, tile, fetched[tile - first].getFirst());
        }
      }
      return sums;
    } finally {
      parcel.destroy();
    }
  }

  /// The end of the tiles that are fetched together with tile `first`.
  private int wave(int first) {
    long bytes = tiles.bytes(first);
    int end = first + 1;
    while (end < tiles.count() && bytes + tiles.bytes(end) <= FETCHED) {
      bytes += tiles.bytes(end);
      end++;
    }
    return end;
  }
}
