package dev.espalier.cli.experiment;

import static dev.espalier.engine.report.Numbers.TYPOGRAPHIC;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.training.RandomNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/// What pruning a wide network costs: seconds of each phase, and its rate as a share of that of a plain matrix product
/// of the same machine. The network has random weights, because time does not depend on them.
final class Scale {
  private static final int LAYERS = 3;
  private static final double SPARSITY = 0.9;
  private static final int PRODUCTS = 5;

  private final Backend backend;
  private final int width;
  private final int samples;
  private final ProgressListener listener;

  private Scale(Backend backend, int width, int samples, ProgressListener listener) {
    this.backend = backend;
    this.width = width;
    this.samples = samples;
    this.listener = listener;
  }

  /// @return the page's body
  static String run(Backend backend, boolean isSmall, ProgressListener listener) throws IOException {
    return new Scale(backend, isSmall ? 256 : 4096, isSmall ? 256 : 8192, listener).body();
  }

  private String body() throws IOException {
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = RandomNetwork.chain(Collections.nCopies(LAYERS + 1, width),
          List.of(Activation.RELU, Activation.RELU, Activation.IDENTITY), 0, arena);
      Dataset data = Dataset.of(new MatrixSamples("random samples", random(samples, arena)));
      double product = productRate(arena);
      StringBuilder body = new StringBuilder(("%d layers of %s, %s samples, %s of the weights removed. A plain product "
          + "of matrices of that width runs at **%s GFLOP/s**.\n").formatted(LAYERS, TYPOGRAPHIC.shape(width, width),
              TYPOGRAPHIC.count(samples), TYPOGRAPHIC.exactPercent(SPARSITY), TYPOGRAPHIC.fixed(product, 0)));
      PruningOptions.Builder options = PruningOptions.builder().sparsity(SPARSITY)
          .sensitivity(new Sensitivity.Probes(1)).measureOutputChange(false);
      body.append(table("One shot, one probe", measure(network, data, options.build()), OptionalDouble.of(product)));
      PruningOptions refitted = options.repair(Preset.REFIT.repair(OptionalDouble.empty())).build();
      body.append(table("The same with a refit", measure(network, data, refitted), OptionalDouble.empty()));
      return body.toString();
    }
  }

  private MatrixView random(int rows, Arena arena) {
    MatrixView view = MatrixView.allocate(arena, rows, width);
    for (long i = 0; i < view.elements(); i++) {
      view.segment().setAtIndex(MatrixView.ELEMENT, i, 2 * CounterRandom.uniform(0, 0, i) - 1);
    }
    return view;
  }

  /// GFLOP/s, the best of a few.
  private double productRate(Arena arena) {
    try (Matrix a = backend.allocate(width, width);
        Matrix b = backend.allocate(width, width);
        Matrix c = backend.allocate(width, width)) {
      MatrixView values = random(width, arena);
      backend.upload(values, a);
      backend.upload(values, b);
      double best = Double.POSITIVE_INFINITY;
      for (int i = 0; i < PRODUCTS; i++) {
        long start = System.nanoTime();
        backend.network().product(1, a, false, b, true, 0, c);
        backend.download(c, arena);
        best = Math.min(best, (System.nanoTime() - start) * 1e-9);
      }
      return 2e-9 * width * width * width / best;
    }
  }

  private Map<Phase, Double> measure(DenseNetwork network, Dataset data, PruningOptions options) throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      Map<Phase, Double> before = backend.seconds();
      new Pruner(backend, options).pruneInPlace(device, Optional.of(data), listener);
      backend.enter(Phase.LOAD);
      Map<Phase, Double> seconds = new EnumMap<>(Phase.class);
      backend.seconds().forEach((phase, total) -> seconds.put(phase, total - before.getOrDefault(phase, 0.0)));
      return seconds;
    }
  }

  /// @param product GFLOP/s of a plain product, where the phases do nothing but what [#operations] counts
  private String table(String title, Map<Phase, Double> seconds, OptionalDouble product) {
    StringBuilder table = new StringBuilder("\n## %s: %s\n\n| phase | time |%s\n|---|---|%s\n".formatted(title,
        TYPOGRAPHIC.seconds(seconds.values().stream().mapToDouble(Double::doubleValue).sum()),
        product.isPresent() ? " GFLOP/s | of a plain product |" : "", product.isPresent() ? "---|---|" : ""));
    seconds.forEach((phase, time) -> {
      table.append("| %s | %s |".formatted(phase.name().toLowerCase(Locale.ROOT), TYPOGRAPHIC.seconds(time)));
      if (product.isPresent()) {
        double rate = 1e-9 * operations(phase) / time;
        table.append(rate == 0
            ? " | |"
            : " %s | %s |".formatted(TYPOGRAPHIC.fixed(rate, 0), TYPOGRAPHIC.share(rate / product.getAsDouble())));
      }
      table.append('\n');
    });
    return table.toString();
  }

  /// Of the products of a scoring pass with one probe: 2 for each weight and sample, of all layers forwards, of all but
  /// the first backwards, and twice as many for the moments.
  private double operations(Phase phase) {
    double layer = 2.0 * samples * width * width;
    return switch (phase) {
      case FORWARD -> LAYERS * layer;
      case BACKWARD -> (LAYERS - 1) * layer;
      case MOMENTS -> 2 * LAYERS * layer;
      case LOAD, SELECT, REFIT, JOINT, DISTILL, FINE_TUNE, UPDATE, WRITE -> 0;
    };
  }
}
