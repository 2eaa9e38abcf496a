package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The pictures of a report: masks, and the pixels that are still read.
class PicturesTest {
  @TempDir
  private Path folder;

  @Test
  void showMasksAndPixels() throws IOException {
    Fixture fixture = Fixture.in(folder);
    Path report = fixture.file("report");
    Object[] prune = {"prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "--dry-run"};
    Cli.succeed(Fixture.with(prune, "--report", report));
    String page = Files.readString(report.resolve("report.html"));
    assertTrue(page.contains("data-density=\"mask\" data-layer=\"1\""));
    assertFalse(page.contains("data-density=\"pixels\""), "four inputs are too few to be a picture unasked");
    Cli.succeed(Fixture.with(prune, "--report", report, "--force", "--input-shape", "1x4"));
    assertTrue(Files.readString(report.resolve("report.html")).contains("inputs as 1 × 4 pixels"));
    assertTrue(
        Cli.fail(2, folder, Fixture.with(prune, "--input-shape", "2x2")).contains("--input-shape needs --report"));
    assertTrue(Cli.fail(2, folder, Fixture.with(prune, "--report", fixture.file("other"), "--input-shape", "2x3"))
        .contains("--input-shape 2x3: the network takes 4 numbers"));
    for (String wrong : new String[]{"4", "2xa", "0x4", "1x2x2"}) {
      assertTrue(Cli.fail(2, folder, Fixture.with(prune, "--report", fixture.file("other"), "--input-shape", wrong))
          .contains("--input-shape"), wrong);
    }
  }
}
