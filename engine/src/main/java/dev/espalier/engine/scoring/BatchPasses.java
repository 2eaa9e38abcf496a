package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.Targets;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossGradient;
import dev.espalier.engine.pass.SensitivityPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Optional;

/// The forward pass of a batch, and those backward passes that a criterion needs.
final class BatchPasses implements Resource {
  private final Backend backend;
  private final DeviceNetwork network;
  private final Resources resources = new Resources();
  private final ForwardPass forward;
  private final Optional<SensitivityPass> sensitivity;
  private final Optional<LossGradient> lossGradient;
  private final Optional<Targets> targets;
  private final Matrix ones;
  private long firstSample;

  BatchPasses(Backend backend, DeviceNetwork network, Dataset source, ScoringOptions options, int batchSize) {
    this.backend = backend;
    this.network = network;
    int outputs = network.layers().getLast().outputs();
    targets = options.criterion().needsLabels()
        ? Optional.of(new Targets(
            source.labels().orElseThrow(
                () -> new IllegalArgumentException("criterion %s needs labels".formatted(options.criterion()))),
            outputs))
        : Optional.empty();
    Loss loss = options.loss()
        .orElseGet(() -> source.labels().map(labels -> Loss.defaultFor(network, labels)).orElse(Loss.MSE));
    if (targets.isPresent()) {
      loss.requireFits(network);
    }
    try {
      forward = resources.own(new ForwardPass(backend, network, batchSize));
      sensitivity = options.needsMoments()
          ? Optional.of(
              resources.own(new SensitivityPass(backend, network, options.sensitivity(), batchSize, options.seed())))
          : Optional.empty();
      lossGradient = targets.isPresent()
          ? Optional.of(resources.own(new LossGradient(backend, network, loss, batchSize)))
          : Optional.empty();
      ones = resources.own(backend.allocate(batchSize, 1));
    } catch (RuntimeException e) {
      resources.close();
      throw e;
    }
    float[] values = new float[batchSize];
    Arrays.fill(values, 1);
    try (Arena arena = Arena.ofConfined()) {
      backend.upload(MatrixView.of(arena, batchSize, 1, values), ones);
    }
  }

  void load(Batches batch) throws IOException {
    firstSample = batch.first();
    forward.load(batch.samples());
    if (lossGradient.isPresent()) {
      try (Arena arena = Arena.ofConfined()) {
        MatrixView t = MatrixView.allocate(arena, batch.samples().rows(), network.outputs());
        targets.orElseThrow().fill(batch.labels(), t, batch.first());
        lossGradient.get().load(t);
      }
    }
  }

  /// The passes of the batch that was loaded.
  void run() {
    backend.enter(Phase.FORWARD);
    forward.run(network);
    backend.enter(Phase.BACKWARD);
    sensitivity.ifPresent(pass -> pass.run(network, forward, firstSample));
    lossGradient.ifPresent(pass -> pass.run(network, forward));
  }

  /// Whether [#run] is the same work for each batch of one size: probes depend on the position of the samples.
  boolean isRepeatable() {
    return sensitivity.isEmpty() || sensitivity.get().isRepeatable();
  }

  Backend backend() {
    return backend;
  }

  ForwardPass forward() {
    return forward;
  }

  SensitivityPass sensitivity() {
    return sensitivity.orElseThrow();
  }

  LossGradient lossGradient() {
    return lossGradient.orElseThrow();
  }

  /// 1 for each sample of the batch, samples × 1.
  Matrix ones() {
    return backend.rows(ones, 0, forward.samples());
  }

  @Override
  public void close() {
    resources.close();
  }
}
