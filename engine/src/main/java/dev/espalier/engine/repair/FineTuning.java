package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// Trains the weights that are left, and the biases, with labels.
final class FineTuning implements Repairer.Step {
  private static final int BATCH = 128;

  private final Backend backend;
  private final Repair.FineTune method;
  private final ScoringPlan plan;
  private final Dataset data;
  private final Set<String> frozen;
  private int round;

  /// @param plan names the layers to train, the loss and the seed
  /// @param data labelled samples
  FineTuning(Backend backend, Repair.FineTune method, DeviceNetwork dense, ScoringPlan plan, Dataset data) {
    this.backend = backend;
    this.method = method;
    this.plan = plan;
    this.data = data;
    Set<Integer> trained = plan.layers().stream().map(ScoringPlan.Layer::number).collect(Collectors.toSet());
    frozen = IntStream.range(0, dense.layers().size()).filter(l -> !trained.contains(l))
        .mapToObj(l -> dense.layers().get(l).name()).collect(Collectors.toSet());
  }

  /// Bytes that the parameters' gradients and moments take.
  static long bytes(Graph graph) {
    return 3 * Repairer.denseBytes(graph);
  }

  @Override
  public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException {
    round++;
    TrainingOptions training = new TrainingOptions(method.epochs().orElse(Repair.FineTune.EPOCHS), BATCH,
        Adam.of(method.learningRate().orElse(Repair.FineTune.LEARNING_RATE)), plan.loss().orElseThrow(),
        plan.seed() + round, true, frozen);
    Trainer.train(backend, pruned, data, training,
        (task, done, total) -> listener.proceed("fine-tuning, " + task, done, total));
  }

  /// The number of rounds.
  @Override
  public List<Integer> state() {
    return List.of(round);
  }

  @Override
  public void restore(List<Integer> state) {
    round = state.getFirst();
  }

  @Override
  public void close() {
    // It holds nothing.
  }
}
