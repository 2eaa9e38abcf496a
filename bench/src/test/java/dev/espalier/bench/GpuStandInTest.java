package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.kernels.NeedsGpu;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.parallel.Isolated;

/// The programs as they are started on a GPU, over libraries that stand in for the driver, cuBLAS and NVML
/// (kernels/src/test/cuda/driver): that they run to their end is all that their figures say.
@Tag("stand-in")
@ExtendWith(NeedsGpu.class)
@Isolated("replaces System.out")
class GpuStandInTest {
  /// A program, which may throw.
  private interface Program {
    void main() throws IOException;
  }

  private static List<String> output(Program program) throws IOException {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    PrintStream out = System.out;
    System.setOut(new PrintStream(text, true, StandardCharsets.UTF_8));
    try {
      program.main();
    } finally {
      System.setOut(out);
    }
    return text.toString(StandardCharsets.UTF_8).lines().toList();
  }

  /// The clock of the GPU that stands in falls with each question.
  private static void assertRecorded(List<String> lines) {
    String before = lines.getFirst();
    String meanwhile = lines.get(lines.size() - 2);
    String after = lines.getLast();
    String state = ": clock \\d+ MHz, memory clock 3201 MHz, 76\\.3 W, \\d+ °C, - MiB in use, other processes: none";
    assertTrue(before.matches("before" + state), before);
    assertTrue(meanwhile.matches("meanwhile: clock at least \\d+ MHz, held down by: power"), meanwhile);
    assertTrue(after.matches("after" + state), after);
    assertTrue(clock(before) > clock(meanwhile) && clock(meanwhile) > clock(after), () -> String.join("\n", lines));
    List<String> rows = lines.stream().filter(line -> line.startsWith("|")).toList();
    assertTrue(rows.size() > 2, () -> String.join("\n", lines));
    assertTrue(rows.stream().noneMatch(row -> row.contains("not measured") || row.contains("NaN")),
        () -> String.join("\n", rows));
  }

  private static int clock(String line) {
    return Integer.parseInt(line.replaceFirst("\\D*(\\d+) .*", "$1"));
  }

  @Test
  void notesThatOthersUseTheGpu() throws IOException {
    others(2);
    List<String> lines;
    try {
      lines = output(() -> GpuWatch.begin().close());
    } finally {
      others(0);
    }
    String note = "note: 2 other processes use this GPU: these times are not its own";
    assertTrue(lines.getFirst().endsWith(", other processes: 1 2"), lines.getFirst());
    assertEquals(List.of(note, note), List.of(lines.get(1), lines.getLast()));
  }

  @SuppressWarnings("restricted")
  private static void others(int count) {
    try (Arena arena = Arena.ofConfined()) {
      Linker.nativeLinker()
          .downcallHandle(SymbolLookup.libraryLookup("libnvidia-ml.so.1", arena).findOrThrow("stand_in_others"),
              FunctionDescriptor.ofVoid(ValueLayout.JAVA_INT))
          .invokeExact(count);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void timesKernels() throws IOException {
    List<String> lines = output(() -> GpuKernels.main(new String[]{"--tiny"}));
    assertRecorded(lines);
    assertEquals("Stand-in, compute capability 9.0, 4 multiprocessors", lines.get(1));
    assertTrue(lines.get(2).contains(", cuBLAS 13.0.0, "), lines.get(2));
    int table = lines.indexOf("for the table in MomentsByProducts, in place of the lines of 90:");
    for (String mode : List.of("FP32", "TF32")) {
      table++;
      assertTrue(lines.get(table).matches("(90 %1$s 20 measured on Stand-in, .*|no line for %1$s: .*)".formatted(mode)),
          lines.get(table));
    }
  }

  @Test
  void timesLaunchesAndCopies() throws IOException {
    List<String> lines = output(() -> GpuOverhead.main(new String[]{"--tiny"}));
    assertRecorded(lines);
    for (String row : List.of("| cuDriverGetVersion, JCuda (JNI) |", "| cuDriverGetVersion, FFM |",
        "| cuLaunchKernel, JCuda |", "| cuLaunchKernel, FFM |", "| cuLaunchKernelEx, FFM |", "| UpdatesKernel |",
        "| 1×1 product in FP32, cuBLAS 13.0.0 |", "| 1×1 product in BF16, cuBLAS 13.0.0 |", "| 4096 | page-locked |",
        "| 4096 | pageable |", "| 4096 | double buffers |", "| 70000000 | double buffers |")) {
      assertEquals(1, lines.stream().filter(line -> line.startsWith(row)).count(), row);
    }
  }

  @Test
  void timesScoring() throws IOException {
    List<String> lines = output(() -> GpuScoring.main(new String[]{"--tiny"}));
    assertRecorded(lines);
    assertTrue(lines.get(1).startsWith("cuda (Stand-in, "), lines.get(1));
  }
}
