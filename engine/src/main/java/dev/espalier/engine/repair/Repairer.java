package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.ScoringPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// Makes the repairs of a pruning, round by round, towards the dense network, of which it keeps a copy.
public final class Repairer implements Resource {
  /// Most bytes that a repair keeps in host memory because they spare it work.
  static final long KEPT_BYTES = 1L << 29;

  /// One repair.
  public interface Step extends Resource {
    /// Repairs a network of the graph and shapes of the dense one.
    ///
    /// @param isStop whether the network is wanted as it is then
    void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException;

    /// What a user should know of the rounds so far, one sentence each.
    default List<String> notes() {
      return List.of();
    }

    /// What a later round needs to know of the rounds so far; nothing that the dense network and the samples tell.
    default List<Integer> state() {
      return List.of();
    }

    /// Goes back, or on, to where a repair of the same dense network and samples was.
    ///
    /// @param state as [#state] gave it
    default void restore(List<Integer> state) {
      // Most repairs depend on the network alone.
    }
  }

  private final Backend backend;
  private final List<Phase> phases;
  private final List<Step> steps;
  private final Resources resources;

  private Repairer(Backend backend, Repairs repairs, List<Step> steps, Resources resources) {
    this.backend = backend;
    phases = repairs.steps().stream().map(Repairer::phase).toList();
    this.steps = steps;
    this.resources = resources;
  }

  /// Repairs towards `network` as it is now.
  ///
  /// @param repairs one or more
  /// @param plan names the layers to repair, the batch size, the seed, and the loss of a fine-tuning
  /// @param data samples to follow the dense network on, with labels for a fine-tuning
  /// @param arena takes what is kept in host memory, lets all threads use it, and outlives the repairer
  /// @throws IOException if a sample cannot be read or is not finite
  public static Repairer towards(DeviceNetwork network, Backend backend, Repairs repairs, ScoringPlan plan,
      Dataset data, ProgressListener listener, Arena arena) throws IOException {
    Resources resources = new Resources();
    try {
      DeviceNetwork dense = resources.own(DeviceNetwork.copyOf(backend, network));
      return of(backend, repairs, repair -> switch (repair) {
        case Repair.Refit refit ->
          LayerRefit.towards(dense, backend, refit, plan.layers(), data.samples(), plan.batchSize());
        case Repair.Joint joint -> JointRefit.towards(dense, backend, joint, plan, data.samples(), listener, arena);
        case Repair.Distill distill ->
          Distillation.towards(dense, backend, distill, plan, data.samples(), listener, arena);
        case Repair.FineTune fineTune -> new FineTuning(backend, fineTune, dense, plan, data);
      }, resources);
    } catch (IOException | RuntimeException | Error e) {
      resources.closeAfter(e);
      throw e;
    }
  }

  /// Makes a repair.
  public interface Maker {
    /// @return closed by the caller
    /// @throws IOException if a sample cannot be read or is not finite
    Step of(Repair repair) throws IOException;
  }

  /// Repairs as others make them, such as those by samples of a cluster.
  public static Repairer of(Backend backend, Repairs repairs, Maker maker) throws IOException {
    Resources resources = new Resources();
    try {
      return of(backend, repairs, maker, resources);
    } catch (IOException | RuntimeException | Error e) {
      resources.closeAfter(e);
      throw e;
    }
  }

  private static Repairer of(Backend backend, Repairs repairs, Maker maker, Resources resources) throws IOException {
    List<Step> steps = new ArrayList<>();
    for (Repair repair : repairs.steps()) {
      try (Resource _ = backend.hold(phase(repair))) {
        steps.add(resources.own(maker.of(repair)));
      }
    }
    return new Repairer(backend, repairs, steps, resources);
  }

  /// What the time of a repair counts as.
  private static Phase phase(Repair repair) {
    return switch (repair) {
      case Repair.Refit _ -> Phase.REFIT;
      case Repair.Joint _ -> Phase.JOINT;
      case Repair.Distill _ -> Phase.DISTILL;
      case Repair.FineTune _ -> Phase.FINE_TUNE;
    };
  }

  /// The names of the layers that are not repaired.
  static Set<String> frozen(DeviceNetwork network, ScoringPlan plan) {
    Set<Integer> repaired = plan.layers().stream().map(ScoringPlan.Layer::number).collect(Collectors.toSet());
    return IntStream.range(0, network.layers().size()).filter(l -> !repaired.contains(l))
        .mapToObj(l -> network.layers().get(l).name()).collect(Collectors.toSet());
  }

  /// Bytes of the dense network.
  public static long denseBytes(Graph graph) {
    return graph.layers().stream().mapToLong(layer -> layer.width() * (layer.inputWidth() + 1L)).sum() * Float.BYTES;
  }

  /// Bytes that repairs take beside the dense network and the values of a batch.
  ///
  /// @param layers to repair
  public static long bytes(Repairs repairs, Graph graph, List<ScoringPlan.Layer> layers, int batchSize) {
    return repairs.steps().stream().mapToLong(repair -> switch (repair) {
      case Repair.Refit _ -> LayerRefit.bytes(graph, layers, batchSize);
      case Repair.Joint _ -> JointRefit.bytes(graph, batchSize);
      case Repair.Distill _ -> Distillation.bytes(graph);
      case Repair.FineTune _ -> FineTuning.bytes(graph);
    }).max().orElse(0);
  }

  /// Repairs a network of the graph and shapes of the dense one, after weights were removed and compensated.
  ///
  /// @param isStop whether the network is wanted as it is then
  /// @throws IOException if a sample cannot be read or is not finite
  /// @throws dev.espalier.engine.NonFiniteException if values are too large
  public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException {
    for (int i = 0; i < steps.size(); i++) {
      try (Resource _ = backend.hold(phases.get(i))) {
        steps.get(i).repair(pruned, isStop, listener);
      }
    }
  }

  /// What a user should know of the rounds so far, one sentence each.
  public List<String> notes() {
    return steps.stream().flatMap(step -> step.notes().stream()).toList();
  }

  /// The state of each repair between two rounds; the dense network and the samples tell the rest.
  public List<List<Integer>> state() {
    return steps.stream().map(Step::state).toList();
  }

  /// Goes back, or on, to where the repairs of an equal pruning were.
  ///
  /// @param state as [#state] gave it
  /// @throws IllegalArgumentException if it is the state of other repairs
  public void restore(List<List<Integer>> state) {
    if (state.size() != steps.size()) {
      throw new IllegalArgumentException("the state of %s repairs, not %s".formatted(state.size(), steps.size()));
    }
    for (int i = 0; i < steps.size(); i++) {
      steps.get(i).restore(state.get(i));
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
