package dev.espalier.spark;

import static dev.espalier.engine.report.Numbers.PLAIN;

import com.sun.management.OperatingSystemMXBean;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Checkpoint;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningProgress;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.repair.JointFit;
import dev.espalier.engine.repair.LayerFit;
import dev.espalier.engine.scoring.CancelledInputs;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.broadcast.Broadcast;

/// Prunes by statistics that a Spark cluster gathers, in the rounds of a schedule. The driver selects, removes,
/// compensates and fits, in its own memory. Each round gathers what scores follow from, and a refit, for each layer from
/// the input on, the covariances of its inputs and errors. A joint repair keeps the samples in the executors, and takes a
/// pass over them, a job of Spark, for each product of its conjugate gradients.
public final class SparkPruner {
  /// Steps of a length of their own that a joint repair tries, at the most.
  private static final int TRIED = 4;
  /// Of the network's size, which a joint repair holds.
  private static final int VECTORS = 7;
  private static final String WENT_ON = "went on after round";

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
    if (!options.layerSparsities().isEmpty() && !(options.schedule() instanceof Schedule.OneShot)) {
      throw new MismatchException(
          "on Spark, sparsities of single layers are reached in one round: use oneshot, or no %s"
              .formatted(options.layerSparsities().getFirst()));
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
    return scorer.layers().stream().map(layer -> Tiles.ofFit(layer, Tiles.SIDE));
  }

  /// Where weights are selected, what that takes of the driver, and what the rounds will cost beside the gathering for
  /// scores, in lines for people.
  ///
  /// @param scorer of the first round
  public String plan(SparkScorer scorer) {
    String where = (selection(scorer) == Selection.DRIVER
        ? "the driver selects among the scores of all layers, and takes %s outside Java's heap"
        : "the scores stay on the executors, which count them in histograms; the driver has one layer at a time, and takes "
            + "%s outside Java's heap")
        .formatted(MemoryBudget.text(driverMemory(scorer)));
    String rounds = rounds(scorer);
    return rounds.isEmpty() ? where : where + "\n" + rounds;
  }

  /// Empty where there is one round and no repair.
  private String rounds(SparkScorer scorer) {
    int rounds = targets().size();
    boolean refits = options.repair().steps().stream().anyMatch(Repair.Refit.class::isInstance);
    if (rounds == 1 && options.repair().steps().isEmpty()) {
      return "";
    }
    List<PruningPlan.Layer> fitted = refits ? scorer.layers() : List.of();
    long shuffled = refits ? tilesOfFits(scorer).mapToLong(scorer::shuffled).sum() : 0;
    long passes = 1 + (long) rounds * (1 + fitted.size());
    String scored = "%s rounds, each scored anew".formatted(PLAIN.count(rounds));
    String plan = "%s%s; %s passes over the data in all".formatted(scored,
        refits
            ? ", with %s layers refitted one after the other, for which %s are shuffled at most"
                .formatted(PLAIN.count(fitted.size()), MemoryBudget.text(shuffled))
            : "",
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

  /// The parts of a fit count samples, and those of a tied layer count once for each use.
  private void requireRefittable(DenseNetwork network, SparkScorer scorer) {
    Set<String> fitted = scorer.layers().stream().map(PruningPlan.Layer::name).collect(Collectors.toSet());
    for (int l = 0; l < network.layers().size(); l++) {
      String name = network.layers().get(l).name();
      if (network.graph().isTied(l) && fitted.contains(name)
          && options.repair().steps().stream().anyMatch(Repair.Refit.class::isInstance)) {
        throw new MismatchException("layer %s is used by %d nodes, which Spark does not refit: use joint or none, or "
            .formatted(name, network.graph().uses(l).length) + "exclude it");
      }
    }
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
    requireRefittable(network, scorer);
    List<List<LayerResult>> rounds = new ArrayList<>();
    Set<String> notes = new LinkedHashSet<>();
    try (Backend backend = DriverBackend.open(device);
        DeviceNetwork working = DeviceNetwork.copyOf(backend, network);
        Repairing repairing = new Repairing(backend, network, scorer)) {
      Optional<Checkpoint> checkpoint = Optional.empty();
      if (folder.isPresent()) {
        checkpoint = Optional.of(checkpoint(folder.get(), backend, network, scorer));
      }
      int done = checkpoint.map(Checkpoint::rounds).orElse(0);
      if (done > 0) {
        Checkpoint.Round then = checkpoint.get().load(done, arena);
        working.load(then.network());
        rounds.add(before(network, then, scorer));
        repairing.restore(then.progress().repairs(), Notes.of(then.log()).repairs());
        notes.addAll(Notes.of(then.log()).rounds());
        notes.add((WENT_ON + " %s of %s, which the checkpoint had").formatted(PLAIN.count(done),
            PLAIN.count(targets().size())));
      }
      for (Target target : targets().subList(done, targets().size())) {
        try (Arena own = Arena.ofShared()) {
          DenseNetwork current = rounds.isEmpty() ? network : working.download(own);
          SparkScorer scoring = rounds.isEmpty()
              ? scorer
              : SparkScorer.of(current, scorer.samples(), options, device, Tiles.SIDE);
          PruningResult result = round(backend, current, working, scoring, oneShot(target), repairing);
          rounds.add(result.layers());
          notes.addAll(result.notes());
          if (checkpoint.isPresent()) {
            DenseNetwork now = working.download(own);
            Notes sofar = new Notes(notes.stream().filter(note -> !note.startsWith(WENT_ON)).toList(),
                repairing.notes());
            PruningProgress progress = progress(now, rounds, ++done, repairing);
            checkpoint.get().save(done, new Checkpoint.Round(progress, now, sofar.toString()), _ -> false);
            working.load(now); // as the file has it
          }
        }
      }
      notes.addAll(repairing.notes());
      DenseNetwork pruned = working.download(arena);
      return new PruningResult(pruned, layers(pruned, rounds), OptionalDouble.empty(), OptionalDouble.empty(),
          List.copyOf(notes));
    }
  }

  private Checkpoint checkpoint(Path folder, Backend backend, DenseNetwork network, SparkScorer scorer)
      throws IOException {
    Map<String, String> data = new LinkedHashMap<>(scorer.samples().identity());
    data.put("device of tasks", device.toString());
    data.put("batch of tasks", String.valueOf(scorer.batchSize()));
    PruningPlan plan = PruningPlan.of(options, network, Optional.of(scorer.samples().shape()), backend);
    return Checkpoint.open(folder, plan, backend, network, data);
  }

  /// What a driver that starts anew would not know of the rounds before it: a line for each note.
  ///
  /// @param repairs notes on the repairs of all rounds, which change from round to round
  private record Notes(List<String> rounds, List<String> repairs) {
    private static final String BETWEEN = "\n\n";

    static Notes of(String text) {
      int between = text.indexOf(BETWEEN);
      return new Notes(text.substring(0, between).lines().toList(),
          text.substring(between + BETWEEN.length()).lines().toList());
    }

    @Override
    public String toString() {
      return String.join("\n", rounds) + BETWEEN + String.join("\n", repairs);
    }
  }

  /// What becomes of layers in the rounds so far, for a driver that starts anew.
  private static PruningProgress progress(DenseNetwork now, List<List<LayerResult>> rounds, int done,
      Repairing repairing) {
    List<LayerResult> layers = layers(now, rounds);
    return new PruningProgress(done, IntStream.range(0, layers.size()).filter(l -> !layers.get(l).excluded())
        .mapToObj(l -> progress(l, layers.get(l))).toList(), repairing.state());
  }

  private static PruningProgress.Layer progress(int l, LayerResult layer) {
    Cut cut = layer.threshold().isPresent()
        ? new Cut.Below((float) layer.threshold().getAsDouble(), layer.removed(), 0, 0)
        : Cut.NOTHING;
    return new PruningProgress.Layer(l, layer.predictedChange().orElse(0), cut, false, layer.importance());
  }

  /// What became of the layers in the rounds that a checkpoint has, as of one round.
  private static List<LayerResult> before(DenseNetwork network, Checkpoint.Round then, SparkScorer scorer) {
    List<LayerResult> layers = new ArrayList<>();
    for (int l = 0; l < network.layers().size(); l++) {
      int number = l;
      DenseLayer after = then.network().layers().get(l);
      Optional<PruningProgress.Layer> kept = then.progress().layers().stream().filter(layer -> layer.number() == number)
          .findFirst();
      OptionalDouble threshold = kept.map(PruningProgress.Layer::cut)
          .filter(cut -> cut instanceof Cut.Below below && Float.isFinite(below.threshold()))
          .map(cut -> OptionalDouble.of(((Cut.Below) cut).threshold())).orElse(OptionalDouble.empty());
      OptionalDouble predicted = kept.isPresent() && scorer.predictsOutputChange()
          ? OptionalDouble.of(kept.get().predicted())
          : OptionalDouble.empty();
      layers.add(new LayerResult(after.name(), kept.isEmpty(), after.weights().elements(), after.weights().zeros(),
          !network.layers().get(l).hasBias() && after.hasBias(), threshold, predicted, OptionalDouble.empty(),
          kept.flatMap(PruningProgress.Layer::importance)));
    }
    return layers;
  }

  private PruningOptions oneShot(Target target) {
    return new PruningOptions(target, List.of(), options.layerSparsities(), options.criterion(), options.compensation(),
        options.sensitivity(), new Schedule.OneShot(), Repairs.NONE, options.excluded(), options.minPerLayer(),
        options.newBias(), options.loss(), options.batchSize(), options.seed(), options.allowSlow(), false,
        options.histogramBins());
  }

  /// @return without a network
  private PruningResult round(Backend backend, DenseNetwork current, DeviceNetwork working, SparkScorer scorer,
      PruningOptions round, Repairing repairing) throws IOException {
    Pruner pruner = new Pruner(backend, round);
    PruningPlan plan;
    PruningResult result;
    try (Arena temporary = Arena.ofShared()) {
      if (selection(scorer) == Selection.DRIVER) {
        plan = plan(backend, current, working, scorer, round, temporary);
        result = pruner.prune(plan, current, working, Optional.empty(), ProgressListener.NONE, temporary);
      } else {
        plan = PruningPlan.ofRemote(round, current, scorer.samples().count(), scorer.provenance(), backend);
        try (ScoresOnExecutors scores = scorer.gatherOnExecutors(backend, working)) {
          result = pruner.prune(plan, current, working, scores, temporary);
        }
      }
    }
    repairing.repair(working, plan, round.target().equals(options.target()));
    return result;
  }

  /// By the sums over the samples, and by another pass where variances have cancelled in them.
  private static PruningPlan plan(Backend backend, DenseNetwork current, DeviceNetwork working, SparkScorer scorer,
      PruningOptions round, Arena gathered) throws IOException {
    GatheredSums sums = scorer.gather(gathered);
    PruningPlan plan = PruningPlan.of(round, current, sums, backend);
    Map<String, CancelledInputs> cancelled = Scorer.cancelled(backend, working, plan.scoring(), sums.sums());
    return cancelled.isEmpty()
        ? plan
        : PruningPlan.of(round, current, scorer.withVariances(sums, cancelled, gathered), backend);
  }

  /// The repairs of all rounds.
  private final class Repairing implements AutoCloseable {
    private final Backend backend;
    private final DenseNetwork dense;
    private final SparkScorer scorer;
    private final List<JointJobs> kept = new ArrayList<>();
    private final List<JointFit> fits = new ArrayList<>();
    private List<List<Integer>> states = List.of();
    private List<String> before = List.of();

    Repairing(Backend backend, DenseNetwork dense, SparkScorer scorer) {
      this.backend = backend;
      this.dense = dense;
      this.scorer = scorer;
    }

    /// @param isStop whether the network is wanted as it is then
    void repair(DeviceNetwork working, PruningPlan plan, boolean isStop) throws IOException {
      int joints = 0;
      for (Repair step : options.repair().steps()) {
        if (step instanceof Repair.Refit refit) {
          refit(working, plan, refit);
        } else if (step.inForce(dense.graph()) instanceof Repair.Joint joint) {
          if (fits.size() == joints) {
            JointFit fit = joint(joint, plan);
            if (joints < states.size()) {
              fit.restore(states.get(joints));
            }
            fits.add(fit);
          }
          fits.get(joints++).repair(working, isStop, ProgressListener.NONE);
        }
      }
    }

    private JointFit joint(Repair.Joint joint, PruningPlan plan) throws IOException {
      List<ScoringPlan.Layer> layers = plan.scoring().layers();
      JointJobs jobs = JointJobs.keep(scorer.samples(),
          JointPart.of(joint, layers, dense.outputs(), scorer.batchSize(), options.seed(), device), dense);
      kept.add(jobs);
      return new JointFit(backend, joint, layers, options.seed(), jobs);
    }

    List<List<Integer>> state() {
      return fits.isEmpty() ? states : fits.stream().map(JointFit::state).toList();
    }

    /// Goes on from where equal repairs were.
    ///
    /// @param notes of them
    void restore(List<List<Integer>> then, List<String> notes) {
      states = then;
      before = notes;
    }

    List<String> notes() {
      return fits.isEmpty() ? before : fits.stream().flatMap(fit -> fit.notes().stream()).toList();
    }

    /// Layer by layer from the input: what a layer's inputs are depends on the layers below it.
    private void refit(DeviceNetwork working, PruningPlan plan, Repair.Refit refit) throws IOException {
      Broadcast<NetworkParcel> before = scorer.samples().broadcast(dense);
      try {
        for (ScoringPlan.Layer layer : plan.scoring().layers()) {
          refit(before, working, plan, layer, refit);
        }
      } finally {
        before.destroy();
      }
    }

    private void refit(Broadcast<NetworkParcel> before, DeviceNetwork working, PruningPlan plan,
        ScoringPlan.Layer layer, Repair.Refit refit) throws IOException {
      try (Arena gathered = Arena.ofShared()) {
        Broadcast<NetworkParcel> now = scorer.samples().broadcast(working.download(gathered));
        try {
          PruningPlan.Layer shape = plan.layers().get(layer.number());
          NetworkSums sums = scorer.samples().sums(Tiles.ofFit(shape, Tiles.SIDE),
              new RefitWork(before, now, layer.number(), layer.compensable(), scorer.batchSize(), device.toString()),
              gathered);
          LayerFit.fit(backend, working.layers().get(layer.number()), layer.compensable(),
              sums.layers().get(shape.name()), refit);
        } finally {
          now.destroy();
        }
      }
    }

    @Override
    public void close() {
      kept.forEach(JointJobs::close);
    }
  }

  /// @param rounds what became of the layers in each, of what the round before it had left
  private static List<LayerResult> layers(DenseNetwork pruned, List<List<LayerResult>> rounds) {
    List<LayerResult> layers = new ArrayList<>();
    for (int l = 0; l < pruned.layers().size(); l++) {
      int number = l;
      List<LayerResult> own = rounds.stream().map(round -> round.get(number)).toList();
      LayerResult last = own.getLast();
      OptionalDouble predicted = last.predictedChange().isEmpty()
          ? OptionalDouble.empty()
          : OptionalDouble.of(own.stream().mapToDouble(round -> round.predictedChange().orElse(0)).sum());
      layers.add(new LayerResult(last.name(), last.excluded(), last.weights(), pruned.layers().get(l).weights().zeros(),
          own.stream().anyMatch(LayerResult::gainedBias), last.threshold(), predicted, OptionalDouble.empty(),
          last.importance()));
    }
    return layers;
  }
}
