package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TimeTest {
  @TempDir
  private Path folder;

  @Test
  void timesVariantsAndFindsWhereSparseWins() throws IOException {
    Fixture fixture = Fixture.in(folder);
    Path csv = fixture.file("times.csv");
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("time", fixture.model(), "--batch", "3", "--threads", 1, "--csv", csv, "--report",
        report);
    assertTrue(result.out().lines().anyMatch(line -> line.matches("model.safetensors +dense .* 1\\.00")), result.out());
    assertTrue(result.out().lines().anyMatch(line -> line.matches("model.safetensors +csr .*")), result.out());
    assertTrue(result.out().contains("4-8-3, batch 3: csr is "), result.out());
    List<String> rows = Files.readAllLines(csv);
    assertEquals("model,sparsity,batch,variant,seconds,lower_quartile,upper_quartile,samples_per_second,speed",
        rows.getFirst());
    assertTrue(rows.stream().anyMatch(row -> row.startsWith("random 4-8-3,0.9,3,csr,")), rows.toString());
    assertTrue(rows.stream().skip(1).map(row -> row.split(",")).allMatch(fields -> Double.parseDouble(fields[4]) > 0));
    String page = Files.readString(report.resolve("README.md"));
    assertTrue(page.contains("| model.safetensors | dense |") && page.contains("](latency-4-8-3-batch-3.svg)"), page);
    assertTrue(Files.readString(report.resolve("latency-4-8-3-batch-3.svg")).startsWith("<svg"));
    assertEquals(rows, Files.readAllLines(report.resolve("times.csv")));

    assertTrue(Cli.fail(1, folder, "time", fixture.model(), "--report", report).contains("already exists"));
    assertTrue(Cli.fail(1, folder, "time", fixture.file("none.safetensors")).contains("no such file"));
    assertTrue(Cli.fail(2, folder, "time", fixture.model(), "--batch", "1,1").contains("give each size once"));
    assertTrue(Cli.fail(2, folder, "time", fixture.model(), "--batch", "0").contains("'0' is not an integer from 1"));
    assertTrue(Cli.fail(2, folder, "time").contains("MODEL"));
  }
}
