package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import java.util.ArrayList;
import java.util.List;

/// Pre-activations and activations of one batch in all layers, in memory that the next batch uses again.
public final class ForwardPass implements Resource {
  private final Backend backend;
  private final Resources resources = new Resources();
  private final Matrix input;
  private final List<Matrix> preActivations = new ArrayList<>();
  private final List<Matrix> activations = new ArrayList<>();
  private int samples;

  /// @param batchSize most samples of a batch
  /// @throws OutOfBackendMemoryException if the activations of a batch do not fit
  public ForwardPass(Backend backend, DeviceNetwork network, int batchSize) {
    this.backend = backend;
    try {
      input = resources.own(backend.allocate(batchSize, network.layers().getFirst().inputs()));
      for (DeviceNetwork.Layer layer : network.layers()) {
        preActivations.add(resources.own(backend.allocate(batchSize, layer.outputs())));
        activations.add(resources.own(backend.allocate(batchSize, layer.outputs())));
      }
    } catch (OutOfBackendMemoryException e) {
      close();
      throw e;
    }
  }

  /// Takes a batch for [#run(DeviceNetwork)].
  ///
  /// @param batch samples × inputs, at most as many samples as this was made for
  public void load(MatrixView batch) {
    samples = batch.rows();
    backend.upload(batch, input(0));
  }

  /// Runs `network`, of the shapes this was made for, on the batch that was loaded.
  public void run(DeviceNetwork network) {
    run(network, 0, network.layers().size(), input(0));
  }

  /// Loads a batch and runs `network` on it.
  public void run(DeviceNetwork network, MatrixView batch) {
    load(batch);
    run(network);
  }

  /// Runs some layers only: those from number `first` up to, not including, `end`.
  ///
  /// @param from what layer `first` reads, samples × inputs
  public void run(DeviceNetwork network, int first, int end, Matrix from) {
    samples = from.rows();
    Matrix next = from;
    for (int l = first; l < end; l++) {
      DeviceNetwork.Layer layer = network.layers().get(l);
      backend.denseForward(next, layer.weights(), layer.bias(), layer.activation(), preActivation(l), activation(l));
      next = activation(l);
    }
  }

  /// Samples of the batch.
  public int samples() {
    return samples;
  }

  /// What layer `l` read, samples × inputs.
  public Matrix input(int l) {
    return backend.rows(l == 0 ? input : activations.get(l - 1), 0, samples);
  }

  /// z of layer `l`, samples × outputs.
  public Matrix preActivation(int l) {
    return backend.rows(preActivations.get(l), 0, samples);
  }

  /// a of layer `l`, samples × outputs.
  public Matrix activation(int l) {
    return backend.rows(activations.get(l), 0, samples);
  }

  /// The network's output y, samples × outputs.
  public Matrix output() {
    return activation(activations.size() - 1);
  }

  @Override
  public void close() {
    resources.close();
  }
}
