package dev.espalier.kernels;

import dev.espalier.kernels.EmulatedGpu.Order;
import dev.espalier.kernels.EmulatedGpu.Schedule;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.IntToDoubleFunction;

/// What the kernels' tests share: shapes, schedules, random data and comparisons.
final class Checks {
  /// 2⁻²⁴: what rounding to float32 may change, relatively.
  static final double UNIT = 0x1p-24;

  /// A matrix shape.
  record Shape(int rows, int columns) {}

  /// Around lanes, warps and tiles, vectors of four or not.
  static final List<Shape> SHAPES = List.of(new Shape(1, 1), new Shape(1, 7), new Shape(7, 1), new Shape(31, 32),
      new Shape(32, 31), new Shape(33, 33), new Shape(7, 127), new Shape(129, 7), new Shape(5, 129), new Shape(19, 132),
      new Shape(300, 140));

  /// Rows that two or more warps of a block take, and that a block does not hold at once; vectors of four or not.
  private static final List<Shape> WIDE = List.of(new Shape(3, 516), new Shape(3, 1031), new Shape(2, 2052),
      new Shape(2, 4100), new Shape(1, 4099));

  /// Set for the sanitizers, which are slow: one shape of each kind is enough for them, and one order, for they see
  /// what is not ordered in any.
  static final boolean BRIEF = Boolean.getBoolean("espalier.kernels.brief");

  private static final List<Order> ORDERS = BRIEF ? List.of(Order.RANDOM) : List.of(Order.values());

  /// On a device, which has schedules of its own.
  private static final int RUNS = BRIEF ? 1 : 3;

  private Checks() {}

  /// Runs `action` with every shape on a GPU of its own under each order of threads and blocks; on a device once, and
  /// three times with the largest shape, since only where blocks are many do schedules differ.
  static void onEveryShape(ShapeAction action) {
    List<Shape> shapes = BRIEF ? List.of(new Shape(33, 33), new Shape(19, 132)) : SHAPES;
    for (Shape shape : shapes) {
      Consumer<TestGpu> run = gpu -> action.run(gpu, shape.rows(), shape.columns());
      if (isOnDevice()) {
        onDevice(shape.equals(shapes.getLast()) ? RUNS : 1, run);
      } else {
        onEveryOrder(run);
      }
    }
  }

  /// As [#onEveryShape], and with wide rows, for kernels that take rows as a whole.
  static void onEveryRow(ShapeAction action) {
    onEveryShape(action);
    for (Shape shape : BRIEF ? List.of(new Shape(3, 1031), new Shape(2, 4100)) : WIDE) {
      onEveryOrder(gpu -> action.run(gpu, shape.rows(), shape.columns()));
    }
  }

  /// A matrix for results, of an odd number of rows aligned to 4 bytes only.
  static DeviceMatrix result(TestGpu gpu, int rows, int columns) {
    return gpu.matrixAt(rows % 2, rows, columns);
  }

  /// A test of a kernel on a shape.
  @FunctionalInterface
  interface ShapeAction {
    void run(TestGpu gpu, int rows, int columns);
  }

  /// Runs `action` on a GPU of its own under each order of threads and blocks; on a device three times.
  static void onEveryOrder(Consumer<TestGpu> action) {
    onEverySchedule(0, action);
  }

  /// Runs `action` on a GPU of its own under each order, with every choice of the asynchronous mechanisms in
  /// `mechanisms` late and the others early; on a device three times.
  static void onEverySchedule(int mechanisms, Consumer<TestGpu> action) {
    if (isOnDevice()) {
      onDevice(RUNS, action);
      return;
    }
    for (Order order : ORDERS) {
      for (int late = mechanisms; late >= 0; late = late == 0 ? -1 : (late - 1) & mechanisms) {
        Schedule schedule = new Schedule(order, late);
        on(schedule.toString(), gpu -> {
          ((EmulatedGpu) gpu).schedule(schedule);
          action.accept(gpu);
        });
      }
    }
  }

  private static boolean isOnDevice() {
    return OnDevice.device().isPresent();
  }

  private static void onDevice(int runs, Consumer<TestGpu> action) {
    for (int run = 1; run <= runs; run++) {
      on("run %d of %d".formatted(run, runs), action);
    }
  }

  private static void on(String what, Consumer<TestGpu> action) {
    try (TestGpu gpu = TestGpu.open()) {
      action.accept(gpu);
    } catch (AssertionError | KernelException e) {
      throw new AssertionError("%s: %s".formatted(what, e.getMessage()), e);
    }
  }

  /// Normal numbers.
  static float[] normal(long seed, long elements) {
    Random random = new Random(seed);
    float[] values = new float[Math.toIntExact(elements)];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /// Whole numbers from −bound to bound.
  static float[] integers(long seed, long elements, int bound) {
    Random random = new Random(seed);
    float[] values = new float[Math.toIntExact(elements)];
    for (int i = 0; i < values.length; i++) {
      values[i] = random.nextInt(2 * bound + 1) - bound;
    }
    return values;
  }

  /// Fails where an element is further from the expected one than its tolerance.
  static void assertClose(String what, float[] actual, IntToDoubleFunction expected, IntToDoubleFunction tolerance) {
    for (int i = 0; i < actual.length; i++) {
      double want = expected.applyAsDouble(i);
      double most = tolerance.applyAsDouble(i);
      if (!(Math.abs(actual[i] - want) <= most)) {
        throw new AssertionError("%s: element %d of %d is %s, not %s, tolerance %s".formatted(what, i, actual.length,
            actual[i], want, most));
      }
    }
  }

  /// Fails where an element is another float than the expected one.
  static void assertSame(String what, float[] actual, IntToDoubleFunction expected) {
    List<String> wrong = new ArrayList<>();
    for (int i = 0; i < actual.length && wrong.isEmpty(); i++) {
      float want = (float) expected.applyAsDouble(i);
      if (Float.floatToRawIntBits(actual[i]) != Float.floatToRawIntBits(want)) {
        wrong.add("%s: element %d of %d is %s, not %s".formatted(what, i, actual.length, actual[i], want));
      }
    }
    if (!wrong.isEmpty()) {
      throw new AssertionError(wrong.getFirst());
    }
  }
}
