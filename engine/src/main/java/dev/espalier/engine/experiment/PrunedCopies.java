package dev.espalier.engine.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// A dense network and copies of it to prune, which are judged together: as many in one pass over the samples as memory
/// admits.
final class PrunedCopies implements Resource {
  /// Bytes of weights of the networks that are judged in one pass, unless one is larger.
  private static final long TOGETHER = 256L << 20;

  /// Makes a network out of a copy of the dense one, or of what was made of it before.
  interface Making {
    void make(int i, DeviceNetwork copy);
  }

  private final Backend backend;
  private final Dataset judges;
  private final Optional<Loss> loss;
  private final int batchSize;
  private final DeviceNetwork dense;
  private final List<DeviceNetwork> copies = new ArrayList<>();
  private final Resources resources;

  private PrunedCopies(Backend backend, DenseNetwork network, Dataset judges, Optional<Loss> loss, int batchSize,
      int most, Resources resources) {
    this.backend = backend;
    this.judges = judges;
    this.loss = loss;
    this.batchSize = batchSize;
    this.resources = resources;
    dense = resources.own(DeviceNetwork.copyOf(backend, network));
    int count = Math.clamp(TOGETHER / (network.weights() * Float.BYTES), 1, most);
    while (copies.size() < count) {
      copies.add(resources.own(DeviceNetwork.copyOf(backend, network)));
    }
  }

  /// Copies of a network, closed by the caller.
  ///
  /// @param judges labelled where there is a loss
  /// @param most networks that are made at a time
  static PrunedCopies of(Backend backend, DenseNetwork network, Dataset judges, Optional<Loss> loss, int batchSize,
      int most) {
    return Resources.build(resources -> new PrunedCopies(backend, network, judges, loss, batchSize, most, resources));
  }

  /// The network as it was.
  DeviceNetwork dense() {
    return dense;
  }

  /// One of the copies, to be pruned in rounds.
  DeviceNetwork copy() {
    return copies.getFirst();
  }

  /// Judges the dense network.
  EvaluationPass.Result judgeDense(ProgressListener listener) throws IOException {
    return judge(List.of(), listener).getFirst();
  }

  /// Makes networks and judges them.
  ///
  /// @return a result for each
  List<EvaluationPass.Result> judge(int count, ProgressListener listener, Making making) throws IOException {
    List<EvaluationPass.Result> results = new ArrayList<>();
    for (int first = 0; first < count; first += copies.size()) {
      List<DeviceNetwork> some = copies.subList(0, Math.min(copies.size(), count - first));
      backend.enter(Phase.SELECT);
      for (int i = 0; i < some.size(); i++) {
        making.make(first + i, some.get(i));
      }
      results.addAll(judge(some, listener).subList(1, some.size() + 1));
    }
    return results;
  }

  private List<EvaluationPass.Result> judge(List<DeviceNetwork> networks, ProgressListener listener)
      throws IOException {
    return EvaluationPass.run(backend, Stream.concat(Stream.of(dense), networks.stream()).toList(), judges, loss,
        batchSize, listener);
  }

  @Override
  public void close() {
    resources.close();
  }
}
