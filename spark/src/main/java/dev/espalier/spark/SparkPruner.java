package dev.espalier.spark;

import static dev.espalier.engine.report.Numbers.PLAIN;

import com.sun.management.OperatingSystemMXBean;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Checkpoint;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.statistics.GatheredSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/// Prunes by statistics that a Spark cluster gathers, in the rounds of a schedule. The driver selects, removes,
/// compensates and fits, in its own memory. Each round gathers what scores follow from, and a refit, for each layer from
/// the input on, the covariances of its inputs and errors. A joint repair keeps the samples in the executors, and takes a
/// pass over them, a job of Spark, for each product of its conjugate gradients.
public final class SparkPruner {
  /// Steps of a length of their own that a joint repair tries, at the most.
  private static final int TRIED = 4;
  /// Of the network's size, which a joint repair holds.
  private static final int VECTORS = 7;

  private final PruningOptions options;
  private final Device device;
  private final Selection selection;

  /// As the other, and selects where the scores fit.
  ///
  /// @throws MismatchException as the other
  public SparkPruner(PruningOptions options, Device device) {
    this(options, device, Selection.AUTO);
  }

  /// @param options of a pruning to one target, without a repair, or by refit, joint or both
  /// @param device as of [SparkScorer#of]
  /// @param selection where weights are selected
  /// @throws MismatchException if the options ask for more; the message names it
  public SparkPruner(PruningOptions options, Device device, Selection selection) {
    for (Repair step : options.repair().steps()) {
      if (!(step instanceof Repair.Refit || step instanceof Repair.Joint)) {
        throw new MismatchException(
            "repair %s trains, which Spark does not: use refit, joint, refit+joint or none".formatted(step));
      }
    }
    if (!options.stops().isEmpty()) {
      throw new MismatchException("Spark prunes to one target: prune to %s alone".formatted(options.target()));
    }
    if (selection == Selection.EXECUTORS && options.target() instanceof Target.Neurons) {
      throw new MismatchException("neurons are selected on the driver: use the selection driver or auto");
    }
    this.options = options;
    this.device = device;
    this.selection = selection;
  }

  /// Where weights will be selected.
  ///
  /// @param scorer of the first round
  /// @return not [Selection#AUTO]
  /// @throws MismatchException if executors are asked to score a layer that several nodes use
  public Selection selection(SparkScorer scorer) {
    if (selection == Selection.EXECUTORS && !scorer.tied().isEmpty()) {
      throw new MismatchException(
          "layers that several nodes use are selected on the driver, and this network has %s: ".formatted(scorer.tied())
              + "use the selection driver or auto");
    }
    if (selection != Selection.AUTO) {
      return selection;
    }
    boolean fits = options.target() instanceof Target.Neurons || !scorer.tied().isEmpty()
        || fits(driverMemory(scorer, Selection.DRIVER), machineMemory());
    return fits ? Selection.DRIVER : Selection.EXECUTORS;
  }

  /// @param of the driver's machine or container
  static boolean fits(long bytes, long of) {
    return bytes <= of / 2;
  }

  /// Of the driver's machine or container.
  private static long machineMemory() {
    return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
  }

  /// The most bytes that the driver takes at a time outside Java's heap, where weights are [selected][#selection]. The
  /// broadcast of a network is in the heap.
  ///
  /// @param scorer of the first round
  public long driverMemory(SparkScorer scorer) {
    return driverMemory(scorer, selection(scorer));
  }

  /// Sums take their bytes twice, as they arrive and on the backend. A network is held as it was, as it is in this round
  /// and on the backend; a repair downloads it once more.
  private long driverMemory(SparkScorer scorer, Selection where) {
    boolean isOne = targets().size() == 1 && options.repair().steps().isEmpty();
    long sums = 2 * (where == Selection.DRIVER ? scorer.sumBytes() : scorer.largestSumBytes());
    long most = Math.max(sums, scorer.weightBytes());
    for (Repair step : options.repair().steps()) {
      most = Math.max(most,
          step instanceof Repair.Refit
              ? scorer.weightBytes() + 2 * tilesOfFits(scorer).mapToLong(Tiles::bytes).max().orElse(0)
              : VECTORS * scorer.weightBytes());
    }
    return (isOne ? 2 : 3) * scorer.weightBytes() + most;
  }

  private static Stream<Tiles> tilesOfFits(SparkScorer scorer) {
    return scorer.layers().stream().map(layer -> Tiles.ofFit(layer, 1, Tiles.SIDE));
  }

  /// Where weights are selected, what that takes of the driver, and what the rounds will cost beside the gathering for
  /// scores, in lines for people.
  ///
  /// @param scorer of the first round
  public String plan(SparkScorer scorer) {
    String where = where(scorer, 0);
    String rounds = rounds(scorer);
    return rounds.isEmpty() ? where : where + "\n" + rounds;
  }

  /// @param more networks that the driver holds
  String where(SparkScorer scorer, int more) {
    return (selection(scorer) == Selection.DRIVER
        ? "the driver selects among the scores of all layers, and takes %s outside Java's heap"
        : "the scores stay on the executors, which count them in histograms; the driver has one layer at a time, and takes "
            + "%s outside Java's heap")
        .formatted(MemoryBudget.text(driverMemory(scorer) + more * scorer.weightBytes()));
  }

  /// What the attempts of a search take.
  String attempts(SparkScorer scorer) {
    boolean isJoint = options.repair().steps().stream().anyMatch(Repair.Joint.class::isInstance);
    return "each attempt of the search takes a pass over the data to judge%s%s; %s".formatted(
        refitted(scorer).isEmpty()
            ? ""
            : ", and one for each of %s layers that are refitted".formatted(PLAIN.count(refitted(scorer).size())),
        isJoint ? ", beside the jobs of the joint repair" : "",
        options.schedule() instanceof Schedule.OneShot
            ? "one more scores for all of them"
            : "each round on the way takes one more to score");
  }

  private List<PruningPlan.Layer> refitted(SparkScorer scorer) {
    return options.repair().steps().stream().anyMatch(Repair.Refit.class::isInstance) ? scorer.layers() : List.of();
  }

  /// Empty where there is one round and no repair.
  private String rounds(SparkScorer scorer) {
    int rounds = targets().size();
    if (rounds == 1 && options.repair().steps().isEmpty()) {
      return "";
    }
    List<PruningPlan.Layer> fitted = refitted(scorer);
    long passes = 1 + (long) rounds * (1 + fitted.size());
    String scored = "%s rounds, each scored anew".formatted(PLAIN.count(rounds));
    String plan = "%s%s; %s passes over the data in all".formatted(scored,
        fitted.isEmpty()
            ? ""
            : ", with %s layers refitted one after the other, for which %s are shuffled at most".formatted(
                PLAIN.count(fitted.size()), MemoryBudget.text(tilesOfFits(scorer).mapToLong(scorer::shuffled).sum())),
        PLAIN.count(passes));
    return options.repair().steps().stream()
        .flatMap(step -> step instanceof Repair.Joint joint ? Stream.of(joint) : Stream.empty()).findFirst()
        .map(joint -> plan + "\n" + plan(joint, scorer)).orElse(plan);
  }

  private static String plan(Repair.Joint joint, SparkScorer scorer) {
    int outer = joint.outer().orElse(Repair.Joint.OUTER);
    int inner = joint.inner().orElse(Repair.Joint.INNER);
    return ("joint repair of the last round: up to %s jobs, over samples that the executors keep, %s each with the dense "
        + "network's outputs; up to half as many steps and iterations in a round before it, from %s of the weights on")
        .formatted(PLAIN.count((long) outer * (inner + 1 + TRIED) + 2),
            MemoryBudget.text((long) Float.BYTES * (scorer.inputs() + scorer.outputs())),
            PLAIN.percent(Repair.Joint.ROUNDS_FROM));
  }

  private List<Target> targets() {
    return options.schedule().path(options.path());
  }

  /// Prunes a copy of `network`, which stays as it is.
  ///
  /// @param arena takes the memory of the pruned network
  /// @throws IOException as [SparkScorer#gather]
  /// @throws MismatchException as [SparkScorer#of] and [PruningPlan#of(PruningOptions, DenseNetwork, GatheredSums,
  ///                           Backend)]
  public PruningResult prune(DenseNetwork network, SparkSamples samples, Arena arena) throws IOException {
    return prune(network, SparkScorer.of(network, samples, options, device), arena);
  }

  /// As the other, by a gathering that was prepared with the same network and options, and a plan that was shown.
  public PruningResult prune(DenseNetwork network, SparkScorer scorer, Arena arena) throws IOException {
    return prune(network, scorer, Optional.empty(), arena);
  }

  /// As the other, and each round is kept in a folder, from which a driver that starts anew goes on: the result has the
  /// same bits.
  ///
  /// @param folder of the driver's machine, or of one that all drivers see
  /// @throws MismatchException also if the folder has rounds of another network, other data or partitions, or other
  ///                           options; the message says which
  public PruningResult prune(DenseNetwork network, SparkScorer scorer, Path folder, Arena arena) throws IOException {
    return prune(network, scorer, Optional.of(folder), arena);
  }

  private PruningResult prune(DenseNetwork network, SparkScorer scorer, Optional<Path> folder, Arena arena)
      throws IOException {
    try (Backend backend = DriverBackend.open(device); DeviceNetwork working = DeviceNetwork.copyOf(backend, network)) {
      PartitionedSamples samples = scorer.samples();
      PruningPlan plan = PruningPlan.of(options, network, Optional.of(samples.counted()), backend);
      Optional<Checkpoint> checkpoint = Optional.empty();
      if (folder.isPresent()) {
        checkpoint = Optional.of(Checkpoint.open(folder.get(), plan, backend, network, identity(scorer)));
      }
      int done = checkpoint.map(Checkpoint::rounds).orElse(0);
      PruningResult result = new Pruner(backend, options)
          .path(plan, network, working, of(backend, network, plan, scorer), checkpoint, ProgressListener.NONE, arena)
          .getLast();
      return done == 0
          ? result
          : result.withNotes(
              Stream.concat(result.notes().stream(), Stream.of("went on after round %s of %s, which the checkpoint had"
                  .formatted(PLAIN.count(done), PLAIN.count(plan.rounds().size())))).toList());
    }
  }

  ClusterSamples of(Backend backend, DenseNetwork network, PruningPlan plan, SparkScorer scorer) throws IOException {
    return new ClusterSamples(backend, network, plan, scorer, selection(scorer), device, scorer.samples().count());
  }

  Map<String, String> identity(SparkScorer scorer) throws IOException {
    Map<String, String> data = new LinkedHashMap<>(scorer.samples().identity());
    data.put("device of tasks", device.toString());
    data.put("batch of tasks", String.valueOf(scorer.batchSize()));
    return data;
  }
}
