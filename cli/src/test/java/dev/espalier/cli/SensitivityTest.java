package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SensitivityTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  @Test
  void writesATableAndAReport() throws IOException {
    Path csv = fixture.file("layers.csv");
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("sensitivity", fixture.model(), "--data", fixture.data(), "--labels",
        fixture.labels(), "--sparsities", ".5,.9", "--csv", csv, "--report", report);
    for (String text : List.of("output change", "cross-entropy", "accuracy", "50 %", "Each layer is pruned alone")) {
      assertTrue(result.out().contains(text), text + " in " + result.out());
    }
    List<String> rows = Files.readAllLines(csv);
    assertEquals("layer,sparsity,loss,accuracy,output_change", rows.getFirst());
    assertEquals(5, rows.size());
    assertTrue(rows.get(2).startsWith("0,0.9,"), rows.get(2));
    assertTrue(Files.readString(report.resolve("report.html")).contains("<h2>Each layer pruned alone</h2>"));
    assertTrue(Files.readString(report.resolve("report.json")).contains("\"criterion\" : \"2\""));
  }

  @Test
  void withoutLabelsOnlyTheOutputIsJudged() throws IOException {
    Path csv = fixture.file("layers.csv");
    Cli.Result result = Cli.succeed("sensitivity", fixture.model(), "--test-data", fixture.data(), "--criterion",
        "magnitude", "--exclude", "2", "--csv", csv);
    assertFalse(result.out().contains("accuracy"), result.out());
    assertTrue(result.out().contains("Measured on test data."), result.out());
    assertEquals(6, Files.readAllLines(csv).size());
    assertTrue(Files.readAllLines(csv).get(1).startsWith("0,0.5,,,"));
  }

  /// `compare` has the same table, and says what was found out of each method.
  @Test
  void compareTakesOtherChoicesAndKeepsNotes() throws IOException {
    Path csv = fixture.file("methods.csv");
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("compare", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--test-data", fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".5,.8", "--criteria",
        "ec,refit/fisher:2/linear:3,magnitude/refit+fine-tune/geometric:0.6", "--csv", csv, "--report", report);
    assertTrue(result.err().contains("note: refit/fisher:2/linear:3: sensitivity: fisher:2"), result.err());
    String json = Files.readString(report.resolve("report.json"));
    assertTrue(json.contains("refit/fisher:2/linear:3: sensitivity: fisher:2"), json);
    List<String> rows = Files.readAllLines(csv);
    assertEquals(7, rows.size());
    assertEquals("criterion,sparsity,seed,loss,accuracy,output_change", rows.getFirst());
    assertTrue(rows.get(3).startsWith("refit/fisher:2/linear:3,0.5,0,"), rows.get(3));
    assertTrue(Cli
        .fail(2, folder, "compare", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(),
            "--test-labels", fixture.labels(), "--criteria", "ec/fine-tune")
        .contains("--labels is missing: ec/fine-tune"));
  }

  /// The row of each seed is that of a comparison with this seed alone; the table and the report have their means.
  @Test
  void compareRunsSeveralSeedsAndSmallerDenseNetworks() throws IOException {
    Path csv = fixture.file("seeds.csv");
    Path report = fixture.file("report");
    Object[] command = {"compare", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--test-data", fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".8,.5", "--criteria",
        "random,ec"};
    Cli.Result result = Cli
        .succeed(Fixture.with(command, "--seeds", "4,7", "--small-dense", 2, "--csv", csv, "--report", report));
    List<String> rows = Files.readAllLines(csv);
    assertEquals(1 + 3 * 2 * 2, rows.size());
    List<String> alone = new ArrayList<>();
    for (int seed : List.of(4, 7)) {
      Cli.succeed(Fixture.with(command, "--seed", seed, "--csv", csv, "--force"));
      alone.addAll(Files.readAllLines(csv).subList(1, 5));
    }
    assertEquals(alone.stream().sorted().toList(), rows.subList(1, 9).stream().sorted().toList());
    assertTrue(rows.get(9).matches("small dense,0.5,4,[0-9.]+,[0-9.]+,"), rows.get(9));
    double[] losses = rows.stream().filter(row -> row.startsWith("random,0.8,"))
        .mapToDouble(row -> Double.parseDouble(row.split(",", -1)[3])).toArray();
    assertTrue(losses[0] != losses[1]);
    String mean = PLAIN.value((losses[0] + losses[1]) / 2) + " +- "
        + PLAIN.value(Math.abs(losses[0] - losses[1]) / Math.sqrt(2));
    assertTrue(
        result.out().lines()
            .anyMatch(line -> line.startsWith("80 %") && line.contains("random") && line.contains(mean)),
        mean + " in " + result.out());
    assertTrue(result.out().contains("small dense"), result.out());
    String json = Files.readString(report.resolve("report.json"));
    assertTrue(json.contains("\"lossDeviation\"") && json.contains("\"seeds\""), json);
    assertFalse(json.contains("\"seed\""), json);
    assertTrue(Cli.fail(2, folder, Fixture.with(command, "--seeds", "1,2", "--seed", 3))
        .contains("--seed and --seeds both say which seed is used"));
    assertTrue(Cli.fail(2, folder, Fixture.with(command, "--seeds", "1,1")).contains("give each seed once"));
    assertTrue(Cli.fail(2, folder, "compare", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(),
        "--test-labels", fixture.labels(), "--small-dense", 3).contains("--labels is missing: --small-dense"));
  }

  @Test
  void refusals() {
    assertTrue(Cli.fail(2, folder, "sensitivity", fixture.model()).contains("--data is missing"));
    assertTrue(Cli.fail(2, folder, "sensitivity", fixture.model(), "--criterion", "magnitude")
        .contains("--data is missing: give samples to judge"));
    assertTrue(Cli.fail(2, folder, "sensitivity", fixture.model(), "--test-data", fixture.data(), "--criterion",
        "magnitude", "--method", "refit").contains("--method refit needs calibration samples"));
    assertTrue(Cli.fail(2, folder, "sensitivity", fixture.model(), "--data", fixture.data(), "--sparsities", "2")
        .contains("not a fraction"));
    assertTrue(Cli.fail(1, folder, "sensitivity", fixture.model(), "--data", fixture.data(), "--csv", fixture.labels())
        .contains("add --force"));
    assertTrue(Cli
        .fail(2, folder, "sensitivity", fixture.model(), "--data", fixture.data(), "--csv", fixture.data(), "--force")
        .contains("is read by this command"));
  }
}
