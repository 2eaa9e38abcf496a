package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.bindings.MathMode;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class LaunchTest {
  private static final Dimensions ONE = Dimensions.of(1);

  /// Keeps what would be launched.
  private static final class Recorder implements Gpu {
    private final List<Launch> launches = new ArrayList<>();

    @Override
    public void launch(Launch launch) {
      launches.add(launch);
    }

    @Override
    public int computeCapability() {
      return 80;
    }

    @Override
    public int multiprocessors() {
      return 4;
    }

    @Override
    public int sharedMemory() {
      return TestGpu.sharedMemory(80);
    }
  }

  /// A matrix of its own place.
  private static DeviceMatrix matrix(int place, int rows, int columns) {
    return new DeviceMatrix((long) place << 30, rows, columns);
  }

  @Test
  void shapesAreJoinedForMessagesAlone() {
    AtomicInteger asked = new AtomicInteger();
    Object shape = new Object() {
      @Override
      public String toString() {
        asked.incrementAndGet();
        return "2×4";
      }
    };
    Launch launch = new Launch("updates", "axpy_256", ONE, ONE, 0, List.of(), List.of("x ", shape));
    assertEquals(0, asked.get());
    assertEquals("axpy_256 on x 2×4 (grid 1×1×1, block 1×1×1, 0 bytes shared)", launch.toString());
  }

  @Test
  void namesAreMadeOnce() {
    Recorder gpu = new Recorder();
    for (int i = 0; i < 2; i++) {
      launchOfEachKind(gpu);
    }
    List<Launch> launches = gpu.launches;
    int half = launches.size() / 2;
    assertTrue(half > 15, launches::toString);
    for (int i = 0; i < half; i++) {
      assertSame(launches.get(i).kernel(), launches.get(half + i).kernel());
    }
  }

  private static void launchOfEachKind(Gpu gpu) {
    DeviceMatrix x = matrix(1, 40, 64);
    DeviceMatrix y = matrix(2, 40, 64);
    DeviceMatrix square = matrix(3, 64, 64);
    DeviceMatrix second = matrix(4, 64, 64);
    DeviceMatrix row = matrix(5, 1, 64);
    DeviceMatrix other = matrix(6, 1, 64);
    DeviceBuffer workspace = new DeviceBuffer(7L << 30, 1 << 30);
    DeviceBuffer small = new DeviceBuffer(8L << 30, 1 << 10);
    UpdatesKernel updates = new UpdatesKernel(gpu);
    updates.add(1, x, y);
    updates.copyColumns(MatrixBlock.of(x), MatrixBlock.of(y));
    updates.gatherRows(x, row, 0, y);
    DenseForwardKernel dense = new DenseForwardKernel(gpu);
    dense.forward(Nonlinearity.GELU, x, row, y);
    dense.backward(Nonlinearity.RELU, x, y, y);
    dense.softmax(x, y);
    for (MathMode mode : List.of(MathMode.FP32, MathMode.TF32)) {
      new DualMomentsKernel(gpu).addMoments(mode, x, y, row, other, square, second, workspace);
      new ProductKernel(gpu).multiply(mode, 1, MatrixBlock.of(x), true, MatrixBlock.of(y), false, 0,
          MatrixBlock.of(square), workspace);
    }
    new ReductionsKernel(gpu).columnSquareSums(1, x, 0, row, workspace);
    new RandomKernel(gpu).unitVectors(x, 40, 0);
    new SolvingKernel(gpu).divide(x, x, x, 1, 1, y);
    new LossesKernel(gpu).squaredError(x, x, y, matrix(9, 40, 1));
    new NormalizationKernel(gpu).normalize(true, 1e-5, x, y);
    new SelectKernel(gpu).rankZerosFirst(x, y, small);
    new EliminationScoresKernel(gpu).absoluteProduct(1, x, row, y);
    new ApplyKernel(gpu).remove(new ApplyKernel.Cut(x, 1, 0, workspace), y, small);
  }
}
