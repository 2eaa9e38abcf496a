package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The steps of gpu.sh, with scripts in the place of Java, compute-sanitizer and nvidia-smi.
class GpuScriptTest {
  /// A process in a session of its own.
  private static final String LEAVES_A_PROCESS = """
      setsid sleep 600 &
      echo $! >"$FAKES/left"
      """;

  @TempDir
  private Path folder;

  private record Result(int code, List<String> lines) {
    @Override
    public String toString() {
      return code + "\n" + String.join("\n", lines);
    }
  }

  @BeforeEach
  void write() throws IOException {
    fakeJava(3);
    fake("compute-sanitizer", "echo '[         2 tests successful      ]'");
    fake("nvidia-smi", "");
  }

  private void fake(String program, String script) throws IOException {
    Path file = Files.writeString(folder.resolve(program), "#!/usr/bin/env bash\n" + script + "\n");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  private void fakeJava(int successfulTests) throws IOException {
    fake("java", """
        case $* in
          *ConsoleLauncher*) echo '[         %d tests successful      ]' ;;
          *) echo "ran ${@: -1}" ;;
        esac""".formatted(successfulTests));
  }

  private Result run() throws IOException, InterruptedException {
    ProcessBuilder builder = new ProcessBuilder("bash", "gpu.sh", folder.resolve("record").toString())
        .redirectErrorStream(true);
    builder.environment().putAll(Map.of("PATH", folder + ":" + System.getenv("PATH"), "FAKES", folder.toString(),
        "JAVA", "java", "CLASSPATH", "none", "ESPALIER_SANITIZER", "compute-sanitizer", "ESPALIER_STEP_SECONDS", "2"));
    Process process = builder.start();
    List<String> lines = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).lines().toList();
    return new Result(process.waitFor(), lines);
  }

  private static void assertSteps(String outcome, Result result, String... steps) {
    for (String step : steps) {
      assertTrue(result.lines().stream().anyMatch(line -> line.startsWith(step + ": " + outcome)),
          () -> "%s: %s not in %s".formatted(step, outcome, result));
    }
  }

  /// A process that has ended may stay a while, without its command line.
  private void assertNothingIsLeft() throws IOException {
    String pid = Files.readString(folder.resolve("left")).strip();
    String command;
    try {
      command = Files.readString(Path.of("/proc", pid, "cmdline"));
    } catch (IOException e) {
      return; // there is no such process
    }
    assertEquals("", command, "process " + pid);
  }

  @Test
  void runsAllSteps() throws IOException, InterruptedException {
    Result result = run();
    assertEquals(0, result.code(), result::toString);
    assertSteps("passed in", result, "device", "tests", "memcheck", "racecheck", "kernels", "scoring", "overhead");
    assertTrue(result.lines().contains("ran dev.espalier.bench.GpuScoring"), result::toString);
    assertEquals("ran dev.espalier.bench.GpuKernels", Files.readString(folder.resolve("record/kernels.txt")).strip());
  }

  @Test
  void runsEachClassOfKernelTests() throws IOException, ClassNotFoundException {
    String families = Stream.of(kernelTests()).map(Class::getSimpleName).sorted()
        .collect(Collectors.joining(" ", "families=(", ")"));
    assertTrue(Files.readAllLines(Path.of("gpu.sh")).contains(families), families);
  }

  private static Class<?>[] kernelTests() throws ClassNotFoundException {
    return Class.forName("dev.espalier.kernels.DeviceTest").getDeclaredClasses();
  }

  /// Where a kernel of one class fails, the others have a process of their own.
  @Test
  void aClassThatFailsDoesNotKeepTheOthersFromRunning()
      throws IOException, InterruptedException, ClassNotFoundException {
    fake("java", """
        case $* in
          *DualMoments*) exit 1 ;;
          *ConsoleLauncher*) echo "$5 [         3 tests successful      ]" ;;
        esac""");
    Result result = run();
    assertEquals(1, result.code(), result::toString);
    assertSteps("FAILED after", result, "tests");
    String tests = Files.readString(folder.resolve("record/tests.txt"));
    assertEquals(kernelTests().length + 1, tests.lines().count(), tests); // less one, and JCudaLoaderTest and the engine
    assertTrue(tests.contains("dev.espalier.engine"), tests);
  }

  @Test
  void aStepThatFailsDoesNotKeepTheOthersFromRunning() throws IOException, InterruptedException {
    fakeJava(0);
    Result result = run();
    assertEquals(1, result.code(), result::toString);
    assertSteps("FAILED after", result, "tests");
    assertTrue(result.lines().contains("[         0 tests successful      ]"), result::toString);
    assertSteps("passed in", result, "memcheck", "racecheck", "kernels", "scoring", "overhead");
  }

  @Test
  void aStepThatTakesTooLongEndsWithAllThatItStarted() throws IOException, InterruptedException {
    fake("compute-sanitizer", """
        [[ $* == *racecheck* ]] && exec echo '[         2 tests successful      ]'
        %strap '' TERM
        while true; do sleep 0.1; done""".formatted(LEAVES_A_PROCESS));
    Result result = run();
    assertEquals(1, result.code(), result::toString);
    assertSteps("STOPPED after 2 s", result, "memcheck");
    assertSteps("passed in", result, "tests", "racecheck", "kernels", "scoring", "overhead");
    assertNothingIsLeft();
  }

  @Test
  void aStepThatLeavesAProcessFails() throws IOException, InterruptedException {
    fake("compute-sanitizer", "echo '[         2 tests successful      ]'\n" + LEAVES_A_PROCESS);
    Result result = run();
    assertEquals(1, result.code(), result::toString);
    assertSteps("left processes behind", result, "memcheck", "racecheck");
    assertNothingIsLeft();
  }

  @Test
  void timesNothingWhileAnotherProcessUsesTheGpu() throws IOException, InterruptedException {
    fake("nvidia-smi", "case $1 in --query-compute-apps*) echo '4711, python, 400 MiB' ;; esac");
    fake("sleep", "");
    Result result = run();
    assertEquals(1, result.code(), result::toString);
    assertSteps("NOT TIMED, other processes use the GPU:", result, "kernels", "scoring", "overhead");
    assertTrue(result.lines().contains("4711, python, 400 MiB"), result::toString);
    assertSteps("passed in", result, "tests", "memcheck", "racecheck");
  }
}
