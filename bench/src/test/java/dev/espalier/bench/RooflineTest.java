package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.bench.GpuKernels.Sizes;
import dev.espalier.bindings.MathMode;
import dev.espalier.kernels.MomentsByProducts;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class RooflineTest {
  private static List<String> lines() {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    new Roofline(Sizes.FULL, new PrintStream(text, true, StandardCharsets.UTF_8)).run();
    return text.toString(StandardCharsets.UTF_8).lines().toList();
  }

  private static String cell(String row, String chip) {
    List<String> names = Chip.KNOWN.stream().map(Chip::name).toList();
    return row.replaceFirst("\\|(?: [^|]* \\|){%d} ([^|]*) \\|.*".formatted(4 + names.indexOf(chip)), "$1");
  }

  @Test
  void everyRowHasAllChips() {
    List<String> lines = lines();
    assertEquals("| kernel | shape | MB | Gop | A100 | H100 | H200 | B200 |", lines.getFirst());
    assertTrue(lines.size() > 50, lines::toString);
    for (String line : lines) {
      assertEquals(8 + 1, line.chars().filter(c -> c == '|').count(), line);
      assertTrue(!line.contains("NaN") && !line.contains("Infinity"), line);
    }
  }

  /// 4 · 32768 · 4096² operations at 494.7 TFLOP/s, and 32 × 32 tiles for 132 multiprocessors.
  @Test
  void productsAreBoundByOperationsAndBlocks() {
    String row = lines().stream().filter(line -> line.startsWith("| dual_moments TF32 | 32768 × 4096 × 4096 |"))
        .findFirst().orElseThrow();
    String cell = cell(row, "H100");
    double least = 4.0 * 32_768 * 4096 * 4096 / 494.7e12 * 1e3;
    assertEquals(least, Double.parseDouble(cell.replaceFirst(" ms; .*", "")), 0.01 * least, cell);
    double blocks = Double.parseDouble(cell.replaceFirst(".* by (.*) blocks.*", "$1"));
    double tiles = 32 * 32 / 132.0;
    assertEquals(Math.rint(blocks / tiles), blocks / tiles, 0.01, "one block for each tile and part");
    assertEquals(least * Math.ceil(blocks) / blocks, Double.parseDouble(cell.replaceFirst(".*; (.*) by .*", "$1")),
        0.01 * least, cell);
  }

  /// 12 bytes an element at 8 TB/s.
  @Test
  void othersAreBoundByMemory() {
    String row = lines().stream().filter(line -> line.startsWith("| axpy |")).findFirst().orElseThrow();
    String cell = cell(row, "B200");
    double least = 12.0 * 4096 * 4096 / 8e12 * 1e3;
    assertEquals(least, Double.parseDouble(cell.replaceFirst(" .*", "")), 0.01 * least, row);
  }

  @Test
  void theLargerBoundHolds() {
    Chip chip = Chip.KNOWN.getFirst();
    assertEquals(2.0, Cost.ofProducts(MathMode.TF32, 2 * chip.tensorRate(), chip.bandwidth()).least(chip));
    assertEquals(3.0, Cost.ofProducts(MathMode.FP32, 2 * chip.vectorRate(), 3 * chip.bandwidth()).least(chip));
    assertEquals(1.0, Cost.ofMemory(chip.bandwidth()).least(chip));
  }

  @ParameterizedTest
  @CsvSource({"NVIDIA H100 80GB HBM3, H100, 132, 3350", "NVIDIA H100 PCIe, H100 PCIe, 114, 2000",
      "NVIDIA H100 NVL, H100 NVL, 132, 3900", "NVIDIA H200, H200, 132, 4800", "NVIDIA H200 NVL, H200 NVL, 132, 4800",
      "NVIDIA A100-SXM4-80GB, A100, 108, 2039", "NVIDIA A100-SXM4-40GB, A100-SXM4-40GB, 108, 1555",
      "NVIDIA A100-PCIE-40GB, A100-PCIE-40GB, 108, 1555", "NVIDIA A100 80GB PCIe, A100 80GB PCIe, 108, 1935",
      "NVIDIA B200, B200, 148, 8000", "NVIDIA A40, A40, 84, 696", "NVIDIA L40S, L40S, 142, 864",
      "NVIDIA GeForce RTX 5090, GeForce RTX 5090, 170, 1792"})
  void devicesHaveThePeaksOfTheirBoards(String device, String chip, int multiprocessors, double gigabytes) {
    Chip found = Chip.of(device + ", compute capability 9.0").orElseThrow();
    assertEquals(chip, found.name());
    assertEquals(multiprocessors, found.multiprocessors());
    assertEquals(gigabytes * 1e9, found.bandwidth());
  }

  @ParameterizedTest
  @ValueSource(strings = {"Stand-in", "NVIDIA GH200 480GB", "NVIDIA GB200", "NVIDIA H20", "NVIDIA A10", "NVIDIA L40",
      "NVIDIA GeForce RTX 5090 Laptop GPU", "NVIDIA A100X"})
  void otherDevicesHaveNoStatedPeaks(String device) {
    assertEquals(Optional.empty(), Chip.of(device + ", compute capability 9.0"));
  }

  /// Both sums and what each moves beside the other, by the shares of the peaks that `MomentsByProducts` states.
  @ParameterizedTest
  @CsvSource({"NVIDIA A100-SXM4-80GB, 0.6667", "NVIDIA A40, 0.6667", "NVIDIA L40S, 0.6667", "NVIDIA B200, 0.25",
      "NVIDIA GeForce RTX 5090, 0.6667"})
  void modelledWidthsOfMomentsAreTheModels(String device, double shareOfMma) {
    Chip chip = Chip.of(device).orElseThrow();
    assertEquals(modelled(chip.vectorRate(), chip.bandwidth(), 0.5, 24),
        MomentsByProducts.leastWidth(chip.computeCapability(), MathMode.FP32).orElseThrow(), "float32");
    assertEquals(modelled(chip.tensorRate(), chip.bandwidth(), shareOfMma, 32),
        MomentsByProducts.leastWidth(chip.computeCapability(), MathMode.TF32).orElseThrow(), "TF32");
  }

  /// The width w, a power of two, from which 4 w² operations a sample save at cuBLAS's rate what 32 or 24 w bytes cost.
  private static int modelled(double peak, double bandwidth, double share, double bytes) {
    double width = bytes / bandwidth / (4 / peak * (1 / share - 1 / 0.75));
    return 1 << (int) Math.ceil(Math.log(width) / Math.log(2));
  }

  /// kernels/README.md shows some rows.
  @Test
  void theDocumentationShowsWhatIsPrinted() throws IOException {
    List<String> lines = lines();
    List<String> shown = Files.readAllLines(Path.of("../kernels/README.md")).stream()
        .dropWhile(line -> !line.equals(lines.getFirst())).takeWhile(line -> line.startsWith("|")).toList();
    assertTrue(shown.size() > 5, "an excerpt of the table");
    shown.forEach(line -> assertTrue(lines.contains(line), line));
  }
}
