package dev.espalier.kernels;

import static dev.espalier.kernels.Checks.UNIT;
import static dev.espalier.kernels.Checks.assertClose;
import static dev.espalier.kernels.Checks.assertSame;
import static dev.espalier.kernels.Checks.integers;
import static dev.espalier.kernels.Checks.normal;
import static dev.espalier.kernels.Checks.onEveryOrder;
import static dev.espalier.kernels.Checks.onEveryRow;
import static dev.espalier.kernels.Checks.onEveryShape;
import static dev.espalier.kernels.Checks.result;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/// Reductions, updates, normalisation, losses, random numbers and least squares.
class SmallKernelsTest {
  @Test
  void columnSums() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = integers(1, (long) rows * columns, 1000);
      ReductionsKernel kernel = new ReductionsKernel(gpu);
      DeviceBuffer workspace = gpu.buffer(kernel.columnSumsWorkspace(rows, columns), -1);
      DeviceMatrix y = gpu.matrix(1, columns);
      kernel.columnSums(2, gpu.matrix(rows, columns, x), 0, y, workspace);
      assertSame("written", gpu.read(y), j -> 2 * columnSum(x, j, columns));
      kernel.columnSums(1, gpu.matrix(rows, columns, x), 3, y, workspace);
      assertSame("added", gpu.read(y), j -> 7 * columnSum(x, j, columns));
    });
  }

  @Test
  void columnSumsOfTf32() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = normal(1, (long) rows * columns);
      float[] rounded = Tf32.round(x);
      ReductionsKernel kernel = new ReductionsKernel(gpu);
      DeviceBuffer workspace = gpu.buffer(kernel.columnSumsWorkspace(rows, columns), -1);
      DeviceMatrix y = gpu.matrix(1, columns);
      int parts = kernel.partialSums(true, gpu.matrix(rows, columns, x), workspace);
      kernel.addPartials(1, workspace, parts, 0, MatrixBlock.of(y));
      assertClose("sums", gpu.read(y), j -> columnSum(rounded, j, columns), j -> rows * UNIT * rows);
    });
  }

  @Test
  void columnSquareSums() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = integers(1, (long) rows * columns, 50);
      float[] squares = squares(x);
      ReductionsKernel kernel = new ReductionsKernel(gpu);
      DeviceBuffer workspace = gpu.buffer(kernel.columnSumsWorkspace(rows, columns), -1);
      DeviceMatrix y = gpu.matrix(1, columns);
      kernel.columnSquareSums(2, gpu.matrix(rows, columns, x), 0, y, workspace);
      assertSame("written", gpu.read(y), j -> 2 * columnSum(squares, j, columns));
      kernel.columnSquareSums(1, gpu.matrix(rows, columns, x), 3, y, workspace);
      assertSame("added", gpu.read(y), j -> 7 * columnSum(squares, j, columns));
    });
  }

  @Test
  void firstNonFinite() {
    onEveryShape((gpu, rows, columns) -> {
      int elements = rows * columns;
      ReductionsKernel kernel = new ReductionsKernel(gpu);
      DeviceBuffer first = gpu.buffer(Long.BYTES, -1);
      kernel.firstNonFinite(gpu.matrix(rows, columns, normal(1, elements)), first);
      assertEquals(-1, gpu.readLong(first, 0));
      for (int at : new int[]{elements - 1, elements / 2, 0}) { // in the last, the first, and any vector of a thread
        float[] x = normal(1, elements);
        x[at] = at % 2 == 0 ? Float.NaN : Float.NEGATIVE_INFINITY;
        x[elements - 1] = Float.POSITIVE_INFINITY;
        kernel.firstNonFinite(gpu.matrix(rows, columns, x), first);
        assertEquals(at, gpu.readLong(first, 0));
      }
    });
  }

  @Test
  void firstNonFiniteOfAnUnalignedMatrix() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = normal(1, (long) rows * columns);
      x[rows * columns / 2] = Float.NaN;
      DeviceBuffer first = gpu.buffer(Long.BYTES, -1);
      DeviceMatrix matrix = gpu.matrixAt(1, rows, columns);
      gpu.write(matrix, x);
      new ReductionsKernel(gpu).firstNonFinite(matrix, first);
      assertEquals(rows * columns / 2, gpu.readLong(first, 0));
    });
  }

  private static float[] squares(float[] x) {
    float[] squares = x.clone();
    for (int i = 0; i < x.length; i++) {
      squares[i] *= x[i];
    }
    return squares;
  }

  @Test
  void sum() {
    onEveryOrder(gpu -> {
      for (int elements : new int[]{1, 31, 1024, 1025, 5000}) {
        double[] numbers = new double[elements];
        java.util.Arrays.setAll(numbers, i -> i + 0.5);
        DeviceBuffer buffer = gpu.buffer((long) elements * Double.BYTES, 0);
        gpu.write(buffer, numbers);
        DeviceBuffer total = gpu.buffer(Double.BYTES, -1);
        new ReductionsKernel(gpu).sum(buffer, elements, total);
        assertEquals(0.5 * elements * elements, gpu.readDouble(total, 0));
      }
    });
  }

  @Test
  void add() {
    onEveryShape((gpu, rows, columns) -> {
      int elements = rows * columns;
      float[] x = integers(1, elements, 100);
      float[] y = integers(2, elements, 100);
      for (int offset = 0; offset < 2; offset++) { // the second is aligned to 4 bytes only
        DeviceMatrix to = gpu.matrixAt(offset, rows, columns);
        gpu.write(to, y);
        new UpdatesKernel(gpu).add(-0.5, gpu.matrix(rows, columns, x), to);
        assertSame("y", gpu.read(to), i -> y[i] - 0.5 * x[i]);
      }
    });
  }

  /// Stacked copies by the rows of their samples, and all rows by one.
  @Test
  void multiply() {
    int copies = 3;
    onEveryShape((gpu, rows, columns) -> {
      for (int factorRows : new int[]{rows, 1}) {
        float[] x = integers(1, (long) copies * rows * columns, 50);
        float[] factor = integers(2, (long) factorRows * columns, 50);
        for (int offset = 0; offset < 2; offset++) { // the second is aligned to 4 bytes only
          DeviceMatrix from = gpu.matrix(copies * rows, columns, x);
          DeviceMatrix to = gpu.matrixAt(offset, copies * rows, columns);
          UpdatesKernel kernel = new UpdatesKernel(gpu);
          kernel.multiply(from, gpu.matrix(factorRows, columns, factor), to);
          assertSame("product", gpu.read(to), i -> (double) x[i] * factor[i % factor.length]);
          kernel.addMultiplied(from, gpu.matrix(factorRows, columns, factor), to);
          assertSame("sum", gpu.read(to), i -> 2.0 * x[i] * factor[i % factor.length]);
          kernel.multiply(from, gpu.matrix(factorRows, columns, factor), from);
          assertSame("in place", gpu.read(from), i -> (double) x[i] * factor[i % factor.length]);
        }
      }
    });
  }

  @Test
  void normalization() {
    onEveryRow((gpu, rows, columns) -> {
      for (boolean centred : new boolean[]{true, false}) {
        float[] x = normal(1, (long) rows * columns);
        DeviceMatrix y = result(gpu, rows, columns);
        new NormalizationKernel(gpu).normalize(centred, 0.25, gpu.matrix(rows, columns, x), y);
        double[] exact = normalized(x, columns, centred);
        assertClose("y", gpu.read(y), i -> exact[i], i -> (columns + 20) * UNIT * (2 + Math.abs(x[i])) * 4);
      }
    });
  }

  /// By the Jacobian, element by element.
  @Test
  void normalizationJacobian() {
    int copies = 2;
    onEveryRow((gpu, rows, columns) -> {
      for (boolean centred : new boolean[]{true, false}) {
        int elements = rows * columns;
        float[] x = normal(1, elements);
        float[] u = normal(2, (long) copies * elements);
        double[] exact = normalized(x, columns, centred);
        float[] y = new float[elements];
        for (int i = 0; i < elements; i++) {
          y[i] = (float) exact[i];
        }
        DeviceMatrix upstream = gpu.matrixAt(rows % 2, copies * rows, columns);
        gpu.write(upstream, u);
        DeviceMatrix g = gpu.matrix(copies * rows, columns);
        NormalizationKernel kernel = new NormalizationKernel(gpu);
        DeviceMatrix values = gpu.matrix(rows, columns, x);
        DeviceMatrix normalized = gpu.matrix(rows, columns, y);
        kernel.backward(centred, 0.25, values, normalized, upstream, g);
        float[] gradient = gpu.read(g);
        assertClose("g", gradient, at -> {
          int row = at - at % columns;
          double sum = 0;
          for (int j = row; j < row + columns; j++) {
            sum += u[j] * ((j == at ? 1 : 0) - (centred ? 1.0 / columns : 0)
                - (double) y[at % elements] * y[j % elements] / columns);
          }
          return sum * spread(x, row % elements, columns, centred)[1];
        }, at -> (columns + 20) * UNIT * (4 + Math.abs(u[at])) * (1 + Math.abs(y[at % elements])) * 4);
        kernel.backward(centred, 0.25, values, normalized, upstream, upstream);
        assertSame("in place", gpu.read(upstream), i -> gradient[i]);
      }
    });
  }

  private static double[] normalized(float[] x, int columns, boolean centred) {
    double[] normalized = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      double[] spread = spread(x, i - i % columns, columns, centred);
      normalized[i] = (x[i] - spread[0]) * spread[1];
    }
    return normalized;
  }

  /// m, or 0 where it is not centred, and 1 / √(v + ¼) of a row.
  private static double[] spread(float[] x, int first, int columns, boolean centred) {
    double sum = 0;
    for (int j = first; j < first + columns; j++) {
      sum += x[j];
    }
    double mean = centred ? sum / columns : 0;
    double squares = 0;
    for (int j = first; j < first + columns; j++) {
      squares += (x[j] - mean) * (x[j] - mean);
    }
    return new double[]{mean, 1 / Math.sqrt(squares / columns + 0.25)};
  }

  @Test
  void columnsOfAnotherMatrix() {
    onEveryShape((gpu, rows, columns) -> {
      UpdatesKernel kernel = new UpdatesKernel(gpu);
      for (int first : new int[]{0, 1, 4}) { // the second is aligned to 4 bytes only
        int fromStride = first + columns + 4;
        int toStride = 4 + columns + first;
        float[] x = integers(1, (long) rows * fromStride, 100);
        float[] y = integers(2, (long) rows * toStride, 100);
        MatrixBlock from = MatrixBlock.of(gpu.matrix(rows, fromStride, x)).columns(first, columns);
        DeviceMatrix target = gpu.matrix(rows, toStride, y);
        MatrixBlock to = MatrixBlock.of(target).columns(4, columns);
        kernel.addColumns(from, to);
        assertSame("added", gpu.read(target), i -> {
          int column = i % toStride - 4;
          boolean inside = column >= 0 && column < columns;
          return y[i] + (inside ? x[i / toStride * fromStride + first + column] : 0);
        });
        float[] before = gpu.read(target);
        kernel.copyColumns(from, to);
        assertSame("copied", gpu.read(target), i -> {
          int column = i % toStride - 4;
          boolean inside = column >= 0 && column < columns;
          return inside ? x[i / toStride * fromStride + first + column] : before[i];
        });
      }
    });
  }

  @Test
  void transpose() {
    onEveryShape((gpu, rows, columns) -> {
      int stride = columns + 3;
      float[] x = normal(1, (long) rows * stride);
      DeviceMatrix to = gpu.matrix(columns, rows);
      new UpdatesKernel(gpu).transpose(MatrixBlock.of(gpu.matrix(rows, stride, x)).columns(2, columns), to);
      assertSame("transposed", gpu.read(to), i -> x[i % rows * stride + 2 + i / rows]);
    });
    try (TestGpu gpu = TestGpu.open()) {
      DeviceMatrix square = gpu.matrix(4, 4);
      assertEquals("to overlaps from", assertThrows(IllegalArgumentException.class,
          () -> new UpdatesKernel(gpu).transpose(MatrixBlock.of(square), square)).getMessage());
    }
  }

  @Test
  void columnsMayBeOfOneMatrix() {
    onEveryOrder(gpu -> {
      float[] x = normal(1, 9 * 24);
      DeviceMatrix matrix = gpu.matrix(9, 24, x);
      MatrixBlock all = MatrixBlock.of(matrix);
      new UpdatesKernel(gpu).copyColumns(all.columns(4, 8), all.columns(12, 8));
      assertSame("copied", gpu.read(matrix), i -> i % 24 >= 12 && i % 24 < 20 ? x[i - 8] : x[i]);
    });
  }

  @Test
  void refusesColumnsThatOverlap() {
    try (TestGpu gpu = TestGpu.open()) {
      UpdatesKernel kernel = new UpdatesKernel(gpu);
      MatrixBlock all = MatrixBlock.of(gpu.matrix(3, 8));
      var overlap = assertThrows(IllegalArgumentException.class,
          () -> kernel.copyColumns(all.columns(0, 4), all.columns(3, 4)));
      assertEquals("to overlaps from", overlap.getMessage());
      var shapes = assertThrows(IllegalArgumentException.class,
          () -> kernel.addColumns(all.columns(0, 4), all.columns(5, 3)));
      assertEquals("from is 3×4 of stride 8, to 3×3 of stride 8", shapes.getMessage());
    }
  }

  /// Numbers that leave rows out, repeat others, and begin before the first that is asked for.
  @Test
  void gatherRows() {
    onEveryShape((gpu, rows, columns) -> {
      int all = rows + 3;
      float[] x = integers(1, (long) all * columns, 1000);
      for (int first : new int[]{0, 1, 5}) {
        int[] numbers = new int[first + rows];
        java.util.Arrays.setAll(numbers, i -> (int) ((7L * i + 2) % all));
        for (int offset : new int[]{0, 1}) { // the second is aligned to 4 bytes only
          DeviceMatrix from = gpu.matrixAt(offset, all, columns);
          gpu.write(from, x);
          DeviceMatrix to = result(gpu, rows, columns);
          new UpdatesKernel(gpu).gatherRows(from, words(gpu, numbers), first, to);
          assertSame("gathered", gpu.read(to), i -> x[numbers[first + i / columns] * columns + i % columns]);
        }
      }
    });
  }

  /// Numbers that leave columns out and repeat others, of a matrix that is wider or narrower.
  @Test
  void gatherColumns() {
    onEveryShape((gpu, rows, columns) -> {
      for (int all : new int[]{1, Math.ceilDiv(columns, 2), columns + 3}) {
        float[] x = integers(1, (long) rows * all, 1000);
        int[] numbers = new int[columns];
        java.util.Arrays.setAll(numbers, j -> (int) ((7L * j + 2) % all));
        for (int offset : new int[]{0, 1}) { // the second is aligned to 4 bytes only
          DeviceMatrix from = gpu.matrixAt(offset, rows, all);
          gpu.write(from, x);
          DeviceMatrix to = result(gpu, rows, columns);
          new UpdatesKernel(gpu).gatherColumns(from, words(gpu, numbers), to);
          assertSame("gathered", gpu.read(to), i -> x[i / columns * all + numbers[i % columns]]);
        }
      }
    });
  }

  private static DeviceMatrix words(TestGpu gpu, int... numbers) {
    DeviceMatrix words = gpu.matrix(1, numbers.length);
    gpu.copyIn(MemorySegment.ofArray(numbers), words.address());
    return words;
  }

  @Test
  void refusesRowsWithoutNumbers() {
    try (TestGpu gpu = TestGpu.open()) {
      UpdatesKernel kernel = new UpdatesKernel(gpu);
      DeviceMatrix from = gpu.matrix(5, 8);
      DeviceMatrix numbers = words(gpu, 0, 1, 2, 3);
      for (int first : new int[]{-1, 2}) {
        var missing = assertThrows(IndexOutOfBoundsException.class,
            () -> kernel.gatherRows(from, numbers, first, gpu.matrix(3, 8)));
        assertEquals("columns %d + 3 of 4".formatted(first), missing.getMessage());
      }
      var wide = assertThrows(IllegalArgumentException.class,
          () -> kernel.gatherRows(from, numbers, 0, gpu.matrix(3, 9)));
      assertEquals("to is 3×9, not 3×8", wide.getMessage());
      var tall = assertThrows(IllegalArgumentException.class,
          () -> kernel.gatherRows(from, gpu.matrix(4, 1), 0, gpu.matrix(3, 8)));
      assertEquals("numbers is 4×1, not 1×1", tall.getMessage());
      var overlap = assertThrows(IllegalArgumentException.class,
          () -> kernel.gatherRows(from, numbers, 0, from.slice(2, 3)));
      assertEquals("to overlaps another matrix", overlap.getMessage());
    }
  }

  @Test
  void refusesColumnsWithoutNumbers() {
    try (TestGpu gpu = TestGpu.open()) {
      UpdatesKernel kernel = new UpdatesKernel(gpu);
      DeviceMatrix from = gpu.matrix(5, 8);
      DeviceMatrix numbers = words(gpu, 0, 1, 2, 3);
      var few = assertThrows(IllegalArgumentException.class,
          () -> kernel.gatherColumns(from, numbers, gpu.matrix(5, 3)));
      assertEquals("numbers is 1×4, not 1×3", few.getMessage());
      var tall = assertThrows(IllegalArgumentException.class,
          () -> kernel.gatherColumns(from, numbers, gpu.matrix(6, 4)));
      assertEquals("to is 6×4, not 5×4", tall.getMessage());
      DeviceMatrix square = gpu.matrix(4, 4);
      var overlap = assertThrows(IllegalArgumentException.class, () -> kernel.gatherColumns(square, numbers, square));
      assertEquals("to overlaps another matrix", overlap.getMessage());
    }
  }

  @Test
  void adamStep() {
    double rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    int step = 3;
    onEveryShape((gpu, rows, columns) -> {
      int elements = rows * columns;
      float[] p = integers(1, elements, 2);
      float[] g = normal(2, elements);
      float[] m = normal(3, elements);
      float[] v = normal(4, elements);
      for (int i = 0; i < elements; i++) {
        v[i] = Math.abs(v[i]);
      }
      DeviceMatrix parameter = gpu.matrix(rows, columns, p);
      DeviceMatrix first = gpu.matrix(rows, columns, m);
      DeviceMatrix second = gpu.matrix(rows, columns, v);
      new UpdatesKernel(gpu).adamStep(parameter, gpu.matrix(rows, columns, g), first, second, rate, beta1, beta2,
          epsilon, step, true);
      assertClose("m", gpu.read(first), i -> beta1 * m[i] + (1 - beta1) * g[i],
          i -> 3 * UNIT * (Math.abs(m[i]) + Math.abs(g[i])));
      assertClose("v", gpu.read(second), i -> beta2 * v[i] + (1 - beta2) * g[i] * g[i],
          i -> 4 * UNIT * (v[i] + g[i] * g[i]));
      float[] newM = gpu.read(first);
      float[] newV = gpu.read(second);
      assertClose("p", gpu.read(parameter), i -> {
        double mean = newM[i] / (1 - Math.pow(beta1, step));
        double root = Math.sqrt(newV[i] / (1 - Math.pow(beta2, step)));
        return p[i] == 0 ? 0 : p[i] - rate * mean / (root + epsilon);
      }, i -> p[i] == 0
          ? 0
          : UNIT * (Math.abs(p[i]) + 1) + 10 * UNIT * rate * 4 * Math.abs(newM[i]) / Math.sqrt(newV[i]));
    });
  }

  @Test
  void crossEntropy() {
    onEveryRow((gpu, samples, outputs) -> {
      int elements = samples * outputs;
      float[] z = normal(1, elements);
      float[] t = normal(2, elements);
      for (int i = 0; i < elements; i++) {
        t[i] = Math.abs(t[i]); // mass need not be 1
      }
      double[] p = Nonlinearities.softmax(z, outputs);
      DeviceMatrix gradient = result(gpu, samples, outputs);
      DeviceMatrix losses = gpu.matrix(samples, 1);
      new LossesKernel(gpu).crossEntropy(gpu.matrix(samples, outputs, z), gpu.matrix(samples, outputs, t), gradient,
          losses);
      assertClose("gradient", gpu.read(gradient), i -> p[i] * rowSum(t, i / outputs, outputs) - t[i],
          i -> (2 * outputs + 20) * UNIT * (p[i] * rowSum(t, i / outputs, outputs) + t[i]));
      assertClose("loss", gpu.read(losses), n -> {
        double loss = 0;
        for (int k = 0; k < outputs; k++) {
          loss -= t[n * outputs + k] * Math.log(p[n * outputs + k]);
        }
        return loss;
      }, n -> (2 * outputs + 20) * UNIT * rowSum(t, n, outputs) * 16);
    });
  }

  @Test
  void binaryCrossEntropy() {
    onEveryRow((gpu, samples, outputs) -> {
      int elements = samples * outputs;
      float[] z = normal(1, elements);
      z[0] = 200;
      z[elements - 1] = -200;
      float[] t = new float[elements];
      for (int i = 0; i < elements; i++) {
        t[i] = i % 3 == 1 ? 1 : 0;
      }
      DeviceMatrix gradient = result(gpu, samples, outputs);
      DeviceMatrix losses = gpu.matrix(samples, 1);
      new LossesKernel(gpu).binaryCrossEntropy(gpu.matrix(samples, outputs, z), gpu.matrix(samples, outputs, t),
          gradient, losses);
      assertClose("gradient", gpu.read(gradient), i -> (1 / (1 + Math.exp(-z[i])) - t[i]) / outputs,
          i -> 20 * UNIT / outputs);
      assertClose("loss", gpu.read(losses), n -> {
        double loss = 0;
        for (int i = n * outputs; i < (n + 1) * outputs; i++) {
          loss += Math.log1p(Math.exp(t[i] == 1 ? -z[i] : z[i])) / outputs;
        }
        return loss;
      }, n -> (2 * outputs + 20) * UNIT * 2 * (200 + outputs) / outputs);
    });
  }

  @Test
  void squaredError() {
    onEveryRow((gpu, samples, outputs) -> {
      int elements = samples * outputs;
      float[] a = integers(1, elements, 9);
      float[] t = integers(2, elements, 9);
      DeviceMatrix gradient = result(gpu, samples, outputs);
      DeviceMatrix losses = gpu.matrix(samples, 1);
      new LossesKernel(gpu).squaredError(gpu.matrix(samples, outputs, a), gpu.matrix(samples, outputs, t), gradient,
          losses);
      assertSame("gradient", gpu.read(gradient), i -> 2f * (a[i] - t[i]) / outputs);
      assertSame("loss", gpu.read(losses), n -> {
        float loss = 0;
        for (int k = n * outputs; k < (n + 1) * outputs; k++) {
          loss += (a[k] - t[k]) * (a[k] - t[k]);
        }
        return loss / outputs;
      });
    });
  }

  /// Written over another one, which must not stay.
  private static DeviceBuffer origin(TestGpu gpu, long seed, long firstSample) {
    DeviceBuffer origin = gpu.buffer(RandomKernel.ORIGIN_BYTES, -1);
    RandomKernel random = new RandomKernel(gpu);
    random.setOrigin(origin, firstSample, seed);
    random.setOrigin(origin, seed, firstSample);
    return origin;
  }

  @Test
  void originsAreSeedAndFirstSample() {
    onEveryOrder(gpu -> {
      DeviceBuffer origin = origin(gpu, -77, 1L << 40);
      assertEquals(-77, gpu.readLong(origin, 0));
      assertEquals(1L << 40, gpu.readLong(origin, 1));
      String message = assertThrows(IllegalArgumentException.class,
          () -> new RandomKernel(gpu).rademacherVectors(gpu.matrix(1, 8), 1, 0, new DeviceBuffer(origin.address(), 15)))
          .getMessage();
      assertTrue(message.startsWith("origin has "), message);
    });
  }

  @Test
  void rademacherVectors() {
    long seed = -77;
    onEveryRow((gpu, samples, outputs) -> {
      int copies = 2;
      DeviceMatrix u = gpu.matrixAt(samples % 2, copies * samples, outputs);
      new RandomKernel(gpu).rademacherVectors(u, samples, 3, origin(gpu, seed, 1L << 40));
      assertSame("u", gpu.read(u), i -> {
        int row = i / outputs;
        int k = i % outputs;
        long sample = (1L << 40) + row % samples;
        long word = bits(seed, 3 + row / samples, sample * ((outputs + 63) / 64) + k / 64);
        return (word >>> k & 1) == 0 ? 1 : -1;
      });
    });
  }

  @Test
  void unitVectors() {
    onEveryRow((gpu, samples, outputs) -> {
      DeviceMatrix u = gpu.matrix(2 * samples, outputs);
      new RandomKernel(gpu).unitVectors(u, samples, outputs - 1);
      assertSame("u", gpu.read(u), i -> i / outputs < samples && i % outputs == outputs - 1 ? 1 : 0);
    });
  }

  @Test
  void fisherVectors() {
    onEveryRow((gpu, samples, outputs) -> {
      int copies = Math.min(2, outputs);
      int firstClass = outputs - copies;
      float[] p = probabilities(samples, outputs);
      DeviceMatrix u = gpu.matrix(copies * samples, outputs);
      new RandomKernel(gpu).fisherVectors(gpu.matrix(samples, outputs, p), u, firstClass, 0.25);
      assertClose("u", gpu.read(u), i -> {
        int k = firstClass + i / outputs / samples;
        return fisher(p, i, samples, outputs, k, 0.25 * Math.sqrt(p[i / outputs % samples * outputs + k]));
      }, _ -> 4 * UNIT);
    });
  }

  /// Probabilities whose sums are exact in float32, so that all add them up alike.
  @Test
  void drawnFisherVectors() {
    onEveryRow((gpu, samples, outputs) -> {
      float[] p = probabilities(samples, outputs);
      DeviceMatrix u = gpu.matrix(2 * samples, outputs);
      new RandomKernel(gpu).drawnFisherVectors(gpu.matrix(samples, outputs, p), u, 7, origin(gpu, -9, 1L << 40), 0.5);
      assertSame("u", gpu.read(u), i -> {
        int n = i / outputs % samples;
        float drawn = (bits(-9, 7 + i / outputs / samples, (1L << 40) + n) >>> 40) * 0x1p-24f;
        int k = 0;
        for (double sum = p[n * outputs]; sum <= drawn && k < outputs - 1; sum += p[n * outputs + k]) {
          k++;
        }
        return (float) fisher(p, i, samples, outputs, k, 0.5);
      });
    });
  }

  /// factor (e_k − p) at element `i` of stacked copies.
  private static double fisher(float[] p, int i, int samples, int outputs, int k, double factor) {
    return factor * ((i % outputs == k ? 1 : 0) - p[i % (samples * outputs)]);
  }

  /// Rows of multiples of 2⁻¹⁰ whose sum is 1, some of them 0.
  private static float[] probabilities(int samples, int outputs) {
    float[] p = new float[samples * outputs];
    for (int unit = 0; unit < samples << 10; unit++) {
      p[(unit >> 10) * outputs + (int) Math.floorMod(bits(1, unit >> 10, unit), (long) outputs)] += 0x1p-10f;
    }
    return p;
  }

  @Test
  void uniform() {
    onEveryShape((gpu, rows, columns) -> {
      DeviceMatrix x = gpu.matrix(rows, columns);
      new RandomKernel(gpu).uniform(x, 5, -6);
      assertSame("x", gpu.read(x), i -> (bits(5, -6, i) >>> 40) * 0x1p-24f);
    });
  }

  @Test
  void subtractRow() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = integers(1, (long) rows * columns, 100);
      float[] c = integers(2, columns, 100);
      DeviceMatrix difference = gpu.matrix(rows, columns);
      new SolvingKernel(gpu).subtractRow(gpu.matrix(rows, columns, x), gpu.matrix(1, columns, c), difference);
      assertSame("d", gpu.read(difference), i -> x[i] - c[i % columns]);
    });
  }

  /// One term is far smaller than a rounding of the other; the next takes the larger one away again.
  @Test
  void addCarrying() {
    onEveryShape((gpu, rows, columns) -> {
      float[] small = integers(1, (long) rows * columns, 100);
      float[] large = integers(2, (long) rows * columns, 100);
      float[] negative = new float[large.length];
      for (int i = 0; i < large.length; i++) {
        large[i] *= 0x1p40f;
        negative[i] = -large[i];
      }
      for (int offset = 0; offset < 2; offset++) { // the second is aligned to 4 bytes only
        DeviceMatrix sum = gpu.matrixAt(offset, rows, columns);
        gpu.write(sum, large);
        DeviceMatrix carry = gpu.matrix(rows, columns, new float[large.length]);
        SolvingKernel kernel = new SolvingKernel(gpu);
        kernel.addCarrying(gpu.matrix(rows, columns, small), sum, carry);
        kernel.addCarrying(gpu.matrix(rows, columns, negative), sum, carry);
        float[] carries = gpu.read(carry);
        assertSame("sum + carry", gpu.read(sum), i -> small[i] - carries[i]);
      }
    });
  }

  @Test
  void addWhereNonzero() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = integers(1, (long) rows * columns, 2);
      float[] y = integers(2, (long) rows * columns, 2);
      DeviceMatrix to = gpu.matrix(rows, columns, y);
      new SolvingKernel(gpu).addWhereNonzero(gpu.matrix(rows, columns, x), to);
      assertSame("y", gpu.read(to),
          i -> y[i] == 0 ? 0 : x[i] + y[i] == 0 ? Math.copySign(Float.MIN_NORMAL, y[i]) : x[i] + y[i]);
    });
  }

  @Test
  void addProduct() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = integers(1, (long) rows * columns, 100);
      float[] y = integers(2, (long) rows * columns, 100);
      float[] z = integers(3, (long) rows * columns, 100);
      DeviceMatrix to = gpu.matrix(rows, columns, z);
      new SolvingKernel(gpu).addProduct(0.5, gpu.matrix(rows, columns, x), gpu.matrix(rows, columns, y), to);
      assertSame("z", gpu.read(to), i -> z[i] + 0.5f * x[i] * y[i]);
    });
  }

  @Test
  void divide() {
    onEveryShape((gpu, rows, columns) -> {
      float[] w = integers(1, (long) rows * columns, 1);
      float[] r = integers(2, (long) rows * columns, 100);
      float[] d = integers(3, (long) rows * columns, 100);
      for (int i = 0; i < d.length; i++) {
        d[i] = Math.abs(d[i]);
      }
      DeviceMatrix quotient = gpu.matrix(rows, columns);
      new SolvingKernel(gpu).divide(gpu.matrix(rows, columns, w), gpu.matrix(rows, columns, r),
          gpu.matrix(rows, columns, d), 2, 0.5, quotient);
      assertClose("z", gpu.read(quotient), i -> w[i] == 0 ? 0 : r[i] / (2.0 * d[i] + 0.5), i -> UNIT * Math.abs(r[i]));
    });
  }

  @Test
  void dot() {
    onEveryShape((gpu, rows, columns) -> {
      float[] x = integers(1, (long) rows * columns, 1000);
      float[] y = integers(2, (long) rows * columns, 1000);
      double expected = 0;
      for (int i = 0; i < x.length; i++) {
        expected += (double) x[i] * y[i]; // exact
      }
      SolvingKernel kernel = new SolvingKernel(gpu);
      DeviceBuffer total = gpu.buffer(Double.BYTES, -1);
      kernel.dot(gpu.matrix(rows, columns, x), gpu.matrix(rows, columns, y),
          gpu.buffer(kernel.dotWorkspace((long) rows * columns), -1), total);
      assertEquals(expected, gpu.readDouble(total, 0));
    });
  }

  @Test
  void diagonal() {
    onEveryShape((gpu, _, columns) -> {
      float[] h = integers(1, (long) columns * columns, 100);
      DeviceMatrix diagonal = gpu.matrix(1, columns);
      new SolvingKernel(gpu).diagonal(gpu.matrix(columns, columns, h), diagonal);
      assertSame("d", gpu.read(diagonal), j -> h[j * columns + j]);
    });
  }

  @Test
  void conjugateGradients() {
    onEveryRow((gpu, rows, columns) -> {
      int elements = rows * columns;
      float[] w = integers(1, elements, 1);
      float[] r = integers(2, elements, 3);
      float[] q = integers(3, elements, 3);
      float[] d = normal(4, columns);
      for (int j = 0; j < columns; j++) {
        d[j] = Math.abs(d[j]);
      }
      double damping = 0.75;
      DeviceMatrix weights = gpu.matrix(rows, columns, w);
      DeviceMatrix diagonal = gpu.matrix(1, columns, d);
      DeviceMatrix residual = gpu.matrix(rows, columns, r);
      DeviceMatrix direction = result(gpu, rows, columns);
      DeviceMatrix solution = gpu.matrix(rows, columns, new float[elements]);
      DeviceMatrix norms = gpu.matrix(rows, 2);
      SolvingKernel kernel = new SolvingKernel(gpu);
      kernel.startConjugateGradients(weights, diagonal, damping, residual, direction, norms);
      double[] p = new double[elements];
      double[] norm = new double[rows];
      for (int i = 0; i < elements; i++) {
        r[i] = w[i] == 0 ? 0 : r[i];
        p[i] = r[i] / (d[i % columns] + damping);
        norm[i / columns] += r[i] * p[i];
      }
      double bound = (columns + 8) * UNIT;
      assertSame("r", gpu.read(residual), i -> r[i]);
      assertClose("p", gpu.read(direction), i -> p[i], i -> 4 * UNIT * Math.abs(p[i]));
      assertClose("n", gpu.read(norms), i -> norm[i / 2], i -> bound * norm[i / 2]);

      kernel.conjugateGradientStep(weights, diagonal, damping, gpu.matrix(rows, columns, q), residual, direction,
          solution, norms);
      double[] curvature = new double[rows];
      double[] magnitude = new double[rows];
      for (int i = 0; i < elements; i++) {
        double term = p[i] * (q[i] + damping * p[i]);
        curvature[i / columns] += term;
        magnitude[i / columns] += Math.abs(p[i] * q[i]) + damping * p[i] * p[i];
      }
      float[] found = gpu.read(solution);
      float[] left = gpu.read(residual);
      float[] directions = gpu.read(direction);
      for (int row = 0; row < rows; row++) {
        boolean solved = !(curvature[row] > 0 && norm[row] > 0);
        if (Math.abs(curvature[row]) < 0.01 * magnitude[row]) {
          continue; // rounding decides on which side of 0 it lies
        }
        double alpha = solved ? 0 : norm[row] / curvature[row];
        double tolerance = 200 * bound * (1 + alpha * (1 + magnitude[row] / Math.max(1e-9, Math.abs(curvature[row]))));
        double next = 0;
        for (int i = row * columns; i < (row + 1) * columns; i++) {
          double residualOf = w[i] == 0 ? 0 : r[i] - alpha * (q[i] + damping * p[i]);
          assertEquals(alpha * p[i], found[i], tolerance * (1 + Math.abs(p[i])), "y");
          assertEquals(residualOf, left[i], tolerance * (4 + Math.abs(q[i])), "r");
          next += residualOf * residualOf / (d[i % columns] + damping);
        }
        for (int i = row * columns; i < (row + 1) * columns && !solved; i++) {
          double expected = left[i] / (d[i % columns] + damping) + next / norm[row] * p[i];
          assertEquals(expected, directions[i], tolerance * (columns + next / norm[row]) * (1 + Math.abs(p[i])) * 8,
              "p");
        }
      }
    });
  }

  private static long bits(long seed, long stream, long index) {
    long golden = 0x9e3779b97f4a7c15L;
    return mix(mix(seed + golden * (stream + 1)) + golden * (index + 1));
  }

  private static long mix(long z) {
    long a = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    long b = (a ^ (a >>> 27)) * 0x94d049bb133111ebL;
    return b ^ (b >>> 31);
  }

  private static double columnSum(float[] x, int column, int columns) {
    double sum = 0;
    for (int i = column; i < x.length; i += columns) {
      sum += x[i];
    }
    return sum;
  }

  private static double rowSum(float[] x, int row, int columns) {
    double sum = 0;
    for (int k = row * columns; k < (row + 1) * columns; k++) {
      sum += x[k];
    }
    return sum;
  }
}
