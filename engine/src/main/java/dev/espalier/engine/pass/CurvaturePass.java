package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.method.Objective;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.util.Optional;

/// The product of the Gauss-Newton matrix JᵀFJ of an objective and a direction, for one batch, in memory that the next
/// batch uses again: a tangent pass finds δ = J·direction, a backward pass the gradients of all layers of ½ δᵀFδ. J is the
/// Jacobian of the outputs, or of the logits for a divergence, and F the second derivative of the objective by them, in
/// the units of [LossPass]: 2 / outputs for a squared error, (diag(p) − ppᵀ) / T for a divergence at temperature T.
public final class CurvaturePass implements Resource {
  private final Backend backend;
  private final Objective objective;
  private final int start;
  private final TangentPass tangents;
  private final BackwardPass backward;
  private final Matrix scaled;
  private final Matrix probabilities;
  private final Resources resources;

  private CurvaturePass(Backend backend, Graph graph, Objective objective, ParameterVector direction, int batchSize,
      Resources resources) {
    this.backend = backend;
    this.objective = objective;
    this.resources = resources;
    start = switch (objective) {
      case Objective.SquaredError() -> graph.output();
      case Objective.Divergence _ -> graph.logits();
    };
    tangents = resources.own(TangentPass.allocate(backend, graph, direction, batchSize));
    backward = resources.own(BackwardPass.allocate(backend, graph, batchSize));
    scaled = resources.own(backend.allocate(batchSize, graph.outputs()));
    probabilities = resources.own(backend.allocate(batchSize, graph.outputs()));
  }

  /// Memory for batches of up to `batchSize` samples, closed by the caller.
  ///
  /// @param direction of which [#run] takes others for the same layers
  public static CurvaturePass allocate(Backend backend, Graph graph, Objective objective, ParameterVector direction,
      int batchSize) {
    return Resources.build(resources -> new CurvaturePass(backend, graph, objective, direction, batchSize, resources));
  }

  /// Elements of the tangents and gradients of one sample, at the most.
  public static long elements(Graph graph) {
    return BackwardPass.elements(graph) + TangentPass.elements(graph) + 2L * graph.outputs();
  }

  /// Runs both passes for the batch that `forward` has just run.
  public void run(DeviceNetwork network, ForwardPass forward, ParameterVector direction) {
    int samples = forward.samples();
    Matrix tangent = tangents.run(network, forward, direction, start);
    Matrix gradient = backward.gradient(start, samples);
    switch (objective) {
      case Objective.SquaredError() -> scale(2.0 / gradient.columns(), tangent, gradient);
      case Objective.Divergence(double temperature) -> {
        Matrix divided = scaled.slice(0, samples);
        Matrix p = probabilities.slice(0, samples);
        scale(1 / temperature, forward.value(start), divided);
        backend.network().activate(Activation.SOFTMAX, divided, p);
        scale(1 / temperature, tangent, divided);
        backend.network().activationBackward(Activation.SOFTMAX, p, p, divided, gradient);
      }
    }
    backward.run(network, forward, start, samples, (_, _) -> Optional.empty());
  }

  private void scale(double factor, Matrix from, Matrix to) {
    backend.clear(to);
    backend.network().add(factor, from, to);
  }

  /// The gradient at z of dense node `n` for each of `samples` samples, samples × outputs.
  public Matrix gradient(int n, int samples) {
    return backward.gradient(n, samples);
  }

  @Override
  public void close() {
    resources.close();
  }
}
