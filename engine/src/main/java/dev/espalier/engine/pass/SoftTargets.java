package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.OptionalDouble;

/// The temperature at which a classifier's probabilities tell most of what it has learned: a confident network needs a
/// higher one than a network that doubts (docs/method.md, temperature).
public final class SoftTargets {
  /// Of ln m, the entropy of m equal probabilities.
  static final double ENTROPY = 0.3;
  /// The highest temperature.
  static final double HOTTEST = 20;
  /// Samples that are looked at, at most, spread evenly.
  private static final long SAMPLES = 4096;
  /// Logits that are looked at, at most.
  private static final long LOGITS = 1 << 22;
  private static final int BATCH = 512;
  private static final int HALVINGS = 30;

  private SoftTargets() {}

  /// The temperature T at which the mean entropy of softmax(y / T) over samples is [#ENTROPY] ln m, to two digits, within
  /// 1 and [#HOTTEST]; 1 for a network that gives no class probabilities.
  ///
  /// @param network with m outputs y, the logits
  /// @throws IOException if a sample cannot be read or is not finite
  public static double temperature(Backend backend, DenseNetwork network, SampleSource samples) throws IOException {
    if (!network.graph().givesClasses() || !network.graph().heads().isEmpty()) {
      return 1;
    }
    try (Arena arena = Arena.ofConfined()) {
      MatrixView logits = logits(backend, network, some(samples, network.outputs()), arena);
      double wanted = ENTROPY * Math.log(network.outputs());
      double cold = 1;
      double hot = HOTTEST;
      for (int i = 0; i < HALVINGS; i++) {
        double between = Math.sqrt(cold * hot);
        if (entropy(logits, between) < wanted) {
          cold = between;
        } else {
          hot = between;
        }
      }
      return BigDecimal.valueOf(cold).round(new MathContext(2)).doubleValue();
    }
  }

  /// The same for a network whose loss is a cross-entropy; empty for any other.
  ///
  /// @throws IOException as of the other
  public static OptionalDouble temperature(Backend backend, DenseNetwork network, SampleSource samples, Loss loss)
      throws IOException {
    return loss instanceof Loss.CrossEntropy
        ? OptionalDouble.of(temperature(backend, network, samples))
        : OptionalDouble.empty();
  }

  private static Dataset some(SampleSource samples, int outputs) {
    long most = Math.clamp(LOGITS / outputs, 1, SAMPLES);
    int every = Math.toIntExact(Math.min(Math.ceilDiv(samples.samples(), most), Integer.MAX_VALUE));
    Dataset all = Dataset.of(samples);
    return every == 1 ? all : all.holdOut(every).heldOut();
  }

  private static MatrixView logits(Backend backend, DenseNetwork network, Dataset data, Arena arena)
      throws IOException {
    int count = (int) data.samples().samples();
    MatrixView logits = MatrixView.allocate(arena, count, network.outputs());
    int rows = Math.min(BATCH, count);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        ForwardPass forward = ForwardPass.allocate(backend, network.graph(), rows);
        SampleBatches batches = SampleBatches.open(backend, data, rows)) {
      while (batches.next()) {
        forward.load(batches);
        forward.run(device);
        backend.download(forward.value(network.graph().logits()), logits.slice((int) batches.first(), batches.rows()));
      }
    }
    return logits;
  }

  /// The mean over the rows z of the entropy of softmax(z / T): ln Σ exp(z / T) − Σ p z / T.
  static double entropy(MatrixView logits, double temperature) {
    double sum = 0;
    for (int n = 0; n < logits.rows(); n++) {
      double highest = logits.get(n, logits.largest(n)) / temperature;
      double total = 0;
      double weighted = 0;
      for (int k = 0; k < logits.columns(); k++) {
        double z = logits.get(n, k) / temperature - highest;
        double e = Math.exp(z);
        total += e;
        weighted += e * z;
      }
      sum += Math.log(total) - weighted / total;
    }
    return sum / logits.rows();
  }
}
