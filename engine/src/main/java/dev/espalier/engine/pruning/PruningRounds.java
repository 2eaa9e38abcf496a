package dev.espalier.engine.pruning;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.ResidentSamples;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.repair.Repairer;
import dev.espalier.engine.scoring.RemoteScores;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.statistics.Histogram;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A pruning, round by round, of a network in the memory of a backend. [Pruner] goes through the rounds of a plan; a
/// search decides after each round how to go on, and can return to an earlier one. Exceptions are those of [Pruner].
public final class PruningRounds implements Resource {
  private static final Logger LOG = LoggerFactory.getLogger(PruningRounds.class);
  /// Most bytes of samples that are kept in memory where they are read more than once.
  private static final long KEPT_BYTES = 1L << 29;

  private final Backend backend;
  private final PruningPlan plan;
  private final DeviceNetwork device;
  private final Optional<RemoteSamples> remote;
  private final Arena arena = Arena.ofShared(); // of the workers that read passes
  private Optional<Dataset> data;
  private Optional<ResidentSamples> resident = Optional.empty();
  private Optional<Repairer> repairer = Optional.empty();
  private Optional<Scores> scores = Optional.empty();
  private Optional<RemoteScores> scoresElsewhere = Optional.empty();
  private List<PruningProgress.Layer> layers;
  private int rounds;

  private PruningRounds(Backend backend, PruningPlan plan, DeviceNetwork device, Optional<RemoteSamples> remote,
      Optional<Dataset> data) {
    this.backend = backend;
    this.plan = plan;
    this.device = device;
    this.remote = remote;
    this.data = data;
    layers = plan.scoring().layers().stream()
        .map(layer -> new PruningProgress.Layer(layer.number(), 0, Cut.NOTHING, false, Optional.empty())).toList();
  }

  /// Before the first round.
  ///
  /// @param plan of `device`'s network on `backend`
  /// @param device stays the caller's; the rounds change it
  public static PruningRounds start(Backend backend, PruningPlan plan, DeviceNetwork device, Optional<Dataset> data,
      ProgressListener listener) throws IOException {
    return prepared(new PruningRounds(backend, plan, device, Optional.empty(), data), listener);
  }

  /// As the other, by samples that are elsewhere.
  public static PruningRounds start(Backend backend, PruningPlan plan, DeviceNetwork device, RemoteSamples samples)
      throws IOException {
    return prepared(new PruningRounds(backend, plan, device, Optional.of(samples), Optional.empty()),
        ProgressListener.NONE);
  }

  private static PruningRounds prepared(PruningRounds rounds, ProgressListener listener) throws IOException {
    try {
      rounds.prepare(listener);
      return rounds;
    } catch (IOException | RuntimeException | Error e) {
      rounds.close();
      throw e;
    }
  }

  private void prepare(ProgressListener listener) throws IOException {
    boolean repairs = !plan.repair().steps().isEmpty();
    if (data.isPresent() && (repairs || plan.rounds().size() > 1)) {
      data = Optional.of(data.get().inMemory(KEPT_BYTES, arena));
    }
    if (data.isPresent() && plan.memory().samples() > 0) {
      data = Optional.of(resident(data.get()));
    }
    if (repairs && remote.isPresent()) {
      repairer = Optional.of(Repairer.of(backend, plan.repair(), remote.get()::repair));
    } else if (repairs) {
      repairer = Optional
          .of(Repairer.towards(device, backend, plan.repair(), plan.scoring(), data.orElseThrow(), listener, arena));
    }
  }

  /// Samples that stay in the backend's memory; as they are if others have taken that meanwhile.
  private Dataset resident(Dataset given) {
    try {
      ResidentSamples samples = new ResidentSamples(given.samples(), backend);
      resident = Optional.of(samples);
      return new Dataset(samples, given.labels());
    } catch (OutOfBackendMemoryException e) {
      LOG.info("samples are read in each pass: {}", e.getMessage());
      return given;
    }
  }

  /// One round: scores the network as it is, removes, compensates and repairs.
  ///
  /// @param isStop whether the network is wanted as it is then
  public void run(Target target, boolean isStop, ProgressListener listener) throws IOException {
    score(listener);
    remove(target);
    forgetScores();
    repair(isStop, listener);
  }

  /// As scoring and removing, with one layer's scores at a time in the backend's memory.
  private void removeLayerByLayer(RemoteScores elsewhere, Target target) {
    backend.enter(Phase.SELECT);
    List<Cut> cuts = Selector.select(elsewhere, target, plan.options().minPerLayer(), plan.ownSparsities(target));
    layers = layers(i -> {
      try (Scores one = elsewhere.fetch(i)) {
        int bins = plan.options().histogramBins();
        PruningProgress.Layer before = bins > 0 ? with(layers.get(i), one.histogram(0, bins)) : layers.get(i);
        one.rank(device);
        one.requireSelected(cuts.get(i));
        return removed(before, target, cuts.get(i), one.apply(device, List.of(cuts.get(i))).getFirst(), one, 0);
      }
    });
  }

  /// Scores the network as it is now. [#remove] can follow several times, each after [#restore].
  public void score(ProgressListener listener) throws IOException {
    forgetScores();
    if (remote.isEmpty()) {
      take(plan.statistics().isPresent()
          ? Scorer.score(backend, device, plan.scoring(), plan.statistics().get().sums())
          : Scorer.score(backend, device, plan.scoring(), data, listener));
      return;
    }
    switch (remote.get().score(device, rounds == 0)) {
      case RemoteSamples.Scored.Here(Scores here) -> take(here);
      case RemoteSamples.Scored.Elsewhere(RemoteScores elsewhere) -> scoresElsewhere = Optional.of(elsewhere);
    }
  }

  private void take(Scores now) {
    scores = Optional.of(now);
    backend.enter(Phase.SELECT);
    int bins = plan.options().histogramBins();
    if (bins > 0) {
      layers = layers(i -> with(layers.get(i), now.histogram(i, bins)));
    }
    now.rank(device);
  }

  /// Removes weights of the network that was scored last, and compensates.
  ///
  /// @throws IOException if scores that are elsewhere cannot be fetched
  public void remove(Target target) throws IOException {
    if (scoresElsewhere.isPresent()) {
      try {
        removeLayerByLayer(scoresElsewhere.get(), target);
      } catch (UncheckedIOException e) {
        throw e.getCause();
      }
      return;
    }
    Scores last = scores.orElseThrow();
    List<Cut> cuts = Selector.select(backend, last, target, plan.options().minPerLayer(), plan.ownSparsities(target));
    List<Double> predicted = last.apply(device, cuts);
    layers = layers(i -> removed(layers.get(i), target, cuts.get(i), predicted.get(i), last, i));
  }

  /// @param i of the scores' layers
  private static PruningProgress.Layer removed(PruningProgress.Layer before, Target target, Cut cut, double predicted,
      Scores scores, int i) {
    boolean zero = !(target instanceof Target.Mask) && target.sparsity() > 0 && predicted == 0 && scores.areZero(i);
    return new PruningProgress.Layer(before.number(), before.predicted() + predicted, cut, before.zero() || zero,
        before.importance());
  }

  /// Repairs the network, which ends the round.
  ///
  /// @param isStop whether the network is wanted as it is then
  public void repair(boolean isStop, ProgressListener listener) throws IOException {
    if (repairer.isPresent()) {
      repairer.get().repair(device, isStop, listener);
    }
    rounds++;
  }

  private interface OfLayer {
    PruningProgress.Layer of(int i);
  }

  private List<PruningProgress.Layer> layers(OfLayer change) {
    List<PruningProgress.Layer> changed = new ArrayList<>();
    for (int i = 0; i < layers.size(); i++) {
      changed.add(change.of(i));
    }
    return changed;
  }

  private static PruningProgress.Layer with(PruningProgress.Layer layer, Optional<Histogram> importance) {
    return new PruningProgress.Layer(layer.number(), layer.predicted(), layer.cut(), layer.zero(), importance);
  }

  private void forgetScores() {
    scores.ifPresent(Scores::close);
    scores = Optional.empty();
    scoresElsewhere.ifPresent(RemoteScores::close);
    scoresElsewhere = Optional.empty();
  }

  /// Where the pruning is after its last round, beside the network.
  public PruningProgress progress() {
    return new PruningProgress(rounds, layers, repairer.map(Repairer::state).orElse(List.of()));
  }

  /// Returns to an earlier round of this pruning, or of an equal one. Scores stay: they are those of the network that was
  /// scored last.
  ///
  /// @param network as it was then
  public void restore(PruningProgress progress, DeviceNetwork network) {
    device.load(network);
    restore(progress);
  }

  /// As the other, from the memory of the host.
  public void restore(PruningProgress progress, DenseNetwork network) {
    device.load(network);
    restore(progress);
  }

  private void restore(PruningProgress progress) {
    rounds = progress.rounds();
    layers = progress.layers();
    repairer.ifPresent(repairs -> repairs.restore(progress.repairs()));
  }

  /// The network as it is now, and what became of each layer.
  ///
  /// @param network before pruning
  /// @param arena takes the memory of the pruned network
  public PruningResult result(DenseNetwork network, ProgressListener listener, Arena arena) throws IOException {
    return result(network, plan.options().target(), listener, arena);
  }

  /// As the other, at a stop.
  ///
  /// @param reached its target
  PruningResult result(DenseNetwork network, Target reached, ProgressListener listener, Arena arena)
      throws IOException {
    Optional<OutputChange> change = Optional.empty();
    if (plan.options().measureOutputChange() && data.isPresent()) {
      try (DeviceNetwork before = DeviceNetwork.copyOf(backend, network)) {
        change = Optional
            .of(OutputChange.measure(backend, before, device, data.get(), plan.scoring().batchSize(), listener));
      }
    }
    return result(network, reached, device.download(arena), change);
  }

  private PruningResult result(DenseNetwork network, Target reached, DenseNetwork pruned,
      Optional<OutputChange> change) {
    List<LayerResult> results = new ArrayList<>();
    List<String> notes = new ArrayList<>(repairer.map(Repairer::notes).orElse(List.of()));
    // A neuron goes with a row of one layer and columns of others, so that no layer shows its change alone.
    Optional<OutputChange> ofLayers = change
        .filter(_ -> plan.repair().steps().isEmpty() && !(reached instanceof Target.Neurons));
    for (int l = 0; l < network.layers().size(); l++) {
      int number = l;
      DenseLayer after = pruned.layers().get(l);
      boolean gainedBias = !network.layers().get(l).hasBias() && after.hasBias();
      if (gainedBias) {
        notes.add("layer %s had no bias and has gained one".formatted(after.name()));
      }
      results.add(result(after, gainedBias, layers.stream().filter(p -> p.number() == number).findFirst(),
          ofLayers.map(c -> OptionalDouble.of(c.perLayer().get(number))).orElse(OptionalDouble.empty())));
    }
    if (reached instanceof Target.Neurons target) {
      notes.addAll(PruningNotes.neurons(plan.neurons(network.graph()), target, pruned));
    }
    plan.unmasked().ifPresent(notes::add);
    plan.uncompensated().ifPresent(notes::add);
    if (plan.scoring().needs().sensitivities()) {
      boolean takenForLogits = !plan.scoring().sensitivity().isOfOutput()
          && network.graph().lastActivation().equals(Activation.IDENTITY);
      String why = takenForLogits ? " (the outputs are taken for logits of classes)" : "";
      notes.add("sensitivity: %s%s".formatted(plan.scoring().sensitivity(),
          plan.options().sensitivity().isPresent()
              ? why
              : plan.statistics().isPresent()
                  ? " (that of the statistics)"
                  : " (default for %s)".formatted(Nouns.counted(network.outputs(), "output"))));
    }
    PruningNotes doubts = new PruningNotes(layers.stream()
        .map(p -> new PruningNotes.Choice(pruned.layers().get(p.number()).name(), p.cut(), p.zero())).toList());
    notes.addAll(doubts.arbitrary());
    boolean reads = plan.scoring().needs().samples() || repairer.isPresent();
    Optional<Long> samples = remote.map(RemoteSamples::samples).or(() -> data.map(given -> given.samples().samples()));
    if (samples.isPresent() && reads && reached.sparsity() > 0
        && doubts.choices().stream().noneMatch(PruningNotes.Choice::zero)) {
      doubts.fewSamples(plan.scoring().layers().stream().map(layer -> network.layers().get(layer.number())).toList(),
          samples.get()).ifPresent(notes::add);
    }
    ofLayers.ifPresent(c -> doubts.mispredicted(results, c.outputSquare()).ifPresent(notes::add));
    return new PruningResult(pruned, results,
        change.map(c -> OptionalDouble.of(c.total())).orElse(OptionalDouble.empty()),
        change.map(c -> OptionalDouble.of(c.outputSquare())).orElse(OptionalDouble.empty()), notes);
  }

  /// @param progress empty for an excluded layer
  private LayerResult result(DenseLayer after, boolean gainedBias, Optional<PruningProgress.Layer> progress,
      OptionalDouble measuredChange) {
    OptionalDouble threshold = OptionalDouble.empty();
    OptionalDouble predicted = OptionalDouble.empty();
    if (progress.isPresent()) {
      if (progress.get().cut() instanceof Cut.Below below && Float.isFinite(below.threshold())) {
        threshold = OptionalDouble.of(Math.max(0, below.threshold()));
      }
      if (plan.scoring().predictsOutputChange()) {
        predicted = OptionalDouble.of(progress.get().predicted());
      }
    }
    return new LayerResult(after.name(), progress.isEmpty(), after.weights().elements(), after.weights().zeros(),
        gainedBias, threshold, predicted, measuredChange, progress.flatMap(PruningProgress.Layer::importance));
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      forgetScores();
      repairer.ifPresent(Repairer::close);
      resident.ifPresent(ResidentSamples::close);
      arena.close();
    }
  }
}
