package dev.espalier.bench;

import dev.espalier.bench.GpuTimer.Memory;
import dev.espalier.bench.GpuTimer.Times;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.DeviceMemoryException;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.MatrixBlock;
import dev.espalier.kernels.MatrixProducts;
import java.io.PrintStream;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.regex.Pattern;

/// Times every kernel on a GPU, and prints each as a share of what bounds it on that GPU, measured in the same run: the
/// rate of a large TF32 product, by cuBLAS where there is one, or the bandwidth of a copy in device memory. Where the
/// chip's stated peaks are known, the least time that they allow stands beside it.
final class TimedRows implements KernelRows {
  private final GpuTimer timer;
  private final PrintStream out;
  private final double matrixRate;
  private final double bandwidth;
  private final Optional<Chip> chip;
  private final Pattern wanted;
  /// Medians, by kernel and shape.
  private final Map<List<String>, Double> seconds = new HashMap<>();

  private TimedRows(GpuTimer timer, PrintStream out, double matrixRate, double bandwidth, Optional<Chip> chip,
      Pattern wanted) {
    this.timer = timer;
    this.out = out;
    this.matrixRate = matrixRate;
    this.bandwidth = bandwidth;
    this.chip = chip;
    this.wanted = wanted;
  }

  /// Measures the limits, and prints them and the table's head.
  ///
  /// @param library whose products set the limit
  /// @param wanted is found in the names of the kernels to time
  static TimedRows begin(Driver driver, MatrixProducts library, GpuKernels.Sizes sizes, Pattern wanted,
      PrintStream out) {
    GpuTimer timer = new GpuTimer(driver, sizes.warmUps(), sizes.repeats(), sizes.rotation());
    int width = 2 * sizes.width();
    Times product = timer.time(
        memory -> new MatrixBlock[]{square(memory, width), square(memory, width), square(memory, width)},
        m -> library.multiply(1, m[0], false, m[1], true, 0, m[2]));
    double matrixRate = 2.0 * width * width * width / product.median();
    Times copy = timer.time(
        memory -> new DeviceBuffer[]{memory.buffer(sizes.copyBytes(), 0), memory.buffer(sizes.copyBytes(), 0)},
        b -> driver.copy(b[0].address(), b[1].address(), sizes.copyBytes()));
    double bandwidth = 2.0 * sizes.copyBytes() / copy.median();
    Optional<Chip> chip = Chip.of(driver.name());
    out.printf(Locale.ROOT, "%s, %d multiprocessors%n", driver.name(), driver.multiprocessors());
    out.printf(Locale.ROOT, "matrix rate: %.4g TFLOP/s, TF32, %d³, %s%n", matrixRate * 1e-12, width,
        library.description());
    out.printf(Locale.ROOT, "bandwidth: %.4g GB/s, read and written, copying %d bytes%n", bandwidth * 1e-9,
        sizes.copyBytes());
    chip.ifPresent(known -> out.printf(Locale.ROOT, "stated peaks: %.4g TFLOP/s in TF32, %.4g in float32, %.4g GB/s%n",
        known.tensorRate() * 1e-12, known.vectorRate() * 1e-12, known.bandwidth() * 1e-9));
    out.printf("%n| kernel | shape | time | rate | of the limit | spread | least by stated peaks |%n%s%n",
        "|" + "---|".repeat(7));
    return new TimedRows(timer, out, matrixRate, bandwidth, chip, wanted);
  }

  /// The median of a row; NaN if it was not measured.
  double seconds(String kernel, String shape) {
    return seconds.getOrDefault(List.of(kernel, shape), Double.NaN);
  }

  private static MatrixBlock square(Memory memory, int width) {
    return MatrixBlock.of(memory.matrix(width, width));
  }

  @Override
  public void check(String kernel, Runnable check) {
    if (wanted.matcher(kernel).find()) {
      check.run();
    }
  }

  @Override
  public <T> void add(String kernel, String shape, Cost cost, Function<Memory, T> operands, Consumer<T> work) {
    if (!wanted.matcher(kernel).find()) {
      return;
    }
    Times times;
    try {
      times = timer.time(operands, work);
    } catch (DeviceMemoryException e) {
      out.printf("| %s | %s | not measured: %s | | | | |%n", kernel, shape, e.getMessage());
      return;
    }
    seconds.put(List.of(kernel, shape), times.median());
    double done = cost.isBoundByMemory() ? cost.bytes() : cost.operations();
    double limit = cost.isBoundByMemory() ? bandwidth : matrixRate;
    out.printf(Locale.ROOT, "| %s | %s | %.4g ms | %s | %.1f %% | %.1f–%.1f %% | %s |%n", kernel, shape,
        times.median() * 1e3,
        cost.isBoundByMemory()
            ? "%.4g GB/s".formatted(done / times.median() * 1e-9)
            : "%.4g TFLOP/s".formatted(done / times.median() * 1e-12),
        100 * done / times.median() / limit, 100 * done / times.most() / limit, 100 * done / times.least() / limit,
        chip.map(known -> String.format(Locale.ROOT, "%.4g ms", cost.least(known) * 1e3)).orElse(""));
  }
}
