package dev.espalier.engine.repair;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.pass.DeviceNetwork;
import java.lang.foreign.Arena;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class LayerPartTest {
  /// The sizes that products must not take for 0, or for what is not a number.
  private static final float LEAST = Float.MIN_VALUE;
  private static final float LARGEST = Float.MAX_VALUE;

  private final Arena arena = Arena.ofConfined();
  private final Resources memory = new Resources();

  @AfterEach
  void close() {
    arena.close();
  }

  private void onMachines(Consumer<Backend> check) {
    for (Backend opened : new Backend[]{new ReferenceBackend(), new CpuBackend()}) {
      try (Backend backend = opened) {
        check.accept(backend);
        memory.close();
      }
    }
  }

  private Matrix matrix(Backend backend, int rows, int columns, float... values) {
    Matrix matrix = memory.own(backend.allocate(rows, columns));
    backend.upload(MatrixView.of(arena, rows, columns, values), matrix);
    return matrix;
  }

  private float[] read(Backend backend, Matrix matrix) {
    return backend.download(matrix, arena).toArray();
  }

  @Test
  void hasTheRowsAndColumnsOfWhatIsLeft() {
    onMachines(backend -> {
      Matrix weights = matrix(backend, 4, 5, //
          0, LEAST, 0, 0, 0, //
          0, 0, 0, 0, 0, //
          0, -1, 0, LARGEST, 0, //
          0, 0, 0, -LARGEST, 0);
      LayerPart part = memory.own(LayerPart.of(backend, weights));
      assertEquals(3, part.rows());
      assertEquals(2, part.columns());
      Matrix picked = part.of(weights, memory);
      assertArrayEquals(new float[]{LEAST, 0, -1, LARGEST, 0, -LARGEST}, read(backend, picked));
      assertArrayEquals(read(backend, weights), read(backend, part.whole(picked, memory)));
      Matrix numbers = matrix(backend, 4, 5, 0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 30, 31, 32, 33, 34);
      assertArrayEquals(new float[]{0, 1, 2, 3, 4, 20, 21, 22, 23, 24, 30, 31, 32, 33, 34},
          read(backend, part.rowsOf(numbers, memory)));
      assertArrayEquals(new float[]{1, 3, 11, 13, 21, 23, 31, 33}, read(backend, part.columnsOf(numbers, memory)));
      assertArrayEquals(new float[]{0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 21, 0, 23, 0, 0, 31, 0, 33, 0},
          read(backend, part.whole(part.of(numbers, memory), memory)));
      Matrix square = matrix(backend, 5, 5, values(25));
      assertArrayEquals(new float[]{6, 8, 16, 18}, read(backend, part.squareOf(square, memory)));
      assertArrayEquals(new float[]{1, 3}, part.ofColumns(0, 1, 2, 3, 4));
    });
  }

  private static float[] values(int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = i;
    }
    return values;
  }

  /// Rows alone, and columns alone.
  @Test
  void leavesOutRowsOrColumns() {
    onMachines(backend -> {
      for (Matrix weights : new Matrix[]{matrix(backend, 3, 2, 1, 0, 0, 0, 0, 2),
          matrix(backend, 2, 3, 1, 0, 0, 0, 0, 2)}) {
        LayerPart part = memory.own(LayerPart.of(backend, weights));
        assertEquals(2, part.rows());
        assertEquals(2, part.columns());
        Matrix picked = part.of(weights, memory);
        assertArrayEquals(new float[]{1, 0, 0, 2}, read(backend, picked));
        assertArrayEquals(read(backend, weights), read(backend, part.whole(picked, memory)));
      }
    });
  }

  @Test
  void copiesNothingOfWeightsThatAreInUse() {
    onMachines(backend -> {
      Matrix weights = matrix(backend, 2, 2, 1, 0, 0, -1);
      LayerPart part = memory.own(LayerPart.of(backend, weights));
      assertSame(weights, part.of(weights, memory));
      assertSame(weights, part.whole(weights, memory));
      assertSame(weights, part.squareOf(weights, memory));
      assertSame(weights, part.columnsInto(weights, weights));
      assertArrayEquals(new float[]{3, 4}, part.ofColumns(3, 4));
    });
  }

  /// Backends have no empty matrices.
  @Test
  void keepsTheFirstRowAndColumnOfNoWeights() {
    onMachines(backend -> {
      LayerPart part = memory.own(LayerPart.of(backend, matrix(backend, 3, 4, new float[12])));
      assertEquals(1, part.rows());
      assertEquals(1, part.columns());
      float[] expected = new float[12];
      expected[0] = 7;
      assertArrayEquals(expected, read(backend, part.whole(matrix(backend, 1, 1, 7), memory)));
    });
  }

  @Test
  void takesColumnsOfABatchIntoMemoryOfAnother() {
    onMachines(backend -> {
      LayerPart part = memory.own(LayerPart.of(backend, matrix(backend, 1, 3, 0, 1, 2)));
      Matrix target = matrix(backend, 3, 2, 9, 9, 9, 9, 9, 9);
      Matrix taken = part.columnsInto(matrix(backend, 2, 3, values(6)), target);
      assertEquals(2, taken.rows());
      assertArrayEquals(new float[]{1, 2, 4, 5, 9, 9}, read(backend, target));
    });
  }

  @Test
  void allOfALayerHasRowsAndColumnsWithoutWeights() {
    onMachines(backend -> {
      Matrix weights = matrix(backend, 2, 3, new float[6]);
      LayerPart all = LayerPart.all(backend,
          new DeviceNetwork.Layer("layer", weights, matrix(backend, 1, 2, 0, 0), true, Activation.IDENTITY));
      assertEquals(2, all.rows());
      assertEquals(3, all.columns());
      assertSame(weights, all.of(weights, memory));
    });
  }
}
