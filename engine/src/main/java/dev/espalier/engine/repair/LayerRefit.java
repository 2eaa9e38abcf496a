package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.repair.LayerSums.Errors;
import dev.espalier.engine.repair.LayerSums.Inputs;
import dev.espalier.engine.scoring.ScoringPlan;
import java.io.IOException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Fits the weights that are left and the biases, layer by layer from the input, so that the pre-activations of the
/// pruned network match those of the dense network on the same samples (docs/method.md, refit).
///
/// A tied layer is fitted to all its uses at once, when it is the turn of the first.
///
/// The inputs of a layer change with the layers below it. Those of a layer that no repaired layer lies below never change:
/// their sums are kept from round to round.
final class LayerRefit implements Repairer.Step {
  private final Backend backend;
  private final Repair.Refit method;
  private final List<ScoringPlan.Layer> layers;
  private final int batchSize;
  private final long samples;
  private final DeviceNetwork dense;
  private final LayerValues values;
  private final Optional<DividedSums> divided;
  private final boolean[] repaired;
  private final Map<Integer, Inputs> kept = new HashMap<>();
  private final Resources resources;

  private LayerRefit(Backend backend, DeviceNetwork dense, Repair.Refit method, List<ScoringPlan.Layer> layers,
      SampleSource samples, int batchSize, Resources resources) {
    this.backend = backend;
    this.method = method;
    this.layers = List.copyOf(layers);
    this.batchSize = (int) Math.min(batchSize, samples.samples());
    this.samples = samples.samples();
    this.resources = resources;
    this.dense = dense;
    values = resources.own(LayerValues.allocate(backend, dense, samples, batchSize));
    Workers devices = samples.isThreadConfined() ? Workers.alone(backend) : backend.devices(samples.samples());
    divided = devices.areApart()
        ? Optional.of(resources.own(DividedSums.allocate(devices, dense, samples, batchSize)))
        : Optional.empty();
    repaired = changed(dense.graph(), layers);
  }

  /// A refit, closed by the caller.
  ///
  /// @param dense the network to follow
  /// @param layers to repair, ascending
  /// @param samples to follow it on
  static LayerRefit towards(DeviceNetwork dense, Backend backend, Repair.Refit method, List<ScoringPlan.Layer> layers,
      SampleSource samples, int batchSize) {
    return Resources.build(resources -> new LayerRefit(backend, dense, method, layers, samples, batchSize, resources));
  }

  /// Bytes that a refit takes beside the dense network and the values of a batch.
  ///
  /// @param layers to repair
  static long bytes(Graph graph, List<ScoringPlan.Layer> layers, int batchSize) {
    boolean[] changed = changed(graph, layers);
    long most = 0;
    long kept = 0;
    for (ScoringPlan.Layer layer : layers) {
      Node.Dense node = graph.layers().get(layer.number());
      long own = LayerSums.elements(node.width(), node.inputWidth(), batchSize)
          + LeastSquares.elements(node.width(), node.inputWidth()) + 3L * node.width() * node.inputWidth()
          + (long) node.inputWidth() * node.inputWidth();
      most = Math.max(most, own);
      kept += readsChanged(graph, layer, changed) ? 0 : (long) node.inputWidth() * node.inputWidth();
    }
    return (most + kept) * Float.BYTES;
  }

  /// The nodes whose values a repair of `layers` changes.
  private static boolean[] changed(Graph graph, List<ScoringPlan.Layer> layers) {
    return graph.downstream(layers.stream().flatMapToInt(layer -> Arrays.stream(graph.uses(layer.number()))).toArray());
  }

  /// Whether a use of a layer reads a value that a repair changes.
  private static boolean readsChanged(Graph graph, ScoringPlan.Layer layer, boolean[] changed) {
    return Arrays.stream(graph.uses(layer.number()))
        .anyMatch(use -> changed[graph.nodes().get(use).inputs().getFirst()]);
  }

  @Override
  public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException {
    values.forget();
    if (divided.isPresent()) {
      divided.get().begin(pruned);
    }
    try {
      for (ScoringPlan.Layer layer : layers) {
        refit(layer, pruned, listener);
        values.forget(layer.number());
        divided.ifPresent(devices -> devices.changed(layer.number()));
      }
    } finally {
      divided.ifPresent(DividedSums::end);
    }
  }

  private void refit(ScoringPlan.Layer layer, DeviceNetwork pruned, ProgressListener listener) throws IOException {
    DeviceNetwork.Layer now = pruned.layers().get(layer.number());
    long seen = samples * pruned.graph().uses(layer.number()).length;
    try (Resources memory = new Resources()) {
      LayerPart part = memory.own(LayerPart.of(backend, now.weights()));
      LayerPart all = LayerPart.all(backend, now);
      Inputs inputs;
      Errors errors;
      if (!readsChanged(pruned.graph(), layer, repaired)) {
        Inputs every = kept.get(layer.number());
        if (every == null) {
          every = Inputs.allocate(backend, now, now.inputs(), seen, resources);
          gather(layer, pruned, all, every, Optional.empty(), listener);
          kept.put(layer.number(), every);
        }
        backend.enter(Phase.REFIT);
        errors = errors(dense.layers().get(layer.number()), now, part, every, memory);
        inputs = every.of(part, memory);
      } else if (divided.isPresent() && DividedSums.isFor(now)) {
        inputs = Inputs.allocate(backend, now, now.inputs(), seen, memory);
        errors = Errors.allocate(backend, now, now.inputs(), memory);
        gather(layer, pruned, all, inputs, Optional.of(errors), listener);
        inputs = inputs.of(part, memory);
        errors = errors.of(part, memory);
      } else {
        inputs = Inputs.allocate(backend, now, part.columns(), seen, memory);
        errors = Errors.allocate(backend, now, part.columns(), memory);
        gather(layer, pruned, part, inputs, Optional.of(errors), listener);
        errors = new Errors(errors.mean(), part.rowsOf(errors.cross(), memory));
      }
      backend.enter(Phase.REFIT);
      LayerFit.apply(backend, now, layer.compensable(), part, inputs, errors, method, memory);
    }
  }

  /// The errors of a layer whose inputs are those of the dense network: e = (W₀ − W) a + b₀ − b.
  ///
  /// @param inputs all
  /// @param memory takes them
  private Errors errors(DeviceNetwork.Layer before, DeviceNetwork.Layer now, LayerPart part, Inputs inputs,
      Resources memory) {
    Errors errors = new Errors(memory.own(backend.allocate(1, now.outputs())),
        memory.own(backend.allocate(part.rows(), part.columns())));
    try (Resources temporary = new Resources()) {
      Matrix removed = temporary.own(backend.allocate(now.outputs(), now.inputs()));
      backend.network().add(1, before.weights(), removed);
      backend.network().add(-1, now.weights(), removed);
      backend.network().product(1, part.rowsOf(removed, temporary), false, part.columnsOf(inputs.gram(), temporary),
          false, 0, errors.cross());
      backend.network().product(1, inputs.mean(), false, removed, true, 0, errors.mean());
      backend.network().add(1, before.bias(), errors.mean());
      backend.network().add(-1, now.bias(), errors.mean());
    }
    return errors;
  }

  /// Sums what the inputs of a layer are and, where they are wanted, the errors of its pre-activations.
  ///
  /// @param part whose inputs are multiplied; all where several devices add up
  private void gather(ScoringPlan.Layer layer, DeviceNetwork pruned, LayerPart part, Inputs inputs,
      Optional<Errors> errors, ProgressListener listener) throws IOException {
    DeviceNetwork.Layer shape = pruned.layers().get(layer.number());
    if (divided.isPresent() && DividedSums.isFor(shape)) {
      divided.get().gather(layer, inputs, errors, listener);
      return;
    }
    try (
        LayerSums sums = LayerSums.allocate(backend, shape, part, layer.compensable(), errors.isPresent(), batchSize)) {
      values.forEachBatch(layer.number(), pruned, errors.isPresent(), (input, error, end) -> {
        sums.add(input, error);
        listener.report("refitting " + shape.name(), end, samples);
      });
      sums.finish(inputs, errors);
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
