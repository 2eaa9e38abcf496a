package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.bench.GpuTimer.Memory;
import dev.espalier.kernels.EmulatedDriver;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class GpuKernelsTest {
  private static final Pattern EVERY = Pattern.compile("");

  /// On the CPU: that it runs is all that its figures say.
  @Test
  void measuresEveryKernel() {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    try (EmulatedDriver driver = new EmulatedDriver(90, 1 << 30, EmulatedDriver.Order.LATE)) {
      try (Memory memory = new Memory(driver)) {
        GpuKernels.measure(driver, GpuKernels.own(driver, memory), GpuKernels.Sizes.TINY, EVERY,
            new PrintStream(text, true, StandardCharsets.UTF_8));
      }
      driver.synchronize();
      assertEquals(0, driver.allocations());
    }
    List<String> lines = text.toString(StandardCharsets.UTF_8).lines().toList();
    for (String kernel : List.of("dual_moments TF32", "dual_moments FP32", "moments by two products TF32",
        "product, forward TF32", "dense_backward relu", "elimination_scores", "apply", "select, 4 passes", "adam")) {
      assertEquals(1, lines.stream().filter(line -> line.startsWith("| " + kernel + " |")).count(), kernel);
    }
    for (String kernel : List.of("sparse_product 2:4 BF16", "library, forward of few BF16")) {
      assertEquals(3, lines.stream().filter(line -> line.startsWith("| " + kernel + " |")).count(), kernel);
    }
    assertTrue(lines.stream().noneMatch(line -> line.contains("not measured") || line.contains("NaN")));
  }

  @Test
  void measuresTheKernelsThatAreNamed() {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    try (EmulatedDriver driver = new EmulatedDriver(90, 1 << 30, EmulatedDriver.Order.LATE);
        Memory memory = new Memory(driver)) {
      GpuKernels.measure(driver, GpuKernels.own(driver, memory), GpuKernels.Sizes.TINY, Pattern.compile("^add_|adam"),
          new PrintStream(text, true, StandardCharsets.UTF_8));
    }
    assertEquals(
        List.of("add_bias", "add_squares", "add_outer_product", "add_columns", "add_multiplied", "adam", "add_carrying",
            "add_where_nonzero", "add_product"),
        text.toString(StandardCharsets.UTF_8).lines().filter(line -> line.contains("%"))
            .map(line -> line.substring(2, line.indexOf(" |", 2))).toList());
  }

  @Test
  void saysWhatDoesNotFit() {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    GpuKernels.Sizes tiny = GpuKernels.Sizes.TINY;
    GpuKernels.Sizes sizes = new GpuKernels.Sizes(tiny.samples(), tiny.rows(), tiny.width(), tiny.momentWidths(),
        tiny.batches(), tiny.copies(), List.of(100_000_000L), tiny.copyBytes(), 0, 1, tiny.rotation());
    try (EmulatedDriver driver = new EmulatedDriver(80, 1 << 26, EmulatedDriver.Order.LATE);
        Memory memory = new Memory(driver)) {
      GpuKernels.measure(driver, GpuKernels.own(driver, memory), sizes, EVERY,
          new PrintStream(text, true, StandardCharsets.UTF_8));
    }
    assertTrue(text.toString(StandardCharsets.UTF_8)
        .contains("| select, 4 passes | 100,000,000 | not measured: 400000000 bytes of "), text::toString);
  }
}
