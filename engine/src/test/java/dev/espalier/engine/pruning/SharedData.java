package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.SampleFiles;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/// Trained networks and MNIST in `shared/data`, beside the repository or above it. Without them a test is skipped.
record SharedData(Path folder, Arena arena) {
  /// @param model whose figures a test compares with, in `shared/data`
  static SharedData with(String model, Arena arena) {
    Path above = Path.of("").toAbsolutePath();
    while (above != null && !Files.exists(above.resolve("shared/data").resolve(model))) {
      above = above.getParent();
    }
    assumeTrue(above != null,
        "the network whose figures these are is not there: shared/data/%s beside the repository or above it, with MNIST"
            .formatted(model));
    return new SharedData(above.resolve("shared/data"), arena);
  }

  DenseNetwork network(String model) throws IOException {
    return ModelFile.load(folder.resolve(model), Optional.empty(), arena).network();
  }

  /// @param part `train` or `t10k`
  MatrixView images(String part) throws IOException {
    Dataset images = Dataset.of(SampleFiles.samples(folder.resolve("mnist/%s-images-idx3-ubyte.gz".formatted(part))));
    return ((MatrixSamples) images.inMemory(1L << 30, arena).samples()).values();
  }

  Path labels(String part) {
    return folder.resolve("mnist/%s-labels-idx1-ubyte.gz".formatted(part));
  }
}
