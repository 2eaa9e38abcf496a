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

/// Tangents at the nodes of a graph, in memory that the next batch uses again: how fast the value of each node changes as
/// the parameters move along a direction (forward-mode differentiation).
public final class TangentPass implements Resource {
  private final Backend backend;
  private final Graph graph;
  private final Wiring wiring;
  private final NodeConstants constants;
  /// By node; empty where no parameter has an influence.
  private final List<Optional<Matrix>> tangents = new ArrayList<>();
  private final Resources resources;

  private TangentPass(Backend backend, Graph graph, ParameterVector direction, int batchSize, Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.resources = resources;
    wiring = new Wiring(graph);
    constants = NodeConstants.upload(backend, graph, resources);
    for (int n = 0; n < graph.nodes().size(); n++) {
      Node node = graph.nodes().get(n);
      boolean moves = node instanceof Node.Dense && part(direction, wiring.layer(n)).isPresent();
      if (!moves && node.inputs().stream().allMatch(input -> tangents.get(input).isEmpty())) {
        tangents.add(Optional.empty());
      } else if (isInPlace(n)) {
        tangents.add(tangents.get(node.inputs().getFirst()));
      } else {
        tangents.add(Optional.of(resources.own(backend.allocate(batchSize, node.width()))));
      }
    }
  }

  /// Memory for batches of up to `batchSize` samples, closed by the caller.
  ///
  /// @param direction of which [#run] takes others for the same layers
  public static TangentPass allocate(Backend backend, Graph graph, ParameterVector direction, int batchSize) {
    return Resources.build(resources -> new TangentPass(backend, graph, direction, batchSize, resources));
  }

  /// Elements of the tangents of one sample, at the most.
  static long elements(Graph graph) {
    return graph.nodes().stream().skip(1).mapToLong(Node::width).sum();
  }

  private static Optional<ParameterVector.Part> part(ParameterVector vector, int layer) {
    return vector.parts().stream().filter(part -> part.number() == layer).findFirst();
  }

  /// Whether the tangent of an activation takes the place of that of its input, which no other node reads.
  private boolean isInPlace(int n) {
    return graph.nodes().get(n) instanceof Node.Activate activate && graph.readers(activate.input()).size() == 1;
  }

  /// The tangents of the batch that `forward` has just run.
  ///
  /// @param end the last node whose tangent is wanted
  /// @return that tangent, samples × width
  public Matrix run(DeviceNetwork network, ForwardPass forward, ParameterVector direction, int end) {
    for (int n = 0; n <= end; n++) {
      if (tangents.get(n).isPresent()) {
        run(n, network, forward, direction, tangent(n, forward.samples()));
      }
    }
    return tangent(end, forward.samples());
  }

  private Matrix tangent(int n, int samples) {
    return tangents.get(n).orElseThrow().slice(0, samples);
  }

  private void run(int n, DeviceNetwork network, ForwardPass forward, ParameterVector direction, Matrix tangent) {
    NetworkOperations on = backend.network();
    int samples = forward.samples();
    switch (graph.nodes().get(n)) {
      case Node.Input _ -> throw new IllegalStateException("no parameter changes the samples");
      case Node.Dense dense -> {
        Optional<ParameterVector.Part> own = part(direction, wiring.layer(n));
        own.ifPresent(part -> {
          Matrix input = forward.value(dense.input());
          part.bias().ifPresentOrElse(bias -> on.denseForward(input, part.weights(), bias, tangent),
              () -> on.product(1, input, false, part.weights(), true, 0, tangent));
        });
        if (tangents.get(dense.input()).isPresent()) {
          on.product(1, tangent(dense.input(), samples), false, network.layers().get(wiring.layer(n)).weights(), true,
              own.isPresent() ? 1 : 0, tangent);
        }
      }
      case Node.Activate activate -> on.activationTangent(activate.activation(), forward.value(activate.input()),
          forward.value(n), tangent(activate.input(), samples), tangent);
      case Node.Add add -> {
        backend.clear(tangent);
        add.inputs().stream().filter(input -> tangents.get(input).isPresent())
            .forEach(input -> on.add(1, tangent(input, samples), tangent));
      }
      case Node.Multiply(int left, int right, _) -> {
        backend.clear(tangent);
        if (tangents.get(left).isPresent()) {
          on.addMultiplied(tangent(left, samples), forward.value(right), tangent);
        }
        if (tangents.get(right).isPresent()) {
          on.addMultiplied(tangent(right, samples), forward.value(left), tangent);
        }
      }
      case Node.Scale scale -> on.multiply(tangent(scale.input(), samples), constants.factors().get(n), tangent);
      // The Jacobian of a normalisation is symmetric.
      case Node.Normalize normalize -> on.normalizeBackward(normalize.centred(), normalize.epsilon(),
          forward.value(normalize.input()), forward.value(n), tangent(normalize.input(), samples), tangent);
      case Node.Slice slice ->
        on.copyColumns(tangent(slice.input(), samples), slice.first(), tangent, 0, slice.width());
      case Node.Sum sum ->
        on.product(1, tangent(sum.input(), samples), false, constants.factors().get(n), true, 0, tangent);
      case Node.Concat concat -> {
        backend.clear(tangent);
        int column = 0;
        for (int input : concat.inputs()) {
          int width = graph.nodes().get(input).width();
          if (tangents.get(input).isPresent()) {
            on.copyColumns(tangent(input, samples), 0, tangent, column, width);
          }
          column += width;
        }
      }
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
