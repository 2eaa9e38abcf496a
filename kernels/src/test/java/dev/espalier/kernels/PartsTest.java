package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Into how many parts launchers split products on a GPU of 132 multiprocessors, such as an H100.
class PartsTest {
  private static final int MULTIPROCESSORS = 132;

  private static final Gpu H100 = new Gpu() {
    @Override
    public void launch(Launch launch) {
      throw new UnsupportedOperationException();
    }

    @Override
    public int computeCapability() {
      return 90;
    }

    @Override
    public int multiprocessors() {
      return MULTIPROCESSORS;
    }

    @Override
    public int sharedMemory() {
      return TestGpu.sharedMemory(90);
    }
  };

  /// 8192 samples by steps of 32, results of 512², 784×300, 1024², 3072×768 and 4096² by tiles of 128².
  @ParameterizedTest
  @CsvSource({"16, 256, 8", "21, 256, 6", "64, 256, 2", "144, 256, 3", "1024, 256, 1", "1, 256, 32", "1, 7, 1"})
  void partsFillTheDeviceEvenly(long tiles, long steps, int parts) {
    assertEquals(parts, Kernels.parts(H100, tiles, steps));
  }

  @Test
  void partialResultsAreBounded() {
    for (long tiles = 1; tiles < 2000; tiles++) {
      for (long steps : new long[]{1, 8, 9, 100, 10_000}) {
        int parts = Kernels.parts(H100, tiles, steps);
        assertTrue(parts == 1 || tiles * parts <= Kernels.MOST_BLOCKS * MULTIPROCESSORS, tiles + " tiles");
        assertTrue(parts == 1 || steps / parts >= 8, steps + " steps");
      }
    }
  }
}
