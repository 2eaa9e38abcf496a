package dev.espalier.engine.pruning;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.repair.Repairer;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.statistics.Histogram;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/// Prunes networks: scores, selects, removes, compensates and repairs, in the rounds of a schedule. A pruner uses its backend
/// from the thread that calls it; pruners with backends of their own run side by side.
///
/// All methods throw
/// - [IOException] if a sample cannot be read or is not finite; the message names it,
/// - [dev.espalier.engine.MissingDataException] if samples or labels are needed and missing,
/// - [dev.espalier.engine.MismatchException] if they do not fit the network, or all layers are excluded,
/// - [dev.espalier.engine.NonFiniteException] if a score is NaN or infinite,
/// - [dev.espalier.engine.OutOfBackendMemoryException] if the backend's memory does not suffice, and
/// - [java.util.concurrent.CancellationException] if the listener ends the run.
public final class Pruner {
  /// Most bytes of samples that are kept in memory where they are read more than once.
  private static final long KEPT_BYTES = 1L << 29;

  private final Backend backend;
  private final PruningOptions options;

  /// @param backend stays the caller's, who closes it
  public Pruner(Backend backend, PruningOptions options) {
    this.backend = backend;
    this.options = options;
  }

  /// As [#prune(DenseNetwork, Optional, ProgressListener, Arena)], with calibration samples and no listener.
  public PruningResult prune(DenseNetwork network, Dataset data, Arena arena) throws IOException {
    return prune(network, Optional.of(data), ProgressListener.NONE, arena);
  }

  /// Prunes a copy of `network`, which stays as it is.
  ///
  /// @param data calibration samples, with labels for the gradient criterion; magnitude and random without compensation
  ///             need none
  /// @param arena takes the memory of the pruned network
  public PruningResult prune(DenseNetwork network, Optional<Dataset> data, ProgressListener listener, Arena arena)
      throws IOException {
    PruningPlan plan = PruningPlan.of(options, network, data, backend);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      return prune(plan, network, device, data, listener, arena);
    }
  }

  /// Prunes a network in the memory of the backend, for callers who go on with it there.
  ///
  /// @param plan of `network` with these options
  /// @param network as it was before
  /// @param device holds the same network, and the pruned one afterwards
  /// @param arena takes the memory of the pruned network
  public PruningResult prune(PruningPlan plan, DenseNetwork network, DeviceNetwork device, Optional<Dataset> data,
      ProgressListener listener, Arena arena) throws IOException {
    return path(plan, network, device, data, listener, arena).getLast();
  }

  /// As [#prune(PruningPlan, DenseNetwork, DeviceNetwork, Optional, ProgressListener, Arena)], through the stops of the
  /// options: each round starts where the last one has ended, so a path costs little more than its end alone.
  ///
  /// @return a result for each of the plan's stops and its target, in order
  public List<PruningResult> path(PruningPlan plan, DenseNetwork network, DeviceNetwork device, Optional<Dataset> data,
      ProgressListener listener, Arena arena) throws IOException {
    List<PruningResult> results = new ArrayList<>();
    rounds(plan, device, data, listener, (progress, notes) -> {
      Optional<OutputChange> change = options.measureOutputChange() && data.isPresent()
          ? Optional.of(measure(plan, network, device, data.get(), listener))
          : Optional.empty();
      results.add(result(plan, network, device.download(arena), progress, notes, change));
    });
    return results;
  }

  /// Prunes a network where it lies, in the memory of the backend. If that fails, the network may be half pruned.
  ///
  /// @return the sum of the importances of the removed weights of each layer; 0 of an excluded layer
  public List<Double> pruneInPlace(DeviceNetwork network, Optional<Dataset> data, ProgressListener listener)
      throws IOException {
    List<Double> removed = new ArrayList<>(Collections.nCopies(network.layers().size(), 0.0));
    rounds(PruningPlan.of(options, network, data, backend), network, data, listener,
        (progress, _) -> progress.forEach(layer -> removed.set(layer.number, layer.predicted)));
    return removed;
  }

  /// What is gathered of one prunable layer over the rounds.
  private static final class LayerProgress {
    final int number;
    double predicted;
    Cut cut = Cut.NOTHING;
    boolean zero;
    Optional<Histogram> importance = Optional.empty();

    LayerProgress(int number) {
      this.number = number;
    }
  }

  /// What happens where a path stops.
  private interface Stop {
    /// @param notes of the repairs
    void at(List<LayerProgress> progress, List<String> notes) throws IOException;
  }

  private void rounds(PruningPlan plan, DeviceNetwork device, Optional<Dataset> data, ProgressListener listener,
      Stop stop) throws IOException {
    List<LayerProgress> progress = plan.scoring().layers().stream().map(layer -> new LayerProgress(layer.number()))
        .toList();
    try (Arena arena = Arena.ofShared(); Resources memory = new Resources()) {
      boolean readsOnce = plan.rounds().size() == 1 && plan.repair().steps().isEmpty();
      Optional<Dataset> kept = readsOnce || data.isEmpty() ? data : Optional.of(data.get().inMemory(KEPT_BYTES, arena));
      Optional<Repairer> repairer = plan.repair().steps().isEmpty()
          ? Optional.empty()
          : Optional.of(memory.own(Repairer.towards(device, backend, plan.repair(), plan.scoring(),
              kept.orElseThrow().samples(), listener, arena)));
      int rounds = plan.rounds().size();
      for (int r = 0; r < rounds; r++) {
        String round = rounds == 1 ? "" : ", round %s of %s".formatted(r + 1, rounds);
        ProgressListener named = (task, done, total) -> listener.proceed(task + round, done, total);
        round(plan, device, progress, kept, plan.rounds().get(r), named);
        boolean stops = options.path().contains(plan.rounds().get(r));
        if (repairer.isPresent()) {
          repairer.get().repair(device, stops, named);
        }
        if (stops) {
          stop.at(progress, repairer.map(Repairer::notes).orElse(List.of()));
        }
      }
    }
  }

  private void round(PruningPlan plan, DeviceNetwork device, List<LayerProgress> progress, Optional<Dataset> data,
      Target target, ProgressListener listener) throws IOException {
    try (Scores scores = Scorer.score(backend, device, plan.scoring(), data, listener)) {
      backend.enter(Phase.SELECT);
      if (options.histogramBins() > 0) {
        for (int i = 0; i < progress.size(); i++) {
          progress.get(i).importance = scores.histogram(i, options.histogramBins());
        }
      }
      scores.rank(device);
      List<Cut> cuts = Selector.select(backend, scores, target, options.minPerLayer(), plan.ownSparsities(target));
      List<Double> predicted = scores.apply(device, cuts);
      for (int i = 0; i < progress.size(); i++) {
        progress.get(i).cut = cuts.get(i);
        progress.get(i).predicted += predicted.get(i);
        progress.get(i).zero |= target.sparsity() > 0 && predicted.get(i) == 0 && scores.areZero(i);
      }
    }
  }

  private OutputChange measure(PruningPlan plan, DenseNetwork network, DeviceNetwork pruned, Dataset data,
      ProgressListener listener) throws IOException {
    try (DeviceNetwork before = DeviceNetwork.copyOf(backend, network)) {
      return OutputChange.measure(backend, before, pruned, data, plan.scoring().batchSize(), listener);
    }
  }

  private PruningResult result(PruningPlan plan, DenseNetwork network, DenseNetwork pruned,
      List<LayerProgress> progress, List<String> repairs, Optional<OutputChange> change) {
    List<LayerResult> layers = new ArrayList<>();
    List<String> notes = new ArrayList<>(repairs);
    for (int l = 0; l < network.layers().size(); l++) {
      int number = l;
      DenseLayer after = pruned.layers().get(l);
      boolean gainedBias = !network.layers().get(l).hasBias() && after.hasBias();
      if (gainedBias) {
        notes.add("layer %s had no bias and has gained one".formatted(after.name()));
      }
      layers.add(result(plan, after, gainedBias, progress.stream().filter(p -> p.number == number).findFirst(),
          change.filter(_ -> plan.repair().steps().isEmpty()).map(c -> OptionalDouble.of(c.perLayer().get(number)))
              .orElse(OptionalDouble.empty())));
    }
    plan.uncompensated().ifPresent(notes::add);
    if (plan.scoring().needs().sensitivities()) {
      boolean takenForLogits = !plan.scoring().sensitivity().isOfOutput()
          && network.graph().lastActivation().equals(Activation.IDENTITY);
      String why = takenForLogits ? " (the outputs are taken for logits of classes)" : "";
      notes.add("sensitivity: %s%s".formatted(plan.scoring().sensitivity(),
          options.sensitivity().isPresent() ? why : " (default for %s outputs)".formatted(network.outputs())));
    }
    PruningNotes doubts = new PruningNotes(progress.stream()
        .map(p -> new PruningNotes.Choice(pruned.layers().get(p.number).name(), p.cut, p.zero)).toList());
    doubts.arbitrary().forEach(notes::add);
    change.filter(_ -> plan.repair().steps().isEmpty())
        .ifPresent(c -> doubts.mispredicted(layers, c.outputSquare()).ifPresent(notes::add));
    return new PruningResult(pruned, layers,
        change.map(c -> OptionalDouble.of(c.total())).orElse(OptionalDouble.empty()), notes);
  }

  /// @param progress empty for an excluded layer
  private LayerResult result(PruningPlan plan, DenseLayer after, boolean gainedBias, Optional<LayerProgress> progress,
      OptionalDouble measuredChange) {
    OptionalDouble threshold = OptionalDouble.empty();
    OptionalDouble predicted = OptionalDouble.empty();
    if (progress.isPresent()) {
      if (progress.get().cut instanceof Cut.Below below && Float.isFinite(below.threshold())) {
        threshold = OptionalDouble.of(Math.max(0, below.threshold()));
      }
      if (plan.scoring().predictsOutputChange()) {
        predicted = OptionalDouble.of(progress.get().predicted);
      }
    }
    return new LayerResult(after.name(), progress.isEmpty(), after.weights().elements(), after.weights().zeros(),
        gainedBias, threshold, predicted, measuredChange, progress.flatMap(p -> p.importance));
  }
}
