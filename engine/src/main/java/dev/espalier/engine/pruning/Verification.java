package dev.espalier.engine.pruning;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.LimitedSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.LayerScores;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.ScoringOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/// How far a backend's scores are from those of [ReferenceBackend], on some layers and the first samples: the whole
/// way of the samples through the network and back, and the moments, are checked with them.
///
/// @param samples that both scored with
/// @param layers  the first, a middle and the last of those asked for
public record Verification(long samples, List<Layer> layers) {
  private static final long MOST_SAMPLES = 256;
  private static final long LEAST_SAMPLES = 8;
  /// Of the reference; a core does some 10⁹ a second.
  private static final double OPERATIONS = 2e10;

  /// Deviations as a fraction of the largest absolute value of the reference's scores of the layer.
  ///
  /// @param importance   the largest of an importance
  /// @param compensation the largest of a compensation, where there are any
  public record Layer(String name, double importance, OptionalDouble compensation) {}

  /// Scores on both backends.
  ///
  /// @param wanted      layers, by number from 0, from which those that are checked are taken
  /// @param calibration as of [Scorer#score]
  /// @throws IOException if a sample cannot be read or is not finite
  public static Verification of(Backend backend, DenseNetwork network, IntPredicate wanted,
      Optional<Dataset> calibration, ScoringOptions options) throws IOException {
    List<Integer> all = IntStream.range(0, network.layers().size()).filter(wanted).boxed().toList();
    List<Integer> some = IntStream.of(0, all.size() / 2, all.size() - 1).distinct().mapToObj(all::get).toList();
    Optional<Dataset> first = calibration.map(source -> first(source, network, options));
    List<Layer> layers = new ArrayList<>();
    try (Backend reference = new ReferenceBackend(); Arena arena = Arena.ofConfined()) {
      List<MatrixView[]> expected = scores(reference, network, some, first, options, arena);
      List<MatrixView[]> found = scores(backend, network, some, first, options, arena);
      for (int i = 0; i < some.size(); i++) {
        MatrixView[] right = expected.get(i);
        layers.add(new Layer(network.layers().get(some.get(i)).name(), deviation(right[0], found.get(i)[0]),
            right.length == 1 ? OptionalDouble.empty() : OptionalDouble.of(deviation(right[1], found.get(i)[1]))));
      }
    }
    return new Verification(first.map(source -> source.samples().samples()).orElse(0L), layers);
  }

  private static Dataset first(Dataset source, DenseNetwork network, ScoringOptions options) {
    double operations = 2.0 * network.weights() * (3 + options.sensitivity().passes(network.outputs()));
    long samples = Math.clamp((long) (OPERATIONS / operations), LEAST_SAMPLES, MOST_SAMPLES);
    LimitedSamples limited = new LimitedSamples(source.samples(), samples);
    return source.labels().map(labels -> Dataset.of(limited, new LimitedSamples(labels, samples)))
        .orElseGet(() -> Dataset.of(limited));
  }

  /// Importance and, where there is one, compensation of each layer.
  private static List<MatrixView[]> scores(Backend backend, DenseNetwork network, List<Integer> layers,
      Optional<Dataset> calibration, ScoringOptions options, Arena arena) throws IOException {
    try (DeviceNetwork device = new DeviceNetwork(backend, network)) {
      List<LayerScores> scores = Scorer.score(backend, device, layers::contains, calibration, options,
          ProgressListener.NONE);
      try {
        return scores.stream()
            .map(layer -> layer.compensation()
                .map(compensation -> new MatrixView[]{download(backend, layer.importance(), arena),
                    download(backend, compensation, arena)})
                .orElseGet(() -> new MatrixView[]{download(backend, layer.importance(), arena)}))
            .toList();
      } finally {
        scores.forEach(LayerScores::close);
      }
    }
  }

  private static MatrixView download(Backend backend, Matrix matrix, Arena arena) {
    MatrixView view = MatrixView.allocate(arena, matrix.rows(), matrix.columns());
    backend.download(matrix, view);
    return view;
  }

  private static double deviation(MatrixView expected, MatrixView found) {
    double largest = 0;
    double difference = 0;
    for (long i = 0; i < expected.elements(); i++) {
      double right = expected.segment().getAtIndex(MatrixView.ELEMENT, i);
      double off = Math.abs(right - found.segment().getAtIndex(MatrixView.ELEMENT, i));
      largest = Math.max(largest, Math.abs(right));
      difference = off <= difference ? difference : off; // NaN stays
    }
    return difference == 0 ? 0 : difference / largest;
  }
}
