package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.network.LayerShape;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.statistics.Moments;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Optional;

/// The scores of one layer, in the memory of a backend: gathered batch by batch, then finished.
public final class LayerScores implements Resource {
  private final Backend backend;
  private final DeviceNetwork.Layer layer;
  private final ScoringOptions options;
  private final int number;
  private final boolean compensable;
  private final Resources resources;
  /// Of the layer's sensitivity, where `ec` or a compensation is wanted.
  private final Optional<Moments> moments;
  /// Raw, with sensitivity 1: `E[a²]`, where `wanda` is wanted.
  private final Optional<Moments> inputMoments;
  /// Importance, unless it takes the memory of the moments; before that the sum of loss gradients.
  private final Optional<Matrix> separate;

  LayerScores(Backend backend, DeviceNetwork.Layer layer, int number, ScoringOptions options, boolean compensable) {
    this.backend = backend;
    this.layer = layer;
    this.options = options;
    this.number = number;
    this.compensable = compensable;
    resources = new Resources();
    try {
      moments = options.needsMoments()
          ? Optional.of(resources.own(new Moments(backend, layer.outputs(), layer.inputs(), compensable)))
          : Optional.empty();
      inputMoments = options.criterion() == Criterion.WANDA
          ? Optional.of(resources.own(new Moments(backend, 1, layer.inputs(), false)))
          : Optional.empty();
      separate = options.criterion() == Criterion.ELIMINATION_COMPENSATION
          ? Optional.empty()
          : Optional.of(resources.own(backend.allocateWeights(layer.outputs(), layer.inputs())));
    } catch (RuntimeException e) {
      resources.close();
      throw e;
    }
  }

  /// Bytes that the scores of a layer take.
  static long bytes(LayerShape layer, Criterion criterion, boolean compensation) {
    boolean byMoments = criterion == Criterion.ELIMINATION_COMPENSATION;
    long elements = byMoments || compensation ? Moments.elements(layer.outputs(), layer.inputs()) : 0;
    if (criterion == Criterion.WANDA) {
      elements += Moments.elements(1, layer.inputs());
    }
    if (!byMoments) {
      elements += (long) layer.outputs() * layer.inputs();
    }
    return elements * Float.BYTES;
  }

  /// The number of the layer in its network, from 0.
  public int number() {
    return number;
  }

  /// I, outputs × inputs, at least 0.
  public Matrix importance() {
    return separate.orElseGet(() -> moments.orElseThrow().importance());
  }

  /// Δb, outputs × inputs: what the row's bias gains when the weight is removed.
  public Optional<Matrix> compensation() {
    return options.compensation() ? moments.map(Moments::compensation) : Optional.empty();
  }

  /// `E[s]` of each neuron, where the criterion needed it.
  public Optional<float[]> meanSensitivity() {
    return moments.map(m -> meanOf(m.sensitivity(), m.samples()));
  }

  /// Counts a batch; the passes of the first have run. They may have run on a worker of the backend.
  void begin(BatchPasses passes) {
    Matrix input = passes.forward().input(number);
    moments.ifPresent(m -> m.begin(passes.backend(), input));
    inputMoments.ifPresent(m -> m.begin(passes.backend(), input));
  }

  /// Adds a batch whose passes have run.
  void accumulate(BatchPasses passes) {
    int samples = passes.forward().samples();
    Matrix input = passes.forward().input(number);
    Backend on = passes.backend();
    moments.ifPresent(m -> m.accumulate(on, passes.sensitivity().sensitivity(number, samples), input));
    inputMoments.ifPresent(m -> m.accumulate(on, passes.ones(), input));
    if (options.criterion() == Criterion.GRADIENT) {
      on.product(1, passes.lossGradient().gradient(number, samples), true, input, false, 1, separate.orElseThrow());
    }
  }

  /// Adds the batches of `other`, scores of the same layer that were not finished and must not be used again but to close
  /// them.
  void merge(LayerScores other) {
    moments.ifPresent(m -> m.merge(other.moments.orElseThrow()));
    inputMoments.ifPresent(m -> m.merge(other.inputMoments.orElseThrow()));
    if (options.criterion() == Criterion.GRADIENT) {
      backend.add(1, other.separate.orElseThrow(), separate.orElseThrow());
    }
  }

  void finish(long samples) {
    moments.ifPresent(m -> m.toScores(layer.weights(), compensable));
    switch (options.criterion()) {
      case ELIMINATION_COMPENSATION -> {
        // The moments have become the scores.
      }
      case MAGNITUDE -> scoreBy(filled(layer.inputs(), 1));
      case RANDOM -> backend.uniform(importance(), options.seed(), number);
      case WANDA -> {
        float[] squares = meanOf(inputMoments.orElseThrow().secondMoment(), samples);
        for (int j = 0; j < squares.length; j++) {
          squares[j] = (float) Math.sqrt(squares[j]);
        }
        scoreBy(squares);
      }
      case GRADIENT -> {
        Matrix sum = separate.orElseThrow();
        // Of the sum over samples the mean, so that scores do not depend on how many there are.
        backend.add(1.0 / samples - 1, sum, sum);
        backend.absoluteProduct(layer.weights(), sum, sum);
      }
    }
  }

  private static float[] filled(int length, float value) {
    float[] values = new float[length];
    Arrays.fill(values, value);
    return values;
  }

  private void scoreBy(float[] columnFactors) {
    try (Arena arena = Arena.ofConfined(); Matrix factor = backend.allocate(1, columnFactors.length)) {
      backend.upload(MatrixView.of(arena, 1, columnFactors.length, columnFactors), factor);
      backend.absoluteProduct(layer.weights(), factor, importance());
    }
  }

  private float[] meanOf(Matrix row, long samples) {
    try (Arena arena = Arena.ofConfined()) {
      MatrixView values = MatrixView.allocate(arena, 1, row.columns());
      backend.download(row, values);
      float[] mean = values.toArray();
      for (int j = 0; j < mean.length; j++) {
        mean[j] /= samples;
      }
      return mean;
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
