package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.NeedsGpu;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/// The backend on a GPU; skipped where there is none. The contracts' tests share an open GPU and cuBLAS: to open and close
/// both takes a hundred times as long as most of them.
@Tag("gpu")
@ExtendWith(NeedsGpu.class)
final class CudaDeviceTest {
  /// A weight more or less differs by what scores within rounding of the threshold do.
  private static final double TF32_MASK_DIFFERENCE = 0.005;
  /// Of the contracts, which ask for more than all of it.
  private static final long MEMORY = 256L << 20;
  /// Backends that are opened, used and closed. Each takes more memory than may be missing after all.
  private static final int ROUNDS = 20;
  private static final long MOST_MISSING = 16L << 20;

  private static KeptGpu kept;

  /// Opens the GPU for the first test that needs it: where there is none, tests are skipped.
  private static KeptGpu kept() {
    if (kept == null) {
      kept = new KeptGpu();
    }
    return kept;
  }

  @AfterAll
  static void closeKept() {
    if (kept != null) {
      kept.close();
      kept = null;
    }
  }

  @Nested
  final class Fp32 extends BackendContract {
    Fp32() {
      super(() -> kept().backend(Precision.FP32, MEMORY), 0x1p-24);
    }
  }

  @Nested
  final class Tf32 extends BackendContract {
    Tf32() {
      super(() -> kept().backend(Precision.TF32, MEMORY), 0x1p-10); // cuBLAS cuts, where our kernels round
    }
  }

  /// Whole prunings by backends as users open them.
  @Nested
  final class Prunings {
    private final Arena arena = Arena.ofShared();
    private DenseNetwork network;
    private Dataset source;

    @BeforeEach
    void generate() {
      kept(); // else each backend would create the GPU's context again
      network = TestNetworks.network(arena, 1, List.of(300, 260, 200, 10),
          List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX));
      source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 2000, 300, 1, 0.5));
    }

    @AfterEach
    void close() {
      arena.close();
    }

    private static CudaBackend open(Precision precision) {
      return CudaBackend.open(0, new CudaOptions(precision, OptionalLong.empty()));
    }

    private PruningResult prune(Backend backend) throws IOException {
      return prune(backend, 600);
    }

    private PruningResult prune(Backend backend, int batchSize) throws IOException {
      PruningOptions options = PruningOptions.builder().sparsity(0.8).batchSize(batchSize).build();
      return new Pruner(backend, options).prune(network, source, arena);
    }

    /// The fraction of weights that are zero in one network and not in the other.
    private static double difference(DenseNetwork one, DenseNetwork other) {
      long different = 0;
      for (int l = 0; l < one.layers().size(); l++) {
        float[] a = one.layers().get(l).weights().toArray();
        float[] b = other.layers().get(l).weights().toArray();
        for (int i = 0; i < a.length; i++) {
          different += (a[i] == 0) == (b[i] == 0) ? 0 : 1;
        }
      }
      return (double) different / one.weights();
    }

    @Test
    void prunesAsTheReferenceDoes() throws IOException {
      try (Backend fp32 = open(Precision.FP32);
          Backend tf32 = open(Precision.TF32);
          Backend reference = new ReferenceBackend()) {
        PruningResult expected = prune(reference);
        double change = expected.measuredChange().orElseThrow();
        PruningResult exact = prune(fp32);
        assertTrue(difference(expected.network(), exact.network()) < 1e-5);
        assertEquals(change, exact.measuredChange().orElseThrow(), 1e-4 * change);
        PruningResult rounded = prune(tf32);
        assertTrue(difference(expected.network(), rounded.network()) < TF32_MASK_DIFFERENCE);
        assertEquals(change, rounded.measuredChange().orElseThrow(), 0.02 * change);
      }
    }

    /// Of weights and the two moments of each, a part lies in host memory.
    @Test
    void prunesWhatDoesNotFit() throws IOException {
      network = TestNetworks.network(arena, 1, List.of(300, 3000, 3000, 10),
          List.of(Activation.RELU, Activation.RELU, Activation.IDENTITY));
      source = TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 300, 300, 1, 0.5));
      CudaOptions limited = new CudaOptions(Precision.FP32, OptionalLong.of(240L << 20));
      try (Backend small = CudaBackend.open(0, limited); Backend large = open(Precision.FP32)) {
        assertTrue(small.memory().orElseThrow().forWeights() < 3L * Float.BYTES * network.weights());
        assertTrue(difference(prune(large, 64).network(), prune(small, 64).network()) < 1e-5);
      }
    }

    @Test
    void givesTheSameBitsEveryTimeAndFromEveryThread() throws Exception {
      try (ExecutorService threads = Executors.newFixedThreadPool(3)) {
        Callable<float[]> run = () -> {
          try (Backend backend = open(Precision.TF32)) {
            return prune(backend).network().layers().getFirst().bias().map(MatrixView::toArray).orElseThrow();
          }
        };
        float[] expected = run.call();
        for (Future<float[]> found : threads.invokeAll(List.of(run, run, run))) {
          assertArrayEquals(expected, found.get());
        }
      }
    }

    @Test
    void givesItsMemoryBack() throws IOException {
      prune(2); // what the context and the libraries keep
      try (CudaGpu gpu = new CudaGpu(0)) {
        long before = gpu.freeMemory();
        prune(ROUNDS);
        long missing = before - gpu.freeMemory();
        assertTrue(Math.abs(missing) < MOST_MISSING, missing + " bytes");
      }
    }

    private void prune(int times) throws IOException {
      for (int i = 0; i < times; i++) {
        try (Backend backend = open(Precision.TF32)) {
          prune(backend);
        }
      }
    }
  }
}
