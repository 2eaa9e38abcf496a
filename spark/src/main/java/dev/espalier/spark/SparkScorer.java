package dev.espalier.spark;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.Needs;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Gathering;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.CancelledInputs;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.broadcast.Broadcast;

/// Gathers on a Spark cluster the sums that scores follow from. Each partition of the samples is streamed through the
/// network by a task; its sums are cut into tiles, which are added up tile by tile in the order of the partitions, in
/// double, those of more than 32 partitions in groups. So the result has the same bits however often tasks fail, are
/// repeated or run twice, as long as the partitions hold the same rows, and the executors are of one kind. It equals
/// that of one machine within the rounding of float32.
///
/// On the executors there must be memory outside Java's heap, as [#plan] tells (`spark.executor.memoryOverhead`).
public final class SparkScorer {
  /// Bytes of a key, and of what a serialiser writes around a tile.
  private static final long AROUND_TILE = 256;
  /// Bytes of a batch's values at the most, unless a batch size is asked for: a fifth of a GPU of 80 GB.
  private static final long MOST_OF_GPU = 16L << 30;
  /// Bytes of the page-locked buffers that copies to and from a GPU pass through.
  private static final long GPU_BUFFERS = 64L << 20;

  private final DenseNetwork network;
  private final PartitionedSamples samples;
  private final PruningPlan plan;
  private final Device device;
  private final boolean onGpus;
  private final int side;
  private final Tiles tiles;

  private SparkScorer(DenseNetwork network, PartitionedSamples samples, PruningPlan plan, Device device, boolean onGpus,
      int side) {
    this.network = network;
    this.samples = samples;
    this.plan = plan;
    this.device = device;
    this.onGpus = onGpus;
    this.side = side;
    tiles = Tiles.of(plan, side);
  }

  /// The layers that several nodes use; empty without one.
  String tied() {
    return network.graph().tiedText();
  }

  /// Prepares a gathering, and starts no work, unless Spark must shuffle to find out what the partitions are.
  ///
  /// @param options of which criterion, compensation, sensitivity, excluded layers, new biases, batch size and seed are
  ///                in force; without a batch size, tasks on GPUs have batches of 8192 samples, or fewer if they take
  ///                more than 16 GiB, and others of 512
  /// @param device of each task: `auto` is the GPU that Spark gives the task, and the CPU where it gives none
  /// @throws MismatchException if the samples or the options do not fit the network, or the criterion needs what Spark
  ///                           does not gather; the message names it
  public static SparkScorer of(DenseNetwork network, SparkSamples samples, PruningOptions options, Device device) {
    return of(network, samples, options, device, Tiles.SIDE);
  }

  /// @param side most neurons and most inputs of a tile
  static SparkScorer of(DenseNetwork network, SparkSamples samples, PruningOptions options, Device device, int side) {
    return of(network, PartitionedSamples.of(network, samples), options, device, side);
  }

  static SparkScorer of(DenseNetwork network, PartitionedSamples samples, PruningOptions options, Device device,
      int side) {
    requireGathered(options);
    ExecutorBackends.requireUnnumbered(device);
    boolean onGpus = ExecutorBackends.areGpus(device, samples.gpusOfTask());
    try (Backend backend = DriverBackend.open(device)) {
      Dataset shape = samples.shape();
      PruningPlan plan = plan(network, shape, options,
          options.batchSize().isPresent() || !onGpus ? options.batchSize() : OptionalInt.of(GpuBackend.BATCH_SIZE),
          backend);
      while (onGpus && options.batchSize().isEmpty() && plan.memory().batch() > MOST_OF_GPU && batchSize(plan) > 1) {
        plan = plan(network, shape, options, OptionalInt.of(batchSize(plan) / 2), backend);
      }
      return new SparkScorer(network, samples, plan, device, onGpus, side);
    }
  }

  private static PruningPlan plan(DenseNetwork network, Dataset shape, PruningOptions options, OptionalInt batchSize,
      Backend backend) {
    return PruningPlan.of(forGathering(options, batchSize), network, Optional.of(shape), backend);
  }

  private static int batchSize(PruningPlan plan) {
    return plan.scoring().batchSize();
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

  /// What the gathering will cost.
  public GatheringPlan plan() {
    int partitions = samples.partitions();
    long sums = tiles.bytes();
    long weights = plan.memory().weights();
    long largest = IntStream.range(0, tiles.count()).mapToLong(tiles::bytes).max().orElseThrow();
    // Tasks and the driver have network and sums twice, in their backend and as they are sent; a GPU has one of both,
    // and two batches of samples are on their way to it. A tile's total is in double, beside early parts and one that
    // arrives; where a tile is sent, Kryo has it twice and Spark once more.
    long onBackend = weights + sums + plan.memory().batch();
    long onTheWay = 2L * Float.BYTES * plan.scoring().batchSize() * network.inputs();
    return new GatheringPlan(partitions, plan.scoring().batchSize(), 2, weights, shuffled(tiles), tiles.count(),
        weights + sums + (onGpus ? onTheWay + GPU_BUFFERS : onBackend), onGpus ? onBackend + onTheWay : 0,
        (EarlyParts.HELD + 3) * largest, 2 * (weights + sums));
  }

  /// Gathers the sums.
  ///
  /// @param arena takes their memory
  /// @throws IOException if a sample has no finite number where one should be, or another width; the message names the
  ///                     column and the sample
  /// @throws MismatchException if there are no samples
  public GatheredSums gather(Arena arena) throws IOException {
    NetworkSums sums = sums(arena);
    return new GatheredSums(sums,
        Gathering.provenance(network, plan, samples.head(), 0, samples.count(), samples.readingText()));
  }

  private NetworkSums sums(Arena arena) throws IOException {
    Broadcast<NetworkParcel> parcel = samples.broadcast(network);
    try {
      return samples.sums(tiles, new ScoringWork(parcel, inForce(), device), arena);
    } finally {
      parcel.destroy();
    }
  }

  /// Sums, and by another pass the variances of some inputs.
  ///
  /// @param inputs by the names of their layers
  /// @param arena takes the memory of the variances
  private NetworkSums withVariances(NetworkSums sums, Map<String, CancelledInputs> inputs, Arena arena)
      throws IOException {
    Broadcast<NetworkParcel> parcel = samples.broadcast(network);
    try {
      NetworkSums variances = samples.sums(Tiles.ofVariances(plan, inputs, side),
          new VariancesWork(parcel, inForce(), inputs, device), arena);
      Map<String, List<Sums>> all = new LinkedHashMap<>();
      sums.layers().forEach((name, own) -> all.put(name,
          Stream.concat(own.stream(), variances.layers().getOrDefault(name, List.of()).stream()).toList()));
      return new NetworkSums(sums.samples(), all);
    } finally {
      parcel.destroy();
    }
  }

  /// As this one, of the network as a round has left it.
  SparkScorer of(DenseNetwork now) {
    return of(now, samples, plan.options(), device, side);
  }

  /// Gathers, and where variances have cancelled takes another pass, and scores.
  ///
  /// @param backend of the driver
  /// @param working the network, in its memory
  Scores score(Backend backend, DeviceNetwork working) throws IOException {
    try (Arena gathered = Arena.ofShared()) {
      NetworkSums sums = sums(gathered);
      Map<String, CancelledInputs> cancelled = Scorer.cancelled(backend, working, plan.scoring(), sums);
      return Scorer.score(backend, working, plan.scoring(),
          cancelled.isEmpty() ? sums : withVariances(sums, cancelled, gathered));
    }
  }

  /// Gathers and scores, and leaves sums and scores on the executors.
  ///
  /// @param backend of the driver
  /// @param working the network, in its memory
  ScoresOnExecutors scoreOnExecutors(Backend backend, DeviceNetwork working) throws IOException {
    Broadcast<NetworkParcel> parcel = samples.broadcast(network);
    PruningOptions options = inForce();
    LayerTask.Scope scope = new LayerTask.Scope(parcel, new LinkedHashMap<>(options.asText()),
        DriverBackend.of(device).toString(), samples.count());
    return ScoresOnExecutors.of(samples, backend, working, plan, scope, side, new ScoringWork(parcel, options, device),
        inputs -> new VariancesWork(parcel, options, inputs, device));
  }

  private PruningOptions inForce() {
    return forGathering(plan.options(), OptionalInt.of(plan.scoring().batchSize()));
  }

  /// Bytes at most that tasks send of some tiles.
  long shuffled(Tiles some) {
    return Reduction.sent(samples.partitions()) * (some.bytes() + some.count() * AROUND_TILE);
  }

  /// The layers that are scored.
  List<PruningPlan.Layer> layers() {
    return plan.layers().stream().filter(layer -> !layer.excluded()).toList();
  }

  /// Bytes of the network.
  long weightBytes() {
    return plan.memory().weights();
  }

  /// Bytes of the sums of all layers.
  long sumBytes() {
    return tiles.bytes();
  }

  /// Bytes of the sums of the layer that has most.
  long largestSumBytes() {
    return layers().stream().mapToLong(layer -> IntStream.of(tiles.of(layer.name())).mapToLong(tiles::bytes).sum())
        .max().orElse(0);
  }

  int inputs() {
    return network.inputs();
  }

  int outputs() {
    return network.outputs();
  }

  PartitionedSamples samples() {
    return samples;
  }

  int batchSize() {
    return batchSize(plan);
  }
}
