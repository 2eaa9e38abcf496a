package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.training.EarlyStopping;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.util.List;
import java.util.Set;

/// Trains the weights that are left, and the biases, with labels.
final class FineTuning implements Repairer.Step {
  private static final int BATCH = 128;

  private final Backend backend;
  private final Repair.FineTune method;
  private final ScoringPlan plan;
  private final Dataset data;
  private final Set<String> frozen;
  private final Rounds rounds = new Rounds();

  /// @param plan names the layers to train, the loss and the seed
  /// @param data labelled samples
  FineTuning(Backend backend, Repair.FineTune method, DeviceNetwork dense, ScoringPlan plan, Dataset data) {
    this.backend = backend;
    this.method = method;
    this.plan = plan;
    this.data = data;
    frozen = Repairer.frozen(dense, plan);
  }

  /// Bytes that the parameters' gradients and moments take, and the best network of an early stop.
  static long bytes(Graph graph) {
    return 4 * Repairer.denseBytes(graph);
  }

  @Override
  public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException {
    TrainingOptions training = new TrainingOptions(method.epochs().orElse(Repair.FineTune.EPOCHS), BATCH,
        Adam.of(method.learningRate().orElse(Repair.FineTune.LEARNING_RATE)), plan.loss().orElseThrow(),
        plan.seed() + rounds.begin(), true, frozen);
    ProgressListener named = (task, done, total) -> listener.proceed("fine-tuning, " + task, done, total);
    if (method.patience().isPresent()) {
      EarlyStopping.train(backend, pruned, data, training, method.patience().getAsInt(), named);
    } else {
      Trainer.train(backend, pruned, data, training, named);
    }
  }

  @Override
  public List<Integer> state() {
    return rounds.state();
  }

  @Override
  public void restore(List<Integer> state) {
    rounds.restore(state);
  }

  @Override
  public void close() {
    // It holds nothing.
  }
}
