package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.TestNetworks;
import dev.espalier.kernels.CudaGpu;
import dev.espalier.kernels.NeedsGpu;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/// The backend as users open it, through JCuda, over a libcuda.so.1 that stands in for the driver
/// (kernels/src/test/cuda/driver): what a GPU would be asked is asked, by the calls it would be asked with.
@Tag("stand-in")
@ExtendWith(NeedsGpu.class)
final class CudaStandInTest {
  private static CudaBackend open(Precision precision) {
    return CudaBackend.open(0,
        new BackendOptions(1, Optional.of(precision), OptionalLong.of(256L << 20)));
  }

  @Nested
  final class Contract extends BackendContract {
    @Override
    Backend open() {
      return CudaStandInTest.open(Precision.FP32);
    }

    @Override
    double unitRoundoff() {
      return 0x1p-24;
    }
  }

  @Test
  void prunesAsTheReferenceDoesAndGivesItsMemoryBack() throws IOException {
    try (Arena arena = Arena.ofConfined(); CudaGpu gpu = new CudaGpu(0)) {
      DenseNetwork network = TestNetworks.network(arena, 1, List.of(40, 36, 20, 4),
          List.of(Activation.RELU, Activation.TANH, Activation.SOFTMAX));
      CalibrationSource source = TestNetworks
          .source(TestNetworks.normal(arena, TestNetworks.random(2), 100, 40, 1, 0.5));
      PruningOptions options = PruningOptions.builder().sparsity(0.7).batchSize(20).build();
      float[] expected = biases(new ReferenceBackend(), options, network, source, arena);
      long free = gpu.freeMemory();
      for (int i = 0; i < 3; i++) {
        assertArrayEquals(expected, biases(open(Precision.TF32), options, network, source, arena), 0.01f);
        assertEquals(free, gpu.freeMemory());
      }
    }
  }

  /// Of the first layer, after pruning; closes the backend.
  private static float[] biases(Backend backend, PruningOptions options, DenseNetwork network,
      CalibrationSource source, Arena arena) throws IOException {
    try (backend) {
      return new Pruner(backend, options).prune(network, source, arena).network().layers().getFirst().bias()
          .orElseThrow().toArray();
    }
  }

  @Test
  void autoTakesIt() {
    try (Backend backend = Device.AUTO.open()) {
      String description = backend.description();
      assertEquals("cuda (Stand-in, compute capability 9.0, products in tf32 by ",
          description.substring(0, description.indexOf(" by ") + 4));
    }
  }

  @Test
  void refusesAGpuThatIsNotThere() {
    assertEquals("there is no GPU 3: this process sees 1, numbered from 0",
        assertThrows(IllegalStateException.class, () -> Device.parse("cuda:3").open()).getMessage());
  }

  @Test
  void refusesABudgetThatIsTooSmall() {
    BackendOptions options = new BackendOptions(1, Optional.empty(), OptionalLong.of(1 << 10));
    assertThrows(OutOfBackendMemoryException.class, () -> Device.CUDA.open(options, _ -> {}));
  }
}
