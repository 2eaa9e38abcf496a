package dev.espalier.engine.repair;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.ResidentSamples;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Trains the weights that are left, and the biases, so that the outputs of the pruned network follow those of the dense
/// network (docs/method.md, distillation), on the [CompactNetwork]. The samples and what the dense network makes of them
/// are held in memory.
final class Distillation implements Repairer.Step {
  /// Samples of a step, and the part of the learning rate that is left at the end.
  private static final int BATCH = 128;
  private static final double FINAL_RATE = 0.02;
  /// Trainings of a round, each slower by this factor, until one brings the outputs closer.
  private static final int ATTEMPTS = 3;
  private static final double SLOWER = 10;

  private final Backend backend;
  private final Repair.Distill method;
  private final Set<String> frozen;
  private final long seed;
  private final SampleSource source;
  private final MatrixView samples;
  private final Teacher teacher;
  private final int batchSize;
  private final Rounds rounds = new Rounds();

  /// What a network reads.
  ///
  /// @param onHost samples × inputs
  /// @param there the same in the memory of the backend, where they lie there already
  private record Inputs(MatrixView onHost, Optional<Matrix> there) {}

  private Distillation(Backend backend, Repair.Distill method, Set<String> frozen, long seed, int batchSize,
      SampleSource source, MatrixView samples, Teacher teacher) {
    this.backend = backend;
    this.method = method;
    this.frozen = frozen;
    this.seed = seed;
    this.source = source;
    this.samples = samples;
    this.teacher = teacher;
    this.batchSize = batchSize;
  }

  /// A distillation.
  ///
  /// @param dense the teacher
  /// @param method with an objective
  /// @param plan names the layers to train, the batch size of other passes and the seed
  /// @param source samples, without labels
  /// @param arena takes the memory of the samples and of what the dense network makes of them
  /// @throws IOException if a sample cannot be read or is not finite
  static Distillation towards(DeviceNetwork dense, Backend backend, Repair.Distill method, ScoringPlan plan,
      SampleSource source, ProgressListener listener, Arena arena) throws IOException {
    if (source.samples() > Integer.MAX_VALUE) {
      throw new MismatchException("%s has %d samples, and distillation holds them in memory: %d at the most"
          .formatted(source.name(), source.samples(), Integer.MAX_VALUE));
    }
    SampleSource onHost = source instanceof ResidentSamples resident ? resident.source() : source;
    MatrixSamples samples = (MatrixSamples) Dataset.of(onHost).inMemory(Long.MAX_VALUE, arena).samples();
    Teacher teacher = Teacher.of(dense, backend, method.objective(dense.graph()), samples, plan.batchSize(), listener,
        arena);
    return new Distillation(backend, method, Repairer.frozen(dense, plan), plan.seed(), plan.batchSize(), source,
        samples.values(), teacher);
  }

  /// Bytes that a compact network, its gradients and moments take, at most.
  static long bytes(Graph graph) {
    return 4 * Repairer.denseBytes(graph);
  }

  @Override
  public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) {
    int epochs = isStop
        ? method.lastEpochs().orElse(Repair.Distill.LAST_EPOCHS)
        : method.epochs().orElse(Repair.Distill.EPOCHS);
    int round = rounds.begin();
    if (epochs == 0) {
      return;
    }
    Optional<Matrix> there = ResidentSamples.of(source, backend);
    boolean isNarrow = there.isEmpty() && samples.elements() <= Repairer.KEPT_BYTES / Float.BYTES;
    try (Arena arena = Arena.ofShared(); CompactNetwork compact = CompactNetwork.of(pruned, backend, isNarrow)) {
      Inputs inputs = new Inputs(compact.narrow(samples, arena), there);
      double before = loss(compact.network(), inputs);
      double rate = method.learningRate().orElse(Repair.Distill.LEARNING_RATE);
      for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (train(compact.network(), inputs, epochs, rate, seed + round, listener)
            && loss(compact.network(), inputs) < before) {
          compact.writeBack(pruned);
          return;
        }
        compact.reset();
        rate /= SLOWER;
      }
    }
    rounds.fail();
  }

  /// @param order seed of the order of the samples
  /// @return whether the loss has stayed finite
  private boolean train(DeviceNetwork network, Inputs inputs, int epochs, double rate, long order,
      ProgressListener listener) {
    TrainingOptions training = new TrainingOptions(epochs, BATCH, Adam.of(rate), FINAL_RATE, teacher.loss(),
        teacher.temperature(), order, true, frozen);
    try {
      Trainer.train(backend, network, inputs.onHost, inputs.there, teacher.outputs(), training,
          (task, done, total) -> listener.proceed("distilling, " + task, done, total));
      return true;
    } catch (NonFiniteException _) {
      return false;
    }
  }

  /// Takes samples from where they are.
  private void load(ForwardPass forward, Inputs inputs, int first, int count) {
    inputs.there.ifPresentOrElse(
        there -> forward.load(count,
            batch -> backend.network().copyColumns(there.slice(first, count), 0, batch, 0, batch.columns())),
        () -> forward.load(inputs.onHost.slice(first, count)));
  }

  /// The mean loss over the samples; NaN if it is not finite.
  private double loss(DeviceNetwork network, Inputs inputs) {
    int rows = Math.min(batchSize, samples.rows());
    double sum = 0;
    try (Arena arena = Arena.ofConfined();
        ForwardPass forward = ForwardPass.allocate(backend, network.graph(), rows);
        LossPass pass = teacher.lossPass(backend, network.graph(), rows)) {
      MatrixView each = MatrixView.allocate(arena, rows, 1);
      for (int first = 0; first < samples.rows(); first += rows) {
        int count = Math.min(rows, samples.rows() - first);
        backend.enter(Phase.FORWARD);
        load(forward, inputs, first, count);
        forward.run(network);
        pass.load(teacher.outputs().slice(first, count));
        MatrixView losses = each.slice(0, count);
        backend.download(pass.losses(forward), losses);
        for (int n = 0; n < count; n++) {
          sum += losses.get(n, 0);
        }
      }
    }
    return sum / samples.rows();
  }

  @Override
  public List<String> notes() {
    return rounds.notes("distill: training brought the outputs no closer to the dense network's in %s, which kept the"
        + " weights as they were; inputs of similar scales may help");
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
    // The arena is the caller's.
  }
}
