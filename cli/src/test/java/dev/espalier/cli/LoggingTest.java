package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What the engine logs, in a virtual machine of its own, for the logger reads its level once.
class LoggingTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  @Test
  void informationIsShownWithVerboseOnly() throws IOException, InterruptedException {
    List<String> silent = evaluate("", "--device", "reference");
    assertEquals(2, silent.size(), silent::toString);
    assertTrue(silent.getFirst().startsWith("note: loss: "), silent::toString);
    assertTrue(silent.getLast().matches("device: reference .*, as asked for"), silent::toString);
    List<String> verbose = evaluate("", "--device", "reference", "--verbose");
    assertEquals(silent, verbose.stream().filter(line -> !line.startsWith("[INFO] ")).toList());
    for (String topic : List.of("device reference: ", "memory plan: ")) {
      assertTrue(verbose.stream().anyMatch(line -> line.startsWith("[INFO] " + topic)), topic + " in " + verbose);
    }
  }

  /// With a oneDNN that is not there.
  @Test
  void aNoticeIsShownOnce() throws IOException, InterruptedException {
    assumeTrue(!Files.exists(Path.of("/dev/nvidiactl")), "this machine has a GPU");
    List<String> err = evaluate(fixture.file("none.so").toString());
    assertEquals(3, err.size(), err::toString);
    assertTrue(err.getFirst().startsWith("note: loss: "), err::toString);
    assertTrue(err.get(1).startsWith("device auto: reference, slow but right, because "), err::toString);
    assertTrue(err.getLast().matches("device: reference .*, picked by auto"), err::toString);
  }

  @Test
  void verboseIsFoundAmongOtherLetters() {
    for (String option : List.of("--verbose", "-v", "-fv", "-vq")) {
      assertTrue(GlobalOptions.isVerbose("prune", option), option);
    }
    for (String other : List.of("-q", "-ov", "v", "--version", "-", "")) {
      assertFalse(GlobalOptions.isVerbose("prune", other), other);
    }
  }

  /// @param oneDnn its library, or empty
  /// @return what is on stderr
  private List<String> evaluate(String oneDnn, String... options) throws IOException, InterruptedException {
    String modules = Stream.of(System.getProperty("jdk.module.path"), System.getProperty("java.class.path"))
        .flatMap(path -> Arrays.stream(path.split(File.pathSeparator)))
        .filter(path -> !path.contains("junit") && !path.contains("test-classes"))
        .collect(Collectors.joining(File.pathSeparator));
    List<String> command = Stream.concat(Stream.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
        "--enable-native-access=dev.espalier.bindings", "--module-path", modules, "-m",
        "dev.espalier.cli/dev.espalier.cli.Espalier", "evaluate", fixture.model().toString(), "--data",
        fixture.data().toString(), "--labels", fixture.labels().toString()), Stream.of(options)).toList();
    ProcessBuilder start = new ProcessBuilder(command).redirectOutput(ProcessBuilder.Redirect.DISCARD);
    start.environment().put("ESPALIER_ONEDNN", oneDnn);
    Process process = start.start();
    List<String> err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8).lines().toList();
    assertEquals(0, process.waitFor(), err::toString);
    return err;
  }
}
