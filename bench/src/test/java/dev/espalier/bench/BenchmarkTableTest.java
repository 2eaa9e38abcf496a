package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BenchmarkTableTest {
  @TempDir
  private Path folder;

  private record Outcome(int code, String out, String err) {}

  @BeforeAll
  static void allowOthersOnThisMachine() {
    System.setProperty("jmh.ignoreLock", "true");
  }

  private static Outcome run(String... args) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    int code = BenchmarkTable.run(new PrintStream(out, true, StandardCharsets.UTF_8),
        new PrintStream(err, true, StandardCharsets.UTF_8), args);
    return new Outcome(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
  }

  /// In this virtual machine: no forks, no warm-up and a short iteration, where the defaults are others.
  private Outcome measure(String... args) throws IOException {
    return run(Stream
        .concat(Arrays.stream(args),
            Stream.of("-f", "0", "-wi", "0", "-i", "3", "-r", "10ms", "-o", folder.resolve("log").toString()))
        .toArray(String[]::new));
  }

  @Test
  void optionsWinOverDefaults() throws IOException {
    Outcome outcome = measure("MomentsBenchmark.cancelled", "-p", "shape=8x9x7,3x5x4");
    assertEquals(0, outcome.code, outcome.err);
    assertEquals("", outcome.err);
    assertTrue(
        outcome.out.contains("| Moments.cancelled 8x9x7 |") && outcome.out.contains("| Moments.cancelled 3x5x4 |"),
        outcome.out);
    String log = Files.readString(folder.resolve("log"));
    assertTrue(log.contains("# Measurement: 3 iterations, 10 ms each") && log.contains("# Warmup: <none>"), log);
  }

  @Test
  void aFailureIsTold() throws IOException {
    assertEquals(new Outcome(1, "", "bench: a benchmark failed, for the reason that JMH shows\n"),
        measure("MomentsBenchmark.cancelled", "-p", "shape=wide"));
    assertTrue(Files.readString(folder.resolve("log")).contains("NumberFormatException"));
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', value = {
      "Momnets       | no benchmark matches 'Momnets'; there are DenseForward, Elementwise, Moments, Product, Repair,"
          + " Scaling, Scoring, Selection",
      "Scoring xyz   | no benchmark matches 'xyz'; there are DenseForward, Elementwise, Moments, Product, Repair,"
          + " Scaling, Scoring, Selection",
      "Scoring -bm avgt | the table needs calls per second: leave out -bm and -tu",
      "Scoring -tu ms   | the table needs calls per second: leave out -bm and -tu",
      "Scoring --none   | none is not a recognized option"})
  void wrongArgumentsGetOneLine(String args, String message) throws IOException {
    assertEquals(new Outcome(2, "", "bench: " + message + "; --help shows what there is\n"), run(args.split(" ")));
  }

  @Test
  void helpIsOneLine() throws IOException {
    Outcome help = run("--help");
    assertEquals(0, help.code);
    assertEquals(1, help.out.lines().count());
  }
}
