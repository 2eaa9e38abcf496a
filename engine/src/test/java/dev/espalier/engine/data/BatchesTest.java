package dev.espalier.engine.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class BatchesTest {
  private final Arena arena = Arena.ofShared();

  @AfterEach
  void close() {
    arena.close();
  }

  /// Row n is n, 10 n; the label is n + 1.
  private Dataset source(int samples) {
    MatrixView x = MatrixView.allocate(arena, samples, 2);
    MatrixView y = MatrixView.allocate(arena, samples, 1);
    for (int n = 0; n < samples; n++) {
      x.set(n, 0, n);
      x.set(n, 1, 10 * n);
      y.set(n, 0, n + 1);
    }
    return Dataset.of(new MatrixSamples("x", x), new MatrixSamples("y", y));
  }

  /// The first samples of the batches, each checked to be whole.
  private static List<Long> firsts(Batches batches) throws IOException {
    List<Long> firsts = new ArrayList<>();
    try (batches) {
      while (batches.next()) {
        firsts.add(batches.first());
        for (int n = 0; n < batches.samples().rows(); n++) {
          float number = (int) batches.first() + n;
          assertEquals(10 * number, batches.samples().get(n, 1));
          assertEquals(number + 1, batches.labels().get(n, 0));
        }
        assertEquals(batches.first() + batches.samples().rows(), batches.end());
      }
    }
    return firsts;
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "10, 3, 1", "10, 3, 2", "10, 3, 4", "9, 3, 3", "2, 1, 5", "100, 7, 3"})
  void everyPartGetsItsBatchesOnItsOwnThread(int samples, int batchSize, int parts) throws Exception {
    try (ExecutorService threads = Executors.newFixedThreadPool(parts)) {
      List<Future<List<Long>>> found = new ArrayList<>();
      for (Batches part : Batches.divided(source(samples), batchSize, parts)) {
        found.add(threads.submit(() -> firsts(part)));
      }
      for (int i = 0; i < parts; i++) {
        List<Long> expected = new ArrayList<>();
        for (long first = (long) i * batchSize; first < samples; first += (long) parts * batchSize) {
          expected.add(first);
        }
        assertEquals(expected, found.get(i).get());
      }
    }
  }

  @Test
  void aBadSampleEndsThePassForAll() throws Exception {
    Dataset source = source(40);
    ((MatrixSamples) source.samples()).values().set(17, 1, Float.POSITIVE_INFINITY);
    ((MatrixSamples) source.samples()).values().set(25, 0, Float.NaN);
    try (ExecutorService threads = Executors.newFixedThreadPool(3)) {
      List<Future<List<Long>>> found = new ArrayList<>();
      for (Batches part : Batches.divided(source, 4, 3)) {
        found.add(threads.submit(() -> firsts(part)));
      }
      assertEquals(List.of(0L, 12L), found.get(0).get());
      assertEquals("x is Infinity at [17, 1] (sample, column): samples and labels must be finite",
          assertThrows(ExecutionException.class, () -> found.get(1).get()).getCause().getMessage());
      assertEquals(List.of(8L), found.get(2).get());
    }
  }

  /// Two buffers, whose batches are copied when they are taken, as those of a device are.
  private final class TwoBuffers implements BatchBuffers {
    private final List<MatrixView> buffers = List.of(MatrixView.allocate(arena, 4, 2),
        MatrixView.allocate(arena, 4, 2));
    private final List<Float> taken = new ArrayList<>();
    private boolean closed;

    @Override
    public int count() {
      return 2;
    }

    @Override
    public MatrixView buffer(int number) {
      return buffers.get(number);
    }

    @Override
    public long take(int number, int rows) {
      MatrixView batch = buffers.get(number).slice(0, rows);
      for (int n = 0; n < rows; n++) {
        taken.add(batch.get(n, 1));
      }
      return batch.firstNonFinite();
    }

    @Override
    public void close() {
      closed = true;
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 4, 5, 8, 42})
  void batchesAreReadAheadInOrder(int samples) throws IOException {
    TwoBuffers buffers = new TwoBuffers();
    try (Batches batches = new Batches(source(samples), buffers)) {
      for (int first = 0; first < samples; first += 4) {
        assertTrue(batches.next());
        assertEquals(first, batches.first());
        assertEquals(Math.min(4, samples - first), batches.rows());
        assertEquals((float) (first + batches.rows()), batches.labels().get(batches.rows() - 1, 0));
      }
      assertFalse(batches.next());
      assertFalse(batches.next());
    }
    for (int n = 0; n < samples; n++) {
      assertEquals(10f * n, buffers.taken.get(n));
    }
    assertEquals(samples, buffers.taken.size());
    assertTrue(buffers.closed);
  }

  /// Samples come before labels, and batches before both, whichever thread has met them first.
  @Test
  void failuresComeInOrderWhereBatchesAreReadAhead() throws IOException {
    for (boolean badSample : new boolean[]{true, false}) {
      Dataset source = source(40);
      ((MatrixSamples) source.labels().orElseThrow()).values().set(9, 0, Float.NaN);
      if (badSample) {
        ((MatrixSamples) source.samples()).values().set(11, 1, Float.POSITIVE_INFINITY);
      }
      try (Batches batches = new Batches(source, new TwoBuffers())) {
        assertTrue(batches.next());
        assertTrue(batches.next());
        IOException e = assertThrows(IOException.class, batches::next);
        assertEquals((badSample ? "x is Infinity at [11, 1]" : "y is NaN at [9, 0]")
            + " (sample, column): samples and labels must be finite", e.getMessage());
      }
    }
  }

  @Test
  void aFailureOfTheReaderIsThrownWhereItIsWaitedFor() throws IOException {
    SampleSource narrow = new MatrixSamples("x", MatrixView.allocate(arena, 9, 1)); // not of the buffers' width
    try (Batches batches = new Batches(Dataset.of(narrow), new TwoBuffers())) {
      assertEquals("x has rows of 1, the target of 2",
          assertThrows(IllegalArgumentException.class, batches::next).getMessage());
      assertFalse(batches.next());
    }
  }

  @Test
  void aPassThatReadsAheadEndsAtAnyTime() throws IOException {
    for (int used = 0; used < 4; used++) {
      TwoBuffers buffers = new TwoBuffers();
      Batches batches = new Batches(source(100), buffers);
      for (int i = 0; i < used; i++) {
        assertTrue(batches.next());
      }
      Thread.currentThread().interrupt(); // of a caller who cancels
      batches.close();
      assertTrue(Thread.interrupted());
      assertTrue(buffers.closed);
      batches.close();
      assertTrue(Thread.getAllStackTraces().keySet().stream().noneMatch(t -> t.getName().equals("espalier-reader")));
    }
  }

  /// What its own thread alone may read is read there, into one of the buffers.
  @Test
  void aSourceOfOneThreadIsNotReadAhead() throws IOException {
    try (Arena own = Arena.ofConfined()) {
      MatrixView x = MatrixView.allocate(own, 10, 2);
      TwoBuffers buffers = new TwoBuffers();
      try (Batches batches = new Batches(Dataset.of(new MatrixSamples("x", x)), buffers)) {
        while (batches.next()) {
          assertEquals(0, batches.samples().get(0, 0));
        }
      }
      assertEquals(10, buffers.taken.size());
    }
  }

  @Test
  void closingOneEndsThePassForAll() throws Exception {
    List<Batches> parts = Batches.divided(source(40), 4, 2);
    try (ExecutorService threads = Executors.newSingleThreadExecutor()) {
      assertTrue(parts.get(0).next());
      Future<List<Long>> other = threads.submit(() -> firsts(parts.get(1)));
      parts.get(0).close();
      assertTrue(other.get().size() <= 1);
    }
    parts.get(0).close(); // once more is no error
  }

  @Test
  void aBatchThatWasReadStaysWhileOthersRead() throws Exception {
    List<Batches> parts = Batches.divided(source(8), 4, 2);
    try (Batches first = parts.get(0); Batches second = parts.get(1)) {
      assertTrue(first.next());
      assertTrue(second.next());
      assertEquals(0, first.samples().get(0, 0));
      assertEquals(4, second.samples().get(0, 0));
      assertFalse(first.next());
      assertFalse(second.next());
    }
  }
}
