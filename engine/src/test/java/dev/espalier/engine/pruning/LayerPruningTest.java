package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Single layers against plain loops in double.
final class LayerPruningTest {
  private static final int SAMPLES = 90;
  private static final int OUTPUTS = 5;
  private static final int INPUTS = 8;

  private final Arena arena = Arena.ofConfined();
  private final MatrixView inputs;
  private final MatrixView sensitivities;
  private final DenseLayer layer;

  LayerPruningTest() {
    RandomGenerator random = TestNetworks.random(3);
    inputs = TestNetworks.normal(arena, random, SAMPLES, INPUTS, 1, 0.5);
    sensitivities = TestNetworks.normal(arena, random, SAMPLES, OUTPUTS, 1, 0);
    for (int n = 0; n < SAMPLES; n++) {
      for (int i = 0; i < OUTPUTS; i++) {
        sensitivities.set(n, i, sensitivities.get(n, i) * sensitivities.get(n, i));
      }
    }
    layer = new DenseLayer("enc.fc", TestNetworks.normal(arena, random, OUTPUTS, INPUTS, 1, 0),
        Optional.of(TestNetworks.normal(arena, random, 1, OUTPUTS, 1, 0)), Activation.IDENTITY);
  }

  @AfterEach
  void close() {
    arena.close();
  }

  static Stream<Supplier<Backend>> backends() {
    return Stream.of(ReferenceBackend::new, CpuBackend::new);
  }

  private static PruningOptions.Builder half(Scope scope) {
    return PruningOptions.builder().target(new Target.Fraction(0.5, scope));
  }

  private PruningResult prune(Backend backend, PruningOptions options, boolean isWeighted) throws IOException {
    return LayerPruning
        .of(backend, options, layer, new MatrixSamples("a", inputs),
            isWeighted ? Optional.of(new MatrixSamples("s", sensitivities)) : Optional.empty())
        .run(ProgressListener.NONE, arena);
  }

  private double sensitivity(boolean isWeighted, int n, int i) {
    return isWeighted ? sensitivities.get(n, i) : 1;
  }

  /// The weighted mean and W² Σ s (a − mean)² / N of a weight.
  private double[] score(boolean isWeighted, int i, int j) {
    double sum = 0;
    double mean = 0;
    for (int n = 0; n < SAMPLES; n++) {
      sum += sensitivity(isWeighted, n, i);
      mean += sensitivity(isWeighted, n, i) * inputs.get(n, j);
    }
    mean /= sum;
    double variance = 0;
    for (int n = 0; n < SAMPLES; n++) {
      variance += sensitivity(isWeighted, n, i) * Math.pow(inputs.get(n, j) - mean, 2) / SAMPLES;
    }
    return new double[]{mean, Math.pow(layer.weights().get(i, j), 2) * variance};
  }

  @ParameterizedTest
  @MethodSource("backends")
  void removesWhatItsInputsAndSensitivitiesSay(Supplier<Backend> machine) throws IOException {
    for (boolean isWeighted : new boolean[]{false, true}) {
      try (Backend backend = machine.get()) {
        PruningResult result = prune(backend, half(new Scope.PerRow()).build(), isWeighted);
        DenseLayer pruned = result.network().layers().getFirst();
        double predicted = 0;
        for (int i = 0; i < OUTPUTS; i++) {
          int row = i;
          int[] order = IntStream.range(0, INPUTS).boxed()
              .sorted((j, k) -> Double.compare(score(isWeighted, row, j)[1], score(isWeighted, row, k)[1]))
              .mapToInt(j -> j).toArray();
          double bias = layer.bias().orElseThrow().get(0, i);
          for (int k = 0; k < INPUTS; k++) {
            boolean isRemoved = k < INPUTS / 2;
            float expected = isRemoved ? 0 : layer.weights().get(i, order[k]);
            assertEquals(expected, pruned.weights().get(i, order[k]), i + ", " + order[k]);
            if (isRemoved) {
              bias += layer.weights().get(i, order[k]) * score(isWeighted, i, order[k])[0];
              predicted += score(isWeighted, i, order[k])[1];
            }
          }
          assertEquals(bias, pruned.bias().orElseThrow().get(0, i), 1e-5);
        }
        assertEquals(predicted, result.layers().getFirst().predictedChange().orElseThrow(), 1e-5 * predicted);
        assertChanges(result, pruned, isWeighted);
      }
    }
  }

  private void assertChanges(PruningResult result, DenseLayer pruned, boolean isWeighted) {
    double change = 0;
    double square = 0;
    for (int n = 0; n < SAMPLES; n++) {
      for (int i = 0; i < OUTPUTS; i++) {
        double z = output(layer, n, i);
        change += sensitivity(isWeighted, n, i) * Math.pow(z - output(pruned, n, i), 2) / SAMPLES;
        square += sensitivity(isWeighted, n, i) * z * z / SAMPLES;
      }
    }
    assertEquals(change, result.measuredChange().orElseThrow(), 1e-5 * change);
    assertEquals(square, result.outputSquare().orElseThrow(), 1e-5 * square);
  }

  private double output(DenseLayer of, int n, int i) {
    double z = of.bias().orElseThrow().get(0, i);
    for (int j = 0; j < INPUTS; j++) {
      z += (double) of.weights().get(i, j) * inputs.get(n, j);
    }
    return z;
  }

  @ParameterizedTest
  @MethodSource("backends")
  void aRefitFollowsTheDenseLayerBetter(Supplier<Backend> machine) throws IOException {
    try (Backend backend = machine.get()) {
      double compensated = prune(backend, half(new Scope.PerLayer()).build(), false).measuredChange().orElseThrow();
      PruningResult refitted = prune(backend, half(new Scope.PerLayer()).repair(new Repair.Refit()).build(), false);
      assertTrue(refitted.measuredChange().orElseThrow() < compensated);
      assertEquals(OUTPUTS * INPUTS / 2, refitted.removed());
      PruningResult rounds = prune(backend,
          half(new Scope.PerLayer()).preset(Preset.REFIT, OptionalDouble.empty()).build(), true);
      assertEquals(OUTPUTS * INPUTS / 2, rounds.removed());
      assertChanges(rounds, rounds.network().layers().getFirst(), true);
    }
  }

  @Test
  void sensitivitiesOfOneAreNone() throws IOException {
    sensitivities.segment().copyFrom(MatrixView.of(arena, SAMPLES, OUTPUTS, ones()).segment());
    try (Backend backend = new CpuBackend()) {
      PruningOptions options = PruningOptions.builder().target(new Target.Pattern(2, 4)).build();
      float[] expected = prune(backend, options, false).network().layers().getFirst().weights().toArray();
      assertArrayEquals(expected, prune(backend, options, true).network().layers().getFirst().weights().toArray());
    }
  }

  private static float[] ones() {
    float[] ones = new float[SAMPLES * OUTPUTS];
    Arrays.fill(ones, 1);
    return ones;
  }

  @Test
  void aLayerMayHaveASparsityOfItsOwn() throws IOException {
    try (Backend backend = new CpuBackend()) {
      PruningOptions own = half(new Scope.PerLayer())
          .layerSparsities(List.of(LayerSparsity.parse("head=0.1"), LayerSparsity.parse("enc*=0.75"))).build();
      assertEquals(30, prune(backend, own, false).removed());
      PruningOptions two = half(new Scope.PerLayer())
          .layerSparsities(List.of(LayerSparsity.parse("*fc=0.1"), LayerSparsity.parse("enc*=0.75"))).build();
      assertEquals("layer enc.fc has the sparsities *fc=0.1 and enc*=0.75: drop one",
          assertThrows(MismatchException.class, () -> prune(backend, two, false)).getMessage());
    }
  }
}
