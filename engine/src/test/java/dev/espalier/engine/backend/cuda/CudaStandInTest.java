package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.NeedsGpu;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.Supplier;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The backend as users open it, through JCuda, over a libcuda.so.1 that stands in for the driver and a libcublas.so.13
/// over it (kernels/src/test/cuda/driver): what a GPU would be asked is asked, by the calls it would be asked with.
@Tag("stand-in")
@ExtendWith(NeedsGpu.class)
final class CudaStandInTest {
  private static final long MEMORY = 256L << 20;
  private static final int ROUNDS = 100;
  /// Of transfer buffers, where backends are opened often.
  private static final long SMALL_SLOT = 1 << 12;

  private static CudaBackend open(Precision precision) {
    return CudaBackend.open(0, new CudaOptions(precision, OptionalLong.of(MEMORY)));
  }

  /// As where there is no cuBLAS.
  private static CudaBackend openWithoutCublas(Precision precision) {
    return CudaBackend.over(new CudaGpu(0), OptionalLong.of(MEMORY),
        (driver, memory) -> CudaProducts.ofKernels(driver, memory, precision), precision, SMALL_SLOT);
  }

  static CudaBackend openSmall(Precision precision) {
    CudaGpu gpu = new CudaGpu(0);
    return CudaBackend.over(gpu, OptionalLong.of(MEMORY), (_, memory) -> CudaProducts.ofCublas(gpu, memory, precision),
        precision, SMALL_SLOT);
  }

  @Nested
  final class Cublas extends BackendContract {
    Cublas() {
      super(() -> openSmall(Precision.FP32), 0x1p-24);
    }
  }

  @Nested
  final class WithoutCublas extends BackendContract {
    WithoutCublas() {
      super(() -> openWithoutCublas(Precision.FP32), 0x1p-24);
    }
  }

  @Test
  void momentsOfWideLayersInFloat32AreProductsOfCublas() {
    checkMomentsOfWideLayers(() -> openSmall(Precision.FP32));
  }

  /// By two products of cuBLAS, as the table says for compute capability 9.0 and this width; integers are exact.
  static void checkMomentsOfWideLayers(Supplier<Backend> open) {
    int samples = 6;
    int outputs = 260;
    int inputs = 258;
    float[][] values = {integers(samples * outputs, 4), integers(samples * inputs, 7), integers(inputs, 3)};
    try (Backend cuda = open.get();
        Backend without = openWithoutCublas(Precision.FP32);
        Backend reference = new ReferenceBackend()) {
      assertNotEquals(without.workspace(samples, outputs, inputs), cuda.workspace(samples, outputs, inputs));
      assertEquals(without.workspace(samples, outputs, 127), cuda.workspace(samples, outputs, 127));
      float[][] expected = moments(reference, samples, outputs, inputs, values);
      float[][] found = moments(cuda, samples, outputs, inputs, values);
      for (int m = 0; m < expected.length; m++) {
        assertArrayEquals(expected[m], found[m], "M" + m);
      }
    }
  }

  private static float[] integers(int count, int below) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = i * 31 % 17 % below;
    }
    return values;
  }

  /// Of s, a and c, added twice.
  private static float[][] moments(Backend backend, int samples, int outputs, int inputs, float[]... values) {
    try (Arena arena = Arena.ofConfined();
        Matrix s = backend.allocate(samples, outputs);
        Matrix a = backend.allocate(samples, inputs);
        Matrix c = backend.allocate(1, inputs);
        Matrix m0 = backend.allocate(1, outputs);
        Matrix m1 = backend.allocate(outputs, inputs);
        Matrix m2 = backend.allocate(outputs, inputs)) {
      backend.upload(MatrixView.of(arena, samples, outputs, values[0]), s);
      backend.upload(MatrixView.of(arena, samples, inputs, values[1]), a);
      backend.upload(MatrixView.of(arena, 1, inputs, values[2]), c);
      for (int i = 0; i < 2; i++) {
        backend.moments().addMoments(s, a, c, m0, m1, m2);
      }
      return new float[][]{backend.download(m0, arena).toArray(), backend.download(m1, arena).toArray(),
          backend.download(m2, arena).toArray()};
    }
  }

  /// Launchers pick tiles by it: compute capabilities 8.0 and 8.6 run the same code.
  @ParameterizedTest
  @CsvSource({"80, 164", "86, 100", "89, 100", "90, 228", "120, 100"})
  void theDriverStatesTheSharedMemory(int computeCapability, int kilobytes) {
    StandIn.play("compute capability", computeCapability);
    try (CudaGpu gpu = new CudaGpu(0)) {
      assertEquals(kilobytes << 10, gpu.sharedMemory());
      assertEquals(kilobytes << 10, gpu.in(Driver.Stream.COPY).sharedMemory());
    } finally {
      StandIn.succeed();
    }
  }

  /// 1 + 2⁻¹² has more bits than TF32, 1 + 2⁻⁹ more than bfloat16.
  @Test
  void cublasRoundsAsThePrecisionSays() {
    float[] factors = {1, 1 + 0x1p-9f, 1 + 0x1p-12f};
    assertArrayEquals(factors, productsWithOne(Precision.FP32, factors));
    assertArrayEquals(new float[]{1, 1 + 0x1p-9f, 1}, productsWithOne(Precision.TF32, factors));
    assertArrayEquals(new float[]{1, 1, 1}, productsWithOne(Precision.BF16, factors));
  }

  /// Of TF32, the factor B is transposed first where A is tall: into workspace that the plan knows.
  @Test
  void tallProductsAreOfTheTransposedFactor() {
    int rows = TransposingProducts.ROWS;
    try (Arena arena = Arena.ofConfined();
        Backend backend = open(Precision.TF32);
        Matrix a = backend.allocate(rows, 5);
        Matrix b = backend.allocate(5, 7);
        Matrix c = backend.allocate(rows, 7)) {
      assertTrue(backend.workspace(1, 3000, 2000) >= 4 * 3000 * 2000);
      float[] x = integers(rows * 5, 9);
      float[] y = integers(5 * 7, 8);
      backend.upload(MatrixView.of(arena, rows, 5, x), a);
      backend.upload(MatrixView.of(arena, 5, 7, y), b);
      backend.network().product(2, a, false, b, false, 0, c);
      backend.network().product(1, a, false, b, false, 1, c);
      float[] found = backend.download(c, arena).toArray();
      for (int i = 0; i < found.length; i++) {
        float sum = 0;
        for (int k = 0; k < 5; k++) {
          sum += x[i / 7 * 5 + k] * y[k * 7 + i % 7];
        }
        assertEquals(3 * sum, found[i]);
      }
    }
  }

  private static float[] productsWithOne(Precision precision, float[] factors) {
    try (Arena arena = Arena.ofConfined();
        Backend backend = open(precision);
        Matrix column = backend.allocate(factors.length, 1);
        Matrix one = backend.allocate(1, 1);
        Matrix products = backend.allocate(factors.length, 1)) {
      backend.upload(MatrixView.of(arena, factors.length, 1, factors), column);
      backend.upload(MatrixView.of(arena, 1, 1, 1), one);
      backend.network().product(1, column, false, one, false, 0, products);
      return backend.download(products, arena).toArray();
    }
  }

  @Test
  void prunesAsTheReferenceDoes() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(40, 36, 20, 4),
          List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX));
      Dataset source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 100, 40, 1, 0.5));
      PruningOptions options = PruningOptions.builder().sparsity(0.7).batchSize(20).build();
      float[] expected = biases(new ReferenceBackend(), options, network, source, arena);
      for (Backend backend : List.of(open(Precision.TF32), openWithoutCublas(Precision.TF32))) {
        assertArrayEquals(expected, biases(backend, options, network, source, arena), 0.01f);
      }
      assertEquals(StandIn.NOTHING, StandIn.counts());
    }
  }

  @Test
  void theMaskOfAPruningRepeatsIt() throws IOException {
    try (Arena arena = Arena.ofConfined(); Backend backend = open(Precision.TF32)) {
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(40, 36, 4),
          List.of(Activation.RELU, Activation.IDENTITY));
      Dataset source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 50, 40, 1, 0.5));
      PruningOptions options = PruningOptions.builder().sparsity(0.7).build();
      DenseNetwork pruned = new Pruner(backend, options).prune(network, source, arena).network();
      Map<String, MatrixView> masks = new HashMap<>();
      for (DenseLayer layer : pruned.layers()) {
        MatrixView mask = layer.weights().copy(arena);
        for (long i = 0; i < mask.elements(); i++) {
          mask.segment().setAtIndex(MatrixView.ELEMENT, i,
              mask.segment().getAtIndex(MatrixView.ELEMENT, i) == 0 ? 0 : 1);
        }
        masks.put(layer.name(), mask);
      }
      DenseNetwork again = new Pruner(backend, options.withTarget(new Target.Mask(masks))).prune(network, source, arena)
          .network();
      for (int l = 0; l < 2; l++) {
        assertArrayEquals(pruned.layers().get(l).weights().toArray(), again.layers().get(l).weights().toArray());
        assertArrayEquals(pruned.layers().get(l).bias().orElseThrow().toArray(),
            again.layers().get(l).bias().orElseThrow().toArray());
      }
    }
  }

  @Test
  void givesEverythingBackEveryTime() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(6, 5, 3),
          List.of(Activation.RELU, Activation.IDENTITY));
      Dataset source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 30, 6, 1, 0.5));
      // Three batches, so that the work of a batch is done, recorded and launched.
      PruningOptions options = PruningOptions.builder().sparsity(0.5).batchSize(10).build();
      float[] expected = biases(openSmall(Precision.FP32), options, network, source, arena);
      for (int i = 0; i < ROUNDS; i++) {
        assertArrayEquals(expected, biases(openSmall(Precision.FP32), options, network, source, arena));
        assertEquals(StandIn.NOTHING, StandIn.counts());
      }
    }
  }

  /// Of the first layer, after pruning; closes the backend.
  private static float[] biases(Backend backend, PruningOptions options, DenseNetwork network, Dataset source,
      Arena arena) throws IOException {
    try (backend) {
      return new Pruner(backend, options).prune(network, source, arena).network().layers().getFirst().bias()
          .orElseThrow().toArray();
    }
  }

  @Test
  void memoryStaysInThePoolWhileABackendIsOpen() {
    assertEquals(StandIn.NOTHING, StandIn.counts());
    try (CudaBackend backend = open(Precision.TF32)) {
      assertEquals(-1, StandIn.count("threshold")); // the most, unsigned
      long used = StandIn.count("used");
      backend.allocate(1000, 1000).close();
      backend.synchronize();
      assertEquals(used, StandIn.count("used"));
      assertTrue(StandIn.count("reserved") >= used + 4_000_000);
      try (CudaBackend other = open(Precision.TF32)) {
        other.synchronize();
      }
      assertEquals(-1, StandIn.count("threshold"));
      assertEquals(StandIn.count("used"), StandIn.count("reserved")); // closing gave back what was unused
    }
    assertEquals(StandIn.NOTHING, StandIn.counts());
  }

  @Test
  void memoryInThePoolCountsAsFree() {
    try (CudaGpu gpu = new CudaGpu(0)) {
      long free = gpu.freeMemory();
      gpu.free(gpu.allocate(1 << 20));
      gpu.synchronize();
      assertEquals(1 << 20, StandIn.count("reserved"));
      assertEquals(free, gpu.freeMemory());
    }
  }
}
