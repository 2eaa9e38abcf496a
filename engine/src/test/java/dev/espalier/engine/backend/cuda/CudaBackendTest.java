package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.ReadmeExampleTest;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.CountedSamples;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.MemoryPlan;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.scoring.TrueRemovals;
import dev.espalier.engine.scoring.UnevenFeatures;
import dev.espalier.engine.training.EarlyStopping;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import dev.espalier.kernels.DeviceMemoryException;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.EmulatedDriver;
import dev.espalier.kernels.EmulatedDriver.Order;
import dev.espalier.kernels.Launch;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The backend's own code over kernels that the CPU runs.
final class CudaBackendTest {
  static final long MEMORY = 64 << 20;
  /// Small, so that transfers take several turns.
  static final long SLOT = 1 << 12;

  /// The driver is closed with the backend.
  static CudaBackend open(Driver driver, Precision precision) {
    return open(driver, precision, SLOT);
  }

  private static CudaBackend open(Driver driver, Precision precision, long slotBytes) {
    return CudaBackend.over(driver, OptionalLong.of(driver.totalMemory()),
        (checked, memory) -> CudaProducts.ofKernels(checked, memory, precision), precision, slotBytes);
  }

  @Nested
  final class Fp32 extends BackendContract {
    Fp32() {
      super(() -> CudaBackendTest.open(new EmulatedDriver(80, MEMORY, Order.LATE), Precision.FP32), 0x1p-24);
    }
  }

  @Nested
  final class Tf32 extends BackendContract {
    Tf32() {
      super(() -> CudaBackendTest.open(new EmulatedDriver(90, MEMORY, Order.COPIES_FIRST), Precision.TF32), 0x1p-11);
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

  /// The ten outputs of LeNet-300-100 make one product of a full batch, on a budget of 1.5 GiB and more: two on 1.4 GiB, four
  /// where the least is stacked.
  @ParameterizedTest
  @CsvSource({"0.0625, 3", "0.5, 3", "1.4, 5", "1.5, 10", "40, 10"})
  void tenOutputsAreStackedIntoOneProduct(double gibibytes, int copies) {
    Graph.Builder builder = new Graph.Builder(784);
    int hidden = builder.activate(builder.dense("first", 0, 300), Activation.RELU);
    hidden = builder.activate(builder.dense("second", hidden, 100), Activation.RELU);
    builder.activate(builder.dense("last", hidden, 10), Activation.SOFTMAX);
    Graph graph = builder.build();
    long memory = (long) (gibibytes * (1 << 30));
    try (EmulatedDriver driver = new EmulatedDriver(80, memory, Order.LATE);
        CudaBackend cuda = open(driver, Precision.FP32)) {
      long two = MemoryPlan.batchBytes(cuda, graph, 2, cuda.batchSize());
      long copy = MemoryPlan.batchBytes(cuda, graph, 3, cuda.batchSize()) - two;
      assertEquals(copies, 2 + (MemoryPlan.batchBytes(cuda, graph, 10, cuda.batchSize()) - two) / copy);
    }
  }

  private PruningResult prune(Backend backend, Criterion criterion, Sensitivity sensitivity) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.7).criterion(criterion).sensitivity(sensitivity)
        .seed(3).build();
    return new Pruner(backend, options).prune(network, source, arena);
  }

  @ParameterizedTest
  @ValueSource(strings = {"ec", "magnitude", "gradient", "wanda", "random"})
  void prunesAsTheReferenceDoes(Criterion criterion) throws IOException {
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        CudaBackend cuda = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      PruningResult expected = prune(reference, criterion, new Sensitivity.Probes(4));
      PruningResult found = prune(cuda, criterion, new Sensitivity.Probes(4));
      assertSameNetwork(expected.network(), found.network(), 1e-5);
      assertEquals(expected.measuredChange().orElseThrow(), found.measuredChange().orElseThrow(),
          1e-4 * expected.measuredChange().orElseThrow());
      assertGivesAllBack(cuda, driver);
    }
  }

  /// Random graphs of all nodes, in batches that are recorded and replayed; importances within the few hundred roundings
  /// to float32 on the way of a sample, of the costliest removal of the layer.
  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 100, 101, 102, 103})
  void scoresGraphsAsTheReferenceDoes(long seed) throws IOException {
    DenseNetwork graph = TestNetworks.network(arena, seed,
        seed < 100 ? TestNetworks.graph(seed, 10) : TestNetworks.tiedGraph(seed, 12));
    Dataset samples = TestNetworks
        .source(TestNetworks.normal(arena, TestNetworks.random(2), 60, graph.inputs(), 1, 0.5));
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        CudaBackend cuda = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      List<double[]> expected = importances(reference, graph, samples);
      List<double[]> found = importances(cuda, graph, samples);
      assertTrue(driver.graphs() > 0);
      for (int l = 0; l < expected.size(); l++) {
        double largest = Arrays.stream(expected.get(l)).max().orElseThrow();
        assertArrayEquals(expected.get(l), found.get(l), 1000 * 0x1p-24 * (largest + 1e-3), "layer " + l);
      }
      PruningOptions options = PruningOptions.builder().sparsity(0.5).schedule(Schedule.parse("geometric:2"))
          .repair(Repairs.parse("refit+joint")).build();
      new Pruner(cuda, options).prune(graph, samples, arena);
      assertGivesAllBack(cuda, driver);
    }
  }

  private static List<double[]> importances(Backend backend, DenseNetwork network, Dataset samples) throws IOException {
    ScoringPlan plan = new ScoringPlan(new Criterion.EliminationCompensation(), new Compensation.Bias(),
        IntStream.range(0, network.layers().size()).mapToObj(l -> new ScoringPlan.Layer(l, true)).toList(),
        new Sensitivity.Jacobian(), Optional.empty(), 10, 9);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        Scores scores = Scorer.score(backend, device, plan, Optional.of(samples), ProgressListener.NONE)) {
      return IntStream.range(0, scores.size()).mapToObj(i -> TestNetworks.values(backend, scores.importance(i)))
          .toList();
    }
  }

  @Test
  void featuresOfUnevenScalesKeepTheirDigits() throws IOException {
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        CudaBackend cuda = open(driver, Precision.FP32)) {
      UnevenFeatures.check(cuda);
      assertGivesAllBack(cuda, driver);
    }
  }

  @Test
  void seeksTheMinimaOfTrueChanges() throws IOException {
    for (DenseNetwork small : List.of(
        TestNetworks.network(arena, 11, List.of(5, 4, 3), List.of(Activation.TANH, Activation.SOFTMAX)),
        TestNetworks.network(arena, 8, TestNetworks.graph(8, 9)))) {
      try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
          CudaBackend cuda = open(driver, Precision.FP32)) {
        TrueRemovals.check(small, TestNetworks.normal(arena, TestNetworks.random(12), 12, small.inputs(), 1, 0.5),
            cuda);
        assertGivesAllBack(cuda, driver);
      }
    }
  }

  private static void assertGivesAllBack(CudaBackend backend, EmulatedDriver driver) {
    backend.close();
    assertEquals(0, driver.allocations());
    assertEquals(0, backend.used());
    assertEquals(0, backend.hostBytes());
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

  /// Random vectors differ from batch to batch, and the work that draws them does not.
  @ParameterizedTest
  @ValueSource(strings = {"jacobian", "probes:4", "fisher", "fisher:3"})
  void repeatsTheWorkOfABatch(Sensitivity sensitivity) throws IOException {
    PruningOptions options = PruningOptions.builder().sensitivity(sensitivity).seed(5).batchSize(15) // 6, and one of 10
        .build();
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
  void recordsAnewOnceMemoryWasGivenBack() {
    EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
    try (CudaBackend backend = open(driver, Precision.FP32); Matrix sum = backend.allocate(1, 3)) {
      Runnable doubling = () -> backend.network().add(1, sum, sum);
      for (long graphs : new long[]{0, 1, 2}) { // run, recorded and launched, launched
        backend.repeat("doubling", doubling);
        assertEquals(graphs, driver.graphs());
      }
      backend.allocate(1, 3).close();
      for (long graphs : new long[]{2, 3, 4}) {
        backend.repeat("doubling", doubling);
        assertEquals(graphs, driver.graphs());
      }
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
      assertEquals(46_080, gpu.download(w, arena).zeros());
      float[] expected = new Pruner(cpu, PruningOptions.builder().sparsity(0.9).build())
          .prune(head, TestNetworks.source(features), arena).network().layers().getFirst().bias().orElseThrow()
          .toArray();
      assertArrayEquals(expected, gpu.download(b, arena).toArray(), 0.01f);
    }
  }

  /// So little memory that the second layer's weights and moments lie on the host.
  @Test
  void prunesWhatDoesNotFit() throws IOException {
    long budget = 1712 << 10;
    try (EmulatedDriver large = new EmulatedDriver(80, MEMORY, Order.LATE);
        EmulatedDriver small = new EmulatedDriver(80, budget, Order.COPIES_FIRST);
        CudaBackend unlimited = open(large, Precision.FP32);
        CudaBackend limited = open(small, Precision.FP32, 1 << 14)) {
      network = TestNetworks.network(arena, 1, List.of(36, 800, 300, 5),
          List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
      PruningResult expected = prune(unlimited, new Criterion.EliminationCompensation(), new Sensitivity.Jacobian());
      PruningResult found = prune(limited, new Criterion.EliminationCompensation(), new Sensitivity.Jacobian());
      assertSameNetwork(expected.network(), found.network(), 1e-5);
      assertGivesAllBack(limited, small);
    }
  }

  @Test
  void plansBatchesThatFit() {
    long budget = 4 << 20;
    try (EmulatedDriver driver = new EmulatedDriver(80, budget, Order.LATE);
        Backend backend = open(driver, Precision.FP32)) {
      MemoryPlan plan = plan(backend, PruningOptions.builder()).memory();
      assertTrue(plan.batchSize() > 512 && plan.batchSize() < 8192, plan::toString);
      assertTrue(plan.weights() + plan.scores() + plan.batch() <= budget, plan::toString);
      assertEquals(0, plan.onHost());
      OutOfBackendMemoryException refusal = assertThrows(OutOfBackendMemoryException.class,
          () -> plan(backend, PruningOptions.builder().batchSize(8192)));
      assertTrue(refusal.getMessage().startsWith("a batch of 8192 samples needs "), refusal.getMessage());
      assertEquals(Set.of(Remedy.SMALLER_BATCH), refusal.remedies());
    }
  }

  /// In two passes over the samples, one that scores and one that measures.
  @ParameterizedTest
  @CsvSource({"67108864, 1", "2097152, 2"})
  void samplesThatFitAreReadOnce(long budget, int passes) throws IOException {
    AtomicInteger read = new AtomicInteger();
    Dataset counted = Dataset.of(new CountedSamples(
        new MatrixSamples("x", TestNetworks.normal(arena, TestNetworks.random(2), 4000, 36, 1, 0.5)), read));
    PruningOptions options = PruningOptions.builder().sparsity(0.7).batchSize(300).build();
    try (EmulatedDriver driver = new EmulatedDriver(80, budget, Order.COPIES_FIRST);
        CudaBackend backend = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      long stay = PruningPlan.of(options, network, Optional.of(counted), backend).memory().samples();
      assertEquals(passes == 1 ? 4000 * 36 * 4 : 0, stay);
      PruningResult found = new Pruner(backend, options).prune(network, counted, arena);
      assertEquals(passes, read.get());
      assertSameNetwork(new Pruner(reference, options).prune(network, counted, arena).network(), found.network(), 1e-5);
      assertGivesAllBack(backend, driver);
    }
  }

  /// Where the values of its network fit, a joint repair takes no forward pass for a product: of five iterations with five
  /// batches each, and two kernels a layer.
  @Test
  void valuesOfAJointRepairThatFitStay() throws IOException {
    Dataset samples = Dataset
        .of(new MatrixSamples("x", TestNetworks.normal(arena, TestNetworks.random(2), 600, 36, 1, 0.5)));
    PruningOptions options = PruningOptions.builder().sparsity(0.9).batchSize(120)
        .repair(Repairs.parse("joint:mse:outer=1:inner=5")).build();
    double change;
    try (Backend reference = new ReferenceBackend()) {
      change = new Pruner(reference, options).prune(network, samples, arena).measuredChange().orElseThrow();
    }
    List<Long> launches = new ArrayList<>();
    for (long budget : new long[]{MEMORY, 5 << 19}) {
      try (EmulatedDriver driver = new EmulatedDriver(80, budget, Order.LATE);
          CudaBackend backend = open(driver, Precision.FP32)) {
        PruningResult found = new Pruner(backend, options).prune(network, samples, arena);
        assertEquals(change, found.measuredChange().orElseThrow(), 0.1 * change);
        launches.add(driver.launches());
        assertGivesAllBack(backend, driver);
      }
    }
    assertTrue(launches.getFirst() + 5 * 5 * 2 * 3 <= launches.getLast(), launches::toString);
  }

  /// Samples stay on the GPU meanwhile. Rounding grows with the steps of a repair, what it achieves does not.
  @ParameterizedTest
  @ValueSource(strings = {"refit", "joint:kl:4", "refit+distill:mse"})
  void repairsAsTheReferenceDoes(Repairs repair) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.7).schedule(new Schedule.Linear(2)).repair(repair)
        .build();
    Dataset samples = Dataset.of(source.samples());
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        CudaBackend backend = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      assertTrue(PruningPlan.of(options, network, Optional.of(samples), backend).memory().samples() > 0);
      PruningResult expected = new Pruner(reference, options).prune(network, samples, arena);
      PruningResult found = new Pruner(backend, options).prune(network, samples, arena);
      assertEquals(expected.network().zeros(), found.network().zeros());
      double change = expected.measuredChange().orElseThrow();
      assertEquals(change, found.measuredChange().orElseThrow(), 0.1 * change);
      assertGivesAllBack(backend, driver);
    }
  }

  /// Rows and inputs without weights are left out of the systems.
  @Test
  void refitsFewInputsAsTheReferenceDoes() throws IOException {
    Map<String, MatrixView> masks = new LinkedHashMap<>();
    for (DenseLayer layer : network.layers()) {
      MatrixView mask = MatrixView.allocate(arena, layer.outputs(), layer.inputs());
      for (int i = 0; i < mask.rows(); i++) {
        for (int j = 1; j < mask.columns(); j += 3) {
          mask.set(i, j, i % 4 == 1 ? 0 : 1);
        }
      }
      masks.put(layer.name(), mask);
    }
    PruningOptions options = PruningOptions.builder().criterion(new Criterion.Magnitude())
        .target(new Target.Mask(masks)).repair(Repairs.parse("refit:damping=0.1")).measureOutputChange(false).build();
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        CudaBackend backend = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      DenseNetwork expected = new Pruner(reference, options).prune(network, source, arena).network();
      DenseNetwork found = new Pruner(backend, options).prune(network, source, arena).network();
      assertEquals(masks.values().stream().mapToLong(MatrixView::zeros).sum(), found.zeros());
      assertSameNetwork(expected, found, 1e-4);
      assertGivesAllBack(backend, driver);
    }
  }

  /// Who has taken their place takes nothing but time.
  @Test
  void samplesAreReadInEachPassWhereTheirPlaceIsTaken() throws IOException {
    AtomicInteger read = new AtomicInteger();
    Dataset counted = Dataset.of(new CountedSamples(
        new MatrixSamples("x", TestNetworks.normal(arena, TestNetworks.random(2), 8000, 36, 1, 0.5)), read));
    PruningOptions options = PruningOptions.builder().sparsity(0.7).batchSize(100).build();
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        CudaBackend backend = open(driver, Precision.FP32);
        DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningPlan plan = PruningPlan.of(options, network, Optional.of(counted), backend);
      assertEquals(8000 * 36 * 4, plan.memory().samples());
      long left = MEMORY - backend.used() - (1 << 20);
      try (Matrix _ = backend.allocate(1, Math.toIntExact(left / Float.BYTES))) {
        new Pruner(backend, options).prune(plan, network, device, Optional.of(counted), ProgressListener.NONE, arena);
      }
      assertEquals(2, read.get());
    }
  }

  private PruningPlan plan(Backend backend, PruningOptions.Builder options) {
    return PruningPlan.of(options.build(), network, Optional.of(source), backend);
  }

  /// Of layers that are not excluded, and but for the rounding of each of up to nine allocations.
  @ParameterizedTest
  @ValueSource(strings = {"ec", "magnitude", "gradient", "wanda", "random"})
  void plansTheScoresThatAreTaken(Criterion criterion) throws IOException {
    try (CudaBackend backend = open(new EmulatedDriver(80, MEMORY, Order.LATE), Precision.FP32);
        DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      for (Compensation compensation : List.of(new Compensation.None(), new Compensation.Bias())) {
        PruningPlan plan = plan(backend, PruningOptions.builder().criterion(criterion).compensation(compensation)
            .exclude(network.layers().get(1).name()).batchSize(50));
        Scores scores = Scorer.score(backend, device, plan.scoring(), Optional.of(source), ProgressListener.NONE);
        long after = backend.used();
        scores.close();
        long taken = after - backend.used();
        long planned = plan.memory().scores();
        assertTrue(planned <= taken && taken < planned + 2 * 9 * CudaMemory.rounded(1),
            () -> "%s: %d bytes planned, %d taken".formatted(compensation, planned, taken));
      }
      assertEquals(0, backend.hostBytes());
    }
  }

  @Test
  void saysWhatDoesNotFit() {
    long budget = 3 << 19;
    try (EmulatedDriver driver = new EmulatedDriver(80, budget, Order.LATE);
        Backend backend = open(driver, Precision.FP32)) {
      OutOfBackendMemoryException refusal = assertThrows(OutOfBackendMemoryException.class,
          () -> backend.allocate(1000, 1000));
      assertTrue(refusal.getMessage().startsWith("a 1000 × 1000 matrix needs 3.8 MiB: of 1.5 MiB of GPU memory "),
          refusal.getMessage());
      assertEquals(Set.of(Remedy.SMALLER_BATCH, Remedy.MORE_DEVICE_MEMORY), refusal.remedies());
    }
  }

  @Test
  void refusesRowsOnTheHostThatAreLongerThanABuffer() {
    int columns = (int) (2 * SLOT / Float.BYTES);
    try (CudaBackend backend = open(new EmulatedDriver(80, 3 << 19, Order.LATE), Precision.FP32);
        Matrix weights = backend.allocateWeights(200, columns);
        Matrix x = backend.allocate(1, columns);
        Matrix bias = backend.allocate(1, 200);
        Matrix z = backend.allocate(1, 200)) {
      assertEquals(weights.elements() * Float.BYTES, backend.hostBytes());
      OutOfBackendMemoryException refusal = assertThrows(OutOfBackendMemoryException.class,
          () -> backend.network().denseForward(x, weights, bias, z));
      assertEquals("a weight matrix of 2048 columns lies on the host, and a row of it exceeds the 4 KiB that are"
          + " copied at a time", refusal.getMessage());
      assertEquals(Set.of(Remedy.MORE_DEVICE_MEMORY), refusal.remedies());
    }
  }

  @Test
  void trainsAsTheReferenceDoes() throws IOException {
    TrainingOptions options = new TrainingOptions(2, 30, Adam.of(0.01), new Loss.CrossEntropy(), 1, false);
    try (EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
        Backend cuda = open(driver, Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      assertSameNetwork(Trainer.train(reference, network, source, options, ProgressListener.NONE, arena),
          Trainer.train(cuda, network, source, options, ProgressListener.NONE, arena), 1e-4);
    }
  }

  private static final int TRAINED_ON = 300;

  /// A driver that counts what gathers rows, and refuses one allocation of those with which a training brings
  /// samples into the GPU's memory: their order, targets, themselves, what others take.
  private static final class Watched {
    final EmulatedDriver driver = new EmulatedDriver(80, MEMORY, Order.LATE);
    private final int refused;
    private final long orderBytes;
    private final List<Long> allocated = new ArrayList<>();
    int gathered;

    /// @param refused counted from 0; −1: none
    Watched(int refused, int samples) {
      this.refused = refused;
      orderBytes = CudaMemory.rounded((long) samples * Float.BYTES);
    }

    Driver asDriver() {
      return (Driver) Proxy.newProxyInstance(Driver.class.getClassLoader(), new Class<?>[]{Driver.class},
          (_, method, arguments) -> {
            if (arguments != null && arguments[0] instanceof Launch launch
                && launch.kernel().startsWith("gather_rows")) {
              gathered++;
            }
            if (method.getName().equals("allocate")) {
              allocated.add((Long) arguments[0]);
              int order = allocated.lastIndexOf(orderBytes);
              if (order >= 0 && allocated.size() - 1 == order + refused) {
                throw new DeviceMemoryException("refused");
              }
            }
            try {
              return method.invoke(driver, arguments);
            } catch (InvocationTargetException e) {
              throw e.getCause();
            }
          });
    }

    long allocations(long elements) {
      return allocated.stream().filter(bytes -> bytes == CudaMemory.rounded(elements * Float.BYTES)).count();
    }
  }

  /// Samples lie in the backend's memory with their targets and order, or on the host where one of these, or what
  /// others take meanwhile, has no place there.
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3})
  void trainsOnSamplesWhereverTheyLie(int refused) throws IOException {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(2), TRAINED_ON, 36, 1, 0.5);
    MatrixView t = TestNetworks.normal(arena, TestNetworks.random(3), TRAINED_ON, 5, 1, 0);
    TrainingOptions options = new TrainingOptions(3, 70, Adam.of(0.01), new Loss.SquaredError(), 1, false);
    Watched there = new Watched(-1, TRAINED_ON);
    Watched onHost = new Watched(refused, TRAINED_ON);
    assertSameBits(train(there, TestNetworks.source(x, t), options), train(onHost, TestNetworks.source(x, t), options));
    assertEquals(3 * 5 * 2, there.gathered, "samples and targets of each batch");
    assertEquals(0, onHost.gathered);
  }

  private DenseNetwork train(Watched watched, Dataset data, TrainingOptions options) throws IOException {
    try (CudaBackend backend = open(watched.asDriver(), Precision.FP32)) {
      DenseNetwork trained = Trainer.train(backend, network, data, options, ProgressListener.NONE, arena);
      assertGivesAllBack(backend, watched.driver);
      return trained;
    }
  }

  private static void assertSameBits(DenseNetwork expected, DenseNetwork found) {
    for (int l = 0; l < expected.layers().size(); l++) {
      DenseLayer before = expected.layers().get(l);
      DenseLayer after = found.layers().get(l);
      assertArrayEquals(before.weights().toArray(), after.weights().toArray(), before.name());
      assertArrayEquals(before.bias().orElseThrow().toArray(), after.bias().orElseThrow().toArray(), before.name());
    }
  }

  /// An eighth of the memory that matrices may take is less than the samples.
  @Test
  void trainsOnHostSamplesThatWouldTakeTooMuch() throws IOException {
    long budget = 3 << 19;
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(2), 2000, 36, 1, 0.5);
    MatrixView t = TestNetworks.normal(arena, TestNetworks.random(3), 2000, 5, 1, 0);
    TrainingOptions options = new TrainingOptions(1, 100, Adam.of(0.01), new Loss.SquaredError(), 1, false);
    try (EmulatedDriver driver = new EmulatedDriver(80, budget, Order.COPIES_FIRST);
        CudaBackend backend = open(driver, Precision.FP32)) {
      AtomicLong most = new AtomicLong();
      DenseNetwork trained = Trainer.train(backend, network, TestNetworks.source(x, t), options,
          (_, _, _) -> most.accumulateAndGet(backend.used(), Math::max) > 0, arena);
      assertTrue(most.get() > 0 && most.get() < budget, most::toString);
      assertSameBits(train(new Watched(-1, 2000), TestNetworks.source(x, t), options), trained);
      assertGivesAllBack(backend, driver);
    }
  }

  /// Held-out samples are evaluated beside those that are trained on.
  @Test
  void stopsEarlyWhereverSamplesLie() throws IOException {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(2), TRAINED_ON, 36, 1, 0.5);
    MatrixView t = TestNetworks.normal(arena, TestNetworks.random(3), TRAINED_ON, 5, 1, 0);
    TrainingOptions options = new TrainingOptions(3, 70, Adam.of(0.01), new Loss.SquaredError(), 1, false);
    List<DenseNetwork> trained = new ArrayList<>();
    for (int refused : new int[]{-1, 0}) {
      Watched watched = new Watched(refused, TRAINED_ON * 9 / 10);
      try (CudaBackend backend = open(watched.asDriver(), Precision.FP32)) {
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
          EarlyStopping.train(backend, device, TestNetworks.source(x, t), options, 3, ProgressListener.NONE);
          trained.add(device.download(arena));
        }
        assertEquals(refused < 0, watched.gathered > 0);
        assertGivesAllBack(backend, watched.driver);
      }
    }
    assertSameBits(trained.get(0), trained.get(1));
  }

  /// Once scoring has brought them there, samples are not brought there again; magnitudes are scored without any.
  @ParameterizedTest
  @CsvSource({"ec, 1", "magnitude, 3"})
  void distillsOnSamplesWhereverTheyLie(Criterion criterion, int allocations) throws IOException {
    PruningOptions options = PruningOptions.builder().sparsity(0.7).criterion(criterion)
        .schedule(new Schedule.Linear(2)).repair(Repairs.parse("distill:mse")).batchSize(70).build();
    Dataset samples = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), TRAINED_ON, 36, 1, 0.5));
    List<DenseNetwork> pruned = new ArrayList<>();
    for (int refused : new int[]{-1, 0}) {
      Watched watched = new Watched(refused, TRAINED_ON);
      try (CudaBackend backend = open(watched.asDriver(), Precision.FP32)) {
        assertTrue(PruningPlan.of(options, network, Optional.of(samples), backend).memory().samples() > 0);
        pruned.add(new Pruner(backend, options).prune(network, samples, arena).network());
        assertEquals(refused < 0, watched.gathered > 0);
        if (refused < 0) {
          assertEquals(allocations, watched.allocations(TRAINED_ON * 36));
        }
        assertGivesAllBack(backend, watched.driver);
      }
    }
    assertSameBits(pruned.get(0), pruned.get(1));
  }
}
