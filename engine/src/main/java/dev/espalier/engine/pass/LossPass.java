package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import java.util.Optional;
import java.util.function.Consumer;

/// Losses of one batch and their gradients at the pre-activation of every layer, in memory that the next batch uses
/// again.
public final class LossPass implements Resource {
  private final Backend backend;
  private final Graph graph;
  private final Loss loss;
  private final double temperature;
  /// Of a cross-entropy at a temperature other than 1: the logits divided by it.
  private final Optional<Matrix> scaled;
  private final Matrix targets;
  private final Matrix losses;
  private final BackwardPass backward;
  private final Resources resources;

  private LossPass(Backend backend, Graph graph, Loss loss, double temperature, int batchSize, Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.loss = loss;
    this.temperature = temperature;
    this.resources = resources;
    scaled = temperature == 1
        ? Optional.empty()
        : Optional.of(resources.own(backend.allocate(batchSize, graph.outputs())));
    targets = resources.own(backend.allocate(batchSize, graph.outputs()));
    losses = resources.own(backend.allocate(batchSize, 1));
    backward = resources.own(BackwardPass.allocate(backend, graph, batchSize));
  }

  /// Memory for batches of up to `batchSize` samples, closed by the caller.
  public static LossPass allocate(Backend backend, Graph graph, Loss loss, int batchSize) {
    return allocate(backend, graph, loss, 1, batchSize);
  }

  /// As [#allocate(Backend, Graph, Loss, int)].
  ///
  /// @param temperature T of a cross-entropy: logits and the loss's gradient are those of z / T
  public static LossPass allocate(Backend backend, Graph graph, Loss loss, double temperature, int batchSize) {
    return Resources.build(resources -> new LossPass(backend, graph, loss, temperature, batchSize, resources));
  }

  /// Takes the targets of a batch.
  ///
  /// @param batchTargets samples × outputs
  public void load(MatrixView batchTargets) {
    backend.upload(batchTargets, targets.slice(0, batchTargets.rows()));
  }

  /// Takes the targets of a batch, which `fill` writes into the backend's memory.
  ///
  /// @param fill of a matrix of so many samples × outputs
  public void load(int rows, Consumer<Matrix> fill) {
    fill.accept(targets.slice(0, rows));
  }

  /// The losses of the batch that `forward` has just run and whose targets were loaded.
  ///
  /// @return samples × 1
  public Matrix losses(ForwardPass forward) {
    Matrix t = targets.slice(0, forward.samples());
    Matrix each = losses(forward.samples());
    Matrix gradient = backward.gradient(start(), forward.samples());
    switch (loss) {
      case Loss.CrossEntropy() -> backend.training().crossEntropy(logits(forward), t, gradient, each);
      case Loss.BinaryCrossEntropy() ->
        backend.training().binaryCrossEntropy(forward.value(start()), t, gradient, each);
      case Loss.SquaredError() -> backend.training().squaredError(forward.value(start()), t, gradient, each);
    }
    return each;
  }

  /// z / T
  private Matrix logits(ForwardPass forward) {
    if (scaled.isEmpty()) {
      return forward.value(start());
    }
    Matrix logits = scaled.get().slice(0, forward.samples());
    backend.clear(logits);
    backend.network().add(1 / temperature, forward.value(start()), logits);
    return logits;
  }

  /// As [#losses(ForwardPass)], and the gradients of all layers.
  ///
  /// @return samples × 1
  public Matrix run(DeviceNetwork network, ForwardPass forward) {
    Matrix each = losses(forward);
    backward.run(network, forward, start(), forward.samples(), (_, _) -> Optional.empty());
    return each;
  }

  /// The node at which the loss has its gradient: cross-entropy has it below a softmax or sigmoid, other losses at the
  /// output.
  private int start() {
    return switch (loss) {
      case Loss.CrossEntropy() -> graph.logits();
      case Loss.BinaryCrossEntropy() when graph.lastActivation().equals(Activation.SIGMOID) ->
        graph.nodes().getLast().inputs().getFirst();
      case Loss.BinaryCrossEntropy(),Loss.SquaredError() -> graph.output();
    };
  }

  /// The losses of the last batch, of `samples` samples, samples × 1.
  public Matrix losses(int samples) {
    return losses.slice(0, samples);
  }

  /// ∂L/∂z of dense node `n` for each of `samples` samples, samples × outputs.
  public Matrix gradient(int n, int samples) {
    return backward.gradient(n, samples);
  }

  @Override
  public void close() {
    resources.close();
  }
}
