package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What the assembler made of the kernels for sm_90a: their instructions. Skipped without nvcc, and without the CUDA
/// toolkit's cuobjdump.
class SassTest {
  /// An instruction's name, behind its address and predicate.
  private static final Pattern INSTRUCTION = Pattern
      .compile("/\\*[0-9a-f]{4,}\\*/ +(?:@!?U?P[0-9T]+ +)?([A-Z][A-Za-z0-9_.]*)");

  @TempDir
  static Path directory;

  /// What was read already: the names of the instructions, by kernel, by family.
  private static final Map<String, Map<String, List<String>>> READ = new HashMap<>();

  private Path cuobjdump;

  @BeforeEach
  void skipWithoutTools() {
    assumeTrue(CudaGpu.isBuilt(), "no nvcc when this was built: there are no GPU kernels to check");
    Optional<Path> found = find("cuobjdump");
    assumeTrue(found.isPresent(), "no cuobjdump on the path, nor in the bin of CUDA_HOME or CUDA_PATH");
    cuobjdump = found.orElseThrow();
  }

  private static Optional<Path> find(String tool) {
    Stream<String> path = Pattern.compile(File.pathSeparator, Pattern.LITERAL)
        .splitAsStream(Optional.ofNullable(System.getenv("PATH")).orElse(""));
    Stream<String> toolkits = Stream.of("CUDA_HOME", "CUDA_PATH").map(System::getenv).filter(home -> home != null)
        .map(home -> home + "/bin");
    return Stream.concat(path, toolkits).map(folder -> Path.of(folder, tool)).filter(Files::isExecutable).findFirst();
  }

  @Test
  void wgmmaRunsOnTensorCores() throws IOException, InterruptedException {
    Map<String, List<String>> kernels = kernels("dual_moments");
    for (DualMomentsKernel.Tile tile : PtxTest.wgmma()) {
      List<String> body = kernels.get(tile.name());
      assertTrue(body.contains("HGMMA.64x128x8.F32.TF32"), tile.name());
      assertTrue(body.contains("UTMALDG.2D"), tile.name());
      // One instruction rounds an operand; cvt.rna.tf32 takes four, with a comparison among them.
      assertTrue(body.contains("VIADDMNMX") && !body.contains("FSETP.GEU.AND"), tile.name());
    }
  }

  @Test
  void nothingLiesInLocalMemory() throws IOException, InterruptedException {
    for (String family : PtxTest.FAMILIES) {
      kernels(family)
          .forEach((name, body) -> assertFalse(body.stream().anyMatch(i -> i.startsWith("STL") || i.startsWith("LDL")),
              name + " uses local memory"));
    }
  }

  /// As PtxTest has it for the PTX, here after the assembler's own ordering.
  @Test
  void resultsAreLoadedInBatches() throws IOException, InterruptedException {
    for (String family : List.of("dual_moments", "product")) {
      int found = 0;
      for (Map.Entry<String, List<String>> kernel : kernels(family).entrySet()) {
        if (kernel.getKey().matches(family + "_(fma|mma|wgmma).*")) {
          int waits = 0;
          boolean stored = false;
          for (String instruction : kernel.getValue()) {
            if (instruction.startsWith("LDG") && stored) {
              waits++;
              stored = false;
            }
            stored |= instruction.startsWith("STG");
          }
          assertTrue(waits <= PtxTest.MOST_BATCHES, "%s loads after stores %d times".formatted(kernel.getKey(), waits));
          found++;
        }
      }
      assertTrue(found > 0, family);
    }
  }

  /// The names of the instructions, by kernel.
  private Map<String, List<String>> kernels(String family) throws IOException, InterruptedException {
    if (!READ.containsKey(family)) {
      READ.put(family, read(family));
    }
    return READ.get(family);
  }

  private Map<String, List<String>> read(String family) throws IOException, InterruptedException {
    Path fatbin = directory.resolve(family + ".fatbin");
    try (InputStream resource = CudaGpu.class.getResourceAsStream(family + ".fatbin")) {
      Files.copy(resource, fatbin);
    }
    Process process = new ProcessBuilder(cuobjdump.toString(), "-sass", "-arch", "sm_90a", fatbin.toString())
        .redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), text);
    Map<String, List<String>> kernels = new HashMap<>();
    for (String function : Pattern.compile("Function : ").splitAsStream(text).toList()) {
      int line = function.indexOf('\n');
      List<String> body = new ArrayList<>();
      Matcher instructions = INSTRUCTION.matcher(function);
      while (instructions.find()) {
        body.add(instructions.group(1));
      }
      if (!body.isEmpty()) {
        kernels.put(function.substring(0, line).strip(), body);
      }
    }
    assertFalse(kernels.isEmpty(), "no kernels for sm_90a: " + text);
    return kernels;
  }
}
