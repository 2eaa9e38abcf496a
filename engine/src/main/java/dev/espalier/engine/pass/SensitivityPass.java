package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.method.Sensitivity;
import java.util.ArrayList;
import java.util.List;

/// The backward passes of one batch: the sensitivities of all layers, in memory that the next batch uses
/// again. Several passes are stacked into tall products, as many as [MemoryPlan#stackedCopies] allows.
public final class SensitivityPass implements Resource {
  private final Backend backend;
  private final Sensitivity sensitivity;
  private final long seed;
  private final int passes;
  private final int copies;
  private final Resources resources = new Resources();
  private final List<Matrix> gradients = new ArrayList<>();
  private final List<Matrix> sensitivities = new ArrayList<>();

  /// @param batchSize most samples of a batch
  /// @param seed of the probes
  public SensitivityPass(Backend backend, DeviceNetwork network, Sensitivity sensitivity, int batchSize, long seed) {
    this.backend = backend;
    this.sensitivity = sensitivity;
    this.seed = seed;
    passes = sensitivity.passes(network.layers().getLast().outputs());
    copies = MemoryPlan.stackedCopies(batchSize, network.widestOutput(), passes);
    try {
      for (DeviceNetwork.Layer layer : network.layers()) {
        gradients.add(resources.own(backend.allocate(Math.multiplyExact(copies, batchSize), layer.outputs())));
        sensitivities.add(resources.own(backend.allocate(batchSize, layer.outputs())));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /// Computes the sensitivities for the batch that `forward` has just run.
  ///
  /// @param firstSample the position of the batch's first sample in its source
  public void run(DeviceNetwork network, ForwardPass forward, long firstSample) {
    int samples = forward.samples();
    sensitivities.forEach(s -> backend.clear(backend.rows(s, 0, samples)));
    for (int first = 0; first < passes; first += copies) {
      backward(network, forward, first, Math.min(copies, passes - first), firstSample);
    }
  }

  private void backward(DeviceNetwork network, ForwardPass forward, int first, int count, long firstSample) {
    int samples = forward.samples();
    int last = network.layers().size() - 1;
    Matrix upstream = backend.rows(gradients.get(last), 0, count * samples);
    double scale = switch (sensitivity) {
      case Sensitivity.Jacobian() -> {
        backend.unitVectors(upstream, samples, first);
        yield 1;
      }
      case Sensitivity.Probes(int probes) -> {
        backend.rademacherVectors(upstream, samples, first, firstSample, seed);
        yield 1.0 / probes;
      }
    };
    for (int l = last; l >= 0; l--) {
      DeviceNetwork.Layer layer = network.layers().get(l);
      Matrix gradient = backend.rows(gradients.get(l), 0, count * samples);
      Matrix s = sensitivity(l, samples);
      if (l == last) {
        backend.activationBackward(layer.activation(), forward.preActivation(l), forward.activation(l), upstream,
            gradient);
        backend.addSquares(scale, gradient, s);
      } else {
        Matrix above = backend.rows(gradients.get(l + 1), 0, count * samples);
        Matrix weightsAbove = network.layers().get(l + 1).weights();
        if (l > 0) {
          backend.denseBackward(above, weightsAbove, layer.activation(), forward.preActivation(l),
              forward.activation(l), gradient, scale, s);
        } else {
          backend.addSquaredGradient(above, weightsAbove, layer.activation(), forward.preActivation(l),
              forward.activation(l), gradient, scale, s);
        }
      }
    }
  }

  /// Whether the work is the same wherever the samples stand in their source.
  public boolean isRepeatable() {
    return sensitivity instanceof Sensitivity.Jacobian;
  }

  /// s of layer `l` for a batch of `samples` samples, samples × outputs.
  public Matrix sensitivity(int l, int samples) {
    return backend.rows(sensitivities.get(l), 0, samples);
  }

  @Override
  public void close() {
    resources.close();
  }
}
