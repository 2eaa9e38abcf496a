package dev.espalier.engine.scoring;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.MemoryPlan;
import dev.espalier.engine.pass.NetworkReplicas;
import dev.espalier.engine.statistics.LayerBatch;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Scores the weights of a network in one pass over the calibration samples: forward, backward where the plan needs it,
/// sums; `ec-nonlinear` then takes many more passes. It needs memory for the sums of each layer and one batch, once for
/// each of the [Workers] of a backend.
public final class Scorer {
  private static final Logger LOG = LoggerFactory.getLogger(Scorer.class);
  /// Most bytes of samples that are kept in memory where they are read often.
  private static final long KEPT_BYTES = 1L << 29;

  private Scorer() {}

  /// Scores, closed by the caller.
  ///
  /// @param data calibration samples, with labels where the plan needs them; empty if it needs no samples
  /// @throws IOException if a sample cannot be read or is not finite
  public static Scores score(Backend backend, DeviceNetwork network, ScoringPlan plan, Optional<Dataset> data,
      ProgressListener listener) throws IOException {
    try {
      return Resources.build(resources -> {
        List<LayerScorer> layers = plan.needs().samples()
            ? gather(backend, network, plan, data.orElseThrow(), listener, resources)
            : layers(backend, network, plan, resources);
        List<LayerScores> scores = finish(backend, layers,
            () -> sumExactly(backend, network, plan, data.orElseThrow(), listener, layers));
        if (plan.criterion() instanceof Criterion.NonlinearEliminationCompensation) {
          searchMinima(backend, network, plan, data.orElseThrow(), listener, layers, scores);
        }
        return new Scores(backend, network.graph(), scores, resources);
      });
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  /// Scores from sums that were gathered before, closed by the caller.
  ///
  /// @param sums of the plan's layers, with all statistics that it needs
  /// @throws MismatchException if one is missing, or variances have cancelled in the sums, which only samples can mend,
  ///                           and there are no [variances][dev.espalier.engine.statistics.Statistic.Variances] of these
  ///                           inputs
  public static Scores score(Backend backend, DeviceNetwork network, ScoringPlan plan, NetworkSums sums) {
    return Resources.build(resources -> {
      List<LayerScorer> layers = loaded(backend, network, plan, sums, resources);
      return new Scores(backend, network.graph(), finish(backend, layers, () -> refuseInexact(network, layers)),
          resources);
    });
  }

  private static List<LayerScorer> loaded(Backend backend, DeviceNetwork network, ScoringPlan plan, NetworkSums sums,
      Resources resources) {
    List<LayerScorer> layers = layers(backend, network, plan, resources);
    backend.enter(Phase.LOAD);
    for (LayerScorer layer : layers) {
      layer.load(sums.layers().getOrDefault(network.layers().get(layer.number()).name(), List.of()));
    }
    return layers;
  }

  private static void refuseInexact(DeviceNetwork network, List<LayerScorer> layers) {
    layers.forEach(layer -> refuseInexact(network.layers().get(layer.number()).name(), layer));
  }

  /// Takes the variances of a layer that the sums have in place of those that have cancelled.
  ///
  /// @throws MismatchException if the sums do not have them
  static void refuseInexact(String name, LayerScorer layer) {
    layer.exact().filter(_ -> !layer.loadExact()).ifPresent(sums -> {
      throw new MismatchException(
          ("layer %s: the variances of %d of its inputs have cancelled in the statistics, which "
              + "only samples can mend; scale the inputs, or prune with the samples").formatted(name, sums.inputs()));
    });
  }

  /// The inputs whose variances have cancelled in sums, where it matters, by the names of their layers: those of
  /// which [#variances] takes the rest of what scores follow from.
  ///
  /// @param sums as of [#score(Backend, DeviceNetwork, ScoringPlan, NetworkSums)]
  public static Map<String, CancelledInputs> cancelled(Backend backend, DeviceNetwork network, ScoringPlan plan,
      NetworkSums sums) {
    if (!(plan.criterion() instanceof Criterion.EliminationCompensation)) {
      return Map.of();
    }
    try (Resources resources = new Resources()) {
      Map<String, CancelledInputs> inputs = new LinkedHashMap<>();
      List<LayerScorer> layers = loaded(backend, network, plan, sums, resources);
      finish(backend, layers, () -> layers.forEach(layer -> layer.cancelledInputs()
          .ifPresent(found -> inputs.put(network.layers().get(layer.number()).name(), found))));
      return inputs;
    }
  }

  /// The weighted means and variances of some inputs, of the samples of `data`.
  ///
  /// @param inputs by the names of their layers
  /// @param arena takes the memory of the sums
  /// @throws IOException if a sample cannot be read or is not finite
  public static NetworkSums variances(Backend backend, DeviceNetwork network, ScoringPlan plan, Dataset data,
      Map<String, CancelledInputs> inputs, ProgressListener listener, Arena arena) throws IOException {
    Map<Integer, ExactMoments> exact = new LinkedHashMap<>();
    for (int l = 0; l < network.layers().size(); l++) {
      DeviceNetwork.Layer layer = network.layers().get(l);
      if (inputs.containsKey(layer.name())) {
        CancelledInputs cancelled = inputs.get(layer.name());
        ExactMoments moments = new ExactMoments(layer.outputs(),
            cancelled.numbers().stream().mapToInt(Integer::intValue).toArray());
        moments.smooth(plan.sensitivity().smoothing(), cancelled.meanSensitivity()::get);
        exact.put(l, moments);
      }
    }
    sumExactly(backend, network, plan, data, listener, exact);
    Map<String, List<Sums>> sums = new LinkedHashMap<>();
    exact.forEach((l, moments) -> sums.put(network.layers().get(l).name(),
        List.of(moments.sums(data.samples().samples(), arena))));
    return new NetworkSums(data.samples().samples(), sums);
  }

  /// The sums that scores follow from, of the samples of `data`.
  ///
  /// @param plan that needs samples
  /// @param arena takes the memory of the sums
  /// @throws IOException if a sample cannot be read or is not finite
  public static NetworkSums sums(Backend backend, DeviceNetwork network, ScoringPlan plan, Dataset data,
      ProgressListener listener, Arena arena) throws IOException {
    try (Resources resources = new Resources()) {
      Map<String, List<Sums>> sums = new LinkedHashMap<>();
      for (LayerScorer layer : gather(backend, network, plan, data, listener, resources)) {
        sums.put(network.layers().get(layer.number()).name(), layer.sums(arena));
      }
      return new NetworkSums(data.samples().samples(), sums);
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  /// @param exactly sums again what has cancelled and matters, of the layers that say so
  private static List<LayerScores> finish(Backend backend, List<LayerScorer> layers, Runnable exactly) {
    backend.enter(Phase.MOMENTS);
    List<LayerScores> scores = layers.stream().map(layer -> layer.finish(backend)).toList();
    if (layers.stream().anyMatch(LayerScorer::hasCancelled)) {
      double typical = scores.stream().mapToDouble(layer -> typical(backend, layer)).filter(t -> t > 0).min().orElse(0);
      layers.forEach(layer -> layer.findInexact(typical));
      exactly.run();
      for (int i = 0; i < scores.size(); i++) {
        layers.get(i).replace(backend, scores.get(i));
      }
    }
    return scores;
  }

  private static List<LayerScorer> layers(Backend backend, DeviceNetwork network, ScoringPlan plan,
      Resources resources) {
    return plan.layers().stream().map(layer -> resources.own(LayerScorer.allocate(backend, network, plan, layer)))
        .toList();
  }

  /// The sums over all samples, of which `resources` becomes the owner.
  ///
  /// @throws UncheckedIOException if a sample cannot be read or is not finite
  private static List<LayerScorer> gather(Backend backend, DeviceNetwork network, ScoringPlan plan, Dataset data,
      ProgressListener listener, Resources resources) {
    backend.enter(Phase.LOAD);
    long samples = data.samples().samples();
    Workers workers = workers(backend, network, plan, data);
    int count = workers.backends().size();
    int batchSize = workers.batchSize(samples, plan.batchSize());
    try (Resources temporary = new Resources()) {
      NetworkReplicas networks = temporary.own(NetworkReplicas.of(network, workers));
      List<Share> shares = new ArrayList<>();
      for (Backend worker : workers.backends()) {
        DeviceNetwork own = networks.of(shares.size());
        shares.add(new Share(temporary.own(BatchPasses.allocate(worker, own, data, plan, batchSize)),
            layers(worker, own, plan, shares.isEmpty() ? resources : temporary)));
      }
      SampleBatches.share(workers, data, batchSize,
          (i, batches) -> shares.get(i).run(batches, i == 0 ? listener : ProgressListener.NONE));
      List<LayerScorer> layers = shares.getFirst().layers();
      if (count > 1) {
        backend.enter(Phase.MOMENTS);
        shares.stream().skip(1).forEach(share -> merge(share.layers(), layers));
        listener.report("scoring", samples, samples);
      }
      return layers;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static double typical(Backend backend, LayerScores layer) {
    try (Arena arena = Arena.ofConfined()) {
      return ExactMoments.typical(backend.onHost(layer.importance(), arena));
    }
  }

  /// A second pass, for inputs whose importances have lost digits that matter, if there are any.
  ///
  /// @throws UncheckedIOException if a sample cannot be read or is not finite
  private static void sumExactly(Backend backend, DeviceNetwork network, ScoringPlan plan, Dataset data,
      ProgressListener listener, List<LayerScorer> layers) {
    List<LayerScorer> some = layers.stream().filter(layer -> layer.exact().isPresent()).toList();
    if (some.isEmpty()) {
      return;
    }
    for (LayerScorer layer : some) {
      LOG.info("layer {}: the variances of {} of its inputs are summed again in double",
          network.layers().get(layer.number()).name(), layer.exact().orElseThrow().inputs());
    }
    try {
      sumExactly(backend, network, plan, data, listener,
          some.stream().collect(Collectors.toMap(LayerScorer::number, layer -> layer.exact().orElseThrow())));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// @param exact by the number of the layer
  private static void sumExactly(Backend backend, DeviceNetwork network, ScoringPlan plan, Dataset data,
      ProgressListener listener, Map<Integer, ExactMoments> exact) throws IOException {
    int batchSize = (int) Math.min(data.samples().samples(), plan.batchSize());
    try (BatchPasses passes = BatchPasses.allocate(backend, network, data, plan, batchSize);
        SampleBatches batches = SampleBatches.open(backend, data, batchSize)) {
      while (batches.next()) {
        passes.load(batches);
        passes.run();
        backend.enter(Phase.MOMENTS);
        try (Arena arena = Arena.ofConfined()) {
          exact.forEach((l, moments) -> {
            for (LayerBatch batch : passes.layer(l)) {
              moments.add(backend.onHost(batch.sensitivity().orElseThrow(), arena),
                  backend.onHost(batch.input(), arena));
            }
          });
        }
        listener.report("scoring inputs of uneven scale", batches.end(), batches.total());
      }
    }
  }

  /// Puts the least changes of the output of the true network in the place of those of the linearised one.
  ///
  /// @throws UncheckedIOException if a sample cannot be read or is not finite
  private static void searchMinima(Backend backend, DeviceNetwork network, ScoringPlan plan, Dataset data,
      ProgressListener listener, List<LayerScorer> layers, List<LayerScores> scores) {
    try (Arena arena = Arena.ofShared()) { // of the workers
      Dataset samples = Dataset.of(data.samples()).inMemory(KEPT_BYTES, arena);
      for (int i = 0; i < scores.size(); i++) {
        NonlinearScorer.replace(backend, network, plan, plan.layers().get(i), samples, listener, scores.get(i),
            layers.get(i).change());
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Adds the sums of one worker to those of another, as sums of processes are.
  private static void merge(List<LayerScorer> from, List<LayerScorer> to) {
    for (int i = 0; i < to.size(); i++) {
      to.get(i).merge(from.get(i));
    }
  }

  private static Workers workers(Backend backend, DeviceNetwork network, ScoringPlan plan, Dataset data) {
    if (data.isThreadConfined()) {
      return Workers.alone(backend);
    }
    long sums = plan.layers().stream().mapToLong(layer -> ScoringPlan.bytes(network.layers().get(layer.number()),
        plan.criterion(), plan.compensation(), plan.sensitivity())).sum();
    int passes = plan.needs().backwardPasses(plan.sensitivity(), network.outputs());
    return backend.workers(data.samples().samples(),
        sums + MemoryPlan.batchBytes(backend, network.graph(), passes, plan.batchSize()));
  }
}
