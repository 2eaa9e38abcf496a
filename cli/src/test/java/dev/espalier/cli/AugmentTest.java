package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What `--augment` does. The fixture has 300 samples.
class AugmentTest {
  private static final String NOTE = "note: 300 samples are few for a repair: 9900 noisy copies were added";

  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  @Test
  void fewSamplesGetCopiesWhereThereIsARepair() throws IOException {
    Path report = fixture.file("report");
    byte[] augmented = prune(NOTE, "--report", report);
    assertTrue(Files.readString(report.resolve("report.json")).contains("\"augment\" : \"noise:0.5\""));
    assertTrue(Arrays.equals(augmented, prune(NOTE, "--augment", "noise:0.5:samples=10000")));
    assertFalse(Arrays.equals(augmented, prune(NOTE, "--augment", "noise:0.4")));
    assertFalse(Arrays.equals(augmented, prune("", "--augment", "none")));
    assertTrue(Arrays.equals(prune("", "--augment", "none"), prune("", "--augment", "noise:0.5:samples=1200")));
    prune("", "--method", "paper");
    prune("", "--labels", fixture.labels(), "--fine-tune", "1:each-round");
    prune("", "--labels", fixture.labels(), "--fine-tune", 1);
    prune("", "--labels", fixture.labels(), "--criterion", "gradient", "--repair", "refit");
    prune("", "--labels", fixture.labels(), "--repair", "refit+fine-tune");
    prune(NOTE, "--labels", fixture.labels(), "--fine-tune", 1, "--augment", "noise:0.5");
    prune("1200 noisy copies were added", "--method", "paper", "--augment", "noise:1:samples=1500");
  }

  @Test
  void aPruningIsJudgedByTheSamplesThemselves() throws IOException {
    Path with = fixture.file("with");
    Path without = fixture.file("without");
    prune(NOTE, "--labels", fixture.labels(), "--report", with);
    prune("", "--labels", fixture.labels(), "--report", without, "--augment", "none");
    assertEquals(dense(without), dense(with));
  }

  private static List<String> dense(Path report) throws IOException {
    List<String> lines = Files.readAllLines(report.resolve("report.json")).stream()
        .filter(line -> line.contains("\"denseAccuracy\"") || line.contains("\"denseLoss\"")).toList();
    assertEquals(2, lines.size());
    return lines;
  }

  @Test
  void otherCommandsThatRepairTakeItToo() {
    Cli.Result compared = Cli.succeed("compare", fixture.model(), "--data", fixture.data(), "--test-data",
        fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".5", "--criteria", "ec,refit");
    assertTrue(compared.err().contains(NOTE), compared.err());
    Cli.Result scanned = Cli.succeed("sensitivity", fixture.model(), "--data", fixture.data(), "--sparsities", ".5",
        "--method", "refit", "--augment", "noise:0.2:samples=1500");
    assertTrue(scanned.err().contains("1200 noisy copies were added"), scanned.err());
    Cli.Result without = Cli.succeed("compare", fixture.model(), "--data", fixture.data(), "--test-data",
        fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".5", "--criteria", "ec,magnitude");
    assertFalse(without.err().contains("noisy"), without.err());
    Cli.Result labelled = Cli.succeed("compare", fixture.model(), "--data", fixture.data(), "--labels",
        fixture.labels(), "--test-data", fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".5",
        "--criteria", "gradient/refit,ec/refit+fine-tune");
    assertFalse(labelled.err().contains("noisy"), labelled.err());
  }

  @Test
  void whatCannotBeIsRefused() {
    String error = Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5,
        "--augment", "mixup", "--dry-run");
    assertTrue(error.contains("--augment") && error.contains("unknown augmentation 'mixup'"), error);
    error = Cli.fail(2, folder, "prune", fixture.model(), "--criterion", "magnitude", "--sparsity", 0.5, "--augment",
        "noise:0.5", "--dry-run");
    assertTrue(error.contains("--augment makes copies of --data, which is missing"), error);
    Object[] noisy = {"prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--sparsity",
        0.5, "--augment", "noise:0.5", "--dry-run"};
    for (Object[] patient : new Object[][]{{"--fine-tune", 3, "--patience", 1},
        {"--repair", "fine-tune:epochs=3:patience=1"}}) {
      error = Cli.fail(2, folder, Fixture.with(noisy, patient));
      assertTrue(error.contains("a patience holds out samples"), error);
    }
    error = Cli.fail(2, folder, "prune", fixture.model(), "--layers-from", folder, "--sparsity", 0.5, "--augment",
        "noise:0.5", "--dry-run");
    assertTrue(error.contains("leave out --augment"), error);
  }

  /// @param note that standard error must have; "" for one without copies
  private byte[] prune(String note, Object... options) throws IOException {
    Path output = fixture.file("pruned.safetensors");
    Object[] fixed = {"prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o", output, "--force"};
    Object[] all = Arrays.copyOf(fixed, fixed.length + options.length);
    System.arraycopy(options, 0, all, fixed.length, options.length);
    Cli.Result result = Cli.succeed(all);
    assertTrue(note.isEmpty() ? !result.err().contains("noisy") : result.err().contains(note), result.err());
    return Files.readAllBytes(output);
  }
}
