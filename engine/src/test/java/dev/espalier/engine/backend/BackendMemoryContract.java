package dev.espalier.engine.backend;

import static dev.espalier.engine.backend.TestBackend.filled;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.data.CountedSamples;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// A backend's memory, queue and timeline.
public interface BackendMemoryContract {
  /// The backend of a test.
  TestBackend on();

  private Backend backend() {
    return on().backend();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 8, 9, 31, 33, 300})
  default void returnsWhatWasUploaded(int size) {
    float[] values = on().normal(size * (size + 1));
    Matrix matrix = on().upload(size, size + 1, values);
    assertArrayEquals(values, on().download(matrix));
    assertEquals(size, matrix.rows());
    assertEquals(size + 1, matrix.columns());
    assertEquals(values.length, matrix.elements());
  }

  @Test
  default void allocatesZeros() {
    on().upload(3, 11, filled(33, 7)).close(); // memory that may be used again
    assertArrayEquals(new float[33], on().download(on().zeros(3, 11)));
    assertArrayEquals(new float[33], on().download(on().own(backend().allocateWeights(3, 11))));
  }

  @Test
  default void copiesOnUpload() {
    MatrixView source = on().view(2, 3, 1, 2, 3, 4, 5, 6);
    Matrix matrix = on().zeros(2, 3);
    backend().upload(source, matrix);
    source.segment().fill((byte) 0);
    assertArrayEquals(new float[]{1, 2, 3, 4, 5, 6}, on().download(matrix));
  }

  @Test
  default void downloadsIntoMemoryOfTheCaller() {
    Matrix matrix = on().upload(2, 3, 1, 2, 3, 4, 5, 6);
    MatrixView target = on().view(2, 3, filled(6, 9));
    backend().download(matrix, target);
    assertArrayEquals(new float[]{1, 2, 3, 4, 5, 6}, target.toArray());
    try (Arena arena = Arena.ofConfined()) {
      MatrixView found = backend().download(matrix.slice(1, 1), arena);
      assertEquals(1, found.rows());
      assertEquals(3, found.columns());
      assertArrayEquals(new float[]{4, 5, 6}, found.toArray());
      assertEquals(arena.scope(), found.segment().scope());
    }
  }

  /// Written and uploaded again, whether the memory is the matrix's own or a copy.
  @Test
  default void isSeenFromTheHost() {
    Matrix matrix = on().upload(2, 3, 1, 2, 3, 4, 5, 6);
    try (Arena arena = Arena.ofConfined()) {
      MatrixView seen = backend().onHost(matrix, arena);
      assertArrayEquals(new float[]{1, 2, 3, 4, 5, 6}, seen.toArray());
      seen.set(1, 0, 7);
      backend().upload(seen, matrix);
      assertArrayEquals(new float[]{1, 2, 3, 7, 5, 6}, on().download(matrix));
    }
  }

  @Test
  default void slicesAreRowsOfTheirMatrix() {
    Matrix matrix = on().upload(5, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
    Matrix slice = matrix.slice(1, 3);
    assertEquals(3, slice.rows());
    assertEquals(3, slice.columns());
    assertArrayEquals(new float[]{3, 4, 5, 6, 7, 8, 9, 10, 11}, on().download(slice));
    Matrix inner = slice.slice(1, 2);
    assertArrayEquals(new float[]{6, 7, 8, 9, 10, 11}, on().download(inner));
    on().upload(inner.slice(1, 1), -1, -2, -3);
    assertArrayEquals(new float[]{0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, 12, 13, 14}, on().download(matrix));
    backend().clear(inner);
    assertArrayEquals(new float[]{0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 12, 13, 14}, on().download(matrix));
    slice.close();
    inner.close();
    assertArrayEquals(new float[]{3, 4, 5, 0, 0, 0, 0, 0, 0}, on().download(matrix.slice(1, 3)));
  }

  // ---- samples ----

  /// Row n is n, 10 n; its label is n + 1.
  private static Dataset dataset(Arena arena, int samples) {
    MatrixView x = MatrixView.allocate(arena, samples, 2);
    MatrixView y = MatrixView.allocate(arena, samples, 1);
    for (int n = 0; n < samples; n++) {
      x.set(n, 0, n);
      x.set(n, 1, 10 * n);
      y.set(n, 0, n + 1);
    }
    return Dataset.of(new MatrixSamples("x", x), new MatrixSamples("y", y));
  }

  /// A pass that loads each batch twice into the same matrix, and the next before what follows from it was looked at.
  private void passes(Dataset data, int batchSize) throws IOException {
    Matrix there = on().zeros(batchSize, 2);
    List<Matrix> sums = new ArrayList<>();
    long end = 0;
    try (SampleBatches batches = SampleBatches.open(backend(), data, batchSize)) {
      while (batches.next()) {
        assertEquals(end, batches.first());
        end = batches.end();
        assertEquals((float) end, batches.labels().get(batches.rows() - 1, 0));
        Matrix batch = there.slice(0, batches.rows());
        Matrix sum = on().zeros(batches.rows(), 2);
        for (int i = 0; i < 2; i++) {
          batches.load(batch);
          backend().network().add(1, batch, sum);
        }
        sums.add(sum);
      }
      assertEquals(data.samples().samples(), end);
      assertEquals(end, batches.total());
      assertFalse(batches.next());
    }
    int n = 0;
    for (Matrix sum : sums) {
      float[] values = on().download(sum);
      for (int i = 0; i < values.length; i += 2, n++) {
        assertEquals(2f * n, values[i]);
        assertEquals(20f * n, values[i + 1]);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 1", "10, 3", "9, 3", "33, 8", "100, 7"})
  default void samplesComeInBatches(int samples, int batchSize) throws IOException {
    try (Arena own = Arena.ofConfined(); Arena shared = Arena.ofShared()) {
      passes(dataset(own, samples), batchSize);
      passes(dataset(shared, samples), batchSize); // which may be read ahead
    }
  }

  @Test
  default void samplesThatAreNotFiniteAreNamed() throws IOException {
    try (Arena arena = Arena.ofShared()) {
      Dataset data = dataset(arena, 40);
      MatrixView x = ((MatrixSamples) data.samples()).values();
      x.set(17, 1, Float.NEGATIVE_INFINITY);
      x.set(18, 0, Float.NaN);
      for (int i = 0; i < 2; i++) { // the second time in memory of the first
        try (SampleBatches batches = SampleBatches.open(backend(), data, 8)) {
          assertTrue(batches.next());
          assertTrue(batches.next());
          assertEquals("x is -Infinity at [17, 1] (sample, column): samples and labels must be finite",
              assertThrows(IOException.class, batches::next).getMessage());
        }
      }
      x.set(17, 1, 170);
      x.set(18, 0, 18);
      passes(data, 8);
    }
  }

  @Test
  default void residentSamplesAreReadOnce() throws IOException {
    AtomicInteger read = new AtomicInteger();
    try (Arena arena = Arena.ofShared()) {
      Dataset data = dataset(arena, 40);
      try (ResidentSamples resident = new ResidentSamples(new CountedSamples(data.samples(), read), backend())) {
        Dataset kept = new Dataset(resident, data.labels());
        try (SampleBatches ended = SampleBatches.open(backend(), kept, 16)) {
          assertTrue(ended.next()); // and no more: the next pass brings the rest
        }
        passes(kept, 7);
        passes(kept, 16);
        passes(kept, 7);
        assertEquals(2, read.get());
      }
    }
  }

  @Test
  default void writesZeros() {
    Matrix matrix = on().upload(3, 11, filled(33, 7));
    backend().clear(matrix);
    assertArrayEquals(new float[33], on().download(matrix));
  }

  @Test
  default void matricesMayBeClosedTwice() {
    Matrix closed = on().upload(3, 11, filled(33, 7));
    closed.close();
    Matrix next = on().upload(3, 11, filled(33, 5)); // may have taken the place of the first
    closed.close();
    assertArrayEquals(filled(33, 5), on().download(next));
  }

  @Test
  default void refusesMoreThanItsBudget() {
    assumeTrue(backend().memory().isPresent(), "counts no memory");
    MemoryBudget budget = backend().memory().get();
    assertTrue(0 < budget.forWeights() && budget.forWeights() < budget.bytes(), budget::toString);
    int columns = Math.toIntExact(budget.bytes() / 2);
    assertThrows(OutOfBackendMemoryException.class, () -> backend().allocate(1, columns));
    assertArrayEquals(new float[]{3}, on().download(on().upload(1, 1, 3)));
  }

  @Test
  default void repeatsWork() {
    Matrix x = on().upload(2, 3, 1, 2, 3, 3, 4, 5);
    Matrix sum = on().zeros(2, 3);
    Matrix means = on().zeros(1, 3);
    Runnable once = () -> {
      backend().network().add(1, x, sum);
      backend().moments().columnMeans(sum, means);
    };
    for (int i = 0; i < 4; i++) {
      backend().repeat("once", once);
      backend().repeat(List.of("ten times", 10), () -> backend().network().add(10, x, sum));
    }
    assertArrayEquals(new float[]{44, 88, 132, 132, 176, 220}, on().download(sum));
    assertArrayEquals(new float[]{68, 102, 136}, on().download(means)); // not yet of the last ten
    on().upload(x, 1, 1, 1, 1, 1, 1); // other values in the same matrix
    backend().repeat("once", once);
    assertArrayEquals(new float[]{45, 89, 133, 133, 177, 221}, on().download(sum));
    backend().moments().columnMeans(on().zeros(2048, 300), on().zeros(1, 300)); // takes more workspace
    on().zeros(1, 3).close();
    for (int i = 0; i < 3; i++) {
      backend().repeat("once", once);
    }
    assertArrayEquals(new float[]{48, 92, 136, 136, 180, 224}, on().download(sum));
    assertArrayEquals(new float[]{92, 136, 180}, on().download(means));
  }

  @Test
  default void workersDoTheirShares() {
    Workers workers = backend().workers(1 << 20, 1 << 20);
    Matrix x = on().upload(3, 11, on().normal(33));
    List<Matrix> shares = new ArrayList<>();
    List<Runnable> work = new ArrayList<>();
    for (Backend worker : workers.backends()) {
      Matrix share = on().own(worker.allocate(3, 11));
      shares.add(share);
      work.add(() -> worker.network().add(1, x, share));
    }
    workers.run(work);
    assertFalse(shares.isEmpty());
    shares.forEach(share -> assertArrayEquals(on().download(x), on().download(share)));
  }

  @Test
  default void countsTimeByPhase() {
    backend().enter(Phase.FORWARD);
    backend().network().unitVectors(on().zeros(300, 300), 1, 0);
    backend().enter(Phase.BACKWARD);
    List<Phase> entered = List.of(Phase.LOAD, Phase.FORWARD, Phase.BACKWARD);
    assertEquals(entered, backend().seconds().keySet().stream().toList());
    double[] seconds = entered.stream().mapToDouble(phase -> backend().seconds().get(phase)).toArray();
    assertTrue(Arrays.stream(seconds).allMatch(s -> s >= 0) && seconds[1] > 0, () -> Arrays.toString(seconds));
  }

  @Test
  default void countsAllTimeOfAHeldPhaseAsItsOwn() {
    backend().enter(Phase.FORWARD);
    Resource outer = backend().hold(Phase.JOINT);
    backend().enter(Phase.BACKWARD);
    try (Resource _ = backend().hold(Phase.REFIT)) {
      backend().enter(Phase.LOAD);
    }
    backend().enter(Phase.UPDATE);
    backend().network().unitVectors(on().zeros(300, 300), 1, 0);
    assertEquals(List.of(Phase.LOAD, Phase.FORWARD, Phase.JOINT), List.copyOf(backend().seconds().keySet()));
    outer.close();
    double joint = backend().seconds().get(Phase.JOINT);
    assertTrue(joint > 0);
    backend().network().unitVectors(on().zeros(300, 300), 1, 0);
    assertEquals(joint, backend().seconds().get(Phase.JOINT));
    try (Resource _ = backend().hold(Phase.REFIT)) {
      outer.close(); // again, without effect
      backend().enter(Phase.UPDATE);
    }
    assertEquals(List.of(Phase.LOAD, Phase.FORWARD, Phase.REFIT, Phase.JOINT),
        List.copyOf(backend().seconds().keySet()));
  }

  @Test
  default void describesItself() {
    assertFalse(backend().description().isBlank());
    assertTrue(backend().batchSize() >= 1);
  }
}
