package dev.espalier.engine.pruning;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.MissingDataException.Part;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerPattern;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Needs;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Architecture;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.HiddenNeurons;
import dev.espalier.engine.network.LayerShape;
import dev.espalier.engine.pass.MemoryPlan;
import dev.espalier.engine.repair.Repairer;
import dev.espalier.engine.scoring.NonlinearCost;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.engine.statistics.Statistic;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// [PruningOptions] resolved against a network, its data and a backend: every default decided, and everything that does
/// not fit refused, before any work is done.
///
/// @param layers the network's layers, in order
/// @param scoring how weights are scored
/// @param rounds the target of each round
/// @param repair what each round does to the weights that are left
/// @param memory what the run needs of the backend's memory
/// @param work the products that it takes, where there are samples
/// @param statistics that take the place of samples, where they were gathered before
public record PruningPlan(PruningOptions options, List<Layer> layers, ScoringPlan scoring, List<Target> rounds,
    Repairs repair, MemoryPlan memory, Optional<PruningWork> work, Optional<GatheredSums> statistics) {
  /// A layer of the network.
  ///
  /// @param excluded whether it is left alone
  /// @param compensable whether its bias may move
  public record Layer(String name, int outputs, int inputs, boolean excluded, boolean compensable) {
    /// The number of weights.
    public long weights() {
      return (long) outputs * inputs;
    }
  }

  /// Copies the lists.
  public PruningPlan {
    layers = List.copyOf(layers);
    rounds = List.copyOf(rounds);
  }

  /// The plan of pruning `network` with `data` on `backend`.
  ///
  /// @throws MissingDataException if samples or labels are needed and missing
  /// @throws MismatchException if samples, labels, loss or mask do not fit the network, a pattern excludes no layer, or
  ///                           all layers are excluded
  /// @throws UncheckedIOException if labels cannot be read, to find out which loss suits them
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit into the backend's memory
  /// @throws dev.espalier.engine.ExcessiveTimeException if the criterion would take more than ten minutes, unless the
  ///                                                    options allow it
  public static PruningPlan of(PruningOptions options, Architecture network, Optional<Dataset> data, Backend backend) {
    requireData(options, options.criterion().needs().and(options.effectiveCompensation().needs()), data);
    return of(options, network, data, Optional.empty(), backend);
  }

  /// The plan of pruning `network` by statistics that were gathered before, without samples, in one round.
  ///
  /// @throws MissingDataException if the criterion or a repair needs the samples themselves
  /// @throws MismatchException if the statistics are of another network or options, lack a layer or a statistic, or the
  ///                           schedule has more than one round; or as of the other
  public static PruningPlan of(PruningOptions options, DenseNetwork network, GatheredSums statistics, Backend backend) {
    Needs needs = options.criterion().needs().and(options.effectiveCompensation().needs());
    if (!options.criterion().followsFromSums()) {
      throw new MissingDataException("criterion %s".formatted(options.criterion()), Part.SAMPLES);
    }
    if (!options.repair().steps().isEmpty()) {
      throw new MissingDataException("repair %s".formatted(options.repair()), Part.SAMPLES);
    }
    PruningPlan plan = of(options, network, Optional.empty(), Optional.of(statistics), backend);
    if (plan.rounds().size() > 1) {
      throw new MismatchException("schedule %s scores the network again in each round, which needs samples: use oneshot"
          .formatted(options.schedule()));
    }
    if (!Fingerprint.of(network).equals(statistics.provenance().model())) {
      throw new MismatchException("the statistics are of another model");
    }
    Map<String, String> gathered = statistics.provenance().options();
    requireGathered(Gathering.SENSITIVITY, options.sensitivity().map(Sensitivity::toString), gathered);
    requireGathered(Gathering.LOSS, options.loss().map(Loss::toString), gathered);
    if (needs.sensitivities()) {
      requireGathered(Gathering.NEW_BIAS, Optional.of(String.valueOf(options.newBias())), gathered);
    }
    for (Layer layer : plan.layers()) {
      if (!layer.excluded()) {
        requireSums(layer, plan.scoring().needs(), statistics.sums().layers().get(layer.name()));
      }
    }
    return plan;
  }

  private static void requireGathered(String name, Optional<String> asked, Map<String, String> gathered) {
    String value = gathered.getOrDefault(name, "not set");
    if (asked.isPresent() && !asked.get().equals(value)) {
      throw new MismatchException(
          "the statistics are of other options: %s is %s, not %s".formatted(name, value, asked.get()));
    }
  }

  private static void requireSums(Layer layer, Needs needs, List<Sums> sums) {
    if (sums == null) {
      throw new MismatchException("the statistics lack layer %s".formatted(layer.name()));
    }
    for (Statistic statistic : needs.inOrder()) {
      Sums found = sums.stream().filter(each -> each.statistic().equals(statistic)).findFirst().orElseThrow(
          () -> new MismatchException("the statistics lack %s of layer %s".formatted(statistic, layer.name())));
      if (found.outputs() != layer.outputs() || found.inputs() != layer.inputs()) {
        throw new MismatchException("the statistics of layer %s are those of %d × %d weights, not of %d × %d"
            .formatted(layer.name(), found.outputs(), found.inputs(), layer.outputs(), layer.inputs()));
      }
    }
  }

  private static PruningPlan of(PruningOptions options, Architecture network, Optional<Dataset> data,
      Optional<GatheredSums> statistics, Backend backend) {
    Compensation compensation = options.effectiveCompensation();
    Needs needs = options.criterion().needs().and(compensation.needs());
    data.ifPresent(given -> given.requireWidth(network.inputs()));
    List<Layer> layers = network.layers().stream().map(layer -> layer(options, layer)).toList();
    requirePrunable(options, layers);
    if (options.target() instanceof Target.Neurons && neurons(layers, network.graph()).units().isEmpty()) {
      throw new MismatchException(
          "no neuron can be removed: none is hidden, or a normalisation, a sum of features or a tied layer has or reads "
              + "them, or they are added or multiplied with inputs or outputs, or an excluded layer has or reads them");
    }
    Optional<String> gathered = statistics.map(sums -> sums.provenance().options().get(Gathering.SENSITIVITY));
    Sensitivity sensitivity = options.sensitivity().or(() -> gathered.map(Sensitivity::parse))
        .orElseGet(() -> Sensitivity.defaultFor(network.outputs()));
    if (needs.sensitivities()) {
      sensitivity.requireFits(network.graph());
      if (sensitivity.smoothing() > 0 && options.criterion() instanceof Criterion.NonlinearEliminationCompensation) {
        throw new MismatchException("sensitivity %s: criterion %s measures changes of the network itself; use %s"
            .formatted(sensitivity, options.criterion(), sensitivity.unsmoothed()));
      }
      if (!sensitivity.isOfOutput()
          && !(options.loss().orElseGet(Loss.CrossEntropy::new) instanceof Loss.CrossEntropy)) {
        throw new MismatchException("sensitivity %s is that of class probabilities, but the loss is %s"
            .formatted(sensitivity, options.loss().get()));
      }
    }
    boolean needsLoss = data.isPresent() && (needs.labels() || options.repair().needLabels());
    Optional<Loss> loss = needsLoss ? Optional.of(loss(options, network, data.orElseThrow())) : Optional.empty();
    long scores = IntStream.range(0, layers.size()).filter(l -> !layers.get(l).excluded())
        .mapToLong(l -> ScoringPlan.bytes(network.layers().get(l), options.criterion(), compensation, sensitivity))
        .sum();
    options.repair().steps().forEach(step -> step.requireFits(network.graph()));
    Repairs repair = new Repairs(options.repair().steps().stream().map(step -> step.inForce(network.graph())).toList());
    List<ScoringPlan.Layer> scored = IntStream.range(0, layers.size()).filter(l -> !layers.get(l).excluded())
        .mapToObj(l -> new ScoringPlan.Layer(l, layers.get(l).compensable())).toList();
    scored.forEach(layer -> requireSuitsTied(options.criterion(), network.graph(), layer.number()));
    List<Target> rounds = options.schedule().path(options.path());
    if (options.criterion() instanceof Criterion.NonlinearEliminationCompensation && !options.allowSlow()) {
      NonlinearCost.of(backend, network.graph(), scored, data.orElseThrow().samples().samples(), scorings(rounds))
          .requireReasonable();
    }
    MemoryPlan memory = MemoryPlan.of(backend, network.graph(), demand(options.criterion(), repair, network, scored,
        scores, needs.backwardPasses(sensitivity, network.outputs()), data), options.batchSize());
    ScoringPlan scoring = new ScoringPlan(options.criterion(), compensation, scored, sensitivity, loss,
        memory.batchSize(), options.seed());
    Optional<PruningWork> work = data.map(
        given -> PruningWork.of(network.graph(), scoring, repair, rounds, options.path(), given.samples().samples()));
    return new PruningPlan(options, layers, scoring, rounds, repair, memory, work, statistics);
  }

  /// Refuses what is not there for a layer that several nodes use.
  private static void requireSuitsTied(Criterion criterion, Graph graph, int l) {
    if (graph.isTied(l) && criterion instanceof Criterion.NonlinearEliminationCompensation) {
      throw new MismatchException(
          "criterion %s is of layers that one node uses, and layer %s is used by %d nodes: use ec, or exclude it"
              .formatted(criterion, graph.layers().get(l).name(), graph.uses(l).length));
    }
  }

  /// The neurons that may go.
  ///
  /// @param graph of the network
  HiddenNeurons neurons(Graph graph) {
    return neurons(layers, graph);
  }

  private static HiddenNeurons neurons(List<Layer> layers, Graph graph) {
    return HiddenNeurons.of(graph).within(l -> !layers.get(l).excluded());
  }

  /// How often weights are scored: the zeros of a round are not scored in the next one.
  private static double scorings(List<Target> rounds) {
    return 1 + rounds.stream().limit(rounds.size() - 1).mapToDouble(round -> 1 - round.sparsity()).sum();
  }

  private static MemoryPlan.Demand demand(Criterion criterion, Repairs repair, Architecture network,
      List<ScoringPlan.Layer> layers, long scores, int passes, Optional<Dataset> data) {
    long dense = repair.steps().isEmpty() ? 0 : Repairer.denseBytes(network.graph());
    return new MemoryPlan.Demand(scores + dense,
        batch -> Math.max(Repairer.bytes(repair, network.graph(), layers, batch),
            ScoringPlan.workspace(network.graph(), criterion, layers, batch)),
        passes, data.map(given -> bytes(given.samples())).orElse(0L));
  }

  /// Bytes of samples in a matrix; 0 if they are too many for one.
  private static long bytes(SampleSource source) {
    return source.samples() > Integer.MAX_VALUE ? 0 : source.samples() * source.width() * Float.BYTES;
  }

  private static void requireData(PruningOptions options, Needs needs, Optional<Dataset> data) {
    String criterion = "criterion %s".formatted(options.criterion());
    boolean repairs = !options.repair().steps().isEmpty();
    if ((needs.samples() || repairs) && data.isEmpty()) {
      String compensated = "%s with compensation %s".formatted(criterion, options.effectiveCompensation());
      String repaired = "%s with repair %s".formatted(criterion, options.repair());
      throw new MissingDataException(
          options.criterion().needs().samples() ? criterion : needs.samples() ? compensated : repaired, Part.SAMPLES);
    }
    if ((needs.labels() || options.repair().needLabels()) && data.orElseThrow().labels().isEmpty()) {
      throw new MissingDataException(needs.labels() ? criterion : "repair " + options.repair(), Part.LABELS);
    }
  }

  private static Layer layer(PruningOptions options, LayerShape layer) {
    boolean unmasked = options.target() instanceof Target.Mask(Map<String, MatrixView> masks)
        && !masks.containsKey(layer.name());
    return new Layer(layer.name(), layer.outputs(), layer.inputs(), unmasked || options.excludes(layer.name()),
        options.newBias() || layer.hasBias());
  }

  private static void requirePrunable(PruningOptions options, List<Layer> layers) {
    for (LayerPattern pattern : options.excluded()) {
      if (layers.stream().noneMatch(layer -> pattern.matches(layer.name()))) {
        throw new MismatchException("the pattern %s excludes no layer; the layers are %s".formatted(pattern,
            layers.stream().map(Layer::name).collect(Collectors.joining(", "))));
      }
    }
    if (options.target() instanceof Target.Mask(Map<String, MatrixView> masks)) {
      masks.forEach((name, mask) -> requireMasked(name, mask, layers));
    }
    if (layers.stream().allMatch(Layer::excluded)) {
      throw new MismatchException("all layers are excluded: nothing is left to prune");
    }
    for (LayerSparsity own : options.layerSparsities()) {
      List<Layer> named = layers.stream().filter(layer -> own.pattern().matches(layer.name())).toList();
      if (named.isEmpty()) {
        throw new MismatchException("the sparsity %s is that of no layer; the layers are %s".formatted(own,
            layers.stream().map(Layer::name).collect(Collectors.joining(", "))));
      }
      for (Layer layer : named) {
        List<LayerSparsity> all = options.layerSparsities().stream()
            .filter(other -> other.pattern().matches(layer.name())).toList();
        if (layer.excluded() || all.size() > 1) {
          throw new MismatchException(layer.excluded()
              ? "layer %s is excluded and has the sparsity %s: drop one".formatted(layer.name(), own)
              : "layer %s has the sparsities %s and %s: drop one".formatted(layer.name(), all.get(0), all.get(1)));
        }
      }
    }
  }

  private static void requireMasked(String name, MatrixView mask, List<Layer> layers) {
    Layer layer = layers.stream().filter(each -> each.name().equals(name)).findFirst()
        .orElseThrow(() -> new MismatchException("the mask of %s is that of no layer; the layers are %s".formatted(name,
            layers.stream().map(Layer::name).collect(Collectors.joining(", ")))));
    if (mask.rows() != layer.outputs() || mask.columns() != layer.inputs()) {
      throw new MismatchException("the mask of layer %s is %d × %d, its weights are %d × %d".formatted(name,
          mask.rows(), mask.columns(), layer.outputs(), layer.inputs()));
    }
    if (layer.excluded()) {
      throw new MismatchException("layer %s is excluded and has a mask: drop one".formatted(name));
    }
  }

  /// The sparsities that single layers have of their own when a round has reached `target`, by the layers' numbers: up
  /// to the first stop they grow in proportion to the target's.
  Map<Integer, Double> ownSparsities(Target target) {
    double first = options.path().getFirst().sparsity();
    double scale = first == 0 ? 1 : Math.min(1, target.sparsity() / first);
    Map<Integer, Double> own = new HashMap<>();
    for (int l = 0; l < layers.size(); l++) {
      String name = layers.get(l).name();
      int number = l;
      options.layerSparsities().stream().filter(each -> each.pattern().matches(name))
          .forEach(each -> own.put(number, scale * each.sparsity()));
    }
    return own;
  }

  /// How many weights are zero once a round has reached a fraction, where all layers can give up as many as they should.
  public long removedAt(Target.Fraction target) {
    Map<Integer, Double> own = ownSparsities(target);
    long removed = own.entrySet().stream()
        .mapToLong(each -> Selector.count(each.getValue(), layers.get(each.getKey()).weights())).sum();
    long others = IntStream.range(0, layers.size()).filter(l -> !layers.get(l).excluded() && !own.containsKey(l))
        .mapToLong(l -> layers.get(l).weights()).sum();
    return removed + Selector.count(target.sparsity(), others);
  }

  private static Loss loss(PruningOptions options, Architecture network, Dataset data) {
    Loss loss;
    try {
      loss = Loss.inForce(options.loss(), network.graph(), data.labels().orElseThrow());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    loss.requireFits(network.graph());
    loss.encoder(network.graph(), data.labels().orElseThrow()); // refuses labels that do not fit
    return loss;
  }

  /// This plan with other work, such as that of a run which has gone on after an earlier one.
  public PruningPlan withWork(Optional<PruningWork> value) {
    return new PruningPlan(options, layers, scoring, rounds, repair, memory, value, statistics);
  }

  /// The multiply-adds of one round as a search takes it, by the parts of [PruningWork].
  ///
  /// @param graph of the network
  /// @param isStop whether the network of the round is wanted
  /// @param isFirst whether repairs begin with it
  /// @param samples to prune with
  public Map<String, Double> work(Graph graph, Target round, boolean isStop, boolean isFirst, long samples) {
    return PruningWork.round(graph, scoring, repair, round, isStop, isFirst, samples);
  }

  /// Weights of the layers that are not excluded.
  public long prunableWeights() {
    return layers.stream().filter(layer -> !layer.excluded()).mapToLong(Layer::weights).sum();
  }

  /// One sentence that names the layers that the mask lacks; empty if there are none, or there is no mask.
  public Optional<String> unmasked() {
    if (!(options.target() instanceof Target.Mask(Map<String, MatrixView> masks))) {
      return Optional.empty();
    }
    List<String> names = layers.stream().map(Layer::name)
        .filter(name -> !masks.containsKey(name) && !options.excludes(name)).toList();
    return names.isEmpty()
        ? Optional.empty()
        : Optional.of((names.size() == 1
            ? "the mask has no layer %s, which stays as it is"
            : "the mask has no layers %s, which stay as they are").formatted(String.join(", ", names)));
  }

  /// One sentence that names the layers without a bias, if compensation or a refit would move it; empty if there are
  /// none, they may gain one, or nothing is removed.
  public Optional<String> uncompensated() {
    List<String> names = layers.stream().filter(layer -> !layer.excluded() && !layer.compensable()).map(Layer::name)
        .toList();
    boolean compensates = scoring.compensation() instanceof Compensation.Bias;
    boolean refits = repair.steps().stream()
        .anyMatch(step -> step instanceof Repair.Refit || step instanceof Repair.Joint);
    if (names.isEmpty() || !(compensates || refits) || options.target().sparsity() == 0) {
      return Optional.empty();
    }
    return Optional.of((names.size() == 1
        ? "layer %s has no bias: its weights are %s"
        : "layers %s have no bias: their weights are %s")
        .formatted(String.join(", ", names), compensates ? "pruned without compensation" : "refitted without one"));
  }

  /// Every choice in force by the name of its option, in order, for reports.
  public Map<String, Object> inForce() {
    Map<String, Object> inForce = new LinkedHashMap<>();
    inForce.put("criterion", scoring.criterion());
    inForce.put("compensation", scoring.compensation());
    if (scoring.needs().sensitivities()) {
      inForce.put("sensitivity", scoring.sensitivity());
    }
    scoring.loss().ifPresent(loss -> inForce.put("loss", loss));
    switch (options.target()) {
      case Target.Fraction(double _, Scope scope) -> putSparsity(inForce, scope);
      case Target.Neurons(double _, Scope scope) -> {
        putSparsity(inForce, scope);
        inForce.put("prune-neurons", true);
      }
      case Target.Pattern pattern -> inForce.put("scope", pattern);
      case Target.Mask mask -> inForce.put("sparsity", mask.sparsity());
    }
    inForce.put("schedule", options.schedule());
    inForce.put("repair", repair);
    inForce.put("min-per-layer", options.minPerLayer());
    inForce.put("batch-size", scoring.batchSize());
    inForce.put("seed", scoring.seed());
    return inForce;
  }

  /// The sparsities of the path and those of single layers, as a number if there is one.
  private void putSparsity(Map<String, Object> inForce, Scope scope) {
    List<Target> path = options.path();
    String all = Stream.concat(path.stream().map(stop -> Target.sparsity(stop.sparsity()).toString()),
        options.layerSparsities().stream().map(LayerSparsity::toString)).collect(Collectors.joining(","));
    inForce.put("sparsity",
        path.size() == 1 && options.layerSparsities().isEmpty() ? (Object) path.getFirst().sparsity() : all);
    inForce.put("scope", scope);
  }

  /// One line a topic: the choices, the layers, the work, the memory.
  @Override
  public String toString() {
    String choices = inForce().entrySet().stream().map(choice -> choice.getKey() + " " + choice.getValue())
        .collect(Collectors.joining(", "));
    String pruned = layers.stream().filter(layer -> !layer.excluded()).map(Layer::name)
        .collect(Collectors.joining(", "));
    String counted = options.target() instanceof Target.Neurons ? "; the target counts hidden neurons" : "";
    long prunable = layers.stream().filter(layer -> !layer.excluded()).count();
    return "%s%n%s in the %s %s%s%n%s%s".formatted(choices, Nouns.counted(prunableWeights(), "weight"),
        Nouns.of(prunable, "layer"), pruned, counted, work.map("%s%n"::formatted).orElse(""), memory);
  }
}
