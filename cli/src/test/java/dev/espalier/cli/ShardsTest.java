package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A model in several files, written as one and as several.
class ShardsTest {
  private static final String FIRST = "model-00001-of-00002.safetensors";
  private static final String SECOND = "model-00002-of-00002.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  @TempDir
  private Path folder;
  private Fixture fixture;
  private Path index;
  private Path other;

  @BeforeEach
  void split() throws IOException {
    fixture = Fixture.in(folder);
    other = Files.createDirectory(folder.resolve("other"));
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = ModelFile.load(fixture.model(), Optional.empty(), arena).network();
      DenseLayer first = network.layers().getFirst();
      DenseLayer second = network.layers().getLast();
      SafetensorsWriter.write(folder.resolve(FIRST), false,
          List.of(NewTensor.matrix("0.weight", first.weights()), NewTensor.vector("2.bias", second.bias().get())),
          Map.of("activations", "relu"));
      SafetensorsWriter.write(folder.resolve(SECOND), false, List.of(NewTensor.matrix("2.weight", second.weights())),
          Map.of());
      index = Files.writeString(folder.resolve(INDEX),
          "{\"weight_map\": {\"0.weight\": \"%s\", \"2.bias\": \"%s\", \"2.weight\": \"%s\"}}".formatted(FIRST, FIRST,
              SECOND));
    }
  }

  private Object[] command(Object... options) {
    return Stream.concat(Stream.of("prune", index, "--data", fixture.data(), "--sparsity", "0.5"), Stream.of(options))
        .toArray();
  }

  @Test
  void severalFilesBecomeSeveral() throws IOException {
    Path whole = fixture.file("whole.safetensors");
    Cli.succeed(command("-o", whole));
    Cli.succeed(command("-o", other.resolve(INDEX), "--save-mask", other.resolve("mask.safetensors")));
    assertArrayEquals(Files.readAllBytes(index), Files.readAllBytes(other.resolve(INDEX)));
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork expected = ModelFile.load(whole, Optional.empty(), arena).network();
      DenseNetwork parts = ModelFile.load(other.resolve(INDEX), Optional.empty(), arena).network();
      assertEquals(28, parts.zeros());
      for (int l = 0; l < 2; l++) {
        assertArrayEquals(expected.layers().get(l).weights().toArray(), parts.layers().get(l).weights().toArray());
      }
    }
    Cli.succeed("convert", other.resolve(INDEX), fixture.file("again.safetensors"));
    assertTrue(Cli.fail(1, folder, command("-o", other.resolve(INDEX))).contains("already exists"));
  }

  @Test
  void singleLayersStayInTheirParts() throws IOException {
    Path captured = Files.createDirectory(folder.resolve("captured"));
    Files.write(captured.resolve("2.npy"), LayersFromTest.npy(1, 8, 1, 2, 3, 4, 5, 6, 7, 8));
    Object[] command = {"prune", index, "--layers-from", captured, "--scope", "2:4", "-o"};
    Cli.succeed(Fixture.with(command, other.resolve(INDEX)));
    Cli.succeed(Fixture.with(command, fixture.file("whole.safetensors")));
    assertArrayEquals(Files.readAllBytes(index), Files.readAllBytes(other.resolve(INDEX)));
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork parts = ModelFile.load(other.resolve(INDEX), Optional.empty(), arena).network();
      DenseNetwork whole = ModelFile.load(fixture.file("whole.safetensors"), Optional.empty(), arena).network();
      DenseNetwork before = ModelFile.load(index, Optional.empty(), arena).network();
      assertEquals(12, parts.layers().getLast().weights().zeros());
      for (int l = 0; l < 2; l++) {
        assertArrayEquals(whole.layers().get(l).weights().toArray(), parts.layers().get(l).weights().toArray());
      }
      assertArrayEquals(whole.layers().getLast().bias().get().toArray(),
          parts.layers().getLast().bias().get().toArray());
      assertArrayEquals(before.layers().getFirst().weights().toArray(), parts.layers().getFirst().weights().toArray());
    }
    assertTrue(Cli.fail(1, folder, Fixture.with(command, index, "--force"))
        .endsWith(INDEX + ": is a part of the model that was read; choose another output"));
  }

  @Test
  void whatPartsCannotBeIsRefused() throws IOException {
    assertTrue(Cli.fail(1, folder, command("-o", index, "--force"))
        .endsWith(INDEX + ": is a part of the model that was read; choose another output"));
    assertTrue(Cli.fail(1, folder, command("-o", folder.resolve("new.safetensors.index.json")))
        .endsWith(FIRST + " beside it is a part of the model that was read; choose another folder"));
    assertTrue(Cli.fail(2, folder, command("-o", other.resolve(INDEX), "--new-bias"))
        .contains("--new-bias adds tensors, and an index gains none"));
    assertTrue(Cli.fail(2, folder, "prune", index, "--data", fixture.data(), "--sparsity", "0.5,0.8", "--method",
        "refit", "-o", other.resolve(INDEX)).contains("the parts of several models would have the same names"));
    assertTrue(Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", "0.5", "-o",
        other.resolve(INDEX)).contains("only a model in several files whose shapes stay is written as several"));
    Files.createFile(other.resolve(SECOND));
    assertTrue(Cli.fail(1, folder, command("-o", other.resolve(INDEX))).contains(SECOND + ": already exists"));
    assertTrue(Cli.fail(2, folder, "score", index, "--data", fixture.data(), "-o", other.resolve(INDEX))
        .contains("this is written as safetensors"));
  }
}
