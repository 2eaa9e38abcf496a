package dev.espalier.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.io.SampleFiles;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Runs the example of README.md, and checks that README.md shows what is run.
public final class ReadmeExampleTest {
  /// The tags by which the start page of the javadoc includes the examples.
  private static final Pattern EXAMPLE = Pattern.compile("(?s)  // [@]start region=\"\\w+\"\n(.*?\n)  // [@]end\n");

  // @start region="prune"
  static void prune(Path folder) throws IOException {
    try (Arena arena = Arena.ofConfined(); Backend backend = Device.AUTO.open()) {
      ModelFile model = ModelFile.load(folder.resolve("lenet.safetensors"), Optional.empty(), arena);
      Dataset calibration = Dataset.of(SampleFiles.samples(folder.resolve("train.npy")));
      PruningOptions options = PruningOptions.builder().sparsity(0.9).criterion(new Criterion.EliminationCompensation())
          .build();
      ProgressListener listener = (task, done, total) -> !Thread.interrupted(); // false cancels
      PruningResult result = new Pruner(backend, options).prune(model.network(), Optional.of(calibration), listener,
          arena);
      for (LayerResult layer : result.layers()) {
        System.out.printf("%s: %d removed, %d kept, output change %.3g predicted, %.3g measured%n", layer.name(),
            layer.removed(), layer.kept(), layer.predictedChange().orElseThrow(), layer.measuredChange().orElseThrow());
      }
      model.save(folder.resolve("pruned.safetensors"), result.network(), false);
    }
  }
  // @end

  // @start region="pruneInPlace"
  public static void pruneInPlace(GpuBackend gpu, long weights, long bias, MemorySegment features) throws IOException {
    DeviceNetwork head = new DeviceNetwork(gpu, List.of(new DeviceNetwork.Layer("head", gpu.wrap(weights, 100, 512),
        gpu.wrap(bias, 1, 100), true, Activation.IDENTITY)));
    Dataset calibration = Dataset.of(new MatrixSamples("features", new MatrixView(features, 2000, 512)));
    PruningOptions options = PruningOptions.builder().sparsity(0.9).build();
    new Pruner(gpu, options).pruneInPlace(head, Optional.of(calibration), ProgressListener.NONE);
    gpu.synchronize(); // from here on others may use weights and bias
  }
  // @end

  @Test
  void runs(@TempDir Path folder) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      ModelFile.write(folder.resolve("lenet.safetensors"),
          TestNetworks.network(arena, 1, List.of(6, 5, 4), List.of(Activation.RELU, Activation.IDENTITY)), false);
      // Samples in any format will do; by content this is safetensors.
      MatrixView x = TestNetworks.normal(arena, TestNetworks.random(2), 20, 6, 1, 0);
      SafetensorsWriter.write(folder.resolve("train.safetensors"), false, List.of(NewTensor.matrix("x", x)), Map.of());
      Files.move(folder.resolve("train.safetensors"), folder.resolve("train.npy"));
      prune(folder);
      long zeros = ModelFile.load(folder.resolve("pruned.safetensors"), Optional.empty(), arena).network().layers()
          .stream().flatMap(layer -> {
            float[] weights = layer.weights().toArray();
            return IntStream.range(0, weights.length).filter(i -> weights[i] == 0).boxed();
          }).count();
      assertEquals(45, zeros);
    }
  }

  @Test
  void isWhatReadmeShows() throws IOException {
    Path root = Path.of("").toAbsolutePath().getParent();
    String source = Files.readString(root.resolve("engine/src/test/java/dev/espalier/engine/ReadmeExampleTest.java"));
    String readme = Files.readString(root.resolve("README.md"));
    List<String> examples = EXAMPLE.matcher(source).results().map(example -> example.group(1)).toList();
    assertEquals(2, examples.size());
    for (String example : examples) {
      String shown = example.stripTrailing().stripIndent();
      assertTrue(readme.contains("```java\n" + shown + "\n```\n"), "README.md does not show:\n" + shown);
    }
  }
}
