package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoTest {
  @TempDir
  private Path folder;

  @Test
  void compensationWinsAtEverySparsity() throws IOException, InterruptedException {
    Path output = folder.resolve("the user's demo");
    Cli.Result demo = Cli.succeed("demo", "-o", output);
    List<String[]> rows = demo.out().lines().filter(line -> line.matches("\\d+ % .*")).map(line -> line.split(" %? *"))
        .toList();
    assertEquals(5, rows.size(), demo.out());
    for (String[] row : rows) {
      double magnitude = Double.parseDouble(row[1]);
      double uncompensated = Double.parseDouble(row[4]);
      double compensated = Double.parseDouble(row[5]);
      assertTrue(10 * compensated < Math.min(magnitude, uncompensated), demo.out());
      double refitted = Double.parseDouble(row[6]);
      double best = Double.parseDouble(row[7]);
      assertTrue(4 * Math.max(refitted, best) < compensated, demo.out());
    }
    for (String file : List.of("report.html", "report.json", "dense.safetensors", "pruned.safetensors",
        "train.safetensors", "test.safetensors")) {
      assertTrue(Files.exists(output.resolve(file)), file);
    }

    String command = demo.out().substring(demo.out().indexOf("  espalier prune "));
    List<String> words = shellWords(command);
    assertEquals(List.of("espalier", "prune", output.resolve("dense.safetensors").toString()), words.subList(0, 3));
    Cli.succeed(words.subList(1, words.size()).toArray());
  }

  /// A command's words, as a shell sees them.
  private static List<String> shellWords(String command) throws IOException, InterruptedException {
    Process shell = new ProcessBuilder("sh", "-c", "printf '%s\\n' " + command).start();
    String words = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, shell.waitFor());
    return words.lines().toList();
  }
}
