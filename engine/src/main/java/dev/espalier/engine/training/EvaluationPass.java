package dev.espalier.engine.training;

import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.LabelEncoder;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import dev.espalier.engine.pass.NetworkReplicas;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/// Evaluates several networks of one graph in one pass over samples, with or without labels, and measures how far their
/// outputs are from those of the first.
public final class EvaluationPass {
  /// What a pass found of one network.
  ///
  /// @param evaluation where there is a loss
  /// @param outputChange E‖y − y′‖², with y the output of the first network
  /// @param outputSquare E‖y′‖²
  public record Result(Optional<Evaluation> evaluation, double outputChange, double outputSquare) {}

  /// What a pass summed of one network over samples, or a part of them, in double; sums of parts add up.
  ///
  /// @param samples how many
  /// @param loss of all, where there is one
  /// @param hits samples whose labels the outputs get right, where an accuracy is defined
  /// @param outputChange Σ‖y − y′‖², with y the output of the first network
  /// @param outputSquare Σ‖y′‖²
  public record Sums(long samples, OptionalDouble loss, OptionalDouble hits, double outputChange, double outputSquare) {
    /// Of the samples of both, of the same network and loss.
    public Sums plus(Sums other) {
      return new Sums(samples + other.samples, plus(loss, other.loss), plus(hits, other.hits),
          outputChange + other.outputChange, outputSquare + other.outputSquare);
    }

    private static OptionalDouble plus(OptionalDouble one, OptionalDouble other) {
      return one.isPresent() ? OptionalDouble.of(one.getAsDouble() + other.getAsDouble()) : one;
    }

    /// The means.
    ///
    /// @param name of the loss, where there is one
    /// @throws NonFiniteException if an output change is NaN or infinite
    public Result result(Optional<Loss> name) {
      if (!Double.isFinite(outputChange)) {
        throw new NonFiniteException(
            "the output of a pruned network is not finite: scale the samples, or check the model");
      }
      return new Result(
          name.map(given -> new Evaluation(samples, given, loss.getAsDouble() / samples,
              hits.isPresent() ? OptionalDouble.of(hits.getAsDouble() / samples) : hits)),
          outputChange / samples, outputSquare / samples);
    }
  }

  private final Backend backend;
  private final List<DeviceNetwork> networks;
  private final ForwardPass forward;
  private final Optional<Labelled> labelled;
  private final MatrixView firstOutputs;
  private final MatrixView outputs;
  private final double[] lossSums;
  private final double[] changeSums;
  private final double[] squareSums;
  private final double[] hits;

  /// The share of a sample's labels, 0..1, that outputs get right.
  private interface Hit {
    double of(MatrixView outputs, MatrixView targets, int sample);
  }

  /// What a loss needs.
  private record Labelled(Loss loss, LabelEncoder encoder, Hit hit, LossPass pass, MatrixView targets,
      MatrixView losses) {
    static Labelled of(Backend backend, DeviceNetwork network, Dataset data, Loss loss, int capacity, Arena arena,
        Resources resources) {
      loss.requireFits(network.graph());
      SampleSource labels = data.labels()
          .orElseThrow(() -> new MissingDataException("evaluation", MissingDataException.Part.LABELS));
      LabelEncoder encoder = loss.encoder(network.graph(), labels);
      boolean binary = loss instanceof Loss.BinaryCrossEntropy && !encoder.areClasses();
      float half = network.graph().lastActivation().equals(Activation.SIGMOID) ? 0.5f : 0;
      Hit hit = binary ? (y, t, n) -> rightLabels(y, t, n, half) : (y, t, n) -> y.largest(n) == t.largest(n) ? 1 : 0;
      return new Labelled(loss, encoder, hit,
          resources.own(LossPass.allocate(backend, network.graph(), loss, capacity)),
          MatrixView.allocate(arena, capacity, network.outputs()), MatrixView.allocate(arena, capacity, 1));
    }

    /// Whether an accuracy is defined.
    boolean hasClasses() {
      return encoder.areClasses() || !(loss instanceof Loss.SquaredError);
    }
  }

  private EvaluationPass(Backend backend, List<DeviceNetwork> networks, ForwardPass forward,
      Optional<Labelled> labelled, int capacity, Arena arena) {
    this.backend = backend;
    this.networks = networks;
    this.forward = forward;
    this.labelled = labelled;
    int width = networks.getFirst().outputs();
    firstOutputs = MatrixView.allocate(arena, capacity, width);
    outputs = MatrixView.allocate(arena, capacity, width);
    lossSums = new double[networks.size()];
    changeSums = new double[networks.size()];
    squareSums = new double[networks.size()];
    hits = new double[networks.size()];
  }

  /// The means that [#sums] gives.
  ///
  /// @throws IOException as [#sums]
  public static List<Result> run(Backend backend, List<DeviceNetwork> networks, Dataset data, Optional<Loss> loss,
      int batchSize, ProgressListener listener) throws IOException {
    return sums(backend, networks, data, loss, batchSize, listener).stream().map(sums -> sums.result(loss)).toList();
  }

  /// As the other, where labels may be of one of several outputs: evaluations are then of it alone, and changes of all.
  ///
  /// @param head the name of that output; empty if the labels are of all
  /// @throws dev.espalier.engine.MismatchException if no output has the name
  public static List<Result> run(Backend backend, List<DeviceNetwork> networks, Dataset data, Optional<Loss> loss,
      Optional<String> head, int batchSize, ProgressListener listener) throws IOException {
    if (head.isEmpty() || loss.isEmpty()) {
      return run(backend, networks, data, loss, batchSize, listener);
    }
    List<Result> changes = run(backend, networks, data, Optional.empty(), batchSize, listener);
    List<Result> judged = run(backend, networks.stream().map(network -> network.head(head.get())).toList(), data, loss,
        batchSize, listener);
    return IntStream.range(0, networks.size())
        .mapToObj(i -> new Result(judged.get(i).evaluation, changes.get(i).outputChange, changes.get(i).outputSquare))
        .toList();
  }

  /// Runs the pass; sums in double.
  ///
  /// @param networks at least one
  /// @param data labelled samples, or samples if there is no loss
  /// @param loss empty: only outputs are compared
  /// @return the sums of each network
  /// @throws IOException if a sample cannot be read or is not finite
  /// @throws MissingDataException if there are no labels for the loss
  /// @throws dev.espalier.engine.MismatchException if samples, labels or loss do not fit the networks
  /// @throws NonFiniteException if a loss is NaN or infinite
  public static List<Sums> sums(Backend backend, List<DeviceNetwork> networks, Dataset data, Optional<Loss> loss,
      int batchSize, ProgressListener listener) throws IOException {
    DeviceNetwork first = networks.getFirst();
    data.requireWidth(first.inputs());
    long samples = data.samples().samples();
    Workers devices = data.isThreadConfined() ? Workers.alone(backend) : backend.devices(samples);
    int capacity = devices.batchSize(samples, batchSize);
    backend.enter(Phase.LOAD);
    try (Arena arena = Arena.ofShared(); // of the devices' threads
        Resources resources = new Resources()) {
      List<NetworkReplicas> replicas = networks.stream()
          .map(network -> resources.own(NetworkReplicas.of(network, devices))).toList();
      List<EvaluationPass> passes = new ArrayList<>();
      for (Backend device : devices.backends()) {
        int number = passes.size();
        passes.add(new EvaluationPass(device, replicas.stream().map(each -> each.of(number)).toList(),
            resources.own(ForwardPass.allocate(device, first.graph(), capacity)),
            loss.map(given -> Labelled.of(device, first, data, given, capacity, arena, resources)), capacity, arena));
      }
      SampleBatches.share(devices, loss.isEmpty() ? Dataset.of(data.samples()) : data, capacity,
          (i, batches) -> passes.get(i).run(batches, data.samples().name(), i == 0 ? listener : ProgressListener.NONE));
      EvaluationPass all = passes.getFirst();
      passes.stream().skip(1).forEach(all::merge);
      return IntStream.range(0, networks.size()).mapToObj(i -> all.sums(i, samples)).toList();
    }
  }

  private void run(SampleBatches batches, String name, ProgressListener listener) throws IOException {
    while (batches.next()) {
      add(batches, name);
      listener.report("evaluating", batches.end(), batches.total());
    }
  }

  private void merge(EvaluationPass other) {
    for (int i = 0; i < lossSums.length; i++) {
      lossSums[i] += other.lossSums[i];
      changeSums[i] += other.changeSums[i];
      squareSums[i] += other.squareSums[i];
      hits[i] += other.hits[i];
    }
  }

  private void add(SampleBatches batch, String name) throws IOException {
    int rows = batch.rows();
    forward.load(batch);
    if (labelled.isPresent()) {
      MatrixView targets = labelled.get().targets.slice(0, rows);
      labelled.get().encoder.encode(batch.labels(), targets, batch.first());
      labelled.get().pass.load(targets);
    }
    backend.enter(Phase.FORWARD);
    for (int i = 0; i < networks.size(); i++) {
      forward.run(networks.get(i));
      MatrixView y = (i == 0 ? firstOutputs : outputs).slice(0, rows);
      backend.download(forward.output(), y);
      if (labelled.isPresent()) {
        addLosses(i, labelled.get(), y, batch.first(), name);
      }
      changeSums[i] += i == 0 ? 0 : y.squaredDistance(firstOutputs.slice(0, rows));
      squareSums[i] += y.squaredNorm();
    }
    backend.enter(Phase.LOAD);
  }

  private void addLosses(int i, Labelled with, MatrixView y, long first, String name) {
    MatrixView losses = with.losses.slice(0, y.rows());
    backend.download(with.pass.losses(forward), losses);
    for (int n = 0; n < y.rows(); n++) {
      lossSums[i] += finite(losses.get(n, 0), first + n, name);
      hits[i] += with.hit.of(y, with.targets, n);
    }
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

  private Sums sums(int i, long samples) {
    boolean hasClasses = labelled.map(Labelled::hasClasses).orElse(false);
    return new Sums(samples, labelled.isPresent() ? OptionalDouble.of(lossSums[i]) : OptionalDouble.empty(),
        hasClasses ? OptionalDouble.of(hits[i]) : OptionalDouble.empty(), changeSums[i], squareSums[i]);
  }
}
