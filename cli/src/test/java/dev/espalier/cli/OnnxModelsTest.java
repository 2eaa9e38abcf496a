package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.SafetensorsFile;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Commands on ONNX models of several inputs or outputs, and on heads of others, as PyTorch exported them.
final class OnnxModelsTest {
  private static final int SAMPLES = 60;
  private static final Path MODELS = Path.of("../engine/src/test/resources/dev/espalier/engine/io/onnx");

  @TempDir
  private Path folder;

  private Fixture fixture;

  @BeforeEach
  void create() {
    fixture = new Fixture(folder, folder.resolve("x.csv"), folder.resolve("y.csv"), folder.resolve("none"));
  }

  private static Path model(String name) {
    return MODELS.resolve(name + ".onnx");
  }

  /// Normal numbers, an array for each name and width.
  private Path arrays(String name, Object... namesAndWidths) throws IOException {
    StringBuilder header = new StringBuilder("{");
    int floats = 0;
    for (int i = 0; i < namesAndWidths.length; i += 2) {
      int width = (Integer) namesAndWidths[i + 1];
      header.append("%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}"
          .formatted(i == 0 ? "" : ",", namesAndWidths[i], SAMPLES, width, 4 * floats, 4 * (floats + SAMPLES * width)));
      floats += SAMPLES * width;
    }
    Random random = new Random(2);
    float[] values = new float[floats];
    for (int i = 0; i < floats; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return fixture.safetensors(name, header + "}", values);
  }

  @Test
  void capitalLettersNameTheFormatToo() throws IOException {
    Path model = Fixture.in(folder).model();
    Path small = folder.resolve("small.onnx");
    Path capital = folder.resolve("CAPITAL.ONNX");
    Cli.succeed("convert", model, small);
    Cli.succeed("convert", model, capital);
    assertArrayEquals(Files.readAllBytes(small), Files.readAllBytes(capital));
  }

  /// Layers without a bias before batch normalisations: pruned as safetensors and written as ONNX, or pruned as ONNX, they
  /// become the same file.
  @Test
  void aChainWithMeansThatTakeBiasesIsPrunedToTheSameBitsInBothFormats() throws IOException {
    Object[] tensors = {"0.weight", "8,4", "1.running_mean", "8", "1.running_var", "8", "1.weight", "8", "1.bias", "8",
        "3.weight", "6,8", "4.running_mean", "6", "4.running_var", "6", "6.weight", "3,6", "6.bias", "3"};
    StringBuilder header = new StringBuilder("{\"__metadata__\":{\"activations\":\"relu\"}");
    Random random = new Random(3);
    float[] values = new float[4 * 8 + 4 * 8 + 6 * 8 + 2 * 6 + 3 * 6 + 3];
    int end = 0;
    for (int t = 0; t < tensors.length; t += 2) {
      int first = end;
      int count = Stream.of(tensors[t + 1].toString().split(",")).mapToInt(Integer::parseInt).reduce(1,
          (a, b) -> a * b);
      for (; end < first + count; end++) {
        values[end] = (float) (tensors[t].toString().endsWith("var") ? 1 + random.nextDouble() : random.nextGaussian());
      }
      header.append(",\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%d,%d]}".formatted(tensors[t],
          tensors[t + 1], 4 * first, 4 * end));
    }
    assertEquals(values.length, end);
    Path model = fixture.safetensors("model.safetensors", header + "}", values);
    Path onnx = folder.resolve("model.onnx");
    Cli.succeed("convert", model, onnx);
    Path data = arrays("data.safetensors", "x", 4, "y", 3);
    Path one = folder.resolve("one.onnx");
    Path other = folder.resolve("other.onnx");
    for (Object[] method : new Object[][]{{"--method", "paper"}, {"--method", "refit"}, {"--method", "best"},
        {"--criterion", "wanda", "--exclude", "3"}, {"--criterion", "gradient", "--fine-tune", 1}, {"--new-bias"}}) {
      Object[] asked = Fixture.with(new Object[]{"--data", data, "--labels", data, "--sparsity", 0.5, "-f"}, method);
      Cli.succeed(Fixture.with(new Object[]{"prune", model, "-o", one}, asked));
      String said = Cli.succeed(Fixture.with(new Object[]{"prune", onnx, "-o", other}, asked)).err();
      assertTrue(said.contains("note: BatchNormalization: its mean takes the bias that 0, 3 do not have")
          && !said.contains("no bias:"), said);
      assertArrayEquals(Files.readAllBytes(one), Files.readAllBytes(other), () -> Arrays.toString(method));
      assertNotEquals(-1, Files.mismatch(onnx, other));
    }
  }

  @Test
  void severalOutputsAreJudgedTogether() throws IOException {
    Path data = arrays("data.safetensors", "x", 12, "y", 7);
    Path pruned = fixture.file("pruned.onnx");
    String[][] methods = {{"--method", "paper"}, {"--method", "refit"}, {"--method", "best"},
        {"--criterion", "gradient"}, {"--fine-tune", "1"}};
    for (String[] method : methods) {
      Cli.Result result = Cli.succeed(Stream.concat(Stream.of("prune", model("heads"), "--data", data, "--labels", data,
          "--sparsity", 0.5, "-o", pruned, "--force"), Stream.of(method)).toArray());
      assertTrue(result.err().contains(
          "note: the network has several outputs, side by side: y (4), box (3); " + "what is preserved is all of them"),
          result.err());
      assertTrue(result.err().contains(
          "note: loss: mse over all outputs, y (4), box (3): the mean over their numbers, each of which counts the same"),
          result.err());
    }
    Cli.succeed("evaluate", pruned, "--data", data, "--labels", data);
    Cli.succeed("score", model("heads"), "--data", data, "-o", fixture.file("scores.safetensors"));
    Cli.succeed("sensitivity", model("heads"), "--data", data, "--sparsities", "0.5");
    Cli.succeed("compare", model("heads"), "--data", data, "--labels", data, "--test-data", data, "--test-labels", data,
        "--sparsities", "0.5", "--criteria", "ec,magnitude,gradient,refit");
    Path small = fixture.file("small.onnx");
    Cli.succeed("prune", model("heads"), "--data", data, "--sparsity", 0.9, "--prune-neurons", "-o", pruned, "--force");
    Cli.succeed("shrink", pruned, "-o", small);
    assertTrue(Files.size(small) < Files.size(pruned));
    assertTrue(Cli.succeed("inspect", small).out().contains("log_softmax"));

    Path classes = arrays("classes.safetensors", "y", 1);
    for (Object[] command : new Object[][]{{"evaluate"}, {"prune", "-o", fixture.file("a.onnx"), "--sparsity", 0.5}}) {
      String refused = Cli.fail(2, folder, Fixture.with(command, model("heads"), "--data", data, "--labels", classes));
      assertTrue(refused.contains("the labels have 1 column, and the outputs y (4), box (3) together 7: give --head y "
          + "or box for labels of one output"), refused);
    }
    String entropy = Cli.fail(1, folder, "evaluate", model("heads"), "--data", data, "--labels", data, "--loss",
        "cross-entropy");
    assertTrue(entropy.contains("cross-entropy is of one output, and the network has several"), entropy);
  }

  /// Class indices of one, and numbers of the other.
  @Test
  void oneOfSeveralOutputsIsEvaluatedAlone() throws IOException {
    Path data = arrays("data.safetensors", "x", 12);
    Path classes = arrays("classes.safetensors", "y", 1);
    Path zeros = fixture.safetensors("zeros.safetensors",
        "{\"y\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[0,%d]}}".formatted(SAMPLES, 4 * SAMPLES),
        new float[SAMPLES]);
    String ofAll = Cli.succeed("evaluate", model("heads"), "--data", data, "--labels", zeros, "--head", "y").out();
    assertTrue(ofAll.matches("(?s).*\nloss +\\S+ \\(cross-entropy\\)\naccuracy .*") && !ofAll.contains("box."), ofAll);
    Path boxes = arrays("boxes.safetensors", "y", 3);
    String box = Cli.succeed("evaluate", model("heads"), "--data", data, "--labels", boxes, "--head", "box").out();
    assertTrue(box.contains("(mse)"), box);
    assertTrue(Cli.fail(1, folder, "evaluate", model("heads"), "--data", data, "--labels", classes, "--head", "z")
        .contains("the network has no output called z, but y (4), box (3)"));
    assertTrue(Cli.fail(2, folder, "evaluate", model("heads"), "--data", data, "--labels", boxes)
        .contains("give --head box for labels of one output"));
  }

  /// Classes of `y`, which has four.
  private Path classes() throws IOException {
    return Files.writeString(folder.resolve("classes.csv"),
        IntStream.range(0, SAMPLES).mapToObj(n -> n % 4 + "\n").collect(Collectors.joining()));
  }

  /// With labels of one output, the same weights go as without labels, and loss and accuracy are those that evaluate
  /// tells of it.
  @Test
  void labelsOfOneOutputJudgeAPruningOfAll() throws IOException {
    Path data = arrays("data.safetensors", "x", 12);
    Path unlabelled = fixture.file("unlabelled.onnx");
    Path pruned = fixture.file("pruned.onnx");
    Object[][] heads = {{"--labels", classes(), "--head", "y"},
        {"--labels", arrays("boxes.safetensors", "y", 3), "--head", "box"}};
    for (Object[] method : new Object[][]{{"--method", "paper"}, {"--method", "best"}}) {
      Object[] prune = Fixture.with(new Object[]{"prune", model("heads"), "--data", data, "-f", "--sparsity", 0.7},
          method);
      Cli.succeed(Fixture.with(prune, "-o", unlabelled));
      for (Object[] head : heads) {
        Cli.Result result = Cli.succeed(Fixture.with(Fixture.with(prune, "-o", pruned), head));
        assertArrayEquals(Files.readAllBytes(unlabelled), Files.readAllBytes(pruned));
        assertTrue(result.err().contains("note: loss and accuracy are of output %s alone".formatted(head[3])),
            result.err());
        assertEquals(judged(model("heads"), data, head), row(result.out(), "dense"));
        assertEquals(judged(pruned, data, head), row(result.out(), "pruned"));
      }
    }
    Object[] path = {"prune", model("heads"), "--data", data, "-f", "--sparsity", "0.4,0.6", "-o", pruned};
    String first = row(Cli.succeed(Fixture.with(path, heads[0])).out(), "dense");
    assertTrue(first.endsWith(judged(model("heads"), data, heads[0])), first);
  }

  /// The loss and the accuracy, if there is one, that evaluate tells.
  private static String judged(Path model, Path data, Object... head) {
    return Cli.succeed(Fixture.with(new Object[]{"evaluate", model, "--data", data}, head)).out()
        .replaceFirst("(?s).*\nloss +(\\S+) \\(\\S+\\)\n(?:accuracy +(.*)\n)?", "$1 $2").strip();
  }

  /// The last line of a table that begins with a name, without the name.
  private static String row(String out, String name) {
    return out.lines().filter(line -> line.startsWith(name + " ")).reduce((_, last) -> last).orElseThrow()
        .substring(name.length()).strip().replaceAll(" {2,}", " ");
  }

  /// By targets of one output that are off by 0.1, so that its loss rises by what the pruning changes.
  @Test
  void aSearchJudgesByOneOutput() throws IOException {
    Path data = arrays("data.safetensors", "x", 12);
    Path targets;
    try (Arena arena = Arena.ofConfined(); Backend backend = Device.CPU.open()) {
      DenseNetwork network = ModelFile.load(model("heads"), Optional.empty(), arena).network().head("box");
      SafetensorsFile file = SafetensorsFile.open(data, arena);
      try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
          ForwardPass forward = ForwardPass.allocate(backend, network.graph(), SAMPLES)) {
        forward.load(file.asFloat32(file.tensor("x").orElseThrow(), arena));
        forward.run(device);
        float[] outputs = backend.download(forward.output(), arena).toArray();
        for (int i = 0; i < outputs.length; i++) {
          outputs[i] += 0.1f;
        }
        targets = fixture.safetensors("targets.safetensors",
            "{\"y\":{\"dtype\":\"F32\",\"shape\":[%d,3],\"data_offsets\":[0,%d]}}".formatted(SAMPLES, 12 * SAMPLES),
            outputs);
      }
    }
    Path pruned = fixture.file("pruned.onnx");
    Object[] search = {"prune", model("heads"), "--data", data, "-f", "-o", pruned, "--test-data", data};
    Object[] head = {"--labels", targets, "--head", "box"};
    String out = Cli
        .succeed(Fixture.with(search, "--test-labels", targets, "--head", "box", "--max-loss-increase", "50%")).out();
    double dense = Double.parseDouble(row(out, "dense"));
    double loss = Double.parseDouble(row(out, "pruned"));
    assertEquals(0.01, dense, 1e-6);
    assertTrue(loss <= 1.5 * dense && loss > dense && out.contains("beyond the limit"), out);
    assertEquals(judged(pruned, data, head), row(out, "pruned"));
    out = Cli.succeed(Fixture.with(search, "--test-labels", classes(), "--head", "y", "--max-accuracy-drop", 5)).out();
    assertEquals(judged(pruned, data, "--labels", classes(), "--head", "y"), row(out, "pruned"));
  }

  @Test
  void labelsOfOneOutputAreRefusedForWhatWouldHarmTheOthers() throws IOException {
    Path data = arrays("data.safetensors", "x", 12);
    Object[] prune = {"prune", model("heads"), "--data", data, "--sparsity", 0.5, "-o", fixture.file("a.onnx")};
    Object[] labelled = Fixture.with(prune, "--labels", classes());
    assertRefused("--head names the output that labels are of, which are missing: give --labels or --test-labels",
        Fixture.with(prune, "--head", "y"));
    assertRefused(
        "--head: labels of one output would train the network away from the others: leave out --fine-tune, or "
            + "give labels of all",
        Fixture.with(labelled, "--head", "y", "--fine-tune", 1));
    assertRefused("--head: labels of one output would train the network away from the others: leave out --repair "
        + "fine-tune, or give labels of all", Fixture.with(labelled, "--head", "y", "--repair", "fine-tune"));
    assertRefused("--head: criterion gradient would score by labels of one output and lose the others: use ec, or give "
        + "labels of all", Fixture.with(labelled, "--head", "y", "--criterion", "gradient"));
    assertTrue(Cli.fail(1, folder, Fixture.with(labelled, "--head", "z"))
        .contains("the network has no output called z, but y (4), box (3)"));
    assertTrue(Cli
        .fail(1, folder, "prune", model("residual"), "--data", arrays("r.safetensors", "x", 4), "--labels", classes(),
            "--head", "y", "--sparsity", 0.5, "-o", fixture.file("a.onnx"))
        .contains("the network has one output, and none called y"));
  }

  private void assertRefused(String message, Object... command) {
    String refused = Cli.fail(2, folder, command);
    assertTrue(refused.contains(message), refused);
  }

  /// One layer of two nodes, which stays one; what is not there for it is refused by its name.
  @Test
  void tiedLayersArePrunedOnce() throws IOException {
    Path data = arrays("data.safetensors", "x", 4, "y", 4);
    Path pruned = fixture.file("pruned.onnx");
    for (String[] method : new String[][]{{"--method", "paper"}, {"--method", "refit"}, {"--method", "best"},
        {"--repair", "refit+joint"}, {"--criterion", "wanda"}, {"--criterion", "gradient"}, {"--fine-tune", "1"}}) {
      Cli.Result result = Cli.succeed(Stream.concat(Stream.of("prune", model("shared"), "--data", data, "--labels",
          data, "--sparsity", 0.5, "-o", pruned, "--force"), Stream.of(method)).toArray());
      assertTrue(
          result.err().contains("note: a layer that several nodes use is pruned once, for all of them: w (2 times)"),
          result.err());
      assertTrue(result.out().contains("multiply-adds per sample: 32, 16 without zeros, 32 after shrink"),
          result.out());
      assertEquals(Files.size(model("shared")), Files.size(pruned));
    }
    assertTrue(Cli.succeed("shrink", pruned, "-o", fixture.file("small.onnx")).err()
        .contains("note: layers that several nodes use keep their shapes: w (2 times)"));
    assertTrue(Cli.succeed("inspect", pruned).out().contains("layer w again"));
    String nonlinear = Cli.fail(1, folder, "prune", model("shared"), "--data", data, "--criterion", "ec-nonlinear",
        "--sparsity", 0.5, "-o", pruned, "--force");
    assertTrue(nonlinear.contains("criterion ec-nonlinear is of layers that one node uses, and layer w is used by 2 "
        + "nodes: use ec, or exclude it"), nonlinear);
  }

  @Test
  void severalInputsHaveArraysByName() throws IOException {
    Path data = arrays("data.safetensors", "p", 2, "u", 7);
    Path labels = arrays("labels.safetensors", "y", 1);
    Path pruned = fixture.file("pruned.onnx");
    Cli.succeed("prune", model("branches"), "--data", data, "--labels", labels, "--sparsity", 0.5, "-o", pruned,
        "--fine-tune", 1);
    Cli.succeed("evaluate", pruned, "--data", data, "--labels", labels);
    Cli.succeed("score", model("branches"), "--data", data, "-o", fixture.file("scores.safetensors"));
    Cli.succeed("sensitivity", model("branches"), "--data", data, "--sparsities", "0.5");
    Cli.succeed("compare", model("branches"), "--data", data, "--test-data", data, "--test-labels", labels,
        "--sparsities", "0.5");
    String missing = Cli.fail(1, folder, "evaluate", pruned, "--data", arrays("m.safetensors", "u", 7, "q", 2),
        "--labels", labels);
    assertTrue(missing.contains("has no array \"p\", but \"u\", \"q\"; the model's inputs are u (7), p (2)"), missing);
    String extra = Cli.fail(1, folder, "evaluate", pruned, "--data", arrays("e.safetensors", "u", 7, "p", 2, "q", 2),
        "--labels", labels);
    assertTrue(extra.contains("has an array \"q\" that is none of the inputs"), extra);
    String narrow = Cli.fail(1, folder, "prune", model("branches"), "--data", arrays("n.safetensors", "u", 6, "p", 2),
        "--sparsity", 0.5, "-o", fixture.file("a.onnx"));
    assertTrue(narrow.contains("its array \"u\" has 6 numbers a sample, and the input takes 7"), narrow);
    Cli.succeed("evaluate", pruned, "--data", arrays("one.safetensors", "side", 9), "--labels", labels);
  }

  @Test
  void aHeadIsPrunedFromATensorOn() throws IOException {
    Path data = arrays("data.safetensors", "features", 27);
    Path pruned = fixture.file("pruned.onnx");
    String refused = Cli.fail(1, folder, "prune", model("convolution"), "--data", data, "--sparsity", 0.5, "-o",
        pruned);
    assertTrue(refused.contains("node \"/c/Conv\" (Conv) is not understood here"), refused);
    assertTrue(refused.contains("--from"), refused);
    Cli.Result result = Cli.succeed("prune", model("convolution"), "--from", "/Flatten_output_0", "--data", data,
        "--sparsity", 0.5, "--method", "refit", "-o", pruned);
    assertTrue(result.err().contains("note: the network begins at \"/Flatten_output_0\", 27 numbers a sample; "
        + "in ONNX, what is before it stays as it is"), result.err());
    assertEquals(Files.size(model("convolution")), Files.size(pruned));
    byte[] before = Files.readAllBytes(model("convolution"));
    byte[] after = Files.readAllBytes(pruned);
    int kernel = indexOf(before, "c.weight");
    byte[] expected = new byte[kernel];
    byte[] actual = new byte[kernel];
    System.arraycopy(before, 0, expected, 0, kernel);
    System.arraycopy(after, 0, actual, 0, kernel);
    assertArrayEquals(expected, actual);
    Cli.succeed("compare", model("convolution"), "--from", "/Flatten_output_0", "--data", data, "--test-data", data,
        "--test-labels", arrays("t.safetensors", "y", 5), "--sparsities", "0.5");
    assertFalse(Cli.succeed("inspect", pruned, "--from", "/Flatten_output_0").out().contains("Conv"), "the head alone");
    String unknown = Cli.fail(1, folder, "inspect", pruned, "--from", "/Flaten_output_0");
    assertTrue(unknown.contains("did you mean \"/Flatten_output_0\"?"), unknown);
    Cli.succeed("prune", model("embedding"), "--from", "/Flatten_output_0", "--data",
        arrays("e.safetensors", "features", 24), "--sparsity", 0.5, "-o", fixture.file("embedding.onnx"));
  }

  /// Where the first tensor of that name, or node that reads it, begins.
  private static int indexOf(byte[] file, String name) {
    byte[] letters = name.getBytes(StandardCharsets.UTF_8);
    for (int at = 0; at < file.length - letters.length; at++) {
      if (Arrays.equals(file, at, at + letters.length, letters, 0, letters.length)) {
        return at;
      }
    }
    throw new AssertionError(name);
  }
}
