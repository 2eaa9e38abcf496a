package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `prune` as far as limits allow.
class PruneSearchTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  @Test
  void aSplitOfTheDataJudgesUnlessThereIsTestData() throws IOException {
    Path pruned = fixture.file("pruned.safetensors");
    Path report = fixture.file("report");
    Cli.Result split = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--max-loss-increase", "10%", "--method", "refit", "-o", pruned, "--report", report);
    assertTrue(
        split.err().contains(
            "note: the search judges by 1 in 5 samples of " + fixture.data() + ", and prunes with the others"),
        split.err());
    assertTrue(split.out().contains("found"), split.out());
    assertTrue(split.out().contains("on held-out data"), split.out());
    assertTrue(Files.readString(report.resolve("report.json")).contains("\"comparison\""));
    assertTrue(Files.readString(report.resolve("report.html")).contains("<h2>Search</h2>"));

    Cli.Result test = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(),
        "--test-labels", fixture.labels(), "--max-accuracy-drop", 1, "-o", pruned, "--force");
    assertTrue(test.err().contains("note: the search judges by " + fixture.data() + "\n"), test.err());
    assertTrue(test.out().contains("on test data"), test.out());
  }

  @Test
  void aLimitOfTheOutputNeedsNoLabels() {
    Path pruned = fixture.file("pruned.safetensors");
    Cli.Result result = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--max-output-change", "5%",
        "-o", pruned);
    assertTrue(result.err().contains("(output change 5%)"), result.err());
    assertTrue(Files.exists(pruned));
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(),
        "--max-output-change", "5%", "--dry-run");
  }

  @Test
  void aLimitThatNothingHoldsWritesNothing() {
    String error = Cli.failed(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--criterion", "random",
        "--max-output-change", "1e-12", "-o", fixture.file("none.safetensors"), "--report", fixture.file("none"));
    assertTrue(error.contains("no sparsity holds the limit (output change 1E-12)"), error);
  }

  @Test
  void usageErrors() {
    Object[] common = {"prune", fixture.model(), "--data", fixture.data(), "--dry-run"};
    assertUsage("--sparsity and a limit both say", common, "--sparsity", 0.5, "--max-output-change", 1);
    assertUsage("a limit of loss or accuracy needs --labels", common, "--max-loss-increase", 1);
    assertUsage("needs --test-labels", common, "--test-data", fixture.data(), "--max-accuracy-drop", 1);
    assertUsage("'101' is not a number of percentage points", common, "--max-accuracy-drop", 101);
    assertUsage("'-1%' is not a number of 0 or more", common, "--max-output-change=-1%");
    assertUsage("--scope 2:4 sets the sparsity", common, "--scope", "2:4", "--max-output-change", 1);
    assertUsage("--schedule linear:3 divides", common, "--schedule", "linear:3", "--max-output-change", 1);
    assertUsage("--labels is missing", common, "--sparsity", 0.5, "--repair", "fine-tune");
    assertUsage("both train in each round", common, "--labels", fixture.labels(), "--sparsity", 0.5, "--repair",
        "fine-tune", "--fine-tune", "1:each-round");
    assertUsage("'1:each' is not an integer", common, "--sparsity", 0.5, "--fine-tune", "1:each");
    assertUsage("--fine-tune at the end", common, "--labels", fixture.labels(), "--fine-tune", 1, "--max-output-change",
        1);
    assertUsage("should be specified only once", common, "--max-output-change", 1, "--max-output-change", 2);
    assertUsage("--test-data or --test-labels is missing", common, "--test-data", fixture.data(), "--sparsity", 0.5);
  }

  private void assertUsage(String message, Object[] common, Object... more) {
    Object[] all = new Object[common.length + more.length];
    System.arraycopy(common, 0, all, 0, common.length);
    System.arraycopy(more, 0, all, common.length, more.length);
    String error = Cli.fail(2, folder, all);
    assertTrue(error.contains(message), error);
  }

  @Test
  void roundsMayTrain() {
    Cli.Result result = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--max-loss-increase", "10%", "--schedule", "geometric:0.6", "--fine-tune", "2:each-round", "--learning-rate",
        "0.01", "--report", fixture.file("report"), "--dry-run");
    assertTrue(result.out().contains("found"), result.out());
    assertTrue(result.err().contains("repair refit+fine-tune:epochs=2:rate=0.01"), result.err());
  }

  @Test
  void tooFewSamplesToHoldSomeOut() throws IOException {
    Path few = Files.writeString(fixture.file("few.csv"), "0,0,0,1\n1,0,0,0\n0,1,0,0\n");
    String error = Cli.fail(1, folder, "prune", fixture.model(), "--data", few, "--max-output-change", 1, "--dry-run");
    assertTrue(error.contains("too few to hold out one of every 5"), error);
    assertFalse(error.contains("internal"), error);
    assertEquals(1, error.lines().count());
  }
}
