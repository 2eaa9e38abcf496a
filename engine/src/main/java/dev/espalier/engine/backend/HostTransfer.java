package dev.espalier.engine.backend;

import dev.espalier.engine.data.HostBuffer;

/// One buffer in host memory, from where batches are uploaded.
final class HostTransfer extends HostBuffer implements SampleTransfer {
  private final Backend backend;

  HostTransfer(Backend backend, int samples, int inputs) {
    super(samples, inputs);
    this.backend = backend;
  }

  @Override
  public void load(Matrix target) {
    backend.upload(buffer(0).slice(0, target.rows()), target);
  }
}
