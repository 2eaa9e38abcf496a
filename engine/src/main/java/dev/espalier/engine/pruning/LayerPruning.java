package dev.espalier.engine.pruning;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.WeightedSamples;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;

/// Prunes a layer as a network of its own, by inputs that were captured from the network that it belongs to
/// (docs/method.md, single layers). Its output is y = z, or, with sensitivities s, y_i = z_i √s_i: then ‖∂y/∂z_i‖² = s_i,
/// and a squared change of y is that of z weighted by s.
public final class LayerPruning {
  /// Exact where each output depends on one pre-activation: (v_i √s_i)² = s_i for v_i = ±1.
  private static final Sensitivity GIVEN = new Sensitivity.Probes(1);

  private final Backend backend;
  private final DenseNetwork network;
  private final Dataset samples;
  private final PruningPlan plan;

  private LayerPruning(Backend backend, DenseNetwork network, Dataset samples, PruningPlan plan) {
    this.backend = backend;
    this.network = network;
    this.samples = samples;
    this.plan = plan;
  }

  /// Plans the pruning of `layer`, whose activation is the identity.
  ///
  /// @param options       whose sensitivity is not read; the sparsity is that of the layer's own, if it has one
  /// @param inputs        a, samples × inputs
  /// @param sensitivities s, samples × outputs; empty: 1
  /// @throws MismatchException if the layer has several sparsities of its own, or as of [PruningPlan#of]
  public static LayerPruning of(Backend backend, PruningOptions options, DenseLayer layer, SampleSource inputs,
      Optional<SampleSource> sensitivities) {
    DenseNetwork network = new DenseNetwork(graph(layer, sensitivities.isPresent()), List.of(layer));
    Dataset samples = Dataset.of(sensitivities.<SampleSource>map(s -> new WeightedSamples(inputs, s)).orElse(inputs));
    return new LayerPruning(backend, network, samples,
        PruningPlan.of(resolved(options, layer.name()), network, Optional.of(samples), backend));
  }

  private static Graph graph(DenseLayer layer, boolean isWeighted) {
    if (!isWeighted) {
      return Graph.chain(List.of(layer));
    }
    Graph.Builder graph = new Graph.Builder(Math.addExact(layer.inputs(), layer.outputs()));
    int z = graph.dense(layer.name(), graph.slice(0, 0, layer.inputs()), layer.outputs());
    graph.multiply(z, graph.slice(0, layer.inputs(), layer.outputs()));
    return graph.build();
  }

  private static PruningOptions resolved(PruningOptions options, String layer) {
    List<LayerSparsity> own = options.layerSparsities().stream().filter(each -> each.pattern().matches(layer)).toList();
    if (own.size() > 1) {
      throw new MismatchException(
          "layer %s has the sparsities %s and %s: drop one".formatted(layer, own.get(0), own.get(1)));
    }
    return !own.isEmpty() && options.target() instanceof Target.Fraction fraction
        ? options.forLayer(new Target.Fraction(own.getFirst().sparsity(), fraction.scope()), List.of(), GIVEN)
        : options.forLayer(options.target(), options.stops(), GIVEN);
  }

  /// The plan, every choice made.
  public PruningPlan plan() {
    return plan;
  }

  /// Prunes the layer along the path of the options. Exceptions are those of [Pruner].
  ///
  /// @param arena takes the memory of the pruned layers
  /// @return a result for each stop and the target, for a network of this layer alone; changes are those of y. A layer with
  ///         a sparsity of its own has one result
  public List<PruningResult> path(ProgressListener listener, Arena arena) throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      return new Pruner(backend, plan.options()).path(plan, network, device, Optional.of(samples), listener, arena);
    }
  }

  /// As [#path], the last result.
  public PruningResult run(ProgressListener listener, Arena arena) throws IOException {
    return path(listener, arena).getLast();
  }

  /// Compares the scores with those of the reference, on the first samples.
  public Verification verify() throws IOException {
    return Verification.of(backend, network, plan, Optional.of(samples));
  }
}
