package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The main job on real input: a LeNet-300-100 that `train` produced loses less by elimination and compensation than by
/// magnitude. It is trained on the reference, whose bits do not depend on the processor: accuracies of different
/// trainings differ by points. Skipped where there are no data in `shared/data/mnist` beside the repository.
class MnistTest {
  @TempDir
  private Path folder;

  @Test
  void compensationBeatsMagnitude() {
    Path data = mnist();
    Path images = data.resolve("train-images-idx3-ubyte.gz");
    Path model = folder.resolve("lenet.safetensors");
    Cli.succeed("train", "--device", "reference", "--data", images, "--labels",
        data.resolve("train-labels-idx1-ubyte.gz"), "--max-samples", 20_000, "--layers", "784,300,100,10",
        "--activations", "relu", "--epochs", 6, "-o", model);
    String table = Cli.succeed("compare", model, "--data", images, "--max-samples", 10_000, "--test-data",
        data.resolve("t10k-images-idx3-ubyte.gz"), "--test-labels", data.resolve("t10k-labels-idx1-ubyte.gz"),
        "--sparsities", ".8,.9", "--criteria", "ec,magnitude").out();
    for (String sparsity : List.of("80 %", "90 %")) {
      Row ec = Row.of(table, sparsity, "ec");
      Row magnitude = Row.of(table, sparsity, "magnitude");
      assertTrue(ec.accuracy > magnitude.accuracy, table);
      assertTrue(ec.crossEntropy < magnitude.crossEntropy, table);
      assertTrue(3 * ec.outputChange <= magnitude.outputChange, table);
    }
  }

  private record Row(double crossEntropy, double accuracy, double outputChange) {
    static Row of(String table, String sparsity, String criterion) {
      Matcher row = Pattern.compile("%s +%s +(\\S+) +(\\S+) %% +(\\S+)".formatted(sparsity, criterion)).matcher(table);
      assertTrue(row.find(), table);
      return new Row(Double.parseDouble(row.group(1)), Double.parseDouble(row.group(2)),
          Double.parseDouble(row.group(3)));
    }
  }

  private static Path mnist() {
    Path folder = Path.of("").toAbsolutePath();
    while (folder != null && !Files.exists(folder.resolve("shared/data/mnist/train-images-idx3-ubyte.gz"))) {
      folder = folder.getParent();
    }
    assumeTrue(folder != null, "put MNIST's four .gz files, as its authors or PyTorch's torchvision publish them, into "
        + "shared/data/mnist beside the repository or above it");
    return folder.resolve("shared/data/mnist");
  }
}
