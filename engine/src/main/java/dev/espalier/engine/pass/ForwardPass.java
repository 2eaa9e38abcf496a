package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.function.IntFunction;

/// The values of all nodes of a graph for one batch, in memory that the next batch uses again.
public final class ForwardPass implements Resource {
  private final Backend backend;
  private final Graph graph;
  private final Wiring wiring;
  private final List<Matrix> values;
  private final NodeConstants constants;
  private final Resources resources;
  private int samples;

  private ForwardPass(Backend backend, Graph graph, int batchSize, Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.resources = resources;
    wiring = new Wiring(graph);
    values = graph.nodes().stream().<Matrix>map(node -> resources.own(backend.allocate(batchSize, node.width())))
        .toList();
    constants = NodeConstants.upload(backend, graph, resources);
  }

  /// Memory for batches of up to `batchSize` samples, closed by the caller.
  ///
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if the values of a batch do not fit
  public static ForwardPass allocate(Backend backend, Graph graph, int batchSize) {
    return Resources.build(resources -> new ForwardPass(backend, graph, batchSize, resources));
  }

  /// Takes a batch for [#run(DeviceNetwork)].
  ///
  /// @param batch samples × inputs
  public void load(MatrixView batch) {
    samples = batch.rows();
    backend.upload(batch, value(0));
  }

  /// Takes a batch that `fill` writes into the backend's memory, for [#run(DeviceNetwork)].
  ///
  /// @param fill of a matrix of so many samples × inputs
  public void load(int rows, Consumer<Matrix> fill) {
    samples = rows;
    fill.accept(value(0));
  }

  /// Takes a batch of a pass for [#run(DeviceNetwork)].
  public void load(SampleBatches batch) {
    samples = batch.rows();
    batch.load(value(0));
  }

  /// Runs `network`, whose graph this is, on the batch that was loaded.
  public void run(DeviceNetwork network) {
    for (int n = 0; n < graph.nodes().size(); n++) {
      run(n, network, this::value);
    }
  }

  /// Runs what the pre-activations of layer `l` need of `network`, whose graph this is, on the batch that was loaded.
  ///
  /// @param current the nodes whose values are there already; those that were run join them
  public void runTo(int l, DeviceNetwork network, BitSet current) {
    boolean[] upstream = wiring.upstream(wiring.uses(l));
    for (int n = 0; n < upstream.length; n++) {
      if (upstream[n] && !current.get(n)) {
        run(n, network, this::value);
        current.set(n);
      }
    }
  }

  /// Runs the nodes that depend on layer `l` of a network of which another pass has all values: this layer with the
  /// parameters of `changed`, the layers above it with their own.
  ///
  /// @param base has run `network` on the same batch
  public void runFrom(int l, DeviceNetwork changed, DeviceNetwork network, ForwardPass base) {
    samples = base.samples;
    int[] uses = wiring.uses(l);
    boolean[] downstream = graph.downstream(uses);
    for (int n = uses[0]; n < downstream.length; n++) {
      if (downstream[n]) {
        run(n, Arrays.binarySearch(uses, n) >= 0 ? changed : network,
            node -> downstream[node] ? value(node) : base.value(node));
      }
    }
  }

  /// Computes the value of node `n`.
  ///
  /// @param values of the nodes by number
  private void run(int n, DeviceNetwork network, IntFunction<Matrix> values) {
    NetworkOperations on = backend.network();
    Matrix value = values.apply(n);
    switch (graph.nodes().get(n)) {
      case Node.Input _ -> {
        // The batch was loaded.
      }
      case Node.Dense dense -> {
        DeviceNetwork.Layer layer = network.layers().get(wiring.layer(n));
        Matrix input = values.apply(dense.input());
        OptionalInt activation = wiring.forwardActivation(n);
        if (activation.isPresent()) {
          on.denseForward(input, layer.weights(), layer.bias(),
              ((Node.Activate) graph.nodes().get(activation.getAsInt())).activation(), value,
              values.apply(activation.getAsInt()));
        } else {
          on.denseForward(input, layer.weights(), layer.bias(), value);
        }
      }
      case Node.Activate activate -> {
        if (!wiring.runsWithDense(n)) {
          on.activate(activate.activation(), values.apply(activate.input()), value);
        }
      }
      case Node.Add add -> {
        on.copyColumns(values.apply(add.inputs().getFirst()), 0, value, 0, add.width());
        add.inputs().stream().skip(1).forEach(input -> on.add(1, values.apply(input), value));
      }
      case Node.Multiply multiply -> on.multiply(values.apply(multiply.left()), values.apply(multiply.right()), value);
      case Node.Scale scale -> {
        on.multiply(values.apply(scale.input()), constants.factors().get(n), value);
        if (constants.negatedShifts().containsKey(n)) {
          backend.solving().subtractRow(value, constants.negatedShifts().get(n), value);
        }
      }
      case Node.Normalize normalize ->
        on.normalize(normalize.centred(), normalize.epsilon(), values.apply(normalize.input()), value);
      case Node.Slice slice -> on.copyColumns(values.apply(slice.input()), slice.first(), value, 0, slice.width());
      case Node.Sum sum -> on.product(1, values.apply(sum.input()), false, constants.factors().get(n), true, 0, value);
      case Node.Concat concat -> {
        int column = 0;
        for (int input : concat.inputs()) {
          Matrix part = values.apply(input);
          on.copyColumns(part, 0, value, column, part.columns());
          column += part.columns();
        }
      }
    }
  }

  /// Samples of the batch.
  public int samples() {
    return samples;
  }

  /// The value of node `n`, samples × width.
  public Matrix value(int n) {
    return values.get(n).slice(0, samples);
  }

  /// The dense nodes that use layer `l`, ascending.
  public int[] uses(int l) {
    return wiring.uses(l).clone();
  }

  /// a, the input of dense node `n`, samples × inputs of the layer.
  public Matrix inputOf(int n) {
    return value(((Node.Dense) graph.nodes().get(n)).input());
  }

  /// The network's output y, samples × outputs.
  public Matrix output() {
    return value(graph.output());
  }

  @Override
  public void close() {
    resources.close();
  }
}
