package dev.espalier.engine.training;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.Targets;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossGradient;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// Trains and fine-tunes networks by mini-batch Adam. The samples are held in memory, for their order is shuffled.
public final class Trainer implements Resource {
  private final Backend backend;
  private final TrainingOptions options;
  private final DeviceNetwork network;
  private final Resources resources = new Resources();
  private final ForwardPass forward;
  private final LossGradient lossGradient;
  private final List<Parameter> parameters = new ArrayList<>();
  private long step;

  /// A matrix that is trained, with its gradient and Adam's moments.
  private record Parameter(int layer, boolean isBias, Matrix value, Matrix gradient, Matrix firstMoment,
      Matrix secondMoment) {}

  private Trainer(Backend backend, DeviceNetwork network, TrainingOptions options) {
    this.backend = backend;
    this.network = network;
    this.options = options;
    try {
      forward = resources.own(new ForwardPass(backend, network, options.batchSize()));
      lossGradient = resources.own(new LossGradient(backend, network, options.loss(), options.batchSize()));
      for (int l = 0; l < network.layers().size(); l++) {
        parameters.add(parameter(l, false, network.layers().get(l).weights()));
        if (network.layers().get(l).hasBias()) {
          parameters.add(parameter(l, true, network.layers().get(l).bias()));
        }
      }
    } catch (RuntimeException e) {
      resources.close();
      throw e;
    }
  }

  private Parameter parameter(int layer, boolean isBias, Matrix value) {
    return new Parameter(layer, isBias, value, like(value), like(value), like(value));
  }

  private Matrix like(Matrix matrix) {
    return resources.own(backend.allocateWeights(matrix.rows(), matrix.columns()));
  }

  /// A network of normal random weights, of variance 2 / inputs before ReLU-like activations [He et al. 2015] and
  /// 2 / (inputs + outputs) before others [Glorot & Bengio 2010], and zero biases. Layers are called 0, 2, 4 … as in
  /// PyTorch's `nn.Sequential`, where activations stand between.
  ///
  /// @param widths      of the input and of each layer's output, at least two
  /// @param activations one for each layer
  /// @throws IllegalArgumentException if the numbers do not fit
  public static DenseNetwork initialise(List<Integer> widths, List<Activation> activations, long seed, Arena arena) {
    if (widths.size() < 2 || activations.size() != widths.size() - 1) {
      throw new IllegalArgumentException("%d widths make %d layers, but there are %d activations"
          .formatted(widths.size(), widths.size() - 1, activations.size()));
    }
    RandomGenerator random = random(seed);
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < activations.size(); l++) {
      int inputs = widths.get(l);
      int outputs = widths.get(l + 1);
      double deviation = Math.sqrt(2.0 / switch (activations.get(l)) {
        case RELU, LEAKY_RELU, ELU, GELU, SILU, SOFTPLUS -> inputs;
        case IDENTITY, TANH, SIGMOID, SOFTMAX -> inputs + outputs;
      });
      MatrixView weights = MatrixView.allocate(arena, outputs, inputs);
      for (long i = 0; i < weights.elements(); i++) {
        weights.segment().setAtIndex(MatrixView.ELEMENT, i, (float) random.nextGaussian(0, deviation));
      }
      layers.add(new DenseLayer(String.valueOf(2 * l), weights, Optional.of(MatrixView.allocate(arena, 1, outputs)),
          activations.get(l)));
    }
    return new DenseNetwork(layers);
  }

  /// Trains a copy of `initial`.
  ///
  /// @param samples labelled
  /// @param arena   takes the memory of the trained network
  /// @throws IOException              if a sample cannot be read or is not finite
  /// @throws IllegalArgumentException if samples, labels or loss do not fit the network
  /// @throws ArithmeticException      if the loss stops being finite
  /// @throws CancellationException    if the listener ends the run
  public static DenseNetwork train(Backend backend, DenseNetwork initial, Dataset samples, TrainingOptions options,
      Arena arena) throws IOException {
    samples.requireWidth(initial.inputs());
    options.loss().requireFits(initial);
    Targets targets = new Targets(
        samples.labels().orElseThrow(() -> new IllegalArgumentException("training needs labels")), initial.outputs());
    backend.enter(Phase.LOAD);
    try (Arena memory = Arena.ofConfined(); DeviceNetwork network = new DeviceNetwork(backend, initial)) {
      int count = Math.toIntExact(samples.samples().samples());
      MatrixView x = MatrixView.allocate(memory, count, initial.inputs());
      MatrixView t = MatrixView.allocate(memory, count, initial.outputs());
      load(samples, targets, x, t);
      try (Trainer trainer = new Trainer(backend, network, options)) {
        trainer.run(x, t);
      }
      return network.download(arena);
    }
  }

  private static void load(Dataset source, Targets targets, MatrixView x, MatrixView t) throws IOException {
    try (Batches batches = new Batches(source, Math.min(x.rows(), 1024))) {
      while (batches.next()) {
        int first = (int) batches.first();
        MatrixView samples = batches.samples();
        x.slice(first, samples.rows()).segment().copyFrom(samples.segment());
        targets.fill(batches.labels(), t.slice(first, samples.rows()), first);
      }
    }
  }

  private void run(MatrixView x, MatrixView t) {
    RandomGenerator random = random(options.seed());
    int[] order = new int[x.rows()];
    for (int i = 0; i < order.length; i++) {
      order[i] = i;
    }
    try (Arena arena = Arena.ofConfined(); Matrix mean = backend.allocate(1, 1); Matrix sum = backend.allocate(1, 1)) {
      MatrixView batch = MatrixView.allocate(arena, Math.min(options.batchSize(), x.rows()), x.columns());
      MatrixView batchTargets = MatrixView.allocate(arena, batch.rows(), t.columns());
      for (int epoch = 1; epoch <= options.epochs(); epoch++) {
        shuffle(order, random);
        backend.clear(sum);
        for (int first = 0; first < order.length; first += batch.rows()) {
          int rows = Math.min(batch.rows(), order.length - first);
          gather(x, order, first, batch.slice(0, rows));
          gather(t, order, first, batchTargets.slice(0, rows));
          Matrix losses = step(batch.slice(0, rows), batchTargets.slice(0, rows));
          backend.columnMeans(losses, mean);
          backend.add((double) rows / order.length, mean, sum);
          options.listener().report("epoch %d/%d".formatted(epoch, options.epochs()), first + rows, order.length);
        }
        requireFinite(sum, epoch);
      }
    }
  }

  private Matrix step(MatrixView batch, MatrixView targets) {
    forward.load(batch);
    lossGradient.load(targets);
    backend.enter(Phase.FORWARD);
    backend.repeat(List.of(this, batch.rows()), () -> gradients(batch.rows()));
    backend.enter(Phase.UPDATE);
    step++;
    for (Parameter parameter : parameters) {
      backend.adamStep(parameter.value, parameter.gradient, parameter.firstMoment, parameter.secondMoment,
          options.adam(), step, options.keepZeros() && !parameter.isBias);
    }
    backend.enter(Phase.LOAD);
    return lossGradient.losses(batch.rows());
  }

  /// Of all parameters, for the batch that was loaded.
  private void gradients(int samples) {
    forward.run(network);
    backend.enter(Phase.BACKWARD);
    lossGradient.run(network, forward);
    for (Parameter parameter : parameters) {
      Matrix gradient = lossGradient.gradient(parameter.layer, samples);
      if (parameter.isBias) {
        backend.columnMeans(gradient, parameter.gradient);
      } else {
        backend.product(1.0 / samples, gradient, true, forward.input(parameter.layer), false, 0, parameter.gradient);
      }
    }
  }

  private void requireFinite(Matrix loss, int epoch) {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView value = MatrixView.allocate(arena, 1, 1);
      backend.download(loss, value);
      if (!Float.isFinite(value.get(0, 0))) {
        throw new ArithmeticException("training diverged: the %s of epoch %d is %s; use a lower learning rate"
            .formatted(options.loss(), epoch, value.get(0, 0)));
      }
    }
  }

  private static void gather(MatrixView from, int[] order, int first, MatrixView to) {
    long bytes = (long) from.columns() * Float.BYTES;
    for (int i = 0; i < to.rows(); i++) {
      MemorySegment.copy(from.segment(), order[first + i] * bytes, to.segment(), i * bytes, bytes);
    }
  }

  /// Fisher and Yates.
  private static void shuffle(int[] order, RandomGenerator random) {
    for (int i = order.length - 1; i > 0; i--) {
      int j = random.nextInt(i + 1);
      int swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
  }

  private static RandomGenerator random(long seed) {
    return RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
  }

  @Override
  public void close() {
    resources.close();
  }
}
