package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoTest {
  @TempDir
  private Path folder;

  @Test
  void compensationWinsAtEverySparsity() {
    Cli.Result demo = Cli.succeed("demo", "-o", folder.resolve("demo"));
    System.out.println(demo.out());
    List<String[]> rows = demo.out().lines().filter(line -> line.matches("\\d+ % .*"))
        .map(line -> line.split(" %? *")).toList();
    assertEquals(5, rows.size(), demo.out());
    for (String[] row : rows) {
      double magnitude = Double.parseDouble(row[1]);
      double uncompensated = Double.parseDouble(row[3]);
      double compensated = Double.parseDouble(row[4]);
      assertTrue(10 * compensated < Math.min(magnitude, uncompensated), demo.out());
    }
    for (String file : List.of("report.html", "report.json", "dense.safetensors", "pruned.safetensors",
        "train.safetensors", "test.safetensors")) {
      assertTrue(Files.exists(folder.resolve("demo").resolve(file)), file);
    }
  }
}
