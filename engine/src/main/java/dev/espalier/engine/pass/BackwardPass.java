package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.Squares;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Consumer;

/// Gradients at the nodes of a graph, in stacked copies, in memory that the next pass uses again. They flow from the
/// output to the layers; where paths join, they add up.
final class BackwardPass implements Resource {
  private final Backend backend;
  private final Graph graph;
  private final Wiring wiring;
  private final NodeConstants constants;
  /// By node; null where a fused operation needs none.
  private final List<Matrix> gradients = new ArrayList<>();
  private final Resources resources;

  private BackwardPass(Backend backend, Graph graph, int rows, Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.resources = resources;
    wiring = new Wiring(graph);
    constants = NodeConstants.upload(backend, graph, resources);
    for (int n = 0; n < graph.nodes().size(); n++) {
      gradients.add(wiring.hasGradient(n) ? resources.own(backend.allocate(rows, graph.nodes().get(n).width())) : null);
    }
  }

  /// @param rows most samples of a batch times most copies
  static BackwardPass allocate(Backend backend, Graph graph, int rows) {
    return Resources.build(resources -> new BackwardPass(backend, graph, rows, resources));
  }

  /// Elements of the gradients of one sample and copy.
  static long elements(Graph graph) {
    Wiring wiring = new Wiring(graph);
    long elements = 0;
    for (int n = 0; n < graph.nodes().size(); n++) {
      elements += wiring.hasGradient(n) ? graph.nodes().get(n).width() : 0;
    }
    return elements;
  }

  /// The gradient at the value of node `n`, `rows` rows.
  Matrix gradient(int n, int rows) {
    return gradients.get(n).slice(0, rows);
  }

  /// Where the squares of a dense node's gradients are added.
  interface Sink {
    /// @param n the number of the node
    /// @param alone whether the pass itself does not need the gradient any more
    Optional<Squares> squares(int n, boolean alone);
  }

  /// Runs backwards from a node whose gradient was written.
  ///
  /// @param start the node, from which all layers can be reached
  /// @param rows samples times copies
  void run(DeviceNetwork network, ForwardPass forward, int start, int rows, Sink sink) {
    Walk walk = new Walk(network, forward, rows, sink);
    walk.written[start] = true;
    for (int n = start; n > 0; n--) {
      if (walk.written[n]) {
        walk.from(n);
      }
    }
  }

  /// One run.
  private final class Walk {
    private final DeviceNetwork network;
    private final ForwardPass forward;
    private final int rows;
    private final Sink sink;
    private final NetworkOperations on = backend.network();
    /// By node, whether something was written to its gradient.
    private final boolean[] written = new boolean[graph.nodes().size()];
    /// By node, whether the squares of its gradient were added.
    private final boolean[] squared = new boolean[graph.nodes().size()];

    Walk(DeviceNetwork network, ForwardPass forward, int rows, Sink sink) {
      this.network = network;
      this.forward = forward;
      this.rows = rows;
      this.sink = sink;
    }

    private Matrix gradient(int n) {
      return BackwardPass.this.gradient(n, rows);
    }

    /// Passes the gradient of node `n` on, after all that read its value have added to it.
    void from(int n) {
      switch (graph.nodes().get(n)) {
        case Node.Input _ -> {
          // Nothing below wants it.
        }
        case Node.Dense dense -> fromDense(n, dense);
        case Node.Activate activate ->
          through(n, activate.input(), target -> on.activationBackward(activate.activation(),
              forward.value(activate.input()), forward.value(n), gradient(n), target));
        case Node.Normalize normalize ->
          through(n, normalize.input(), target -> on.normalizeBackward(normalize.centred(), normalize.epsilon(),
              forward.value(normalize.input()), forward.value(n), gradient(n), target));
        case Node.Multiply(int left, int right, _) -> {
          give(n, forward.value(right), left);
          give(n, forward.value(left), right);
        }
        case Node.Scale scale -> give(n, constants.factors().get(n), scale.input());
        case Node.Slice slice -> fromSlice(n, slice);
        case Node.Sum sum -> {
          if (wiring.wantsGradient(sum.input())) {
            on.product(1, gradient(n), false, constants.factors().get(n), false, written[sum.input()] ? 1 : 0,
                gradient(sum.input()));
            written[sum.input()] = true;
          }
        }
        case Node.Add add -> add.inputs().forEach(input -> give(n, 0, input));
        case Node.Concat concat -> {
          int column = 0;
          for (int input : concat.inputs()) {
            give(n, column, input);
            column += graph.nodes().get(input).width();
          }
        }
      }
    }

    /// Takes the gradient of node `n` through a function of the node that it read.
    ///
    /// @param function writes into what it is given, which may be the gradient of node `n` itself
    private void through(int n, int input, Consumer<Matrix> function) {
      if (!wiring.wantsGradient(input)) {
        return;
      }
      Matrix target = written[input] ? gradient(n) : gradient(input);
      function.accept(target);
      if (written[input]) {
        on.add(1, target, gradient(input));
      }
      written[input] = true;
    }

    /// Adds the gradient of node `n`, multiplied by `factor`, to that of a node that it read.
    private void give(int n, Matrix factor, int input) {
      if (!wiring.wantsGradient(input)) {
        return;
      }
      if (written[input]) {
        on.addMultiplied(gradient(n), factor, gradient(input));
      } else {
        on.multiply(gradient(n), factor, gradient(input));
        written[input] = true;
      }
    }

    private void fromSlice(int n, Node.Slice slice) {
      if (!wiring.wantsGradient(slice.input())) {
        return;
      }
      if (!written[slice.input()]) {
        backend.clear(gradient(slice.input()));
        written[slice.input()] = true;
      }
      on.addColumns(gradient(n), 0, gradient(slice.input()), slice.first(), slice.width());
    }

    private void fromDense(int n, Node.Dense dense) {
      if (!squared[n]) {
        sink.squares(n, false).ifPresent(s -> on.addSquares(s.scale(), gradient(n), s.sensitivity()));
      }
      if (!wiring.wantsGradient(dense.input())) {
        return;
      }
      Matrix weights = network.layers().get(wiring.layer(n)).weights();
      OptionalInt below = wiring.backwardDense(n);
      if (below.isEmpty()) {
        on.product(1, gradient(n), false, weights, false, written[dense.input()] ? 1 : 0, gradient(dense.input()));
        written[dense.input()] = true;
        return;
      }
      int b = below.getAsInt();
      boolean lowest = !wiring.wantsGradient(graph.nodes().get(b).inputs().getFirst());
      on.denseBackward(gradient(n), weights, ((Node.Activate) graph.nodes().get(dense.input())).activation(),
          forward.value(b), gradient(b), sink.squares(b, lowest));
      written[b] = true;
      squared[b] = true;
    }

    /// Adds columns of the gradient of node `n` to that of a node that it read.
    private void give(int n, int column, int input) {
      if (!wiring.wantsGradient(input)) {
        return;
      }
      int width = graph.nodes().get(input).width();
      if (written[input]) {
        on.addColumns(gradient(n), column, gradient(input), 0, width);
      } else {
        on.copyColumns(gradient(n), column, gradient(input), 0, width);
        written[input] = true;
      }
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
