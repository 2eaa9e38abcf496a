package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class RowShareTest {
  @ParameterizedTest
  @CsvSource({"5, 5", "9, 5", "10, 5", "31, 5", "7, 2"})
  void dividesAsOneMachine(int samples, int every) throws IOException {
    try (Arena arena = Arena.ofShared()) {
      MatrixView numbers = MatrixView.allocate(arena, samples, 1);
      IntStream.range(0, samples).forEach(n -> numbers.set(n, 0, n));
      Dataset.Split split = Dataset.of(new MatrixSamples("x", numbers)).holdOut(every);
      assertSame(split.used(), new RowShare(every, true), samples);
      assertSame(split.heldOut(), new RowShare(every, false), samples);
    }
  }

  private static void assertSame(Dataset expected, RowShare share, int samples) throws IOException {
    assertEquals(expected.samples().name(), share.name("x"));
    long[] taken = LongStream.range(0, samples).filter(share::takes).toArray();
    assertEquals(expected.samples().samples(), taken.length);
    for (int i = 0; i < taken.length; i++) {
      assertEquals(i, share.before(taken[i]));
    }
    try (Batches batches = new Batches(expected, samples)) {
      batches.next();
      float[] read = batches.samples().toArray();
      assertArrayEquals(IntStream.range(0, read.length).mapToLong(i -> (long) read[i]).toArray(), taken);
    }
  }
}
