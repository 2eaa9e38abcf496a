package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.cli.experiment.Experiment;
import dev.espalier.cli.experiment.Experiment.Comparing;
import dev.espalier.cli.experiment.Experiment.Need;
import dev.espalier.cli.experiment.Experiments;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ExperimentTest {
  @TempDir
  private Path folder;

  static Stream<Experiment> comparisons() {
    return Experiments.ALL.stream().filter(experiment -> experiment.work() instanceof Comparing);
  }

  /// On blobs in the form of MNIST, with a network of their own where an experiment is given one.
  @ParameterizedTest
  @MethodSource("comparisons")
  void everyComparisonRunsInASmallVersion(Experiment experiment) throws IOException {
    List<Object> arguments = new ArrayList<>(List.of("experiment", experiment.name(), "--small", "--seeds", 3,
        "--device", "cpu", "-o", folder.resolve("out")));
    if (experiment.needs().contains(Need.MNIST)) {
      arguments.addAll(List.of("--mnist", mnist()));
    }
    if (experiment.needs().contains(Need.CHECKPOINT)) {
      Path images = folder.resolve("train-images-idx3-ubyte.gz");
      Cli.succeed("train", "--data", images, "--labels", folder.resolve("train-labels-idx1-ubyte"), "--layers",
          "784,40,20,10", "--epochs", 1, "-o", folder.resolve("mlp.safetensors"));
      arguments.addAll(List.of("--checkpoint-file", folder.resolve("mlp.safetensors")));
    }
    Cli.succeed(arguments.toArray());
    String page = Files.readString(folder.resolve("out/README.md"));
    assertTrue(page.startsWith("# " + experiment.title()), page);
    assertTrue(page.contains("espalier experiment %s --small".formatted(experiment.name())), page);
    assertTrue(page.contains("of 1 training.") || page.contains("of 1 seed."), page);
    assertFalse(page.contains("NaN"), page);
    List<String> rows = Files.readAllLines(folder.resolve("out/results.csv"));
    assertTrue(rows.size() > 10 && rows.stream().noneMatch(row -> row.contains("NaN")), () -> String.join("\n", rows));
    assertFalse(charts().isEmpty());
    for (Path chart : charts()) {
      assertTrue(Files.readString(chart).endsWith("</svg>\n"), chart::toString);
      assertTrue(page.contains("(%s)".formatted(chart.getFileName())), page);
    }
  }

  private List<Path> charts() throws IOException {
    try (Stream<Path> files = Files.list(folder.resolve("out"))) {
      return files.filter(file -> file.toString().endsWith(".svg")).toList();
    }
  }

  @Test
  void scaleTellsTheRateOfEachPhase() throws IOException {
    Cli.succeed("experiment", "scale", "--small", "-o", folder.resolve("out"));
    String page = Files.readString(folder.resolve("out/README.md"));
    assertTrue(page.contains("256 × 256") && page.contains("| moments | ") && page.contains("| refit | "), page);
  }

  /// What is lost of the results is computed again, to the same bits, and nothing else is.
  @Test
  void goesOnWhereItWas() throws IOException {
    Path out = folder.resolve("out");
    Object[] command = {"experiment", "tabular", "--small", "--seeds", "0,1", "--threads", 1, "-o", out};
    Cli.succeed(command);
    List<String> rows = Files.readAllLines(out.resolve("results.csv"));
    List<String> kept = rows.stream().filter(row -> !row.matches(".*,1,(ec|small dense),.*")).toList();
    assertEquals(rows.size() - 6, kept.size());
    Files.write(out.resolve("results.csv"), kept);
    Files.delete(out.resolve("friedman-1.safetensors"));
    Cli.succeed(Fixture.with(command, "--page-only"));
    assertEquals(kept, Files.readAllLines(out.resolve("results.csv")));
    assertTrue(Files.readString(out.resolve("README.md")).contains("| `wanda` |"));
    Cli.Result again = Cli.succeed(command);
    assertTrue(again.err().contains("seed 1: training") && again.err().contains("seed 1: ec\n"), again.err());
    assertFalse(again.err().contains("seed 0") || again.err().contains("wanda"), again.err());
    assertEquals(withoutSeconds(rows), withoutSeconds(Files.readAllLines(out.resolve("results.csv"))));
  }

  private static List<String> withoutSeconds(List<String> rows) {
    return rows.stream().map(row -> row.substring(0, row.lastIndexOf(','))).sorted().toList();
  }

  /// Other files in the same place are other data.
  @Test
  void resultsOfOtherDataAreRefused() throws IOException {
    Path out = folder.resolve("out");
    Object[] command = {"experiment", "fashion", "--small", "--seeds", 0, "--mnist", mnist(), "-o", out};
    Cli.succeed(command);
    Cli.succeed(command);
    Path labels = folder.resolve("t10k-labels-idx1-ubyte");
    byte[] bytes = Files.readAllBytes(labels);
    bytes[bytes.length - 1] ^= 1;
    Files.write(labels, bytes);
    assertTrue(Cli.fail(1, folder, command).contains("holds results of another experiment, size or data (fashion, "));
  }

  @Test
  void withoutANameItListsAll() {
    String list = Cli.succeed("experiment").out();
    assertTrue(list.contains("paper-mnist: ") && list.contains("needs --mnist"), list);
  }

  @Test
  void refusals() throws IOException {
    assertTrue(Cli.fail(2, folder, "experiment", "paper").contains("unknown experiment 'paper': use paper-mnist, "));
    assertTrue(Cli.fail(2, folder, "experiment", "cost").contains("--mnist is missing"));
    assertTrue(Cli.fail(2, folder, "experiment", "public-race", "--mnist", folder).contains("--checkpoint-file is"));
    assertTrue(Cli.fail(2, folder, "experiment", "tabular", "--seeds", "1,1").contains("give each seed once"));
    assertTrue(Cli.fail(1, folder, "experiment", "cost", "--mnist", folder, "-o", folder.resolve("out"))
        .contains("has no train-images-idx3-ubyte or train-images-idx3-ubyte.gz"));
    Cli.succeed("experiment", "tabular", "--small", "--seeds", 0, "-o", folder.resolve("out"));
    assertTrue(Cli.fail(1, folder, "experiment", "siren", "--small", "-o", folder.resolve("out"))
        .contains("holds results of another experiment, size or data (tabular, small, "));
    assertTrue(Cli.fail(1, folder, "experiment", "tabular", "-o", folder.resolve("out"))
        .contains("holds results of another experiment, size or data"));
    assertTrue(Cli.fail(2, folder, "experiment", "scale", "--page-only").contains("--page-only: the page of scale is"));
    Path results = folder.resolve("out/results.csv");
    Files.writeString(results, Files.readString(results).replaceFirst("\npruned,([^,]*),0", "\npruned,$1,zero"));
    assertTrue(Cli.fail(1, folder, "experiment", "tabular", "--small", "-o", folder.resolve("out"))
        .contains("results.csv: row 2 is damaged"));
    Files.writeString(results, "a,b\n1,2\n");
    assertTrue(Cli.fail(1, folder, "experiment", "tabular", "--small", "-o", folder.resolve("out"))
        .contains("holds no results of an experiment"));
  }

  /// Ten blobs, one a class, of 28 × 28 pixels.
  private Path mnist() throws IOException {
    Random random = new Random(5);
    for (String part : List.of("train", "t10k")) {
      int samples = 120;
      ByteBuffer images = ByteBuffer.allocate(16 + samples * 784).putInt(0x803).putInt(samples).putInt(28).putInt(28);
      ByteBuffer labels = ByteBuffer.allocate(8 + samples).putInt(0x801).putInt(samples);
      for (int n = 0; n < samples; n++) {
        labels.put((byte) (n % 10));
        for (int pixel = 0; pixel < 784; pixel++) {
          images.put((byte) (pixel / 79 == n % 10 ? 150 + random.nextInt(100) : random.nextInt(100)));
        }
      }
      try (OutputStream file = new GZIPOutputStream(
          Files.newOutputStream(folder.resolve(part + "-images-idx3-ubyte.gz")))) {
        file.write(images.array());
      }
      Files.write(folder.resolve(part + "-labels-idx1-ubyte"), labels.array());
    }
    return folder;
  }
}
