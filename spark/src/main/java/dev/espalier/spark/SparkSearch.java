package dev.espalier.spark;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.experiment.SparsitySearch;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Checkpoint;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningRounds;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.broadcast.Broadcast;

/// Searches for the highest sparsity that holds limits on held-out samples, as [SparsitySearch] does, by rounds, repairs
/// and judgements of a Spark cluster. It comes to the result of one machine within the rounding of [SparkScorer], and to
/// the same bits for the same partitions.
public final class SparkSearch {
  /// Networks that the driver holds beside those of a pruning: the best, the one that was scored, and the dense one.
  private static final int HELD = 3;

  private final DenseNetwork network;
  private final SparkPruner pruner;
  private final SparkScorer scorer;
  private final PartitionedSamples heldOut;
  private final PruningOptions options;
  private final Limits limits;
  private final Device device;

  private SparkSearch(DenseNetwork network, SparkPruner pruner, SparkScorer scorer, PartitionedSamples heldOut,
      PruningOptions options, Limits limits, Device device) {
    this.network = network;
    this.pruner = pruner;
    this.scorer = scorer;
    this.heldOut = heldOut;
    this.options = options;
    this.limits = limits;
    this.device = device;
  }

  /// Holds out every fifth sample to judge by, as `espalier prune` does, and prunes with the others.
  ///
  /// @param options the target counts for nothing but its scope; a loss where the labels are no class indices
  /// @param device as of [SparkScorer#of]
  /// @throws MismatchException as [SparkScorer#of], or if limits need labels and there are none
  public static SparkSearch of(DenseNetwork network, SparkSamples samples, PruningOptions options, Limits limits,
      Device device, Selection selection) {
    PartitionedSamples all = PartitionedSamples.of(network, samples);
    return of(network, all.share(new RowShare(SparsitySearch.HELD_OUT, true)),
        all.share(new RowShare(SparsitySearch.HELD_OUT, false)), options, limits, device, selection);
  }

  /// As the other, and prunes with all samples.
  ///
  /// @param heldOut to judge by
  public static SparkSearch of(DenseNetwork network, SparkSamples samples, SparkSamples heldOut, PruningOptions options,
      Limits limits, Device device, Selection selection) {
    return of(network, PartitionedSamples.of(network, samples), PartitionedSamples.of(network, heldOut), options,
        limits, device, selection);
  }

  private static SparkSearch of(DenseNetwork network, PartitionedSamples samples, PartitionedSamples heldOut,
      PruningOptions options, Limits limits, Device device, Selection selection) {
    heldOut.shape().requireWidth(network.inputs());
    if (limits.needsLabels() && heldOut.labelWidth() == 0) {
      throw new MismatchException("the limit (%s) needs labels: name their column".formatted(limits));
    }
    return new SparkSearch(network, new SparkPruner(options, device, selection),
        SparkScorer.of(network, samples.withoutLabels(), options, device, Tiles.SIDE), heldOut, options, limits,
        device);
  }

  /// What a scoring costs, where weights are selected, and what each attempt takes, in lines for people.
  public String plan() {
    return "%s\n%s\n%s\nthe search judges by %s, and prunes with %s".formatted(scorer.plan(),
        pruner.where(scorer, HELD), pruner.attempts(scorer), heldOut.name(), scorer.samples().name());
  }

  /// Searches.
  ///
  /// @param folder keeps the attempts, if there is one: a driver that starts anew goes on after the last of them, and comes
  ///               to the same bits
  /// @param arena takes the memory of the pruned network
  /// @throws IOException as [SparkScorer#gather]
  /// @throws MismatchException as [SparsitySearch#run], or if the folder has attempts of another search
  public SparsitySearch.Result run(Optional<Path> folder, Arena arena) throws IOException {
    if (heldOut.count() == 0) {
      throw new MismatchException("%s: there are too few to hold out any, %s".formatted(heldOut.name(),
          Nouns.counted(scorer.samples().count(), "sample")));
    }
    Dataset calibration = scorer.samples().counted();
    Optional<Loss> loss = loss();
    try (Backend backend = DriverBackend.open(device)) {
      SparsitySearch search = new SparsitySearch(backend, network, Optional.of(calibration), heldOut.counted(), loss,
          scorer.batchSize(), ProgressListener.NONE);
      Optional<Checkpoint> checkpoint = Optional.empty();
      if (folder.isPresent()) {
        Map<String, String> data = new LinkedHashMap<>(pruner.identity(scorer));
        heldOut.identity().forEach((name, value) -> data.put("held-out " + name, value));
        data.put("held-out name", heldOut.name());
        checkpoint = Optional.of(Checkpoint.open(folder.get(),
            PruningPlan.of(options, network, Optional.of(calibration), backend), backend, network, data, limits, loss));
      }
      return search.run(options, limits, checkpoint, passes(backend, loss), arena);
    }
  }

  private SparsitySearch.Passes passes(Backend backend, Optional<Loss> loss) {
    return new SparsitySearch.Passes() {
      @Override
      public PruningRounds start(PruningPlan plan, DeviceNetwork working) throws IOException {
        return PruningRounds.start(backend, plan, working, pruner.of(backend, network, plan, scorer));
      }

      @Override
      public EvaluationPass.Result judge(List<DeviceNetwork> networks) throws IOException {
        List<Broadcast<NetworkParcel>> sent = new ArrayList<>();
        try {
          for (DeviceNetwork each : networks) {
            try (Arena downloaded = Arena.ofShared()) {
              sent.add(heldOut.broadcast(each.download(downloaded)));
            }
          }
          return heldOut.judge(sent, loss, scorer.batchSize(), device).result(loss);
        } finally {
          sent.forEach(Broadcast::destroy);
        }
      }
    };
  }

  /// Which loss suits rows of targets follows from all of them, so that it must be named.
  private Optional<Loss> loss() throws IOException {
    if (heldOut.labelWidth() == 0) {
      return Optional.empty();
    }
    if (options.loss().isEmpty() && heldOut.labelWidth() == network.outputs()) {
      throw new MismatchException(
          "labels that are no class indices need a loss by name: mse, cross-entropy or binary-cross-entropy");
    }
    Dataset labels = Dataset
        .of(new SampleHead("the labels of " + heldOut.name(), heldOut.count(), heldOut.labelWidth(), List.of()));
    Loss loss = Loss.inForce(options.loss(), network.graph(), labels.samples());
    loss.requireFits(network.graph());
    loss.encoder(network.graph(), labels.samples()); // refuses labels that do not fit
    return Optional.of(loss);
  }
}
