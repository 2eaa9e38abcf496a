package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// How the values of a graph change when the pre-activation of one neuron does: the true changes, not their tangents, in
/// stacked copies that each change it in another way.
///
/// Changes are passed on, not values: what does not change is exactly 0, and small changes lose digits in activations
/// only. Up to the next dense layer, a change has one column, that of the neuron; this layer makes a rank-one change of
/// it.
public final class ChangePass implements Resource {
  /// Elements of the widest change of a stack, unless a single copy is larger.
  private static final long STACK_ELEMENTS = 1L << 18;
  /// Multiply-adds of a product that take as long as an element of an activation, and of what is added to it.
  private static final int ACTIVATION = 40;

  private final Backend backend;
  private final Graph graph;
  private final Wiring wiring;
  private final Reach reach;
  private final int copies;
  /// By node, stacked copies; empty where nothing changes.
  private final List<Optional<Matrix>> changes = new ArrayList<>();
  /// By node, stacked copies of what an activation, a normalisation or a product is applied to, unless it takes the place
  /// of a change that no other node reads.
  private final List<Optional<Matrix>> shifted = new ArrayList<>();
  /// A column of a value, and one of the weights of a layer.
  private final Matrix column;
  private final Matrix outgoing;
  private final NodeConstants constants;
  private final Resources resources;

  private ChangePass(Backend backend, Graph graph, int l, int batchSize, Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.resources = resources;
    wiring = new Wiring(graph);
    reach = new Reach(graph, l);
    copies = reach.copies(batchSize);
    int rows = Math.multiplyExact(copies, batchSize);
    for (int n = 0; n < graph.nodes().size(); n++) {
      changes.add(
          reach.changes(n) ? Optional.of(resources.own(backend.allocate(rows, reach.width(n)))) : Optional.empty());
      shifted.add(reach.isShiftedApart(n)
          ? Optional.of(resources.own(backend.allocate(rows, reach.width(n))))
          : Optional.empty());
    }
    constants = NodeConstants.upload(backend, graph, resources);
    column = resources.own(backend.allocate(batchSize, 1));
    outgoing = resources
        .own(backend.allocate(graph.layers().stream().mapToInt(Node.Dense::width).max().orElseThrow(), 1));
  }

  /// Memory for changes of layer `l` in batches of up to `batchSize` samples, closed by the caller.
  public static ChangePass allocate(Backend backend, Graph graph, int l, int batchSize) {
    return Resources.build(resources -> new ChangePass(backend, graph, l, batchSize, resources));
  }

  /// Elements that it takes.
  public static long elements(Graph graph, int l, int batchSize) {
    Reach reach = new Reach(graph, l);
    long widths = IntStream.range(0, graph.nodes().size()).filter(reach::changes)
        .mapToLong(n -> (reach.isShiftedApart(n) ? 2L : 1L) * reach.width(n)).sum();
    return widths * reach.copies(batchSize) * batchSize + batchSize + NodeConstants.elements(graph);
  }

  /// Multiply-adds of one copy and sample, or what takes as long.
  public static long operations(Graph graph, int l) {
    Reach reach = new Reach(graph, l);
    return IntStream.range(0, graph.nodes().size()).filter(reach::changes).mapToLong(reach::operations).sum();
  }

  /// What changes with a neuron of one layer.
  private static final class Reach {
    private final Graph graph;
    private final int first;
    private final boolean[] changes;
    /// By node, whether one column of its value changes.
    private final boolean[] isColumn;

    Reach(Graph graph, int l) {
      this.graph = graph;
      first = graph.layerNodes()[l];
      changes = graph.downstream(first);
      isColumn = new boolean[changes.length];
      isColumn[first] = true;
      for (int n = first + 1; n < isColumn.length; n++) {
        isColumn[n] = graph.nodes().get(n) instanceof Node.Activate activate && activate.activation().isElementwise()
            && isColumn[activate.input()];
      }
    }

    boolean changes(int n) {
      return changes[n];
    }

    /// Columns of the change of node `n`.
    int width(int n) {
      return isColumn[n] ? 1 : graph.nodes().get(n).width();
    }

    boolean isShiftedApart(int n) {
      return changes[n] && switch (graph.nodes().get(n)) {
        case Node.Activate activate ->
          isColumn[activate.input()] != isColumn[n] || graph.readers(activate.input()).size() > 1;
        case Node.Multiply _,Node.Normalize _ -> true;
        case Node.Input _,Node.Dense _,Node.Add _,Node.Scale _,Node.Slice _,Node.Sum _,Node.Concat _ -> false;
      };
    }

    int copies(int batchSize) {
      int widest = IntStream.range(0, changes.length).filter(this::changes).map(this::width).max().orElseThrow();
      int inputs = ((Node.Dense) graph.nodes().get(first)).inputWidth();
      return Math.clamp(STACK_ELEMENTS / ((long) batchSize * widest), 1, inputs);
    }

    long operations(int n) {
      return switch (graph.nodes().get(n)) {
        case Node.Dense dense when n > first && !isColumn[dense.input()] -> (long) width(n) * dense.inputWidth();
        case Node.Activate _,Node.Normalize _ -> (long) width(n) * ACTIVATION;
        case Node.Sum sum -> width(sum.input());
        case Node.Input _,Node.Dense _,Node.Add _,Node.Multiply _,Node.Scale _,Node.Slice _,Node.Concat _ -> width(n);
      };
    }
  }

  /// Most copies of a stack.
  public int copies() {
    return copies;
  }

  /// The changes of the pre-activation, stacked copies (copies · samples) × 1, which the caller writes before each [#run].
  public Matrix start(int rows) {
    return change(reach.first, rows);
  }

  /// Passes the changes of the pre-activation of a neuron on.
  ///
  /// @param forward has run `network`
  /// @param rows copies · samples
  /// @return the changes of the output, `rows` × outputs, or × 1 where only that of the neuron's number changes
  public Matrix run(DeviceNetwork network, ForwardPass forward, int neuron, int rows) {
    for (int n = reach.first + 1; n < graph.nodes().size(); n++) {
      if (reach.changes(n)) {
        run(n, network, forward, neuron, rows);
      }
    }
    return change(graph.output(), rows);
  }

  private Matrix change(int n, int rows) {
    return changes.get(n).orElseThrow().slice(0, rows);
  }

  private void run(int n, DeviceNetwork network, ForwardPass forward, int neuron, int rows) {
    NetworkOperations on = backend.network();
    Matrix change = change(n, rows);
    switch (graph.nodes().get(n)) {
      case Node.Input _ -> throw new IllegalStateException("no neuron changes the samples");
      case Node.Dense dense -> {
        Matrix weights = network.layers().get(wiring.layer(n)).weights();
        Matrix below = change(dense.input(), rows);
        if (reach.isColumn[dense.input()]) {
          Matrix row = outgoing.slice(0, dense.width());
          on.copyColumns(weights, neuron, row, 0, 1);
          on.product(1, below, false, row, true, 0, change);
        } else {
          on.product(1, below, false, weights, true, 0, change);
        }
      }
      case Node.Activate activate -> {
        Matrix z = shifted.get(n).orElseGet(() -> changes.get(activate.input()).orElseThrow()).slice(0, rows);
        if (reach.isShiftedApart(n)) {
          backend.clear(z);
          addChange(activate.input(), neuron, z, 0);
        }
        addToCopies(1, base(activate.input(), n, forward, neuron), z);
        on.activate(activate.activation(), z, change);
        addToCopies(-1, base(n, n, forward, neuron), change);
      }
      case Node.Add add -> {
        backend.clear(change);
        add.inputs().forEach(input -> addChange(input, neuron, change, 0));
      }
      case Node.Multiply(int left, int right, _) -> { // δ (r + δr) + l δr
        Matrix factor = shifted.get(n).orElseThrow().slice(0, rows);
        setChange(right, neuron, factor);
        addToCopies(1, forward.value(right), factor);
        setChange(left, neuron, change);
        on.multiply(change, factor, change);
        setChange(right, neuron, factor);
        on.addMultiplied(factor, forward.value(left), change);
      }
      case Node.Scale scale -> {
        setChange(scale.input(), neuron, change);
        on.multiply(change, constants.factors().get(n), change);
      }
      case Node.Normalize normalize -> {
        Matrix x = shifted.get(n).orElseThrow().slice(0, rows);
        setChange(normalize.input(), neuron, x);
        addToCopies(1, forward.value(normalize.input()), x);
        on.normalize(normalize.centred(), normalize.epsilon(), x, change);
        addToCopies(-1, forward.value(n), change);
      }
      case Node.Slice slice -> {
        Matrix whole = change(slice.input(), rows);
        if (!reach.isColumn[slice.input()]) {
          on.copyColumns(whole, slice.first(), change, 0, slice.width());
        } else {
          backend.clear(change);
          if (neuron >= slice.first() && neuron < slice.first() + slice.width()) {
            on.copyColumns(whole, 0, change, neuron - slice.first(), 1);
          }
        }
      }
      case Node.Sum sum -> {
        Matrix terms = change(sum.input(), rows);
        if (reach.isColumn[sum.input()]) {
          on.copyColumns(terms, 0, change, 0, 1);
        } else {
          on.product(1, terms, false, constants.factors().get(n), true, 0, change);
        }
      }
      case Node.Concat concat -> {
        backend.clear(change);
        int offset = 0;
        for (int input : concat.inputs()) {
          addChange(input, neuron, change, offset);
          offset += graph.nodes().get(input).width();
        }
      }
    }
  }

  /// Writes the change of node `n`, or 0 if there is none, to all columns.
  private void setChange(int n, int neuron, Matrix to) {
    backend.clear(to);
    addChange(n, neuron, to, 0);
  }

  /// Adds the change of node `n`, if there is one, to the columns from `offset` on; a single column to its place, or to
  /// a single one.
  private void addChange(int n, int neuron, Matrix to, int offset) {
    if (!reach.changes(n)) {
      return;
    }
    Matrix from = change(n, to.rows());
    if (from.columns() == to.columns()) {
      backend.network().add(1, from, to);
    } else {
      backend.network().addColumns(from, 0, to, reach.isColumn[n] ? offset + neuron : offset, from.columns());
    }
  }

  /// The value of node `n` as it was, or the column of it that changes, if one column of node `of` does.
  private Matrix base(int n, int of, ForwardPass forward, int neuron) {
    if (!reach.isColumn[of]) {
      return forward.value(n);
    }
    Matrix values = column.slice(0, forward.samples());
    backend.network().copyColumns(forward.value(n), neuron, values, 0, 1);
    return values;
  }

  private void addToCopies(double alpha, Matrix x, Matrix copies) {
    for (int row = 0; row < copies.rows(); row += x.rows()) {
      backend.network().add(alpha, x, copies.slice(row, x.rows()));
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
