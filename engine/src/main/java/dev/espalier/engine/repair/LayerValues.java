package dev.espalier.engine.repair;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/// What a layer-by-layer repair must know of the samples: the inputs of a layer in the network as it is, and how far its
/// pre-activations are from those of the dense network, at each use of the layer.
///
/// Where the values of all samples take little memory they are kept, so that only what has changed since is computed;
/// elsewhere each layer takes a pass over the samples, forward through all layers below it.
final class LayerValues implements Resource {
  /// Takes up one batch, once for each use of the layer.
  interface Visitor {
    /// @param input a, samples × inputs
    /// @param error z of the dense network less z, samples × outputs, where it is wanted
    /// @param end samples visited, these included
    void visit(Matrix input, Optional<Matrix> error, long end);
  }

  /// The values of a batch that are kept.
  ///
  /// @param now of the network as it is
  /// @param current the nodes whose values are those of the weights as they are
  /// @param dense z of the dense network by dense node, samples × outputs
  private record Batch(ForwardPass now, BitSet current, Map<Integer, Matrix> dense) {}

  private final Backend backend;
  private final DeviceNetwork dense;
  private final SampleSource samples;
  private final int batchSize;
  private final boolean isKept;
  private final ForwardPass target;
  private final List<Batch> batches = new ArrayList<>();
  private final Resources resources;

  private LayerValues(Backend backend, DeviceNetwork dense, SampleSource samples, int batchSize, boolean mayKeep,
      Resources resources) {
    this.backend = backend;
    this.dense = dense;
    this.samples = samples;
    this.batchSize = (int) Math.min(batchSize, samples.samples());
    this.resources = resources;
    isKept = mayKeep && backend.memory().isEmpty()
        && samples.samples() <= Repairer.KEPT_BYTES / Float.BYTES / elements(dense.graph());
    target = resources.own(ForwardPass.allocate(backend, dense.graph(), this.batchSize));
  }

  /// Values of no samples yet, closed by the caller.
  ///
  /// @param dense the network to come close to
  static LayerValues allocate(Backend backend, DeviceNetwork dense, SampleSource samples, int batchSize) {
    return Resources.build(resources -> new LayerValues(backend, dense, samples, batchSize, true, resources));
  }

  /// As the other, for one layer: nothing is kept, and the samples are read once.
  static LayerValues streaming(Backend backend, DeviceNetwork dense, SampleSource samples, int batchSize) {
    return Resources.build(resources -> new LayerValues(backend, dense, samples, batchSize, false, resources));
  }

  /// Elements of the values of a sample.
  private static long elements(Graph graph) {
    return graph.nodes().stream().mapToLong(Node::width).sum()
        + graph.denseNodes().stream().mapToLong(Node.Dense::width).sum();
  }

  /// Forgets what was computed with weights that may have changed: all but the samples.
  void forget() {
    batches.forEach(batch -> batch.current.clear(1, batch.current.length()));
  }

  /// Forgets what was computed with the weights of layer `l`, and what was built on that.
  void forget(int l) {
    boolean[] changed = dense.graph().downstream(dense.graph().uses(l));
    batches.forEach(batch -> IntStream.range(0, changed.length).filter(n -> changed[n]).forEach(batch.current::clear));
  }

  /// Visits the samples in batches.
  ///
  /// @param network as it is
  /// @param hasErrors whether errors are wanted
  /// @throws IOException if a sample cannot be read or is not finite
  void forEachBatch(int l, DeviceNetwork network, boolean hasErrors, Visitor visitor) throws IOException {
    try (Matrix error = backend.allocate(batchSize, network.layers().get(l).outputs())) {
      Optional<Matrix> wanted = hasErrors ? Optional.of(error) : Optional.empty();
      if (isKept) {
        visitKept(l, network, wanted, visitor);
      } else {
        try (SampleBatches read = SampleBatches.open(backend, Dataset.of(samples), batchSize)) {
          visitStreamed(read, l, network, wanted, visitor);
        }
      }
    }
    backend.enter(Phase.REFIT);
  }

  /// As [#forEachBatch(int, DeviceNetwork, boolean, Visitor)], of a worker's part of a pass; nothing is kept.
  void forEachBatch(SampleBatches read, int l, DeviceNetwork network, boolean hasErrors, Visitor visitor)
      throws IOException {
    try (Matrix error = backend.allocate(batchSize, network.layers().get(l).outputs())) {
      visitStreamed(read, l, network, hasErrors ? Optional.of(error) : Optional.empty(), visitor);
    }
    backend.enter(Phase.REFIT);
  }

  private void visitKept(int l, DeviceNetwork network, Optional<Matrix> error, Visitor visitor) throws IOException {
    if (batches.isEmpty()) {
      keep();
    }
    long end = 0;
    for (Batch batch : batches) {
      backend.enter(Phase.FORWARD);
      batch.now.runTo(l, network, batch.current);
      end += batch.now.samples();
      visit(l, batch.now, batch.dense::get, error, end, visitor);
    }
  }

  /// Reads the samples, and runs the dense network on them.
  private void keep() throws IOException {
    backend.enter(Phase.LOAD);
    try (SampleBatches read = SampleBatches.open(backend, Dataset.of(samples), batchSize)) {
      while (read.next()) {
        int rows = read.rows();
        backend.enter(Phase.FORWARD);
        ForwardPass now = resources.own(ForwardPass.allocate(backend, dense.graph(), rows));
        now.load(read);
        target.load(read);
        target.run(dense);
        Map<Integer, Matrix> outputs = new HashMap<>();
        for (int l = 0; l < dense.layers().size(); l++) {
          for (int use : target.uses(l)) {
            Matrix copy = resources.own(backend.allocate(rows, dense.layers().get(l).outputs()));
            backend.network().add(1, target.value(use), copy);
            outputs.put(use, copy);
          }
        }
        batches.add(new Batch(now, samplesOnly(), outputs));
        backend.enter(Phase.LOAD);
      }
    }
  }

  private static BitSet samplesOnly() {
    BitSet current = new BitSet();
    current.set(0);
    return current;
  }

  private void visitStreamed(SampleBatches read, int l, DeviceNetwork network, Optional<Matrix> error, Visitor visitor)
      throws IOException {
    backend.enter(Phase.LOAD);
    try (ForwardPass now = ForwardPass.allocate(backend, network.graph(), batchSize)) {
      while (read.next()) {
        backend.enter(Phase.FORWARD);
        now.load(read);
        now.runTo(l, network, samplesOnly());
        if (error.isPresent()) {
          target.load(read);
          target.runTo(l, dense, samplesOnly());
        }
        visit(l, now, target::value, error, read.end(), visitor);
        backend.enter(Phase.LOAD);
      }
    }
  }

  /// @param wanted z of the dense network by dense node
  /// @param error memory for errors, where they are wanted
  private void visit(int l, ForwardPass now, IntFunction<Matrix> wanted, Optional<Matrix> error, long end,
      Visitor visitor) {
    backend.enter(Phase.REFIT);
    for (int use : now.uses(l)) {
      visitor.visit(now.inputOf(use), error.map(matrix -> difference(wanted.apply(use), now.value(use), matrix)), end);
    }
  }

  /// x − y, in the first rows of `memory`.
  private Matrix difference(Matrix x, Matrix y, Matrix memory) {
    Matrix difference = memory.slice(0, x.rows());
    backend.network().copyColumns(x, 0, difference, 0, x.columns());
    backend.network().add(-1, y, difference);
    return difference;
  }

  @Override
  public void close() {
    resources.close();
  }
}
