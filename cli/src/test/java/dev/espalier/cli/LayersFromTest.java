package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsFile;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `prune --layers-from`, on the first layer of a network 4-8-3.
class LayersFromTest {
  @TempDir
  private Path folder;
  private Fixture fixture;
  private Path captured;
  private Path pruned;

  @BeforeEach
  void capture() throws IOException {
    fixture = Fixture.in(folder);
    captured = Files.createDirectory(folder.resolve("captured"));
    pruned = folder.resolve("pruned.safetensors");
    Random random = new Random(2);
    float[] inputs = new float[200 * 4];
    for (int i = 0; i < inputs.length; i++) {
      inputs[i] = (float) random.nextGaussian() + i % 4;
    }
    Files.write(captured.resolve("0.npy"), npy(200, 4, inputs));
  }

  static byte[] npy(int rows, int columns, float... values) {
    byte[] header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }\n".formatted(rows, columns)
        .getBytes(StandardCharsets.UTF_8);
    ByteBuffer file = ByteBuffer.allocate(10 + header.length + 4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    file.put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.UTF_8)).put((byte) 1).put((byte) 0)
        .putShort((short) header.length).put(header);
    for (float value : values) {
      file.putFloat(value);
    }
    return file.array();
  }

  private Object[] command(Object... options) {
    return Stream.concat(Stream.of("prune", fixture.model(), "--layers-from", captured), Stream.of(options)).toArray();
  }

  private String refused(int code, Object... options) {
    return Cli.fail(code, folder, command(options));
  }

  /// Layers side by side, as of attention, with a norm: what single layers hold becomes sparse without a network.
  @Test
  void convertsAndInspectsWhatIsNoNetwork() throws IOException {
    Path model = folder.resolve("attention.safetensors");
    float[] half = new float[16 * 16];
    for (int i = 0; i < half.length; i++) {
      half[i] = i % 4 < 2 ? i + 1 : 0;
    }
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsWriter.write(model, false,
          List.of(NewTensor.matrix("q.weight", MatrixView.of(arena, 16, 16, half)),
              NewTensor.matrix("embed.weight", MatrixView.of(arena, 2, 4, 1, 2, 3, 4, 5, 6, 7, 8)),
              NewTensor.vector("norm.weight", MatrixView.of(arena, 1, 4, 1, 2, 3, 4)),
              NewTensor.vector("norm.bias", MatrixView.of(arena, 1, 4, 1, 2, 3, 4))),
          Map.of("format", "pt"));
      Path sparse = folder.resolve("sparse.safetensors");
      Cli.Result written = Cli.succeed("convert", model, sparse, "--sparse", "2:4");
      assertTrue(written.out().matches("(?s).*\\nq +2:4 +544 +1,?024 +50\\.00 %.*\\nembed +dense .*"), written.out());
      assertTrue(written.err().contains("note: no network, but single layers: ")
          && written.err().contains("norm.weight") && written.err().contains("layer embed stays dense"), written.err());
      String inspected = Cli.succeed("inspect", model).out();
      assertTrue(inspected.matches(
          "(?s).*\\nbytes of weights +zero +dense +as csr +as 2:4\\n" + "q +50\\.00 % +1,?024 +1,?092 +544\\n.*")
          && !inspected.contains("embed  "), inspected);
      Path dense = folder.resolve("dense.safetensors");
      Cli.succeed("convert", sparse, dense);
      SafetensorsFile before = ModelFile.tensors(model, arena);
      SafetensorsFile after = ModelFile.tensors(dense, arena);
      assertEquals(before.tensors().stream().map(Tensor::name).sorted().toList(),
          after.tensors().stream().map(Tensor::name).sorted().toList());
      for (Tensor tensor : before.tensors()) {
        assertEquals(-1, tensor.data().mismatch(after.tensor(tensor.name()).orElseThrow().data()), tensor.name());
      }
      assertTrue(Cli.fail(1, folder, "convert", model, folder.resolve("copy.safetensors")).contains("norm.weight"));
    }
  }

  @Test
  void prunesLayersWithInputsAndKeepsAllElse() throws IOException {
    Cli.Result result = Cli
        .succeed(command("--sparsity", 0.5, "--repair", "refit", "-o", pruned, "--report", folder.resolve("report")));
    assertTrue(result.out().matches("(?s).*\\n0 +8 x 4 +16 +16 +50\\.00 % .*"), result.out());
    assertTrue(result.err().contains("note: 1 layer without inputs: left as it is (2)"), result.err());
    assertTrue(result.err().contains("note: sensitivity: 1 (files for 0 of 1 layer)"), result.err());
    String report = Files.readString(folder.resolve("report/report.json"));
    assertTrue(report.contains("\"measuredChange\"") && report.contains("\"scope\" : \"layer\""), report);
    assertTrue(report.contains("\"sparsity\" : \"0.5\"") && !report.contains("identity"), report);
    assertFalse(Files.readString(folder.resolve("report/report.html")).contains(">Activation<"));
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile before = SafetensorsFile.open(fixture.model(), arena);
      SafetensorsFile after = SafetensorsFile.open(pruned, arena);
      assertEquals(-1, before.header().mismatch(after.header()));
      for (Tensor tensor : before.tensors()) {
        boolean isSame = tensor.data().mismatch(after.tensor(tensor.name()).orElseThrow().data()) < 0;
        assertEquals(tensor.name().startsWith("2."), isSame, tensor.name());
      }
    }
  }

  /// The first layer of a network sees the samples, and the sensitivities of a network without a nonlinearity are 1.
  @Test
  void isThePruningOfANetworkOfOneLayer() throws IOException {
    Path one = folder.resolve("one.safetensors");
    Cli.succeed("prune", fixture.model(), "--layers", "0", "--activations", "identity", "--data",
        captured.resolve("0.npy"), "--sparsity", 0.5, "--augment", "none", "-o", one);
    Cli.succeed(command("--sparsity", 0.5, "-o", pruned));
    try (Arena arena = Arena.ofConfined()) {
      assertArrayEquals(weights(one, arena), weights(pruned, arena));
    }
  }

  private static float[] weights(Path model, Arena arena) throws IOException {
    MatrixView weights = ModelFile.load(model, Optional.empty(), arena).network().layers().getFirst().weights();
    return weights.toArray();
  }

  @Test
  void sensitivitiesWeighOutputs() throws IOException {
    float[] sensitivities = new float[200 * 8];
    for (int i = 0; i < sensitivities.length; i++) {
      sensitivities[i] = i % 8 == 3 ? 1e6f : 1;
    }
    Files.write(captured.resolve("0.sensitivity.npy"), npy(200, 8, sensitivities));
    Cli.Result result = Cli.succeed(command("--sparsity", 0.5, "-o", pruned));
    assertTrue(result.err().contains("sensitivity: given (files for 1 of 1 layer)"), result.err());
    try (Arena arena = Arena.ofConfined()) {
      float[] left = weights(pruned, arena);
      for (int j = 0; j < 4; j++) {
        assertTrue(left[3 * 4 + j] != 0, "input " + j + " of the output that counts most");
      }
    }
    sensitivities[8] = -1;
    Files.write(captured.resolve("0.sensitivity.npy"), npy(200, 8, sensitivities));
    assertTrue(refused(1, "--sparsity", 0.5, "-o", folder.resolve("other.safetensors"))
        .endsWith("0.sensitivity.npy is -1.0 at [1, 0] (sample, output): sensitivities are squares, finite and not "
            + "below 0"));
  }

  /// Each model of a path is that of its sparsity alone, reached in the same rounds; a layer with a sparsity of its own is
  /// the same in all.
  @Test
  void severalSparsitiesWriteAModelAndAMaskEach() throws IOException {
    Files.write(captured.resolve("2.npy"), npy(3, 8, new float[24]));
    Path mask = folder.resolve("mask.safetensors");
    Object[] options = {"--method", "refit", "-o", pruned, "--save-mask", mask};
    Cli.Result result = Cli.succeed(command(Fixture.with(options, "--sparsity", "0.5,0.75,2=0.25")));
    assertTrue(result.out().matches("(?s)sparsity .*\n39\\.29 % +34 +22 .*pruned-0.5.safetensors\n"
        + "53\\.57 % +26 +30 .*pruned-0.75.safetensors\n.*"), result.out());
    assertTrue(result.err().contains("2 models and their masks written"), result.err());
    try (Arena arena = Arena.ofConfined()) {
      for (String sparsity : List.of("0.5", "0.75")) {
        SafetensorsFile model = SafetensorsFile.open(folder.resolve("pruned-%s.safetensors".formatted(sparsity)),
            arena);
        SafetensorsFile masks = SafetensorsFile.open(folder.resolve("mask-%s.safetensors".formatted(sparsity)), arena);
        assertEquals(List.of("0.weight", "2.weight"), masks.tensors().stream().map(Tensor::name).sorted().toList());
        for (Tensor tensor : masks.tensors()) {
          float[] kept = masks.asFloat32(tensor, arena).toArray();
          float[] weights = model.asFloat32(model.tensor(tensor.name()).orElseThrow(), arena).toArray();
          int zeros = 0;
          for (int i = 0; i < kept.length; i++) {
            assertEquals(weights[i] == 0 ? 0 : 1, kept[i], tensor.name());
            zeros += weights[i] == 0 ? 1 : 0;
          }
          assertEquals(tensor.name().equals("2.weight") ? 6 : sparsity.equals("0.5") ? 16 : 24, zeros);
        }
      }
    }
    Files.delete(captured.resolve("2.npy"));
    Cli.succeed(command("--method", "refit", "--sparsity", "0.5,0.75", "-o", pruned, "--force"));
    Path alone = folder.resolve("alone.safetensors");
    Cli.succeed(command("--method", "refit", "--sparsity", 0.5, "-o", alone));
    assertArrayEquals(Files.readAllBytes(alone), Files.readAllBytes(folder.resolve("pruned-0.5.safetensors")));
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--mask", folder.resolve("mask-0.75.safetensors"),
        "-o", folder.resolve("masked.safetensors"));
  }

  @Test
  void nOfMKeepsTwoOfEachFourAndTheMaskTells() throws IOException {
    Path mask = folder.resolve("mask.safetensors");
    Cli.Result result = Cli
        .succeed(command("--scope", "2:4", "--repair", "refit", "-o", pruned, "--save-mask", mask, "--verify"));
    assertTrue(result.err().contains("mask: " + mask), result.err());
    assertTrue(result.out().contains("deviation from the reference"), result.out());
    assertTrue(result.out().matches("(?s).*\n0 +\\S+e-0\\d+ +\\S+ +0 of 16\n.*"), result.out());
    try (Arena arena = Arena.ofConfined()) {
      float[] weights = weights(pruned, arena);
      for (int i = 0; i < weights.length; i += 4) {
        int kept = 0;
        for (int j = 0; j < 4; j++) {
          kept += weights[i + j] == 0 ? 0 : 1;
        }
        assertEquals(2, kept, "four from " + i);
      }
    }
  }

  @Test
  void aLayerWithoutABiasGainsOneIfAsked() throws IOException {
    Path model = folder.resolve("bare.safetensors");
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile file = SafetensorsFile.open(fixture.model(), arena);
      SafetensorsWriter.write(model, false, file.tensors().stream().filter(tensor -> tensor.name().endsWith("weight"))
          .map(tensor -> NewTensor.matrix(tensor.name(), matrix(file, tensor, arena))).toList(), file.metadata());
    }
    Object[] prune = {"prune", model, "--layers-from", captured, "--sparsity", 0.5, "-o", pruned};
    Cli.Result without = Cli.succeed(prune);
    assertTrue(without.err().contains("1 layer without a bias: ") && without.err().contains("--new-bias adds one"),
        without.err());
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(2, SafetensorsFile.open(pruned, arena).tensors().size());
    }
    Path one = folder.resolve("one.safetensors");
    Cli.succeed("prune", model, "--layers", "0", "--activations", "identity", "--data", captured.resolve("0.npy"),
        "--sparsity", 0.5, "--new-bias", "--augment", "none", "-o", one);
    Cli.succeed(Fixture.with(prune, "--new-bias", "--force"));
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile expected = SafetensorsFile.open(one, arena);
      SafetensorsFile actual = SafetensorsFile.open(pruned, arena);
      assertEquals(List.of("0.weight", "2.weight", "0.bias"), actual.tensors().stream().map(Tensor::name).toList());
      for (Tensor tensor : expected.tensors()) {
        assertEquals(-1, tensor.data().mismatch(actual.tensor(tensor.name()).orElseThrow().data()), tensor.name());
      }
    }
  }

  private static MatrixView matrix(SafetensorsFile file, Tensor tensor, Arena arena) {
    try {
      return file.asFloat32(tensor, arena);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void optionsOfWholeNetworksAreRefusedByName() {
    for (String options : List.of("--data x.csv", "--labels y.csv", "--test-data x.csv", "--activations relu",
        "--layers 0", "--sensitivity jacobian", "--fine-tune 1", "--checkpoint rounds", "--max-output-change 1%",
        "--mask m")) {
      String[] words = options.split(" ", -1);
      String line = refused(2, Fixture.with(words, "--sparsity", 0.5, "-o", pruned));
      assertTrue(line.startsWith(
          "espalier: --layers-from prunes each layer alone, by inputs of its own: leave out " + words[0]), line);
    }
  }

  @Test
  void choicesOfWholeNetworksAreRefused() {
    Map<String, String> messages = Map.of("--scope global", "--scope global compares weights of several layers",
        "--method best", "--method best trains a network", "--repair joint", "--repair joint needs the network",
        "--criterion gradient", "--criterion gradient needs the network", "--criterion ec-nonlinear",
        "--criterion ec-nonlinear needs the network", "--exclude nothing",
        "--exclude nothing matches no layer; the layers are 0", "--exclude *", "--exclude excludes all layers");
    messages.forEach((options, message) -> {
      String line = refused(2, Fixture.with(options.split(" ", -1), "--sparsity", 0.5, "-o", pruned));
      assertTrue(line.startsWith("espalier: " + message), line);
    });
  }

  @Test
  void whatDoesNotFitIsRefusedByItsFile() throws IOException {
    assertTrue(refused(2, "--sparsity", 0.5).contains("--output is missing"));
    assertTrue(refused(2, "--sparsity", "0.5,0.8", "--method", "refit", "-o", pruned, "--report", folder.resolve("r"))
        .contains("--report is for one model: give one value of --sparsity"));
    assertTrue(refused(2, "--sparsity", 0.5, "-o", pruned, "--save-mask", pruned)
        .contains("--output and --save-mask both write"));
    assertTrue(refused(2, "--sparsity", "0.5,4=0.8", "-o", pruned)
        .contains("--sparsity 4=0.8 names no layer; the layers are 0"));
    Files.write(captured.resolve("3.npy"), npy(1, 4, 1, 2, 3, 4));
    assertTrue(refused(1, "--sparsity", 0.5, "-o", pruned)
        .endsWith("3.npy: names no layer of the model; the nearest name is \"0.npy\""));
    Files.move(captured.resolve("3.npy"), captured.resolve("2.npy"));
    assertTrue(refused(1, "--sparsity", 0.5, "-o", pruned)
        .endsWith("2.npy: has 4 numbers a sample, and layer \"2\" takes 8 inputs"));
  }
}
