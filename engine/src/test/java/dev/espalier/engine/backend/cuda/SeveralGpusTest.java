package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.training.EvaluationPass;
import dev.espalier.kernels.EmulatedDriver;
import dev.espalier.kernels.EmulatedDriver.Order;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Passes that several GPUs share, over devices that the CPU plays: none reaches the memory of another.
final class SeveralGpusTest {
  private static final int SAMPLES = 130;

  private final Arena arena = Arena.ofShared();
  private DenseNetwork network;
  private Dataset source;

  @BeforeEach
  void generate() {
    network = TestNetworks.network(arena, 1, List.of(18, 17, 9, 5),
        List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX));
    MatrixView labels = MatrixView.allocate(arena, SAMPLES, 1);
    for (int n = 0; n < SAMPLES; n++) {
      labels.set(n, 0, n % 5);
    }
    source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), SAMPLES, 18, 1, 0.5), labels);
  }

  @AfterEach
  void close() {
    arena.close();
  }

  /// The drivers of as many GPUs, and a backend over them.
  private record Gpus(List<EmulatedDriver> drivers, CudaBackend backend) implements AutoCloseable {
    static Gpus of(long... memory) {
      List<EmulatedDriver> drivers = Arrays.stream(memory).mapToObj(bytes -> new EmulatedDriver(80, bytes, Order.LATE))
          .toList();
      return new Gpus(drivers, CudaBackend.together(drivers.stream()
          .<Supplier<CudaBackend>>map(driver -> () -> CudaBackendTest.open(driver, Precision.FP32)).toList()));
    }

    static Gpus two() {
      return of(CudaBackendTest.MEMORY, CudaBackendTest.MEMORY);
    }

    /// Closes all, of which nothing is left.
    @Override
    public void close() {
      backend.close();
      drivers.forEach(driver -> assertEquals(0, driver.allocations()));
    }
  }

  private static PruningOptions.Builder options() {
    return PruningOptions.builder().sparsity(0.7).batchSize(30);
  }

  private PruningResult prune(Backend backend, PruningOptions options) throws IOException {
    return new Pruner(backend, options).prune(network, source, arena);
  }

  private static List<float[]> parameters(DenseNetwork network) {
    return network.layers().stream()
        .flatMap(layer -> Stream.of(layer.weights().toArray(), layer.bias().orElseThrow().toArray())).toList();
  }

  private static void assertSameBits(DenseNetwork expected, DenseNetwork found) {
    List<float[]> all = parameters(found);
    for (int i = 0; i < all.size(); i++) {
      assertArrayEquals(parameters(expected).get(i), all.get(i));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"ec", "gradient", "wanda"})
  void scoresAsTheReferenceDoes(Criterion criterion) throws IOException {
    PruningOptions options = options().criterion(criterion).build();
    try (Gpus gpus = Gpus.two(); Backend reference = new ReferenceBackend()) {
      DenseNetwork expected = prune(reference, options).network();
      long alone = gpus.drivers().getLast().launches();
      DenseNetwork found = prune(gpus.backend(), options).network();
      assertTrue(gpus.drivers().getLast().launches() > alone + 20, "the second GPU works, too");
      for (int l = 0; l < expected.layers().size(); l++) {
        DenseLayer wanted = expected.layers().get(l);
        assertArrayEquals(wanted.weights().toArray(), found.layers().get(l).weights().toArray(), 0);
        assertArrayEquals(wanted.bias().orElseThrow().toArray(), found.layers().get(l).bias().orElseThrow().toArray(),
            1e-5f);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"refit", "joint:kl:4:outer=1:inner=3", "refit+joint:mse:outer=1:inner=3"})
  void repairsAsTheReferenceDoesAndRepeatsTheBits(Repairs repair) throws IOException {
    PruningOptions options = options().repair(repair).build();
    try (Gpus gpus = Gpus.two(); Backend reference = new ReferenceBackend()) {
      PruningResult expected = prune(reference, options);
      double change = expected.measuredChange().orElseThrow();
      PruningResult found = prune(gpus.backend(), options);
      assertEquals(expected.network().zeros(), found.network().zeros());
      assertEquals(change, found.measuredChange().orElseThrow(), 1e-3 * change);
      assertSameBits(found.network(), prune(gpus.backend(), options).network());
    }
  }

  @Test
  void prunesGraphs() throws IOException {
    for (long seed = 1; seed <= 5; seed++) {
      DenseNetwork graph = TestNetworks.network(arena, seed,
          seed <= 3 ? TestNetworks.graph(seed, 10) : TestNetworks.tiedGraph(seed, 12));
      Dataset samples = TestNetworks
          .source(TestNetworks.normal(arena, TestNetworks.random(2), SAMPLES, graph.inputs(), 1, 0.5));
      PruningOptions options = options().repair(Repairs.parse("refit+joint:outer=1:inner=2")).build();
      try (Gpus gpus = Gpus.two(); Backend reference = new ReferenceBackend()) {
        double expected = new Pruner(reference, options).prune(graph, samples, arena).measuredChange().orElseThrow();
        double found = new Pruner(gpus.backend(), options).prune(graph, samples, arena).measuredChange().orElseThrow();
        assertEquals(expected, found, 1e-3 * expected + 1e-6);
      }
    }
  }

  @Test
  void seeksMinimaOnAll() throws IOException {
    PruningOptions options = options().criterion(new Criterion.NonlinearEliminationCompensation())
        .exclude(network.layers().getFirst().name(), network.layers().get(1).name()).sparsity(0.3).allowSlow(true)
        .build();
    try (Gpus gpus = Gpus.two(); Backend reference = new ReferenceBackend()) {
      double expected = prune(reference, options).measuredChange().orElseThrow();
      assertEquals(expected, prune(gpus.backend(), options).measuredChange().orElseThrow(), 0.01 * expected);
    }
  }

  @Test
  void evaluatesAsTheReferenceDoes() throws IOException {
    try (Gpus gpus = Gpus.two(); Backend reference = new ReferenceBackend()) {
      List<EvaluationPass.Result> expected = evaluate(reference);
      List<EvaluationPass.Result> found = evaluate(gpus.backend());
      assertTrue(gpus.drivers().getLast().launches() > 0);
      for (int i = 0; i < 2; i++) {
        double loss = expected.get(i).evaluation().orElseThrow().loss();
        assertEquals(loss, found.get(i).evaluation().orElseThrow().loss(), 1e-5 * loss);
        assertEquals(expected.get(i).evaluation().orElseThrow().accuracy(),
            found.get(i).evaluation().orElseThrow().accuracy());
        assertEquals(expected.get(i).outputChange(), found.get(i).outputChange(), 1e-5);
      }
    }
  }

  private List<EvaluationPass.Result> evaluate(Backend backend) throws IOException {
    DenseNetwork other = TestNetworks.network(arena, 5, List.of(18, 17, 9, 5),
        List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX));
    try (DeviceNetwork one = DeviceNetwork.copyOf(backend, network);
        DeviceNetwork two = DeviceNetwork.copyOf(backend, other)) {
      return EvaluationPass.run(backend, List.of(one, two), source, Optional.of(new Loss.CrossEntropy()), 30,
          ProgressListener.NONE);
    }
  }

  /// What fits the smaller one, each takes.
  @Test
  void plansForTheSmallest() {
    PruningOptions options = PruningOptions.builder().sparsity(0.7).build();
    try (Gpus gpus = Gpus.of(CudaBackendTest.MEMORY, 4 << 20); Gpus one = Gpus.of(4 << 20)) {
      PruningPlan plan = PruningPlan.of(options, network, Optional.of(source), gpus.backend());
      assertEquals(PruningPlan.of(options, network, Optional.of(source), one.backend()).memory().batchSize(),
          plan.memory().batchSize());
      assertEquals(2, plan.memory().devices());
      assertTrue(plan.memory().toString().endsWith(" on each of 2 devices"), plan.memory()::toString);
      assertTrue(gpus.backend().description().startsWith("cuda (2 GPUs, the first emulated GPU, "),
          gpus.backend().description());
    }
  }

  /// So few that a part could be empty.
  @Test
  void fewSamplesAreTheFirstOnes() {
    try (Gpus gpus = Gpus.two()) {
      assertEquals(1, gpus.backend().devices(127).backends().size());
      assertEquals(2, gpus.backend().devices(128).backends().size());
    }
  }

  @Test
  void oneFailureEndsAll() {
    try (Gpus gpus = Gpus.two()) {
      for (int failing = 0; failing < 2; failing++) {
        int number = failing;
        assertEquals("broken", assertThrows(IOException.class,
            () -> SampleBatches.share(gpus.backend().devices(SAMPLES), source, 10, (worker, batches) -> {
              while (batches.next()) {
                if (worker == number && batches.first() > 50) {
                  throw new IOException("broken");
                }
              }
            })).getMessage());
      }
    }
  }

  @Test
  void whatCannotBeOpenedClosesTheOthers() {
    EmulatedDriver driver = new EmulatedDriver(80, CudaBackendTest.MEMORY, Order.LATE);
    List<Supplier<CudaBackend>> gpus = List.of(() -> CudaBackendTest.open(driver, Precision.FP32), () -> {
      throw new IllegalStateException("no such GPU");
    });
    assertEquals("no such GPU",
        assertThrows(IllegalStateException.class, () -> CudaBackend.together(gpus)).getMessage());
    assertEquals(0, driver.allocations());
  }
}
