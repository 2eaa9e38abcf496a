package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.ReadmeExampleTest;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.MemoryPlan;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.scoring.LayerScores;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import dev.espalier.kernels.EmulatedDriver;
import dev.espalier.kernels.EmulatedDriver.Order;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// The backend's own code over kernels that the CPU runs.
final class CudaBackendTest {
  static final long MEMORY = 64 << 20;
  /// Small, so that transfers take several turns.
  static final long SLOT = 1 << 12;

  /// The driver is closed with the backend.
  static CudaBackend open(EmulatedDriver driver, Precision precision) {
    return open(driver, precision, SLOT);
  }

  private static CudaBackend open(EmulatedDriver driver, Precision precision, long slotBytes) {
    CudaMemory memory = new CudaMemory(driver, driver.totalMemory());
    return new CudaBackend(driver, memory, CudaProducts.ofKernels(driver, memory, precision), precision, slotBytes);
  }

  @Nested
  final class Fp32 extends BackendContract {
    @Override
    protected Backend open() {
      return CudaBackendTest.open(new EmulatedDriver(80, MEMORY, Order.LATE), Precision.FP32);
    }

    @Override
    protected double unitRoundoff() {
      return 0x1p-24;
    }
  }

  @Nested
  final class Tf32 extends BackendContract {
    @Override
    protected Backend open() {
      return CudaBackendTest.open(new EmulatedDriver(90, MEMORY, Order.COPIES_FIRST), Precision.TF32);
    }

    @Override
    protected double unitRoundoff() {
      return 0x1p-11;
    }
  }

  private final Arena arena = Arena.ofShared();
  private DenseNetwork network;
  private Dataset source;

  @BeforeEach
  void generate() {
    network = TestNetworks.network(arena, 1, List.of(36, 33, 20, 5),
        List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX));
    MatrixView labels = MatrixView.allocate(arena, 100, 1);
    for (int n = 0; n < 100; n++) {
      labels.set(n, 0, n % 5);
    }
    source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 100, 36, 1, 0.5), labels);
  }

  @AfterEach
  void close() {
    arena.close();
  }

  private PruningResult prune(Backend backend, Criterion criterion, Sensitivity sensitivity) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.7).criterion(criterion).sensitivity(sensitivity)
        .seed(3).build();
    return new Pruner(backend, options).prune(network, source, arena);
  }

  @ParameterizedTest
  @EnumSource
  void prunesAsTheReferenceDoes(Criterion criterion) throws IOException {
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        Backend cuda = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      PruningResult expected = prune(reference, criterion, new Sensitivity.Probes(4));
      PruningResult found = prune(cuda, criterion, new Sensitivity.Probes(4));
      assertSameNetwork(expected.network(), found.network(), 1e-5);
      assertEquals(expected.measuredChange().orElseThrow(), found.measuredChange().orElseThrow(),
          1e-4 * expected.measuredChange().orElseThrow());
      assertGivesAllBack(cuda, driver);
    }
  }

  private static void assertGivesAllBack(Backend backend, EmulatedDriver driver) {
    backend.close();
    assertEquals(0, driver.allocations());
  }

  /// The same weights are zero, and all differ by at most `tolerance`.
  private static void assertSameNetwork(DenseNetwork expected, DenseNetwork found, double tolerance) {
    for (int l = 0; l < expected.layers().size(); l++) {
      DenseLayer before = expected.layers().get(l);
      DenseLayer after = found.layers().get(l);
      float[] weights = after.weights().toArray();
      float[] wanted = before.weights().toArray();
      for (int i = 0; i < weights.length; i++) {
        assertEquals(wanted[i] == 0, weights[i] == 0, before.name() + ".weight, element " + i);
      }
      assertArrayEquals(wanted, weights, (float) tolerance);
      assertArrayEquals(before.bias().orElseThrow().toArray(), after.bias().orElseThrow().toArray(), (float) tolerance);
    }
  }

  @Test
  void repeatsTheWorkOfABatch() throws IOException {
    PruningOptions options = PruningOptions.builder().batchSize(15).build(); // 6 batches of 15, one of 10
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        Backend cuda = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      PruningResult found = new Pruner(cuda, options).prune(network, source, arena);
      assertEquals(4, driver.graphs(),
          "of the six full batches the first takes the pilot mean, the second brings memory into place");
      assertSameNetwork(new Pruner(reference, options).prune(network, source, arena).network(), found.network(), 1e-5);
    }
  }

  @Test
  void prunesWhereTheCallersWeightsLie() throws IOException {
    MatrixView features = TestNetworks.normal(arena, TestNetworks.random(2), 2000, 512, 1, 0.5);
    MatrixView weights = TestNetworks.normal(arena, TestNetworks.random(3), 100, 512, 0.1, 0);
    MatrixView zeros = MatrixView.allocate(arena, 1, 100);
    DenseNetwork head = new DenseNetwork(
        List.of(new DenseLayer("head", weights, Optional.of(zeros), Activation.IDENTITY)));
    try (EmulatedDriver driver = new EmulatedDriver(90, MEMORY, Order.LATE);
        CudaBackend gpu = open(driver, Precision.TF32);
        Matrix w = gpu.wrap(driver.allocate(weights.elements() * Float.BYTES), 100, 512);
        Matrix b = gpu.wrap(driver.allocate(100 * Float.BYTES), 1, 100);
        Backend cpu = new CpuBackend()) {
      gpu.upload(weights, w);
      gpu.clear(b);
      ReadmeExampleTest.pruneInPlace(gpu, ((CudaMatrix) w).device().address(), ((CudaMatrix) b).device().address(),
          features.segment());
      MatrixView pruned = MatrixView.allocate(arena, 100, 512);
      gpu.download(w, pruned);
      float[] found = pruned.toArray();
      assertEquals(46_080, IntStream.range(0, found.length).filter(i -> found[i] == 0).count());
      MatrixView bias = MatrixView.allocate(arena, 1, 100);
      gpu.download(b, bias);
      float[] expected = new Pruner(cpu, PruningOptions.builder().sparsity(0.9).build())
          .prune(head, TestNetworks.source(features), arena).network().layers().getFirst().bias().orElseThrow()
          .toArray();
      assertArrayEquals(expected, bias.toArray(), 0.01f);
    }
  }

  /// So little memory that the second layer's weights and moments lie on the host.
  @Test
  void prunesWhatDoesNotFit() throws IOException {
    long budget = 1200 << 10;
    try (EmulatedDriver large = new EmulatedDriver(80, MEMORY, Order.LATE);
        EmulatedDriver small = new EmulatedDriver(80, budget, Order.COPIES_FIRST);
        CudaBackend unlimited = open(large, Precision.FP32);
        CudaBackend limited = open(small, Precision.FP32, 1 << 14)) {
      network = TestNetworks.network(arena, 1, List.of(36, 800, 300, 5),
          List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
      PruningResult expected = prune(unlimited, Criterion.ELIMINATION_COMPENSATION, new Sensitivity.Jacobian());
      PruningResult found = prune(limited, Criterion.ELIMINATION_COMPENSATION, new Sensitivity.Jacobian());
      assertSameNetwork(expected.network(), found.network(), 1e-5);
      assertGivesAllBack(limited, small);
    }
  }

  @Test
  void plansBatchesThatFit() {
    long budget = 4 << 20;
    try (EmulatedDriver driver = new EmulatedDriver(80, budget, Order.LATE);
        Backend backend = open(driver, Precision.FP32)) {
      long scores = Scorer.bytes(network, _ -> true, Criterion.ELIMINATION_COMPENSATION, true);
      MemoryPlan plan = MemoryPlan.of(backend, network, scores, 5, OptionalInt.empty());
      assertTrue(plan.batchSize() > 512 && plan.batchSize() < 8192, plan::toString);
      assertTrue(plan.weights() + plan.scores() + plan.batch() <= budget, plan::toString);
      assertEquals(0, plan.onHost());
      String message = assertThrows(OutOfBackendMemoryException.class,
          () -> MemoryPlan.of(backend, network, scores, 5, OptionalInt.of(8192))).getMessage();
      assertTrue(message.endsWith("use a smaller --batch-size"), message);
    }
  }

  /// Of layers that are not excluded, and but for the rounding of each of up to nine allocations.
  @ParameterizedTest
  @EnumSource
  void plansTheScoresThatAreTaken(Criterion criterion) throws IOException {
    EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
    CudaMemory memory = new CudaMemory(driver, MEMORY);
    try (
        Backend backend = new CudaBackend(driver, memory, CudaProducts.ofKernels(driver, memory, Precision.FP32),
            Precision.FP32, SLOT);
        DeviceNetwork device = new DeviceNetwork(backend, network)) {
      String excluded = network.layers().get(1).name();
      for (Compensation compensation : Compensation.values()) {
        PruningOptions options = PruningOptions.builder().criterion(criterion).compensation(compensation)
            .exclude(excluded::equals).batchSize(50).build();
        Pruner pruner = new Pruner(backend, options);
        List<LayerScores> scores = Scorer.score(backend, device, l -> l != 1, Optional.of(source),
            pruner.scoringOptions(network), ProgressListener.NONE);
        long after = memory.used();
        scores.forEach(LayerScores::close);
        long taken = after - memory.used();
        long planned = pruner.plan(network).scores();
        assertTrue(planned <= taken && taken < planned + 2 * 9 * CudaMemory.rounded(1),
            () -> "%s: %d bytes planned, %d taken".formatted(compensation, planned, taken));
      }
      assertEquals(0, memory.hostBytes());
    }
  }

  @Test
  void saysWhatDoesNotFit() {
    long budget = 1 << 20;
    try (EmulatedDriver driver = new EmulatedDriver(80, budget, Order.LATE);
        Backend backend = open(driver, Precision.FP32)) {
      String message = assertThrows(OutOfBackendMemoryException.class, () -> backend.allocate(1000, 1000)).getMessage();
      assertTrue(message.startsWith("a 1000 × 1000 matrix needs 3.8 MiB: of 1.0 MiB of GPU memory "), message);
    }
  }

  @Test
  void trainsAsTheReferenceDoes() throws IOException {
    TrainingOptions options = new TrainingOptions(2, 30, Adam.of(0.01), Loss.CROSS_ENTROPY, 1, false,
        ProgressListener.NONE);
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        Backend cuda = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      assertSameNetwork(Trainer.train(reference, network, source, options, arena),
          Trainer.train(cuda, network, source, options, arena), 1e-4);
    }
  }
}
