package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Statistics of parts of the samples, merged and pruned by.
class StatisticsTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  private Path part(String name, Object... options) {
    Path file = fixture.file(name + ".safetensors");
    Object[] command = {"score", fixture.model(), "--data", fixture.data(), "-o", file};
    Cli.succeed(with(command, options));
    return file;
  }

  private static Object[] with(Object[] command, Object... options) {
    return Stream.concat(Stream.of(command), Stream.of(options)).toArray();
  }

  @Test
  void partsPruneAsTheWhole() throws IOException {
    List<Path> parts = List.of(part("1", "--part", "1/3"), part("2", "--part", "2/3"), part("3", "--part", "3/3"));
    Path all = fixture.file("all.safetensors");
    Cli.Result merged = Cli.succeed("merge", parts.get(0), parts.get(1), parts.get(2), "-o", all);
    assertTrue(merged.out().contains("300 samples, 2 layers"), merged.out());
    assertFalse(merged.err().contains("missing"), merged.err());
    Path again = fixture.file("again.safetensors");
    Cli.succeed("merge", parts.get(0), parts.get(1), parts.get(2), "-o", again);
    assertArrayEquals(Files.readAllBytes(all), Files.readAllBytes(again));

    Path byParts = fixture.file("parts.safetensors");
    Path byWhole = fixture.file("whole.safetensors");
    Cli.succeed("prune", fixture.model(), "--statistics", all, "--sparsity", 0.6, "-o", byParts, "--save-mask",
        fixture.file("parts-mask.safetensors"));
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--method", "paper", "--sparsity", 0.6, "-o",
        byWhole, "--save-mask", fixture.file("whole-mask.safetensors"));
    assertArrayEquals(Files.readAllBytes(fixture.file("whole-mask.safetensors")),
        Files.readAllBytes(fixture.file("parts-mask.safetensors")));
    assertEquals(Files.size(byWhole), Files.size(byParts));
  }

  /// Each from the dense network, as by a command of its own.
  @Test
  void severalSparsitiesAreCutFromTheSameScores() throws IOException {
    Path all = part("all", "--part", "1/1");
    Object[] prune = {"prune", fixture.model(), "--statistics", all, "--sparsity"};
    Cli.Result both = Cli.succeed(with(prune, "0.3,0.6", "-o", fixture.file("p.safetensors")));
    assertTrue(both.out().contains("\n30.36 %") && both.out().contains("\n60.71 %"), both.out());
    for (String sparsity : List.of("0.3", "0.6")) {
      Path alone = fixture.file("alone.safetensors");
      Cli.succeed(with(prune, sparsity, "-f", "-o", alone));
      assertArrayEquals(Files.readAllBytes(alone),
          Files.readAllBytes(fixture.file("p-%s.safetensors".formatted(sparsity))));
    }
  }

  @Test
  void missingPartsAreSaid() {
    Path first = part("1", "--part", "1/3");
    Path third = part("3", "--part", "3/3");
    String note = "note: of the 300 samples of %s, these are missing: 101 to 200".formatted(fixture.data());
    assertTrue(Cli.succeed("merge", third, first, "-o", fixture.file("m.safetensors")).err().contains(note));
    assertTrue(Cli.succeed("prune", fixture.model(), "--statistics", fixture.file("m.safetensors"), "--sparsity", 0.5,
        "--dry-run").err().contains(note));
  }

  @Test
  void refusesPartsThatDoNotBelongTogether() throws IOException {
    Path half = part("half", "--part", "1/2");
    Path out = fixture.file("out.safetensors");
    assertRefused("samples 101 to 150 of %s are in both; count each once".formatted(fixture.data()), 1, "merge", half,
        part("third", "--part", "2/3"), "-o", out);
    assertRefused("samples 1 to 150 of %s are in both; count each once".formatted(fixture.data()), 1, "merge", half,
        half, "-o", out);
    assertRefused("sensitivity is probes:2 in one and jacobian in the other", 1, "merge", half,
        part("probes", "--part", "2/2", "--sensitivity", "probes:2"), "-o", out);
    assertRefused("scale is 0.5 in one and not set in the other", 1, "merge", half,
        part("scaled", "--part", "2/2", "--scale", "0.5"), "-o", out);
    assertRefused("of 100 samples of", 1, "merge", half, part("few", "--part", "1/1", "--max-samples", 100), "-o", out);
    Path pruned = fixture.file("pruned.safetensors");
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o", pruned);
    Path other = fixture.file("other.safetensors");
    Cli.succeed("score", pruned, "--data", fixture.data(), "--part", "2/2", "-o", other);
    assertRefused("they are of another model", 1, "merge", half, other, "-o", out);
    assertRefused("the statistics are of another model", 1, "prune", pruned, "--statistics", half, "--sparsity", 0.5,
        "-o", out);
    assertRefused("the statistics lack input_squares of layer 0", 1, "prune", fixture.model(), "--statistics", half,
        "--criterion", "wanda", "--sparsity", 0.5, "-o", out);
    assertRefused("sensitivity is jacobian, not probes:3", 1, "prune", fixture.model(), "--statistics", half,
        "--sensitivity", "probes:3", "--sparsity", 0.5, "-o", out);
    assertRefused("the statistics lack layer 2", 1, "prune", fixture.model(), "--statistics",
        part("first-layer", "--part", "1/1", "--exclude", "2"), "--sparsity", 0.5, "-o", out);
    assertRefused("it is not a file of sums", 1, "merge", fixture.model(), half, "-o", out);
  }

  @Test
  void refusesWhatNeedsSamples() {
    Path all = part("all", "--part", "1/1");
    Object[] prune = {"prune", fixture.model(), "--statistics", all, "-o", fixture.file("out.safetensors"),
        "--sparsity", 0.5};
    assertRefused("--data needs them", 2, with(prune, "--data", fixture.data()));
    assertRefused("repair refit needs them", 2, with(prune, "--repair", "refit"));
    assertRefused("repair refit needs them", 2, with(prune, "--method", "refit"));
    assertRefused("leave out --schedule linear:2", 2, with(prune, "--schedule", "linear:2"));
    assertRefused("--verify needs them", 2, with(prune, "--verify"));
    assertRefused("--checkpoint needs them", 2, with(prune, "--checkpoint", fixture.file("rounds")));
    assertRefused("a search needs samples", 2, "prune", fixture.model(), "--statistics", all, "-o",
        fixture.file("out.safetensors"), "--max-output-change", "1%");
    assertRefused("criterion magnitude needs none", 2, "score", fixture.model(), "--data", fixture.data(),
        "--criterion", "magnitude", "--part", "1/2", "-o", fixture.file("out.safetensors"));
    assertRefused("'3/2' is not a part", 2, "score", fixture.model(), "--data", fixture.data(), "--part", "3/2", "-o",
        fixture.file("out.safetensors"));
    assertRefused("too few for 301 parts", 1, "score", fixture.model(), "--data", fixture.data(), "--part", "1/301",
        "-o", fixture.file("out.safetensors"));
  }

  private void assertRefused(String message, int code, Object... command) {
    String line = Cli.fail(code, folder, command);
    assertTrue(line.contains(message), line);
  }
}
