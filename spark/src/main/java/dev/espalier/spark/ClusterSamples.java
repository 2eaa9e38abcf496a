package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.RemoteSamples;
import dev.espalier.engine.repair.JointFit;
import dev.espalier.engine.repair.LayerFit;
import dev.espalier.engine.repair.Repairer;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import org.apache.spark.broadcast.Broadcast;

/// The samples of a cluster, for the rounds of a pruning on the driver.
///
/// @param backend of the driver
/// @param dense the network before the first round
/// @param plan of the rounds
/// @param scorer of the dense network
/// @param selection not [Selection#AUTO]
/// @param samples how many there are
record ClusterSamples(Backend backend, DenseNetwork dense, PruningPlan plan, SparkScorer scorer, Selection selection,
    Device device, long samples) implements RemoteSamples {
  @Override
  public Scored score(DeviceNetwork network, boolean isDense) throws IOException {
    if (isDense) {
      return score(scorer, network);
    }
    try (Arena downloaded = Arena.ofShared()) {
      DenseNetwork sent = network.download(downloaded);
      network.load(sent); // as the executors have it, in float32
      return score(scorer.of(sent), network);
    }
  }

  private Scored score(SparkScorer now, DeviceNetwork network) throws IOException {
    return selection == Selection.DRIVER
        ? new Scored.Here(now.score(backend, network))
        : new Scored.Elsewhere(now.scoreOnExecutors(backend, network));
  }

  @Override
  public Repairer.Step repair(Repair repair) throws IOException {
    return switch (repair) {
      case Repair.Refit refit -> new Refitting(refit);
      case Repair.Joint joint -> {
        JointPart part = JointPart.of(joint, plan.scoring().layers(), dense.outputs(), scorer.batchSize(),
            plan.scoring().seed(), device);
        yield new JointFit(backend, joint, plan.scoring().layers(), plan.scoring().seed(),
            JointJobs.keep(scorer.samples(), part, dense));
      }
      case Repair.Distill _,Repair.FineTune _ -> throw new IllegalArgumentException(repair.toString());
    };
  }

  /// Layer by layer from the input: what a layer's inputs are depends on the layers below it.
  private final class Refitting implements Repairer.Step {
    private final Repair.Refit refit;

    Refitting(Repair.Refit refit) {
      this.refit = refit;
    }

    @Override
    public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException {
      Broadcast<NetworkParcel> before = scorer.samples().broadcast(dense);
      try {
        for (ScoringPlan.Layer layer : plan.scoring().layers()) {
          fit(before, pruned, layer);
        }
      } finally {
        before.destroy();
      }
    }

    private void fit(Broadcast<NetworkParcel> before, DeviceNetwork pruned, ScoringPlan.Layer layer)
        throws IOException {
      try (Arena gathered = Arena.ofShared()) {
        Broadcast<NetworkParcel> now = scorer.samples().broadcast(pruned.download(gathered));
        try {
          PruningPlan.Layer shape = plan.layers().get(layer.number());
          NetworkSums sums = scorer.samples().sums(
              Tiles.ofFit(shape, dense.graph().uses(layer.number()).length, Tiles.SIDE),
              new RefitWork(before, now, layer.number(), layer.compensable(), scorer.batchSize(), device.toString()),
              gathered);
          LayerFit.fit(backend, pruned.layers().get(layer.number()), layer.compensable(),
              sums.layers().get(shape.name()), refit);
        } finally {
          now.destroy();
        }
      }
    }

    @Override
    public void close() {
      // Each job frees what it has sent.
    }
  }
}
