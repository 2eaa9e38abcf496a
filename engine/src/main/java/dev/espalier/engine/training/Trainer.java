package dev.espalier.engine.training;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.ResidentSamples;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.LabelEncoder;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import dev.espalier.engine.pass.MemoryPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntPredicate;

/// Trains and fine-tunes networks by mini-batch Adam. The samples are held in memory, because their order is shuffled.
///
/// All methods throw
/// - [IOException] if a sample cannot be read or is not finite,
/// - [MissingDataException] if there are no labels,
/// - [MismatchException] if samples, labels or loss do not fit the network, or no layer is left to train,
/// - [NonFiniteException] if the loss stops being finite, and
/// - [java.util.concurrent.CancellationException] if the listener ends the run.
public final class Trainer implements Resource {
  private final Backend backend;
  private final TrainingOptions options;
  private final DeviceNetwork network;
  private final ForwardPass forward;
  private final LossPass loss;
  private final List<Parameter> parameters = new ArrayList<>();
  /// Of the losses of a batch, and of an epoch so far.
  private final Matrix batchMean;
  private final Matrix epochMean;
  private final Resources resources;
  private long step;

  /// A matrix that is trained, with its gradient and Adam's moments.
  ///
  /// @param biasOfUse takes the gradient of a tied layer's bias at one use
  private record Parameter(int layer, boolean isBias, Matrix value, Matrix gradient, Matrix firstMoment,
      Matrix secondMoment, Optional<Matrix> biasOfUse) {}

  private Trainer(Backend backend, DeviceNetwork network, TrainingOptions options, Resources resources) {
    this.backend = backend;
    this.network = network;
    this.options = options;
    this.resources = resources;
    forward = resources.own(ForwardPass.allocate(backend, network.graph(), options.batchSize()));
    loss = resources
        .own(LossPass.allocate(backend, network.graph(), options.loss(), options.temperature(), options.batchSize()));
    batchMean = resources.own(backend.allocate(1, 1));
    epochMean = resources.own(backend.allocate(1, 1));
    for (int l = 0; l < network.layers().size(); l++) {
      if (options.frozen().contains(network.layers().get(l).name())) {
        continue;
      }
      parameters.add(parameter(l, false, network.layers().get(l).weights()));
      if (network.isBiased(l)) {
        parameters.add(parameter(l, true, network.layers().get(l).bias()));
      }
    }
  }

  private Parameter parameter(int layer, boolean isBias, Matrix value) {
    Optional<Matrix> biasOfUse = isBias && network.graph().isTied(layer)
        ? Optional.of(resources.own(backend.allocate(1, value.columns())))
        : Optional.empty();
    return new Parameter(layer, isBias, value, like(value), like(value), like(value), biasOfUse);
  }

  private Matrix like(Matrix matrix) {
    return resources.own(backend.allocateWeights(matrix.rows(), matrix.columns()));
  }

  /// Trains a copy of `initial`.
  ///
  /// @param data labelled samples
  /// @param arena takes the memory of the trained network
  public static DenseNetwork train(Backend backend, DenseNetwork initial, Dataset data, TrainingOptions options,
      ProgressListener listener, Arena arena) throws IOException {
    try (DeviceNetwork network = DeviceNetwork.copyOf(backend, initial)) {
      train(backend, network, data, options, listener);
      return network.download(arena);
    }
  }

  /// Trains a network where it lies, in the memory of `backend`.
  ///
  /// @param data labelled samples
  public static void train(Backend backend, DeviceNetwork network, Dataset data, TrainingOptions options,
      ProgressListener listener) throws IOException {
    train(backend, network, data, options, listener, _ -> true);
  }

  /// @param proceeds whether the training goes on after an epoch
  static void train(Backend backend, DeviceNetwork network, Dataset data, TrainingOptions options,
      ProgressListener listener, IntPredicate proceeds) throws IOException {
    data.requireWidth(network.inputs());
    options.loss().requireFits(network.graph());
    requireTrainable(network, options.frozen());
    SampleSource labels = data.labels()
        .orElseThrow(() -> new MissingDataException("training", MissingDataException.Part.LABELS));
    LabelEncoder encoder = options.loss().encoder(network.graph(), labels);
    backend.enter(Phase.LOAD);
    try (Arena memory = Arena.ofConfined()) {
      int count = Math.toIntExact(data.samples().samples());
      MatrixView x = MatrixView.allocate(memory, count, network.inputs());
      MatrixView t = MatrixView.allocate(memory, count, network.outputs());
      load(data, encoder, x, t);
      train(backend, network, new TrainingBatches.Samples(x, ResidentSamples.of(data.samples(), backend), t), options,
          listener, proceeds);
    }
  }

  /// Trains a network where it lies, in the memory of `backend`, with targets that are there already.
  ///
  /// @param x samples × inputs
  /// @param there x in the backend's memory, where it lies there already
  /// @param t samples × outputs
  public static void train(Backend backend, DeviceNetwork network, MatrixView x, Optional<Matrix> there, MatrixView t,
      TrainingOptions options, ProgressListener listener) {
    train(backend, network, new TrainingBatches.Samples(x, there, t), options, listener, _ -> true);
  }

  private static void train(Backend backend, DeviceNetwork network, TrainingBatches.Samples samples,
      TrainingOptions options, ProgressListener listener, IntPredicate proceeds) {
    try (Trainer trainer = Resources.build(resources -> new Trainer(backend, network, options, resources))) {
      trainer.run(samples, listener, proceeds);
    }
  }

  private static void requireTrainable(DeviceNetwork network, Set<String> frozen) {
    List<String> layers = network.layers().stream().map(DeviceNetwork.Layer::name).toList();
    for (String name : frozen) {
      if (!layers.contains(name)) {
        throw new MismatchException(
            "there is no layer %s to freeze; the layers are %s".formatted(name, String.join(", ", layers)));
      }
    }
    if (frozen.containsAll(layers)) {
      throw new MismatchException("all layers are frozen: nothing is left to train");
    }
  }

  private static void load(Dataset data, LabelEncoder encoder, MatrixView x, MatrixView t) throws IOException {
    try (Batches batches = new Batches(data, Math.min(x.rows(), 1024))) {
      while (batches.next()) {
        int first = (int) batches.first();
        MatrixView samples = batches.samples();
        x.slice(first, samples.rows()).segment().copyFrom(samples.segment());
        encoder.encode(batches.labels(), t.slice(first, samples.rows()), first);
      }
    }
  }

  private void run(TrainingBatches.Samples samples, ProgressListener listener, IntPredicate proceeds) {
    int[] order = new int[samples.count()];
    for (int i = 0; i < order.length; i++) {
      order[i] = i;
    }
    int most = Math.min(options.batchSize(), order.length);
    TrainingBatches batches = batches(samples, order, most);
    for (int epoch = 1; epoch <= options.epochs(); epoch++) {
      listener.at((epoch - 1.0) / options.epochs());
      shuffle(order, epoch);
      batches.order(order);
      backend.clear(epochMean);
      for (int first = 0; first < order.length; first += most) {
        int rows = Math.min(most, order.length - first);
        batches.load(first, rows, forward, loss);
        double part = (epoch - 1 + (double) first / order.length) / options.epochs();
        step(rows, order.length, options.adamAt(part));
        listener.report("epoch %s/%s".formatted(epoch, options.epochs()), first + rows, order.length);
      }
      requireFinite(epoch);
      if (!proceeds.test(epoch)) {
        break;
      }
    }
    listener.at(1);
  }

  /// From the backend's memory, where there is room beside all that the training takes.
  ///
  /// @param rows of a batch at most
  private TrainingBatches batches(TrainingBatches.Samples samples, int[] order, int rows) {
    TrainingBatches onHost = resources.own(TrainingBatches.onHost(samples, rows));
    if (!samples.suit(backend)) {
      return onHost;
    }
    // The workspace of a step is taken before the samples could take its place; an evaluation may follow an epoch.
    long evaluation = MemoryPlan.batchBytes(backend, network.graph(), 1, rows);
    onHost.order(order);
    onHost.load(0, rows, forward, loss);
    gradients(rows);
    backend.enter(Phase.LOAD);
    try {
      return resources.own(TrainingBatches.onBackend(backend, samples, evaluation));
    } catch (OutOfBackendMemoryException _) {
      return onHost;
    }
  }

  /// Follows the gradients of the batch that was loaded.
  private void step(int rows, int samples, Adam adam) {
    backend.enter(Phase.FORWARD);
    backend.repeat(List.of(this, rows), () -> {
      gradients(rows);
      backend.moments().columnMeans(loss.losses(rows), batchMean);
      backend.network().add((double) rows / samples, batchMean, epochMean);
    });
    backend.enter(Phase.UPDATE);
    step++;
    for (Parameter parameter : parameters) {
      backend.training().adamStep(parameter.value, parameter.gradient, parameter.firstMoment, parameter.secondMoment,
          adam, step, options.keepZeros() && !parameter.isBias);
    }
    backend.enter(Phase.LOAD);
  }

  /// Of all parameters, for the batch that was loaded.
  private void gradients(int samples) {
    forward.run(network);
    backend.enter(Phase.BACKWARD);
    loss.run(network, forward);
    for (Parameter parameter : parameters) {
      int[] uses = forward.uses(parameter.layer);
      for (int u = 0; u < uses.length; u++) {
        Matrix gradient = loss.gradient(uses[u], samples);
        if (!parameter.isBias) {
          backend.network().product(1.0 / samples, gradient, true, forward.inputOf(uses[u]), false, u == 0 ? 0 : 1,
              parameter.gradient);
        } else if (u == 0) {
          backend.moments().columnMeans(gradient, parameter.gradient);
        } else {
          Matrix ofUse = parameter.biasOfUse.orElseThrow();
          backend.moments().columnMeans(gradient, ofUse);
          backend.network().add(1, ofUse, parameter.gradient);
        }
      }
    }
  }

  private void requireFinite(int epoch) {
    try (Arena arena = Arena.ofConfined()) {
      float value = backend.download(epochMean, arena).get(0, 0);
      if (!Float.isFinite(value)) {
        throw new NonFiniteException("training diverged: the %s of epoch %d is %s; use a lower learning rate"
            .formatted(options.loss(), epoch, value));
      }
    }
  }

  /// Fisher and Yates.
  private void shuffle(int[] order, int epoch) {
    for (int i = order.length - 1; i > 0; i--) {
      int j = CounterRandom.below(i + 1, options.seed(), CounterRandom.SHUFFLES + epoch, i);
      int swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
