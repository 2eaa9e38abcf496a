package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.LabelEncoder;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Needs;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import dev.espalier.engine.pass.SensitivityPass;
import dev.espalier.engine.statistics.LayerBatch;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// The forward pass of a batch, and the backward passes that a plan needs.
final class BatchPasses implements Resource {
  private final Backend backend;
  private final DeviceNetwork network;
  private final ForwardPass forward;
  private final Optional<SensitivityPass> sensitivity;
  private final Optional<LossPass> loss;
  private final Optional<LabelEncoder> labels;
  private final Resources resources;
  private final long firstOfAll;

  private BatchPasses(Backend backend, DeviceNetwork network, Dataset data, ScoringPlan plan, int batchSize,
      Resources resources) {
    this.backend = backend;
    this.network = network;
    this.resources = resources;
    firstOfAll = data.samples().first();
    Needs needs = plan.needs();
    forward = resources.own(ForwardPass.allocate(backend, network.graph(), batchSize));
    sensitivity = needs.sensitivities()
        ? Optional.of(resources
            .own(SensitivityPass.allocate(backend, network.graph(), plan.sensitivity(), batchSize, plan.seed())))
        : Optional.empty();
    labels = needs.labels()
        ? Optional.of(plan.loss().orElseThrow().encoder(network.graph(), data.labels().orElseThrow()))
        : Optional.empty();
    loss = needs.labels()
        ? Optional.of(resources.own(LossPass.allocate(backend, network.graph(), plan.loss().orElseThrow(), batchSize)))
        : Optional.empty();
  }

  static BatchPasses allocate(Backend backend, DeviceNetwork network, Dataset data, ScoringPlan plan, int batchSize) {
    return Resources.build(resources -> new BatchPasses(backend, network, data, plan, batchSize, resources));
  }

  void load(SampleBatches batch) throws IOException {
    sensitivity.ifPresent(pass -> pass.begin(firstOfAll + batch.first()));
    forward.load(batch);
    if (loss.isPresent()) {
      try (Arena arena = Arena.ofConfined()) {
        MatrixView targets = MatrixView.allocate(arena, batch.rows(), network.outputs());
        labels.orElseThrow().encode(batch.labels(), targets, batch.first());
        loss.get().load(targets);
      }
    }
  }

  /// Runs the passes of the batch that was loaded: the same work for each batch of one size.
  void run() {
    backend.enter(Phase.FORWARD);
    forward.run(network);
    backend.enter(Phase.BACKWARD);
    sensitivity.ifPresent(pass -> pass.run(network, forward));
    loss.ifPresent(pass -> pass.run(network, forward));
  }

  Backend backend() {
    return backend;
  }

  int samples() {
    return forward.samples();
  }

  /// What the passes found at layer `l`, at each of its uses.
  List<LayerBatch> layer(int l) {
    return Arrays
        .stream(forward.uses(l)).mapToObj(n -> new LayerBatch(forward.inputOf(n),
            sensitivity.map(pass -> pass.sensitivity(n, samples())), loss.map(pass -> pass.gradient(n, samples()))))
        .toList();
  }

  @Override
  public void close() {
    resources.close();
  }
}
