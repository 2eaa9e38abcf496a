package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import java.util.ArrayList;
import java.util.List;

/// Losses of one batch and their gradients at every layer's pre-activation, in memory that the next batch
/// uses again.
public final class LossGradient implements Resource {
  private final Backend backend;
  private final Loss loss;
  private final Resources resources = new Resources();
  private final Matrix targets;
  private final Matrix losses;
  private final List<Matrix> gradients = new ArrayList<>();

  /// @param batchSize most samples of a batch
  public LossGradient(Backend backend, DeviceNetwork network, Loss loss, int batchSize) {
    this.backend = backend;
    this.loss = loss;
    try {
      targets = resources.own(backend.allocate(batchSize, network.layers().getLast().outputs()));
      losses = resources.own(backend.allocate(batchSize, 1));
      network.layers().forEach(layer -> gradients.add(resources.own(backend.allocate(batchSize, layer.outputs()))));
    } catch (RuntimeException e) {
      resources.close();
      throw e;
    }
  }

  /// Takes the targets of a batch.
  ///
  /// @param batchTargets samples × outputs
  public void load(MatrixView batchTargets) {
    backend.upload(batchTargets, backend.rows(targets, 0, batchTargets.rows()));
  }

  /// The losses of the batch that `forward` has just run and whose targets were loaded.
  ///
  /// @return samples × 1
  public Matrix losses(DeviceNetwork network, ForwardPass forward) {
    int last = network.layers().size() - 1;
    int samples = forward.samples();
    Matrix t = backend.rows(targets, 0, samples);
    Matrix each = backend.rows(losses, 0, samples);

    switch (loss) {
      case CROSS_ENTROPY -> backend.crossEntropy(forward.preActivation(last), t, gradient(last, samples), each);
      case MSE -> {
        backend.squaredError(forward.output(), t, gradient(last, samples), each);
        backend.activationBackward(network.layers().get(last).activation(), forward.preActivation(last),
            forward.output(), gradient(last, samples), gradient(last, samples));
      }
    }
    return each;
  }

  /// As [#losses], and the gradients of all layers.
  ///
  /// @return samples × 1
  public Matrix run(DeviceNetwork network, ForwardPass forward) {
    Matrix each = losses(network, forward);
    int samples = forward.samples();
    for (int l = network.layers().size() - 2; l >= 0; l--) {
      backend.denseBackward(gradient(l + 1, samples), network.layers().get(l + 1).weights(),
          network.layers().get(l).activation(), forward.preActivation(l), forward.activation(l), gradient(l, samples));
    }
    return each;
  }

  /// The losses of the last batch, of `samples` samples, samples × 1.
  public Matrix losses(int samples) {
    return backend.rows(losses, 0, samples);
  }

  /// ∂L/∂z of layer `l` for each of `samples` samples, samples × outputs.
  public Matrix gradient(int l, int samples) {
    return backend.rows(gradients.get(l), 0, samples);
  }

  @Override
  public void close() {
    resources.close();
  }
}
