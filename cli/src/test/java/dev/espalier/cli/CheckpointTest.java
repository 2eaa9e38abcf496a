package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `prune --checkpoint`, also in processes that are killed.
class CheckpointTest {
  /// Kills of a test run, two thirds of a path and a third of a search; CONTRIBUTING.md tells how to ask for more.
  private static final int KILLS = Integer.getInteger("espalier.kills", 50);
  /// On a busy machine, where nothing is asked for, as many as this time allows, and so many at least.
  private static final Duration LIMIT = Duration.ofSeconds(30);
  private static final int LEAST_KILLS = 3;

  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  /// A pruning in rounds that each make all repairs.
  private List<String> path(Path output, Path checkpoint) {
    return command(output, checkpoint, "--sparsity", "0.5,0.9", "--schedule", "geometric:0.8");
  }

  /// A search along such rounds.
  private List<String> search(Path output, Path checkpoint) {
    return command(output, checkpoint, "--max-output-change", "20%", "--schedule", "geometric:0.8");
  }

  private List<String> command(Path output, Path checkpoint, Object... how) {
    return Stream
        .concat(Stream.of("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--repair",
            "refit+joint:outer=1:inner=3+distill:epochs=5:last=10", "--fine-tune", "1:each-round", "--sensitivity",
            "probes:2", "--seed", 3, "-o", output, "--checkpoint", checkpoint), Stream.of(how))
        .map(Object::toString).toList();
  }

  private Process start(List<String> arguments) throws IOException {
    String path = Stream.of("jdk.module.path", "java.class.path", "surefire.test.class.path").map(System::getProperty)
        .filter(value -> value != null && !value.isEmpty()).collect(Collectors.joining(File.pathSeparator));
    List<String> command = new ArrayList<>(
        List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED", "-cp", path, "dev.espalier.cli.Espalier"));
    command.addAll(arguments);
    return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(fixture.file("process.log").toFile())
        .start();
  }

  private byte[] model(String name, String suffix) throws IOException {
    return Files.readAllBytes(fixture.file(name + suffix + ".safetensors"));
  }

  @Test
  void aKilledPathGoesOnWithTheSameBits() throws IOException, InterruptedException {
    assertSameBits("path", this::path, KILLS - KILLS / 3, List.of("-0.5", "-0.9"));
  }

  @Test
  void aKilledSearchGoesOnWithTheSameBits() throws IOException, InterruptedException {
    assertSameBits("search", this::search, KILLS / 3, List.of(""));
  }

  /// Kills the process at random instants, and lets it go on until it is through; again until there were enough kills.
  ///
  /// @param command of an output and a checkpoint
  /// @param suffixes of the names of the models that it writes; the last one is there when all are
  private void assertSameBits(String of, BiFunction<Path, Path, List<String>> command, int most, List<String> suffixes)
      throws IOException, InterruptedException {
    long begin = System.nanoTime();
    String whole = of + "-whole";
    Process uninterrupted = start(command.apply(fixture.file(whole + ".safetensors"), fixture.file(whole)));
    assertEquals(0, uninterrupted.waitFor(), this::log);
    long length = System.nanoTime() - begin;
    Random random = new Random(1);
    int kills = 0;
    int runs = 0;
    while (isWanted(kills, most, begin)) {
      String name = of + runs++;
      boolean through = false;
      while (!through) {
        Process process = start(command.apply(fixture.file(name + ".safetensors"), fixture.file(name)));
        boolean ended = isWanted(kills, most, begin)
            ? process.waitFor((long) (random.nextDouble() * length), TimeUnit.NANOSECONDS)
            : process.waitFor(10, TimeUnit.MINUTES);
        if (ended) {
          assertEquals(0, process.exitValue(), this::log);
        } else {
          process.destroyForcibly().waitFor(); // kill -9
          kills++;
        }
        // Killed between the last file's appearance and its own end, it is through too.
        through = ended || Files.exists(fixture.file(name + suffixes.getLast() + ".safetensors"));
      }
      for (String suffix : suffixes) {
        assertArrayEquals(model(whole, suffix), model(name, suffix), name + suffix);
      }
    }
    System.out.printf("%s: %d kills in %d runs, %.1f s, %.2f s the whole command%n", of, kills, runs,
        (System.nanoTime() - begin) * 1e-9, length * 1e-9);
  }

  private static boolean isWanted(int kills, int most, long begin) {
    boolean isAsked = System.getProperty("espalier.kills") != null;
    return kills < most && (isAsked || kills < LEAST_KILLS || System.nanoTime() - begin < LIMIT.toNanos());
  }

  private String log() {
    try {
      return Files.readString(fixture.file("process.log"));
    } catch (IOException e) {
      return e.toString();
    }
  }

  @Test
  void outputsMayChangeAndOptionsMayNot() throws IOException {
    Path checkpoint = fixture.file("rounds");
    Object[] common = {"prune", fixture.model(), "--data", fixture.data(), "--sparsity", "0.8", "--method", "refit",
        "--checkpoint", checkpoint};
    Path first = fixture.file("first.safetensors");
    Path second = fixture.file("second.safetensors");
    assertFalse(Cli.succeed(with(common, "-o", first)).err().contains("going on"));
    Cli.Result again = Cli.succeed(with(common, "-o", second, "--report", fixture.file("report")));
    assertTrue(again.err().contains("note: going on after round 6 of 6, from " + checkpoint), again.err());
    assertArrayEquals(Files.readAllBytes(first), Files.readAllBytes(second));
    String report = Files.readString(fixture.file("report").resolve("report.json"));
    assertTrue(report.contains("went on after round 6 of 6 of an earlier run"), report);
    assertTrue(report.contains("\"work\" : { }"), report);
    assertTrue(report.contains("\"importance\""), report);
    assertFalse(report.contains(checkpoint.toString()), report);

    assertTrue(Cli.fail(1, folder, with(common, "--dry-run", "--seed", 2)).contains("seed was 0 and is 2"));
    assertTrue(Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", "0.9", "--method",
        "refit", "--checkpoint", checkpoint, "--dry-run").contains("sparsity was 0.8 and is 0.9"));
    Files.writeString(fixture.data(), Files.readString(fixture.data()).replaceFirst("0\\.", "1."));
    assertTrue(Cli.fail(1, folder, with(common, "--dry-run")).contains("the data changed"));
    assertTrue(Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", "0.8", "--dry-run",
        "--checkpoint", fixture.model()).contains("is no folder"));
    assertTrue(Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--max-output-change", "1",
        "--dry-run", "--checkpoint", checkpoint).contains("is of another pruning"));
  }

  @Test
  void aSearchGoesOn() throws IOException {
    Path checkpoint = fixture.file("attempts");
    Object[] common = {"prune", fixture.model(), "--data", fixture.data(), "--max-output-change", "5%", "--method",
        "refit", "--checkpoint", checkpoint};
    Path first = fixture.file("first.safetensors");
    Path second = fixture.file("second.safetensors");
    Path begun = fixture.file("begun");
    Path resumed = fixture.file("resumed");
    Cli.Result whole = Cli.succeed(with(common, "-o", first, "--report", begun));
    Cli.Result again = Cli.succeed(with(common, "-o", second, "--report", resumed));
    String report = Files.readString(begun.resolve("report.json"));
    String none = "\"work\" : { }";
    assertFalse(report.contains(none) || report.contains("earlier run"), report);
    String later = Files.readString(resumed.resolve("report.json"));
    assertTrue(later.matches("(?s).*went on after attempt [1-9]\\d* of the search of an earlier run, whose time .*"),
        later);
    assertTrue(later.contains(none), later);
    assertEquals(layers(report), layers(later));
    assertTrue(again.err().matches("(?s).*note: going on after attempt [1-9]\\d* of the search, from .*"), again.err());
    assertArrayEquals(Files.readAllBytes(first), Files.readAllBytes(second));
    assertEquals(whole.out().replace("begun", ""), again.out().replace("resumed", ""));
    assertTrue(Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", "0.8", "--method",
        "refit", "--checkpoint", checkpoint, "--dry-run").contains("is of a search with the limit output change 5%"));
  }

  private static String layers(String report) {
    return report.substring(report.indexOf("\"layers\""), report.indexOf("\"timings\""));
  }

  private static Object[] with(Object[] common, Object... more) {
    return Stream.concat(Arrays.stream(common), Arrays.stream(more)).toArray();
  }
}
