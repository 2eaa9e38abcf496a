package dev.espalier.bench;

import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.Driver.Event;
import dev.espalier.kernels.Driver.Stream;
import dev.espalier.kernels.RandomKernel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;

/// Times work on a GPU by events, on operands that are not in its cache: each run takes the next of several sets of
/// them, which together exceed the cache.
final class GpuTimer {
  /// About a millisecond, in which several launches are queued, even by code that Java has not compiled yet.
  private static final int COPIES = 4;

  private final Driver driver;
  private final int warmUps;
  private final int repeats;
  private final long rotation;

  /// @param warmUps runs that are not timed
  /// @param rotation bytes that all sets of operands exceed: several times the cache
  GpuTimer(Driver driver, int warmUps, int repeats, long rotation) {
    this.driver = driver;
    this.warmUps = warmUps;
    this.repeats = repeats;
    this.rotation = rotation;
  }

  /// Seconds of a run.
  record Times(double least, double median, double most) {}

  /// Device memory of seeded uniform numbers, given back together.
  static final class Memory implements AutoCloseable {
    private final Driver driver;
    private final RandomKernel random;
    private final List<Long> allocations = new ArrayList<>();
    private long bytes;

    Memory(Driver driver) {
      this.driver = driver;
      random = new RandomKernel(driver);
    }

    /// A matrix of numbers from 0 to 1.
    DeviceMatrix matrix(int rows, int columns) {
      DeviceMatrix matrix = new DeviceMatrix(allocate((long) rows * columns * Float.BYTES), rows, columns);
      random.uniform(matrix, 1, allocations.size());
      return matrix;
    }

    /// A buffer of `bytes` times `fill`.
    DeviceBuffer buffer(long bytes, int fill) {
      DeviceBuffer buffer = new DeviceBuffer(allocate(bytes), bytes);
      driver.fill(buffer.address(), bytes, (byte) fill);
      return buffer;
    }

    private long allocate(long size) {
      long address = driver.allocate(size);
      allocations.add(address);
      bytes += size;
      return address;
    }

    @Override
    public void close() {
      allocations.forEach(driver::free);
      allocations.clear();
    }
  }

  /// Times `work` on the operands that `operands` makes, one set or more.
  <T> Times time(Function<Memory, T> operands, Consumer<T> work) {
    try (Memory memory = new Memory(driver); Memory copied = new Memory(driver)) {
      long half = rotation / 2;
      long busy = copied.buffer(2 * half, 0).address();
      List<T> sets = new ArrayList<>();
      do {
        sets.add(operands.apply(memory));
      } while (memory.bytes < rotation && sets.size() < repeats);
      for (int run = 0; run < warmUps; run++) {
        work.accept(sets.get(run % sets.size()));
      }
      double[] seconds = new double[repeats];
      try (Event before = driver.event(); Event after = driver.event()) {
        for (int run = 0; run < repeats; run++) {
          // While copies and the first of two runs keep the GPU busy the second is queued, so that its launches are not timed.
          for (int copy = 0; copy < COPIES; copy++) {
            driver.copy(busy, busy + half, half);
          }
          work.accept(sets.get(2 * run % sets.size()));
          driver.record(before, Stream.COMPUTE);
          work.accept(sets.get((2 * run + 1) % sets.size()));
          driver.record(after, Stream.COMPUTE);
          driver.synchronize(after);
          seconds[run] = driver.seconds(before, after);
        }
      }
      Arrays.sort(seconds);
      return new Times(seconds[0], seconds[repeats / 2], seconds[repeats - 1]);
    }
  }
}
