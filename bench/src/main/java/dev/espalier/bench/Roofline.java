package dev.espalier.bench;

import dev.espalier.bench.GpuTimer.Memory;
import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;

/// The least time of every kernel on GPUs, by the peaks that NVIDIA states of them: a bound, not a forecast. It needs no
/// GPU. Products have a second bound: their blocks are not a whole number for each multiprocessor, and the last ones leave
/// others without work.
public final class Roofline {
  private static final double MEGA = 1e6;

  private final GpuKernels.Sizes sizes;
  private final PrintStream out;
  /// Cells by the first cells of a row.
  private final Map<String, StringBuilder> rows = new LinkedHashMap<>();

  Roofline(GpuKernels.Sizes sizes, PrintStream out) {
    this.sizes = sizes;
    this.out = out;
  }

  /// @param args none
  public static void main(String[] args) {
    new Roofline(GpuKernels.Sizes.FULL, System.out).run();
  }

  void run() {
    out.print("| kernel | shape | MB | Gop |");
    Chip.KNOWN.forEach(chip -> out.printf(" %s |", chip.name()));
    out.printf("%n|---|---|---|---|%s%n", "---|".repeat(Chip.KNOWN.size()));
    for (Chip chip : Chip.KNOWN) {
      ModelDriver driver = new ModelDriver(chip);
      try (Memory memory = new Memory(driver)) {
        new GpuKernels(driver, GpuKernels.own(driver, memory), sizes, new Modelled(chip, driver)).addAll();
      }
    }
    rows.forEach((row, cells) -> out.println(row + cells));
  }

  /// The column of a chip.
  private final class Modelled implements KernelRows {
    private final Chip chip;
    private final ModelDriver driver;

    Modelled(Chip chip, ModelDriver driver) {
      this.chip = chip;
      this.driver = driver;
    }

    @Override
    public <T> void add(String kernel, String shape, Cost cost, Function<Memory, T> operands, Consumer<T> work) {
      try (Memory memory = new Memory(driver)) {
        T made = operands.apply(memory);
        driver.launches();
        work.accept(made);
      }
      String row = String.format(Locale.ROOT, "| %s | %s | %.4g | %s |", kernel, shape, cost.bytes() / MEGA,
          cost.isBoundByMemory() ? "" : String.format(Locale.ROOT, "%.4g", cost.operations() * 1e-9));
      rows.computeIfAbsent(row, _ -> new StringBuilder()).append(cell(cost));
    }

    private String cell(Cost cost) {
      double least = cost.least(chip);
      if (cost.isBoundByMemory()) {
        return String.format(Locale.ROOT, " %.3g ms |", least * 1e3);
      }
      double blocks = (double) driver.launches().stream()
          .filter(launch -> launch.kernel().matches(".*(mma|fma)_.*|sparse_product_\\d.*")).findFirst().orElseThrow()
          .grid().count() / chip.multiprocessors();
      double rounded = cost.operations() / chip.rate(cost.mode().orElseThrow()) * Math.ceil(blocks) / blocks;
      return String.format(Locale.ROOT, " %.3g ms; %.3g by %.4g blocks |", least * 1e3, Math.max(least, rounded) * 1e3,
          blocks);
    }

    @Override
    public void check(String kernel, Runnable check) {
      // There are no results.
    }
  }
}
