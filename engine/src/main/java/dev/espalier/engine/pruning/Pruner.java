package dev.espalier.engine.pruning;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Architecture;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.MemoryPlan;
import dev.espalier.engine.scoring.LayerScores;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.ScoringOptions;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.statistics.Histogram;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// Prunes networks: scores, selects, removes and compensates, in the rounds of a schedule. A pruner uses its backend from
/// the thread that calls it; pruners with backends of their own run side by side.
public final class Pruner {
  private final Backend backend;
  private final PruningOptions options;

  /// @param backend stays the caller's, who closes it
  public Pruner(Backend backend, PruningOptions options) {
    this.backend = backend;
    this.options = options;
  }

  /// As [#prune(DenseNetwork, Optional, Arena)], with calibration samples.
  public PruningResult prune(DenseNetwork network, Dataset calibration, Arena arena) throws IOException {
    return prune(network, Optional.of(calibration), arena);
  }

  /// Prunes a copy of `network`, which stays as it is.
  ///
  /// @param calibration samples, with labels for the gradient criterion; not needed by magnitude and random without
  ///                    compensation
  /// @param arena       takes the memory of the pruned network
  /// @throws IOException                if a sample cannot be read or is not finite; the message names it
  /// @throws IllegalArgumentException   if samples or labels are needed and missing, or do not fit the network, or all
  ///                                    layers are excluded
  /// @throws ArithmeticException        if a score is NaN or infinite; the message names layer and index
  /// @throws CancellationException      if the listener ends the run
  /// @throws dev.espalier.engine.backend.OutOfBackendMemoryException if the backend's memory does not suffice
  public PruningResult prune(DenseNetwork network, Optional<Dataset> calibration, Arena arena) throws IOException {
    List<LayerProgress> progress = progress(network, calibration);
    ScoringOptions scoring = scoringOptions(network);
    try (DeviceNetwork device = new DeviceNetwork(backend, network)) {
      rounds(device, progress, calibration, scoring);
      DenseNetwork pruned = device.download(arena);
      Optional<OutputChange> change = options.measureOutputChange() && calibration.isPresent()
          ? Optional.of(measure(device, network, calibration.get(), scoring.batchSize()))
          : Optional.empty();
      return result(network, pruned, progress, change, scoring);
    }
  }

  /// Prunes a network where it lies, in the memory of the pruner's backend. If it fails, the network may be half pruned.
  ///
  /// @param calibration as of [#prune(DenseNetwork, Optional, Arena)], and so are the errors
  /// @return the weights that the last round removed, in order of the layers; of an excluded layer none
  public List<Cut> prune(DeviceNetwork network, Optional<Dataset> calibration) throws IOException {
    List<LayerProgress> progress = progress(network, calibration);
    rounds(network, progress, calibration, scoringOptions(network));
    List<Cut> cuts = new ArrayList<>(Collections.nCopies(network.layers().size(), Cut.NOTHING));
    progress.forEach(layer -> cuts.set(layer.number, layer.cut));
    return cuts;
  }

  /// One for each layer that is not excluded.
  private List<LayerProgress> progress(Architecture network, Optional<Dataset> calibration) {
    calibration.ifPresent(source -> source.requireWidth(network.inputs()));
    List<LayerProgress> progress = IntStream.range(0, network.layers().size())
        .filter(l -> !options.excluded().test(network.layers().get(l).name())).mapToObj(LayerProgress::new).toList();
    if (progress.isEmpty()) {
      throw new IllegalArgumentException("all layers are excluded: nothing is left to prune");
    }
    return progress;
  }

  private void rounds(DeviceNetwork device, List<LayerProgress> progress, Optional<Dataset> calibration,
      ScoringOptions scoring) throws IOException {
    Set<Integer> prunable = progress.stream().map(layer -> layer.number).collect(Collectors.toSet());
    for (double sparsity : options.schedule().sparsities(options.effectiveSparsity())) {
      round(device, progress, prunable::contains, calibration, scoring, sparsity);
    }
  }

  /// The scoring options that this pruner uses for `network`.
  public ScoringOptions scoringOptions(Architecture network) {

    return new ScoringOptions(options.criterion(), options.effectiveCompensation() == Compensation.BIAS,
        options.newBias(), sensitivity(network), options.loss(), plan(network).batchSize(), options.seed());
  }

  /// What pruning `network` takes of the backend's memory.
  ///
  /// @throws dev.espalier.engine.backend.OutOfBackendMemoryException if it does not fit
  public MemoryPlan plan(Architecture network) {
    boolean compensated = options.effectiveCompensation() == Compensation.BIAS;
    long scores = Scorer.bytes(network, l -> !options.excluded().test(network.layers().get(l).name()),
        options.criterion(), compensated);
    return MemoryPlan.of(backend, network, scores, sensitivity(network).passes(network.outputs()), options.batchSize());
  }

  private Sensitivity sensitivity(Architecture network) {
    return options.sensitivity().orElseGet(() -> Sensitivity.defaultFor(network));
  }

  /// What is gathered of one prunable layer over the rounds.
  private static final class LayerProgress {
    final int number;
    double predicted;
    Cut cut = Cut.NOTHING;
    Optional<Histogram> importance = Optional.empty();

    LayerProgress(int number) {
      this.number = number;
    }
  }

  private void round(DeviceNetwork device, List<LayerProgress> progress, IntPredicate prunable,
      Optional<Dataset> calibration, ScoringOptions scoring, double sparsity) throws IOException {
    List<LayerScores> scores = Scorer.score(backend, device, prunable, calibration, scoring, options.listener());
    try {
      backend.enter(Phase.SELECT);
      for (int i = 0; i < scores.size(); i++) {
        rank(device.layers().get(progress.get(i).number), scores.get(i).importance(), progress.get(i));
      }
      List<Matrix> importances = scores.stream().map(LayerScores::importance).toList();
      List<Cut> cuts = Selector.select(backend, importances, options.scope(), sparsity, options.minPerLayer());
      for (int i = 0; i < scores.size(); i++) {
        LayerProgress layer = progress.get(i);
        DeviceNetwork.Layer target = device.layers().get(layer.number);
        Matrix importance = importances.get(i);
        layer.cut = cuts.get(i);
        scores.get(i).compensation()
            .ifPresent(compensation -> backend.compensate(target.bias(), importance, compensation, layer.cut));
        layer.predicted += backend.eliminate(target.weights(), importance, layer.cut);
      }
    } finally {
      scores.forEach(LayerScores::close);
    }
  }

  private void rank(DeviceNetwork.Layer layer, Matrix importance, LayerProgress progress) {
    if (options.histogramBins() > 0) {
      try (Arena arena = Arena.ofConfined()) {
        MatrixView values = MatrixView.allocate(arena, importance.rows(), importance.columns());
        backend.download(importance, values);
        if (values.firstNonFinite() < 0) {
          progress.importance = Optional.of(Histogram.of(values, options.histogramBins()));
        }
      }
    }
    long bad = backend.rankZerosFirst(layer.weights(), importance);
    if (bad >= 0) {
      throw new ArithmeticException(
          "the importance of %s.weight at [%d, %d] is not finite: the network's values are too large for it"
              .formatted(layer.name(), bad / importance.columns(), bad % importance.columns()));
    }
  }

  private OutputChange measure(DeviceNetwork pruned, DenseNetwork original, Dataset calibration, int batchSize)
      throws IOException {
    try (DeviceNetwork before = new DeviceNetwork(backend, original)) {
      return OutputChange.measure(backend, before, pruned, calibration, batchSize, options.listener());
    }
  }

  private PruningResult result(DenseNetwork network, DenseNetwork pruned, List<LayerProgress> progress,
      Optional<OutputChange> change, ScoringOptions scoring) {
    List<LayerResult> layers = new ArrayList<>();
    List<String> notes = new ArrayList<>();
    for (int l = 0; l < network.layers().size(); l++) {
      DenseLayer before = network.layers().get(l);
      DenseLayer after = pruned.layers().get(l);
      int number = l;
      Optional<LayerProgress> layer = progress.stream().filter(p -> p.number == number).findFirst();
      boolean gainedBias = before.bias().isEmpty() && after.bias().isPresent();
      if (gainedBias) {
        notes.add("layer %s had no bias and has gained one (--no-new-bias keeps it without)".formatted(before.name()));
      }
      layers.add(new LayerResult(before.name(), layer.isEmpty(), after.weights().elements(), zeros(after.weights()),
          gainedBias,
          layer.map(p -> p.cut.threshold()).filter(Float::isFinite).map(t -> OptionalDouble.of(Math.max(0, t)))
              .orElse(OptionalDouble.empty()),
          layer.isPresent() && options.criterion() == Criterion.ELIMINATION_COMPENSATION
              ? OptionalDouble.of(layer.get().predicted)
              : OptionalDouble.empty(),
          change.map(c -> OptionalDouble.of(c.perLayer().get(number))).orElse(OptionalDouble.empty()),
          layer.flatMap(p -> p.importance)));
    }
    if (scoring.needsMoments()) {
      notes.add("sensitivity: %s%s".formatted(scoring.sensitivity(),
          options.sensitivity().isPresent() ? "" : " (default for %d outputs)".formatted(network.outputs())));
    }
    return new PruningResult(pruned, layers,
        change.map(c -> OptionalDouble.of(c.total())).orElse(OptionalDouble.empty()), notes);
  }

  private static long zeros(MatrixView weights) {
    long zeros = 0;
    for (long i = 0; i < weights.elements(); i++) {
      if (weights.segment().getAtIndex(MatrixView.ELEMENT, i) == 0) {
        zeros++;
      }
    }
    return zeros;
  }
}
