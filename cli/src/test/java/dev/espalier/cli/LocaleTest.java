package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;

/// A library's default locale is that of its user, such as one whose digits are not those of ASCII.
@Isolated("sets the default locale")
class LocaleTest {
  private final Locale before = Locale.getDefault();
  private Fixture fixture;

  @BeforeEach
  void train(@TempDir Path folder) throws IOException {
    fixture = Fixture.in(folder);
  }

  @AfterEach
  void restore() {
    Locale.setDefault(before);
  }

  @Test
  void machinesReadTheSameDigitsInEveryLocale() throws IOException {
    Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
    assertEquals("٥", "%d".formatted(5));
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--sparsity", 0.5, "--schedule", "geometric:3", "--sensitivity", "probes:3", "-o",
        fixture.file("pruned.safetensors"), "--report", report, "--verify");
    for (String text : List.of(Files.readString(report.resolve("report.json")),
        Files.readString(report.resolve("report.html")), result.out(), result.err())) {
      assertEquals(-1, text.chars().filter(c -> c > 127 && Character.isDigit(c)).findFirst().orElse(-1), text);
    }
  }

  @Test
  void resultsHaveTheSameDigitsInEveryLocale() {
    Object[][] commands = {
        {"prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--sparsity", 0.5,
            "--verify", "--dry-run"},
        {"evaluate", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels()},
        {"compare", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(), "--test-labels",
            fixture.labels()},
        {"inspect", fixture.model()}};
    for (Object[] command : commands) {
      Locale.setDefault(Locale.ROOT);
      String expected = Cli.succeed(command).out();
      Locale.setDefault(Locale.forLanguageTag("ar-EG"));
      assertEquals(expected, Cli.succeed(command).out());
    }
  }
}
