package dev.espalier.engine.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.UnsupportedPrecisionException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.ScoringPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class CpuBackendTest extends BackendContract {
  CpuBackendTest() {
    super(CpuBackend::new, 0x1p-24);
  }

  @Test
  void severalAtATimeGiveTheSameBitsAsOne() throws Exception {
    try (Arena arena = Arena.ofShared(); ExecutorService pruners = Executors.newFixedThreadPool(3)) {
      DenseNetwork network = network(arena);
      Dataset samples = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(5), 150, 70, 1, 0.5));
      float[] expected = importances(new CpuBackend(), network, samples);
      Callable<float[]> again = () -> importances(new CpuBackend(), network, samples);
      for (Future<float[]> found : pruners.invokeAll(List.of(again, again, again))) {
        assertArrayEquals(expected, found.get());
      }
    }
  }

  @Test
  void dividesSamplesAmongItsThreadsWhereTheyTakeLittle() {
    try (CpuBackend backend = new CpuBackend(2, Precision.FP32)) {
      int threads = Math.min(2, CpuPool.CORES);
      assertEquals(threads, backend.workers(1 << 20, 1 << 20).backends().size());
      assertEquals(List.of(backend), backend.workers(threads, 1 << 20).backends());
      assertEquals(List.of(backend), backend.workers(1 << 20, 1L << 40).backends());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"ec", "gradient", "wanda"})
  void scoresTheSameWhoeverTakesWhichSamples(Criterion criterion) throws IOException {
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = network(arena);
      RandomGenerator random = TestNetworks.random(5);
      Dataset samples = Dataset.of(new MatrixSamples("x", TestNetworks.normal(arena, random, 700, 70, 1, 0.5)),
          new MatrixSamples("y", TestNetworks.normal(arena, random, 700, 10, 1, 0)));
      float[] expected = importances(new ReferenceBackend(), network, samples, criterion, ProgressListener.NONE);
      float[] once = importances(new CpuBackend(), network, samples, criterion, ProgressListener.NONE);
      // Gradients of either sign cancel, to about √n of n terms.
      double bound = criterion instanceof Criterion.Gradient ? 4e-6 * Math.sqrt(700) : 1e-6;
      assertTrue(relativeError(expected, once) < bound, "error: " + relativeError(expected, once));
      assertArrayEquals(once, importances(new CpuBackend(), network, samples, criterion, ProgressListener.NONE));
    }
  }

  @Test
  void readsConfinedSamplesOnTheirThread() throws IOException {
    try (Arena arena = Arena.ofConfined(); Arena shared = Arena.ofShared()) {
      DenseNetwork network = network(arena);
      MatrixView confined = TestNetworks.normal(arena, TestNetworks.random(5), 700, 70, 1, 0.5);
      float[] expected = importances(new CpuBackend(), network, TestNetworks.source(confined.copy(shared)));
      float[] found = importances(new CpuBackend(), network, TestNetworks.source(confined));
      assertTrue(relativeError(expected, found) < 1e-6, "error: " + relativeError(expected, found));
    }
  }

  @Test
  @Timeout(60)
  void aListenerCancelsAllWorkers() {
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = network(arena);
      Dataset samples = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(5), 2000, 70, 1, 0.5));
      assertThrows(CancellationException.class, () -> importances(new CpuBackend(), network, samples,
          new Criterion.EliminationCompensation(), (_, done, total) -> done < total / 2));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 63, 64, 699})
  void namesTheSampleThatIsNotFiniteWhoeverTakesIt(int sample) throws IOException {
    try (Arena arena = Arena.ofShared()) {
      MatrixView x = TestNetworks.normal(arena, TestNetworks.random(5), 700, 70, 1, 0.5);
      x.set(sample, 3, Float.NaN);
      IOException refusal = assertThrows(IOException.class,
          () -> importances(new CpuBackend(), network(arena), TestNetworks.source(x)));
      assertTrue(refusal.getMessage().contains("is NaN at [%d, 3]".formatted(sample)), refusal.getMessage());
    }
  }

  /// Layers so wide that dead units are skipped where this JVM can, by several workers or parts.
  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void scoresTheSameWithoutDeadUnits(int threads) throws IOException {
    assumeTrue(CpuBackend.skipsDeadUnits(), "no Vector API, or vectors of less than 8 float32");
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = TestNetworks.network(arena, 3, List.of(70, 530, 540, 7),
          List.of(Activation.RELU, Activation.RELU, Activation.IDENTITY));
      Dataset samples = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(5), 150, 70, 1, -0.5));
      float[] all = importances(new CpuBackend(threads, Precision.FP32, new CpuProducts(), Optional.empty()), network,
          samples);
      float[] active = importances(new CpuBackend(threads, Precision.FP32), network, samples);
      assertTrue(relativeError(all, active) < 1e-6, "error: " + relativeError(all, active));
      assertTrue(!Arrays.equals(all, active), "the sums should differ in their last bits: nothing was skipped");
      assertArrayEquals(active, importances(new CpuBackend(threads, Precision.FP32), network, samples));
    }
  }

  /// The factors of moments and backward products rounded to 8 bits, as a CPU with bfloat16 does it, so that every
  /// machine measures what `--precision bf16` costs. The bound stands in docs/decisions/0006-bfloat16.md.
  @Test
  void bfloat16ChangesImportanceByLittle() throws IOException {
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = network(arena);
      Dataset samples = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(5), 600, 70, 1, 0.5));
      float[] expected = importances(new ReferenceBackend(), network, samples);
      float[] exact = importances(new CpuBackend(), network, samples);
      float[] rounded = importances(new CpuBackend(2, Precision.BF16, new RoundedProducts(), Optional.empty()), network,
          samples);
      double float32Error = relativeError(expected, exact);
      double bfloat16Error = relativeError(expected, rounded);
      assertTrue(float32Error < 1e-6, "float32: " + float32Error);
      assertTrue(bfloat16Error > float32Error && bfloat16Error < 0.002, "bfloat16: " + bfloat16Error);
    }
  }

  /// The instructions round as [RoundedProducts] does; only the order of their sums differs. Wide enough for several
  /// tiles.
  @Test
  void bfloat16InstructionsRoundToNearestEven() throws IOException {
    OneDnn.load();
    assumeTrue(OneDnn.multipliesBfloat16(), "this CPU has no bfloat16 instructions");
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = TestNetworks.network(arena, 3, List.of(70, 1100, 300, 10),
          List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
      Dataset samples = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(5), 150, 70, 1, 0.5));
      float[] expected = importances(new CpuBackend(2, Precision.BF16, new RoundedProducts(), Optional.empty()),
          network, samples);
      float[] found = importances(new CpuBackend(2, Precision.BF16), network, samples);
      assertTrue(relativeError(expected, found) < 2e-6, "error: " + relativeError(expected, found));
    }
  }

  @Test
  void saysSoWhereBfloat16IsTheSlowerPrecision() {
    OneDnn.load();
    assumeTrue(OneDnn.multipliesBfloat16(), "this CPU has no bfloat16 instructions");
    List<String> notices = new ArrayList<>();
    Device.CPU.open(new BackendOptions(1, Optional.of(Precision.BF16), OptionalLong.empty()), notices::add).close();
    double rate = CpuBackend.bfloat16Rate().orElseThrow();
    assertTrue(rate > 0.05 && rate < 50, "rate: " + rate);
    assertEquals(rate < 1
        ? List.of("precision bf16: this CPU multiplies bfloat16 at %.2f times its rate for float32: fp32 is faster,"
            .formatted(rate) + " and rounds less")
        : List.of(), notices);
  }

  @Test
  void refusesBfloat16WithoutTheInstructions() {
    OneDnn.load();
    assumeFalse(OneDnn.multipliesBfloat16(), "this CPU has bfloat16 instructions");
    assertEquals("precision bf16: this CPU has neither AVX512-BF16 nor AMX",
        assertThrows(UnsupportedPrecisionException.class, () -> new CpuBackend(1, Precision.BF16)).getMessage());
  }

  @Test
  void readsMappedWeightsInPlaceUntilTheyChange(@TempDir Path folder) throws IOException {
    Path file = Files.write(folder.resolve("weights"), new byte[6 * Float.BYTES]);
    try (Arena arena = Arena.ofShared();
        FileChannel channel = FileChannel.open(file);
        CpuBackend backend = new CpuBackend()) {
      MemorySegment mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, 6 * Float.BYTES, arena);
      CpuMatrix weights = (CpuMatrix) backend.allocate(2, 3);
      backend.upload(new MatrixView(mapped, 2, 3), weights);
      assertEquals(mapped.address(), weights.read().address());
      backend.upload(MatrixView.of(arena, 1, 3, 1, 2, 3), weights.slice(1, 1));
      assertTrue(weights.read().address() != mapped.address());
      assertArrayEquals(new float[]{0, 0, 0, 1, 2, 3}, backend.download(weights, arena).toArray());
      weights.close();
    }
  }

  @Test
  void copiesMappedWeightsThatOnlyTheirOwnThreadMayRead(@TempDir Path folder) throws IOException {
    Path file = Files.write(folder.resolve("weights"), new byte[6 * Float.BYTES]);
    try (Arena arena = Arena.ofConfined();
        FileChannel channel = FileChannel.open(file);
        CpuBackend backend = new CpuBackend();
        CpuMatrix weights = (CpuMatrix) backend.allocate(2, 3)) {
      MemorySegment mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, 6 * Float.BYTES, arena);
      backend.upload(new MatrixView(mapped, 2, 3), weights);
      assertTrue(weights.read().address() != mapped.address());
    }
  }

  private static DenseNetwork network(Arena arena) {
    return TestNetworks.network(arena, 3, List.of(70, 90, 80, 10),
        List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
  }

  /// Of all layers, one after the other; closes the backend.
  private static float[] importances(Backend backend, DenseNetwork network, Dataset samples) throws IOException {
    return importances(backend, network, samples, new Criterion.EliminationCompensation(), ProgressListener.NONE);
  }

  private static float[] importances(Backend backend, DenseNetwork network, Dataset samples, Criterion criterion,
      ProgressListener listener) throws IOException {
    PruningOptions options = PruningOptions.builder().criterion(criterion).compensation(new Compensation.Bias())
        .sensitivity(new Sensitivity.Jacobian()).batchSize(64).seed(1).build();
    try (backend; DeviceNetwork there = DeviceNetwork.copyOf(backend, network); Arena arena = Arena.ofConfined()) {
      ScoringPlan plan = PruningPlan.of(options, network, Optional.of(samples), backend).scoring();
      try (Scores scores = Scorer.score(backend, there, plan, Optional.of(samples), listener)) {
        FloatBuffer values = FloatBuffer.allocate((int) network.weights());
        for (int i = 0; i < scores.size(); i++) {
          values.put(backend.download(scores.importance(i), arena).toArray());
        }
        return values.array();
      }
    }
  }

  /// ‖found − expected‖ / ‖expected‖
  private static double relativeError(float[] expected, float[] found) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow((double) found[i] - expected[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    return Math.sqrt(difference / norm);
  }

  /// Rounds as the instructions do, to nearest even, and multiplies in float32.
  private static final class RoundedProducts extends CpuProducts {
    @Override
    SecondFactor second(Factor second, int k, int n, MemorySegment memory) {
      return (a, add, c, leadingC, m, count, apartA, apartC) -> {
        try (Arena arena = Arena.ofConfined()) {
          for (int i = 0; i < count; i++) {
            multiply(1, rounded(arena, a.from((long) i * apartA, 0), m, k), rounded(arena, second, k, n), add ? 1 : 0,
                c.asSlice((long) i * apartC * leadingC * Float.BYTES), leadingC, m, n, k);
          }
        }
      };
    }

    private static Factor rounded(Arena arena, Factor factor, long rows, long columns) {
      MatrixView copy = MatrixView.allocate(arena, (int) rows, (int) columns);
      for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
          long at = factor.transposed() ? j * factor.leading() + i : i * factor.leading() + j;
          int bits = Float.floatToRawIntBits(factor.elements().getAtIndex(MatrixView.ELEMENT, at));
          int even = bits + 0x7fff + (bits >>> 16 & 1);
          copy.set(i, j, Float.intBitsToFloat(even & 0xffff0000));
        }
      }
      return Factor.of(copy.segment(), (int) columns);
    }
  }
}
