package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `prune --prune-neurons`, and `shrink` after it.
class NeuronsTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  private Object[] command(Object... options) {
    return Stream.concat(Stream.of("prune", fixture.model(), "--data", fixture.data(), "--prune-neurons", "-o",
        fixture.file("pruned.safetensors")), Stream.of(options)).toArray();
  }

  @Test
  void halfOfTheNeuronsGoAndShrinkLeavesThemOut() throws IOException {
    Cli.Result result = Cli
        .succeed(command("--sparsity", 0.5, "--method", "refit", "--report", fixture.file("report")));
    assertTrue(result.out().matches("(?s).*\\n0 +8 x 4 +relu +4 +16 +16 .*\\n2 +3 x 8 +identity +3 +12 +12 .*"),
        result.out());
    assertTrue(result.err().contains("note: 4 of 8 hidden neurons removed\n"), result.err());
    Path small = fixture.file("small.safetensors");
    Cli.succeed("shrink", fixture.file("pruned.safetensors"), "-o", small);
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = ModelFile.load(small, Optional.empty(), arena).network();
      assertEquals(4, network.layers().getFirst().outputs());
      assertEquals(0, network.zeros());
    }
    assertEquals(evaluated(fixture.file("pruned.safetensors")), evaluated(small));
  }

  private String evaluated(Path model) {
    return Cli.succeed("evaluate", model, "--data", fixture.data(), "--labels", fixture.labels()).out().lines()
        .filter(line -> line.startsWith("accuracy")).findFirst().orElseThrow();
  }

  /// The path of rounds is the same as far as it goes, and each network is what its own fraction leaves.
  @Test
  void severalSparsitiesWriteAModelEach() throws IOException {
    Cli.Result result = Cli.succeed(command("--sparsity", "0.25,0.5,0.75", "--method", "refit"));
    assertTrue(
        result.out().matches(
            "(?s)sparsity .*\n\\S+ % +42 +6 of 8 +42 .*\n\\S+ % +28 +4 of 8 +28 .*\n" + "\\S+ % +14 +2 of 8 +14 .*"),
        result.out());
    for (int gone : new int[]{2, 4, 6}) {
      String note = "note: at --sparsity %s: %d of 8 hidden neurons removed\n".formatted(gone / 8.0, gone);
      assertTrue(result.err().contains(note), result.err());
      Path small = fixture.file("small.safetensors");
      Cli.succeed("shrink", fixture.file("pruned-%s.safetensors".formatted(gone / 8.0)), "-o", small, "--force");
      try (Arena arena = Arena.ofConfined()) {
        assertEquals(8 - gone, ModelFile.load(small, Optional.empty(), arena).network().layers().getFirst().outputs());
      }
    }
    Cli.succeed(command("--sparsity", 0.25, "--method", "refit"));
    assertArrayEquals(Files.readAllBytes(fixture.file("pruned.safetensors")),
        Files.readAllBytes(fixture.file("pruned-0.25.safetensors")));
  }

  @Test
  void compareCountsNeurons() throws IOException {
    Object[] compare = {"compare", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--test-data", fixture.data(), "--test-labels", fixture.labels(), "--prune-neurons", "--sparsities", ".25,.5",
        "--criteria", "ec,magnitude,refit,ec/bias/refit"};
    Cli.Result result = Cli.succeed(Fixture.with(compare, "--report", fixture.file("report")));
    assertTrue(result.out().startsWith("neurons removed  criterion"), result.out());
    assertTrue(result.err().contains("note: refit: 4 of 8 hidden neurons removed"), result.err());
    Path pruned = fixture.file("pruned.safetensors");
    Cli.succeed(command("--sparsity", 0.5, "--method", "paper", "--force"));
    String accuracy = evaluated(pruned).replaceFirst("accuracy +", "");
    assertTrue(result.out().lines().anyMatch(line -> line.matches("50 % +ec +.*" + Pattern.quote(accuracy) + ".*")),
        accuracy + " in " + result.out());
    assertTrue(Files.readString(fixture.file("report").resolve("report.html"))
        .contains("over the fraction of hidden neurons removed"));
    assertTrue(Cli.fail(2, folder, Fixture.with(compare, "--scope", "row")).contains("--scope row divides"));
    Object[] byRow = compare.clone();
    byRow[compare.length - 1] = "ec,refit/row";
    assertTrue(Cli.fail(2, folder, byRow).contains("--criteria refit/row: row divides"));
    assertTrue(Cli.fail(2, folder, Fixture.with(compare, "--small-dense", 1)).contains("--small-dense counts weights"));
  }

  @Test
  void whatCountsNoNeuronsIsRefused() {
    Map<String, String> messages = Map.of("--max-output-change 1%",
        "--prune-neurons counts neurons, and --max-output-change does not", "--mask m",
        "--prune-neurons counts neurons, and --mask does not", "--min-per-layer 2",
        "--prune-neurons counts neurons, and --min-per-layer does not", "--scope row",
        "--scope row divides a neuron's weights", "--scope 2:4", "--scope 2:4 divides a neuron's weights",
        "--sparsity 0.5,0=0.8", "--prune-neurons counts the neurons of all layers", "--sparsity 0.5,0.8 --method paper",
        "several values of --sparsity need rounds", "--method best", "--sparsity is missing");
    messages.forEach((options, message) -> {
      String line = Cli.fail(2, folder, command((Object[]) options.split(" ", -1)));
      assertTrue(line.startsWith("espalier: " + message), line);
    });
    assertTrue(Cli.fail(1, folder, command("--sparsity", 0.5, "--exclude", "0")).contains("no neuron can be removed"));
  }
}
