package dev.espalier.engine.pruning;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/// Prunes networks: scores, selects, removes, compensates and repairs, in the rounds of a schedule. A pruner uses its backend
/// from the thread that calls it; pruners with backends of their own run side by side.
///
/// All methods throw
/// - [IOException] if a sample cannot be read or is not finite; the message names it,
/// - [dev.espalier.engine.MissingDataException] if samples or labels are needed and missing,
/// - [dev.espalier.engine.MismatchException] if they do not fit the network, or all layers are excluded,
/// - [dev.espalier.engine.NonFiniteException] if a score is NaN or infinite,
/// - [dev.espalier.engine.OutOfBackendMemoryException] if the backend's memory does not suffice, and
/// - [java.util.concurrent.CancellationException] if the listener ends the run.
public final class Pruner {
  private final Backend backend;
  private final PruningOptions options;

  /// @param backend stays the caller's, who closes it
  public Pruner(Backend backend, PruningOptions options) {
    this.backend = backend;
    this.options = options;
  }

  /// As [#prune(DenseNetwork, Optional, ProgressListener, Arena)], with calibration samples and no listener.
  public PruningResult prune(DenseNetwork network, Dataset data, Arena arena) throws IOException {
    return prune(network, Optional.of(data), ProgressListener.NONE, arena);
  }

  /// Prunes a copy of `network`, which stays as it is.
  ///
  /// @param data calibration samples, with labels for the gradient criterion; magnitude and random without compensation
  ///             need none
  /// @param arena takes the memory of the pruned network
  public PruningResult prune(DenseNetwork network, Optional<Dataset> data, ProgressListener listener, Arena arena)
      throws IOException {
    PruningPlan plan = PruningPlan.of(options, network, data, backend);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      return prune(plan, network, device, data, listener, arena);
    }
  }

  /// Prunes a network in the memory of the backend, for callers who go on with it there.
  ///
  /// @param plan of `network` with these options
  /// @param network as it was before
  /// @param device holds the same network, and the pruned one afterwards
  /// @param arena takes the memory of the pruned network
  public PruningResult prune(PruningPlan plan, DenseNetwork network, DeviceNetwork device, Optional<Dataset> data,
      ProgressListener listener, Arena arena) throws IOException {
    return path(plan, network, device, data, listener, arena).getLast();
  }

  /// As [#prune(PruningPlan, DenseNetwork, DeviceNetwork, Optional, ProgressListener, Arena)], through the stops of the
  /// options: each round starts where the last one has ended, so a path costs little more than its end alone.
  ///
  /// @return a result for each of the plan's stops and its target, in order
  public List<PruningResult> path(PruningPlan plan, DenseNetwork network, DeviceNetwork device, Optional<Dataset> data,
      ProgressListener listener, Arena arena) throws IOException {
    return path(plan, network, device, data, Optional.empty(), listener, arena);
  }

  /// As the other, and each round is kept in a checkpoint, from which the path goes on if it has ended before its last
  /// round. The result has the same bits then.
  ///
  /// @param checkpoint of the same plan, network and data
  public List<PruningResult> path(PruningPlan plan, DenseNetwork network, DeviceNetwork device, Optional<Dataset> data,
      Optional<Checkpoint> checkpoint, ProgressListener listener, Arena arena) throws IOException {
    try (PruningRounds rounds = PruningRounds.start(backend, plan, device, data, listener)) {
      return path(rounds, plan, network, device, checkpoint, listener, arena);
    }
  }

  /// As the other, by samples that are elsewhere.
  public List<PruningResult> path(PruningPlan plan, DenseNetwork network, DeviceNetwork device, RemoteSamples samples,
      Optional<Checkpoint> checkpoint, ProgressListener listener, Arena arena) throws IOException {
    try (PruningRounds rounds = PruningRounds.start(backend, plan, device, samples)) {
      return path(rounds, plan, network, device, checkpoint, listener, arena);
    }
  }

  private List<PruningResult> path(PruningRounds rounds, PruningPlan plan, DenseNetwork network, DeviceNetwork device,
      Optional<Checkpoint> checkpoint, ProgressListener listener, Arena arena) throws IOException {
    List<PruningResult> results = new ArrayList<>();
    run(rounds, plan, device, checkpoint, listener,
        target -> results.add(rounds.result(network, target, listener, arena)));
    return results;
  }

  /// Prunes a network where it lies, in the memory of the backend. If that fails, the network may be half pruned.
  ///
  /// @return the sum of the importances of the removed weights of each layer; 0 of an excluded layer
  public List<Double> pruneInPlace(DeviceNetwork network, Optional<Dataset> data, ProgressListener listener)
      throws IOException {
    List<Double> removed = new ArrayList<>(Collections.nCopies(network.layers().size(), 0.0));
    PruningPlan plan = PruningPlan.of(options, network, data, backend);
    try (PruningRounds rounds = PruningRounds.start(backend, plan, network, data, listener)) {
      run(rounds, plan, network, Optional.empty(), listener,
          _ -> rounds.progress().layers().forEach(layer -> removed.set(layer.number(), layer.predicted())));
    }
    return removed;
  }

  /// What happens where a path stops.
  private interface Stop {
    void at(Target target) throws IOException;
  }

  private void run(PruningRounds rounds, PruningPlan plan, DeviceNetwork device, Optional<Checkpoint> checkpoint,
      ProgressListener listener, Stop stop) throws IOException {
    int count = plan.rounds().size();
    int done = checkpoint.map(Checkpoint::rounds).orElse(0);
    for (int r = 1; r <= count; r++) {
      Target target = plan.rounds().get(r - 1);
      boolean isStop = options.path().contains(target);
      if (r > done) {
        rounds.run(target, isStop,
            count == 1
                ? listener
                : listener.part("round %s of %s".formatted(r, count), share(plan, r - 1), share(plan, r)));
        if (checkpoint.isPresent()) {
          save(rounds, checkpoint.get(), device);
        }
      } else if (isStop || r == done) {
        restore(rounds, checkpoint.orElseThrow(), r);
      }
      if (isStop) {
        stop.at(target);
      }
    }
    listener.at(1);
  }

  private static double share(PruningPlan plan, int rounds) {
    return plan.work().map(work -> work.share(rounds)).orElse((double) rounds / plan.rounds().size());
  }

  /// Also takes the network as the file has it, so that a path that goes on from there is the same.
  private static void save(PruningRounds rounds, Checkpoint checkpoint, DeviceNetwork device) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork now = device.download(arena);
      PruningProgress progress = rounds.progress();
      checkpoint.save(progress, now);
      rounds.restore(progress, now);
    }
  }

  private static void restore(PruningRounds rounds, Checkpoint checkpoint, int round) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      Checkpoint.Round then = checkpoint.load(round, arena);
      rounds.restore(then.progress(), then.network());
    }
  }
}
