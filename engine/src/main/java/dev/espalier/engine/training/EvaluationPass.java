package dev.espalier.engine.training;

import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.LabelEncoder;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/// Evaluates several networks of one graph in one pass over labelled samples, and measures how far their outputs are
/// from those of the first.
public final class EvaluationPass {
  /// What a pass found of one network.
  ///
  /// @param outputChange E‖y − y′‖², with y the output of the first network
  public record Result(Evaluation evaluation, double outputChange) {}

  private final Backend backend;
  private final ForwardPass forward;
  private final LossPass lossPass;
  private final Hit hit;
  private final MatrixView targets;
  private final MatrixView firstOutputs;
  private final MatrixView outputs;
  private final MatrixView losses;
  private final double[] lossSums;
  private final double[] changeSums;
  private final double[] hits;

  /// The share of a sample's labels, 0..1, that outputs get right.
  private interface Hit {
    double of(MatrixView outputs, MatrixView targets, int sample);
  }

  private EvaluationPass(Backend backend, ForwardPass forward, LossPass lossPass, Hit hit, int capacity, int width,
      int networks, Arena arena) {
    this.backend = backend;
    this.forward = forward;
    this.lossPass = lossPass;
    this.hit = hit;
    targets = MatrixView.allocate(arena, capacity, width);
    firstOutputs = MatrixView.allocate(arena, capacity, width);
    outputs = MatrixView.allocate(arena, capacity, width);
    losses = MatrixView.allocate(arena, capacity, 1);
    lossSums = new double[networks];
    changeSums = new double[networks];
    hits = new double[networks];
  }

  /// Runs the pass; sums in double.
  ///
  /// @param networks at least one
  /// @param data labelled samples
  /// @return a result for each network
  /// @throws IOException if a sample cannot be read or is not finite
  /// @throws MissingDataException if there are no labels
  /// @throws dev.espalier.engine.MismatchException if samples, labels or loss do not fit the networks
  /// @throws NonFiniteException if a loss is NaN or infinite
  public static List<Result> run(Backend backend, List<DeviceNetwork> networks, Dataset data, Loss loss, int batchSize,
      ProgressListener listener) throws IOException {
    DeviceNetwork first = networks.getFirst();
    data.requireWidth(first.inputs());
    loss.requireFits(first.graph());
    SampleSource labels = data.labels()
        .orElseThrow(() -> new MissingDataException("evaluation", MissingDataException.Part.LABELS));
    LabelEncoder encoder = new LabelEncoder(labels, first.outputs(), loss.rows());
    boolean binary = loss instanceof Loss.BinaryCrossEntropy && !encoder.areClasses();
    float half = first.graph().lastActivation().equals(Activation.SIGMOID) ? 0.5f : 0;
    Hit hit = binary ? (y, t, n) -> rightLabels(y, t, n, half) : (y, t, n) -> y.largest(n) == t.largest(n) ? 1 : 0;
    int capacity = (int) Math.min(batchSize, data.samples().samples());
    backend.enter(Phase.LOAD);
    try (Arena arena = Arena.ofConfined();
        Batches batches = new Batches(data, capacity);
        ForwardPass forward = ForwardPass.allocate(backend, first.graph(), capacity);
        LossPass lossPass = LossPass.allocate(backend, first.graph(), loss, capacity)) {
      EvaluationPass pass = new EvaluationPass(backend, forward, lossPass, hit, capacity, first.outputs(),
          networks.size(), arena);
      while (batches.next()) {
        pass.add(networks, batches, encoder, data.samples().name());
        listener.report("evaluating", batches.end(), batches.total());
      }
      boolean classes = encoder.areClasses() || !(loss instanceof Loss.SquaredError);
      return IntStream.range(0, networks.size()).mapToObj(i -> pass.result(i, batches.total(), loss, classes)).toList();
    }
  }

  private void add(List<DeviceNetwork> networks, Batches batch, LabelEncoder encoder, String name) throws IOException {
    int rows = batch.samples().rows();
    encoder.encode(batch.labels(), targets.slice(0, rows), batch.first());
    forward.load(batch.samples());
    lossPass.load(targets.slice(0, rows));
    backend.enter(Phase.FORWARD);
    for (int i = 0; i < networks.size(); i++) {
      forward.run(networks.get(i));
      backend.download(lossPass.losses(forward), losses.slice(0, rows));
      MatrixView y = (i == 0 ? firstOutputs : outputs).slice(0, rows);
      backend.download(forward.output(), y);
      for (int n = 0; n < rows; n++) {
        lossSums[i] += finite(losses.get(n, 0), batch.first() + n, name);
        hits[i] += hit.of(y, targets, n);
      }
      changeSums[i] += i == 0 ? 0 : y.squaredDistance(firstOutputs.slice(0, rows));
    }
    backend.enter(Phase.LOAD);
  }

  /// The share of outputs that are above `half` where their target is 1, and not where it is 0.
  private static double rightLabels(MatrixView outputs, MatrixView targets, int sample, float half) {
    int right = 0;
    for (int k = 0; k < outputs.columns(); k++) {
      right += outputs.get(sample, k) > half == targets.get(sample, k) > 0.5f ? 1 : 0;
    }
    return (double) right / outputs.columns();
  }

  private static float finite(float loss, long sample, String name) {
    if (!Float.isFinite(loss)) {
      throw new NonFiniteException(
          "the loss of sample %d of %s is %s: the network's output is too large for float32; %s".formatted(sample, name,
              loss, "scale the samples, or check the model"));
    }
    return loss;
  }

  private Result result(int i, long samples, Loss loss, boolean classes) {
    return new Result(new Evaluation(samples, loss, lossSums[i] / samples,
        classes ? OptionalDouble.of(hits[i] / samples) : OptionalDouble.empty()), changeSums[i] / samples);
  }
}
