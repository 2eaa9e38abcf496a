package dev.espalier.spark;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.ScaledSamples;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.Scale;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.catalyst.InternalRow;
import scala.Tuple2;

/// Samples in the partitions of a cluster, counted once, and the jobs over them.
final class PartitionedSamples {
  /// Bytes of tiles that the driver fetches at a time, far below `spark.driver.maxResultSize`.
  private static final long FETCHED = 1L << 28;
  /// Samples that tell the data from others.
  private static final int HEAD = 64;

  private final SparkSamples samples;
  private final RowReader reader;
  private final List<RowReader> labels;
  private final JavaRDD<InternalRow> rows;
  private final RowShare share;
  private final Scanned scanned;

  /// What the first pass over all rows has found.
  private static final class Scanned {
    private Optional<long[]> firsts = Optional.empty();
    private Optional<String> hash = Optional.empty();
  }

  /// @param labels one, or none
  private PartitionedSamples(SparkSamples samples, RowReader reader, List<RowReader> labels, JavaRDD<InternalRow> rows,
      RowShare share, Scanned scanned) {
    this.samples = samples;
    this.reader = reader;
    this.labels = labels;
    this.rows = rows;
    this.share = share;
    this.scanned = scanned;
  }

  /// @throws MismatchException if a column is missing or does not hold numbers
  static PartitionedSamples of(DenseNetwork network, SparkSamples samples) {
    String[] notSamples = samples.labels().stream().toArray(String[]::new);
    List<SampleColumns.Found> columns = samples.columns().in(samples.rows().drop(notSamples));
    int width = columns.getFirst().isArray() ? network.inputs() : columns.size();
    List<SampleColumns.Found> label = notSamples.length == 0
        ? List.of()
        : SampleColumns.of(notSamples).in(samples.rows());
    List<RowReader> labels = label.stream().map(column -> new RowReader(label, columns.size(),
        column.isArray() ? network.outputs() : 1, column.isArray() || network.outputs() == 1 ? 0 : network.outputs()))
        .toList();
    return new PartitionedSamples(samples, new RowReader(columns, 0, width, 0), labels,
        rows(SampleColumns.select(samples.rows(), Stream.concat(columns.stream(), label.stream()).toList())),
        RowShare.ALL, new Scanned());
  }

  /// Some of these samples, which are counted together.
  PartitionedSamples share(RowShare some) {
    return new PartitionedSamples(samples, reader, labels, rows, some, scanned);
  }

  /// These samples alone.
  PartitionedSamples withoutLabels() {
    return new PartitionedSamples(samples, reader, List.of(), rows, share, scanned);
  }

  String name() {
    return share.name(samples.name());
  }

  /// Numbers in a label; 0 without labels.
  int labelWidth() {
    return labels.isEmpty() ? 0 : labels.getFirst().width();
  }

  private static JavaRDD<InternalRow> rows(org.apache.spark.sql.Dataset<Row> data) {
    if (!(data instanceof org.apache.spark.sql.classic.Dataset<Row> classic)) {
      throw new MismatchException("the data are those of Spark Connect: use a session in Spark's own process");
    }
    return classic.queryExecution().toRdd().toJavaRDD();
  }

  /// GPUs, or the part of one, that Spark gives each task.
  double gpusOfTask() {
    return rows.context().getConf().getDouble("spark.task.resource.gpu.amount", 0);
  }

  int partitions() {
    return rows.getNumPartitions();
  }

  /// What a plan must know of the samples before they are counted.
  Dataset shape() {
    return Dataset.of(new SampleHead(name(), 1, reader.width(), List.of()));
  }

  /// As [#shape], once they are counted.
  ///
  /// @throws IOException as [#sums]
  Dataset counted() throws IOException {
    return Dataset.of(new SampleHead(name(), count(), reader.width(), List.of()));
  }

  /// The samples, of which the first can be read.
  ///
  /// @throws IOException as [#sums]
  Dataset head() throws IOException {
    return job(() -> {
      List<float[]> head = rows.mapPartitions(new FirstRows(reader, HEAD)).take(HEAD);
      SampleSource all = new SampleHead(name(), count(), reader.width(), head);
      return Dataset.of(samples.columns().scale()
          .<SampleSource>map(scale -> new ScaledSamples(all, scale.numerator(), scale.denominator())).orElse(all));
    });
  }

  /// What tells these samples in these partitions from others: among the rest, a hash of all values, which is computed where
  /// the rows are counted.
  ///
  /// @throws IOException as [#sums]
  Map<String, String> identity() throws IOException {
    Map<String, String> identity = new LinkedHashMap<>(readingText());
    scan(true);
    identity.put("samples", String.valueOf(count()));
    identity.put("partitions", String.valueOf(partitions()));
    identity.put("data", scanned.hash.orElseThrow());
    return identity;
  }

  /// How samples are read, where that changes them.
  Map<String, String> readingText() {
    return samples.columns().readingText();
  }

  /// All samples.
  ///
  /// @throws IOException as [#sums]
  long count() throws IOException {
    PartitionReader all = reader();
    return all.first(all.partitions());
  }

  /// How tasks read them.
  PartitionReader reader() throws IOException {
    scan(false);
    return new PartitionReader(reader, labels, name(), samples.columns().scale().map(Scale::toString).orElse(""), share,
        scanned.firsts.orElseThrow());
  }

  /// The first pass over the data, unless it is done.
  ///
  /// @param hashed whether it must hash them
  private void scan(boolean hashed) throws IOException {
    if (scanned.firsts.isPresent() && (scanned.hash.isPresent() || !hashed)) {
      return;
    }
    List<byte[]> emitted = job(
        () -> rows.mapPartitions(new PartitionScan(Stream.concat(Stream.of(reader), labels.stream()).toList(), hashed))
            .collect());
    long[] counted = new long[emitted.size() + 1];
    MessageDigest all = PartitionScan.sha256();
    for (int p = 0; p < emitted.size(); p++) {
      counted[p + 1] = counted[p] + PartitionScan.count(emitted.get(p));
      all.update(emitted.get(p));
    }
    if (counted[emitted.size()] == 0) {
      throw new MismatchException("%s: there are no rows".formatted(samples.name()));
    }
    scanned.firsts = Optional.of(counted);
    scanned.hash = hashed ? Optional.of(HexFormat.of().formatHex(all.digest())) : Optional.empty();
  }

  /// Sends a network to all executors, until [Broadcast#destroy].
  Broadcast<NetworkParcel> broadcast(DenseNetwork network) {
    return JavaSparkContext.fromSparkContext(rows.context()).broadcast(new NetworkParcel(network));
  }

  /// The sums over all samples.
  ///
  /// @param tiles of what the work sums
  /// @param arena takes their memory
  /// @throws IOException if a sample has no finite number where one should be, or another width; the message names the
  ///                     column and the sample
  NetworkSums sums(Tiles tiles, PartitionWork work, Arena arena) throws IOException {
    return fetch(tiles, totals(tiles, work), IntStream.range(0, tiles.count()).toArray(), arena);
  }

  /// The sums over all samples, where they are added up: a partition for each tile.
  JavaRDD<byte[]> totals(Tiles tiles, PartitionWork work) throws IOException {
    return totals(tiles, rows.mapPartitionsWithIndex(new PartitionTask(work, reader(), tiles), false));
  }

  /// Samples with what the dense network makes of them, as [TaughtSamples#pieces] cuts them.
  JavaRDD<float[]> taught(JointPart part, Broadcast<NetworkParcel> dense) throws IOException {
    return rows.mapPartitionsWithIndex(new TeacherTask(part, dense, reader()), false);
  }

  /// The sums by which networks are judged.
  EvaluationPass.Sums judge(List<Broadcast<NetworkParcel>> networks, Optional<Loss> loss, int batchSize, Device device)
      throws IOException {
    return JudgingTask.total(
        collect(rows.mapPartitionsWithIndex(new JudgingTask(reader(), networks, loss, batchSize, device), false)));
  }

  /// Work over samples that [#taught] gave.
  <T> JavaRDD<T> joint(JavaRDD<float[]> taught, JointPart part, JointTask.Work<T> work) throws IOException {
    return taught.mapPartitionsWithIndex(new JointTask<>(part, work, reader()), false);
  }

  /// What all partitions emit, in their order.
  <T> List<T> collect(JavaRDD<T> emitted) throws IOException {
    return job(emitted::collect);
  }

  /// What some partitions emit, each one thing.
  <T> List<T> collect(JavaRDD<T> emitted, int... partitions) throws IOException {
    return job(() -> Stream.of(emitted.collectPartitions(partitions)).map(List::getFirst).toList());
  }

  /// Adds up tiles, each in the order of the partitions.
  ///
  /// @param parts tiles by their [TileKey]
  /// @param arena takes the memory of the sums
  NetworkSums total(Tiles tiles, JavaRDD<Tuple2<Long, byte[]>> parts, Arena arena) throws IOException {
    return fetch(tiles, totals(tiles, parts), IntStream.range(0, tiles.count()).toArray(), arena);
  }

  /// Partitions without samples send nothing, so the parts are numbered anew.
  private JavaRDD<byte[]> totals(Tiles tiles, JavaRDD<Tuple2<Long, byte[]>> parts) throws IOException {
    PartitionReader all = reader();
    int[] numbers = new int[all.partitions() + 1];
    for (int p = 0; p < all.partitions(); p++) {
      numbers[p + 1] = numbers[p] + (all.count(p) > 0 ? 1 : 0);
    }
    return Reduction.totals(tiles,
        parts.map(
            part -> new Tuple2<>(TileKey.of(TileKey.tile(part._1()), numbers[TileKey.part(part._1())]), part._2())),
        numbers[numbers.length - 1]);
  }

  /// Fetches sums.
  ///
  /// @param totals a partition for each tile
  /// @param some the numbers of those of whole layers
  /// @param arena takes the memory of the sums
  NetworkSums fetch(Tiles tiles, JavaRDD<byte[]> totals, int[] some, Arena arena) throws IOException {
    long all = count();
    return job(() -> {
      NetworkSums sums = tiles.allocate(all, some, arena);
      for (int first = 0, end; first < some.length; first = end) {
        end = wave(tiles, some, first);
        int[] fetched = Arrays.copyOfRange(some, first, end);
        List<byte[]>[] bytes = totals.collectPartitions(fetched);
        for (int i = 0; i < fetched.length; i++) {
          tiles.put(sums, fetched[i], bytes[i].getFirst());
        }
      }
      return sums;
    });
  }

  /// The end of the tiles that are fetched together with the one at `first`.
  private static int wave(Tiles tiles, int[] some, int first) {
    long bytes = tiles.bytes(some[first]);
    int end = first + 1;
    while (end < some.length && bytes + tiles.bytes(some[end]) <= FETCHED) {
      bytes += tiles.bytes(some[end]);
      end++;
    }
    return end;
  }

  interface Job<T> {
    T run() throws IOException;
  }

  static <T> T job(Job<T> job) throws IOException {
    try {
      return job.run();
    } catch (IOException | RuntimeException e) {
      throw e;
    } catch (Exception e) { // Spark's are checked, and its methods do not declare them
      throw Failures.of(e);
    }
  }
}
