package dev.espalier.engine.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class DatasetTest {
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  private SampleSource source(String name, int samples, int width) {
    return new MatrixSamples(name, MatrixView.allocate(arena, samples, width));
  }

  @Test
  void refusesWhatDoesNotFit() {
    assertEquals("x.npy has 3 samples, but y.npy has 2 labels",
        assertThrows(MismatchException.class, () -> Dataset.of(source("x.npy", 3, 4), source("y.npy", 2, 1)))
            .getMessage());
    Dataset data = Dataset.of(source("x.npy", 3, 4));
    data.requireWidth(4);
    assertEquals(Optional.empty(), data.labels());
    assertEquals("x.npy has 4 numbers a sample, the network takes 5",
        assertThrows(MismatchException.class, () -> data.requireWidth(5)).getMessage());
  }

  @Test
  void isConfinedToAThreadIfAPartIs() {
    try (Arena shared = Arena.ofShared()) {
      SampleSource free = new MatrixSamples("free", MatrixView.allocate(shared, 3, 1));
      SampleSource confined = source("confined", 3, 1);
      assertEquals(false, Dataset.of(free, free).isThreadConfined());
      assertEquals(true, Dataset.of(confined, free).isThreadConfined());
      assertEquals(true, Dataset.of(free, confined).isThreadConfined());
      assertEquals(true, Dataset.of(confined).isThreadConfined());
    }
  }

  @Test
  void classesBecomeUnitVectorsAndTargetsStay() throws IOException {
    LabelEncoder classes = new LabelEncoder(source("y", 2, 1), 3);
    assertEquals(true, classes.areClasses());
    MatrixView targets = MatrixView.of(arena, 2, 3, 9, 9, 9, 9, 9, 9);
    classes.encode(MatrixView.of(arena, 2, 1, 2, 0), targets, 0);
    assertArrayEquals(new float[]{0, 0, 1, 1, 0, 0}, targets.toArray());

    LabelEncoder rows = new LabelEncoder(source("y", 2, 3), 3);
    assertEquals(false, rows.areClasses());
    rows.encode(MatrixView.of(arena, 2, 3, 1, -2, 3, 4, 5, 6), targets, 0);
    assertArrayEquals(new float[]{1, -2, 3, 4, 5, 6}, targets.toArray());

    LabelEncoder oneOutput = new LabelEncoder(source("y", 2, 1), 1);
    assertEquals(false, oneOutput.areClasses(), "a network of one output has no classes");
  }

  @Test
  void rowsAreWhatTheLossNeeds() throws IOException {
    MatrixView targets = MatrixView.allocate(arena, 2, 3);
    MatrixView oneHot = MatrixView.of(arena, 2, 3, 1, 0, 0, 0, 0, 1);
    MatrixView binary = MatrixView.of(arena, 2, 3, 1, 0, 0, 1, 0, 1);
    MatrixView probabilities = MatrixView.of(arena, 2, 3, 1, 0, 0, 0.25f, 0.5f, 0.25f);
    MatrixView values = MatrixView.of(arena, 2, 3, 1, 0, 0, 2, -1, 0);
    List<MatrixView> all = List.of(oneHot, binary, probabilities, values);
    List<LabelRows> kinds = List.of(LabelRows.ONE_HOT, LabelRows.BINARY, LabelRows.PROBABILITIES, LabelRows.VALUES);
    for (int i = 0; i < 4; i++) {
      MatrixView rows = all.get(i);
      assertEquals(kinds.get(i), LabelRows.of(new MatrixSamples("y", rows)));
      for (LabelRows needed : LabelRows.values()) {
        LabelEncoder encoder = new LabelEncoder(source("y", 2, 3), 3, needed);
        boolean fits = needed == kinds.get(i) || needed == LabelRows.VALUES || i == 0;
        if (fits) {
          encoder.encode(rows, targets, 100);
          assertArrayEquals(rows.toArray(), targets.toArray());
        } else {
          String message = assertThrows(IOException.class, () -> encoder.encode(rows, targets, 100)).getMessage();
          assertEquals(true, message.startsWith("the labels of sample 101 in y do not fit the loss: it needs ")
              && message.endsWith("; use mse for other values"), message);
        }
      }
    }
    assertEquals(LabelRows.BINARY, LabelRows.of(new MatrixSamples("y", MatrixView.of(arena, 2, 1, 1, 0))));
    assertEquals(LabelRows.VALUES, LabelRows.of(new MatrixSamples("y", MatrixView.of(arena, 2, 1, 1, 2))));
  }

  @Test
  void namesTheLabelThatIsNoClass() {
    LabelEncoder encoder = new LabelEncoder(source("y.npy", 2, 1), 3);
    MatrixView targets = MatrixView.allocate(arena, 2, 3);
    for (float bad : new float[]{-1, 3, 0.5f}) {
      assertEquals("y.npy is %s at sample 101: a class index is an integer from 0 to 2".formatted(bad),
          assertThrows(IOException.class, () -> encoder.encode(MatrixView.of(arena, 2, 1, 0, bad), targets, 100))
              .getMessage());
    }
    assertEquals("y has 2 columns: labels need 1 (a class index) or 3 (a value for each output of the network)",
        assertThrows(MismatchException.class, () -> new LabelEncoder(source("y", 2, 2), 3)).getMessage());
  }
}
