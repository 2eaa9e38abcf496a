package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;

/// Whatever is wrong ends in one line that says so, exit code 1 or 2, and no file.
class BadInputTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  @Test
  void missingModel() {
    assertContains(prune(1, fixture.file("none.safetensors")), "none.safetensors", "no such file");
  }

  /// A device may take seconds to open.
  @Test
  void whatIsWrongWithArgumentsAndFilesIsToldBeforeADeviceIsOpened() {
    Path model = fixture.model();
    Path none = fixture.file("none.npy");
    Path output = fixture.file("output.safetensors");
    for (Object[] wrong : new Object[][]{{"prune", model, "--data", none, "--sparsity", 0.5, "-o", output},
        {"prune", model, "--data", fixture.data(), "--exclude", "none", "--sparsity", 0.5, "-o", output},
        {"prune", model, "--data", fixture.data(), "--mask", fixture.file("none.safetensors"), "-o", output},
        {"prune", fixture.file("none.safetensors"), "--data", fixture.data(), "--sparsity", 0.5, "-o", output},
        {"score", model, "--data", none, "-o", output}, {"sensitivity", model, "--data", none},
        {"sensitivity", model, "--data", fixture.data(), "--exclude", "none"},
        {"evaluate", model, "--data", none, "--labels", none},
        {"compare", model, "--data", fixture.data(), "--test-data", none, "--test-labels", none},
        {"train", "--data", none, "--labels", none, "--layers", "4,2", "-o", output},
        {"time", fixture.file("none.safetensors")}}) {
      Cli.Result result = Cli.run(wrong);
      assertEquals(1, result.errLines().size(), result::err);
      assertTrue(result.err().startsWith("espalier: ") && result.err().contains("none"), result::err);
    }
  }

  /// A model under the name of another format would be found out by what reads it, long after.
  @ParameterizedTest
  @ValueSource(strings = {"p.npz", "p", "p.csv", "p.json", "p.safetensors.gz", "pruned-0.9", "p.pt", "p.BIN"})
  void namesOfOutputsThatAreNoModels(String name) {
    Path written = fixture.file(name);
    Path none = fixture.file("none.npy");
    Path model = fixture.model();
    for (Object[] command : new Object[][]{{"prune", model, "--data", none, "--sparsity", 0.5, "-o", written},
        {"prune", model, "--data", none, "--sparsity", "0.5,0.8", "--method", "refit", "-o", written},
        {"prune", model, "--layers-from", folder, "--sparsity", 0.5, "-o", written},
        {"prune", model, "--data", none, "--sparsity", 0.5, "--dry-run", "--save-mask", written},
        {"train", "--data", none, "--labels", none, "--layers", "4,3", "-o", written}, {"convert", model, written},
        {"shrink", model, "-o", written}, {"score", model, "--data", none, "-o", written},
        {"merge", none, "-o", written}}) {
      assertContains(Cli.fail(2, folder, command), " " + folder, "; give a name that ends in .safetensors");
    }
    assertContains(Cli.fail(2, folder, "convert", model, fixture.file("p.npz")), "FILE " + fixture.file("p.npz"),
        ".safetensors or .onnx");
  }

  @Test
  void emptyModel() throws IOException {
    assertContains(prune(1, fixture.write("empty.safetensors")), "empty.safetensors", "empty");
  }

  @Test
  void truncatedModel() throws IOException {
    byte[] whole = Files.readAllBytes(fixture.model());
    assertContains(prune(1, fixture.write("cut.safetensors", Arrays.copyOf(whole, whole.length - 40))),
        "cut.safetensors");
    assertContains(prune(1, fixture.write("header.safetensors", Arrays.copyOf(whole, 50))), "header.safetensors");
    assertContains(prune(1, fixture.write("length.safetensors", Arrays.copyOf(whole, 5))), "length.safetensors");
  }

  @Test
  void garbageModel() throws IOException {
    assertContains(prune(1, fixture.write("garbage.safetensors", new byte[1000])), "garbage.safetensors");
    assertContains(prune(1, fixture.safetensors("json.safetensors", "{\"0.weight\": [", 0)), "json.safetensors");
  }

  @Test
  void absurdHeaderLength() throws IOException {
    byte[] bytes = new byte[100];
    Arrays.fill(bytes, 0, 8, (byte) 0x7f);
    assertContains(prune(1, fixture.write("absurd.safetensors", bytes)), "absurd.safetensors");
  }

  @Test
  void offsetsPastTheEnd() throws IOException {
    String header = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]}}";
    assertContains(prune(1, fixture.safetensors("past.safetensors", header, 16)), "past.safetensors");
  }

  @Test
  void overlappingOffsets() throws IOException {
    String header = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]},"
        + "\"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[28,36]}}";
    assertContains(prune(1, fixture.safetensors("overlap.safetensors", header, 36)), "overlap.safetensors");
  }

  @Test
  void shapesThatDoNotChain() throws IOException {
    String header = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]},"
        + "\"2.weight\":{\"dtype\":\"F32\",\"shape\":[3,5],\"data_offsets\":[32,92]}}";
    Path model = fixture.safetensors("chain.safetensors", header, 92);
    assertContains(prune(1, model, "--activations", "relu"), "do not chain", "2", "5", "chain.safetensors");
  }

  @Test
  void weightThatIsNotFinite() throws IOException {
    String header = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]}}";
    Path nan = fixture.safetensors("nan.safetensors", header, 1, 1, 1, 1, 1, 1, Float.NaN, 1);
    assertContains(prune(1, nan, "--activations", "identity"), "0.weight", "NaN", "[1, 2]");
    Path infinite = fixture.safetensors("inf.safetensors", header, 1, Float.NEGATIVE_INFINITY, 1, 1, 1, 1, 1, 1);
    assertContains(prune(1, infinite, "--activations", "identity"), "0.weight", "Infinity", "[0, 1]");
  }

  @Test
  void activations() throws IOException {
    String header = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]}}";
    Path none = fixture.safetensors("none.safetensors", header, 32);
    assertContains(prune(1, none), "none.safetensors", "activations", "--activations relu");
    assertContains(prune(1, fixture.model(), "--activations", "relu,relu,identity"), "activations", "2 layers");
    assertContains(prune(2, fixture.model(), "--activations", "rleu"), "rleu", "relu");
  }

  @Test
  void modelsOfWhichOnlyAPartWouldBeRead() throws IOException {
    for (String[] tensor : new String[][]{{"2.bias", "\"2.weight\""},
        {"2.weight_orig", "torch.nn.utils.prune.remove"}}) {
      Path model = fixture.safetensors("part.safetensors",
          "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]},"
              + "\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[32,40]}}".formatted(tensor[0]),
          40);
      assertContains(prune(1, model, "--activations", "identity"), "part.safetensors", "\"" + tensor[0] + "\"",
          tensor[1]);
    }
    Path shard = Files.copy(fixture.model(), fixture.file("model-00001-of-00002.safetensors"));
    assertContains(prune(1, shard), "model-00001-of-00002.safetensors", "part 1 of 2", "model.safetensors.index.json");
  }

  /// Until the layers are listed.
  @Test
  void tensorsThatMayBePartOfTheNetwork() throws IOException {
    for (String tensor : List.of("mean|F32|4", "norm.gamma|F32|2", "rnn.weight_hh_l0|F32|8,2")) {
      List<String> parts = List.of(tensor.split("\\|", 3));
      int bytes = 4 * Stream.of(parts.get(2).split(",", -1)).mapToInt(Integer::parseInt).reduce(1, Math::multiplyExact);
      Path model = fixture.safetensors("left.safetensors",
          "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]},"
              + "\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[32,%d]}}".formatted(parts.get(0),
                  parts.get(1), parts.get(2), 32 + bytes),
          32 + bytes);
      assertContains(prune(1, model, "--activations", "identity"), "left.safetensors", "\"" + parts.get(0) + "\"",
          "fits a layer and is not read", "--layers 0");
      Cli.Result listed = Cli.succeed("prune", model, "--data", fixture.data(), "--activations", "identity", "--layers",
          "0", "--sparsity", "0.5", "--dry-run");
      assertContains(listed.err(), "not part of the network: " + parts.get(0));
    }
  }

  @Test
  void missingEmptyAndGarbageData() throws IOException {
    for (String option : new String[]{"--data", "--labels"}) {
      assertContains(pruneWith(option, fixture.file("none.npy")), "none.npy", "no such file");
      assertContains(pruneWith(option, fixture.write("empty.npy")), "empty.npy", "empty");
      assertContains(pruneWith(option, fixture.write("garbage.npy", new byte[]{1, 2, 3, 4})), "garbage.npy");
      assertContains(pruneWith(option, folder), folder.toString());
    }
  }

  @Test
  void truncatedData() throws IOException {
    byte[] npy = Arrays.copyOf("\u0093NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (300, 4), }"
        .getBytes(StandardCharsets.ISO_8859_1), 128 + 1000);
    Arrays.fill(npy, 70, 127, (byte) ' ');
    npy[127] = '\n';
    assertContains(pruneWith("--data", fixture.write("cut.npy", npy)), "cut.npy");
  }

  @Test
  void dataOfTheWrongWidth() throws IOException {
    Path wide = Files.writeString(fixture.file("wide.csv"), "1,2,3,4,5\n".repeat(Fixture.SAMPLES));
    assertContains(pruneWith("--data", wide), "wide.csv", "5", "4");
    assertContains(pruneWith("--labels", wide), "wide.csv");
  }

  @Test
  void samplesAndLabelsOfDifferentNumber() throws IOException {
    Path few = Files.writeString(fixture.file("few.csv"), "0\n1\n");
    assertContains(pruneWith("--labels", few), "few.csv", "300", "2");
  }

  @Test
  void sampleThatIsNotFinite() throws IOException {
    String header = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]}}";
    Path nan = fixture.safetensors("nan.safetensors", header, 1, 1, 1, 1, 1, 1, Float.NaN, 1);
    assertContains(Cli.fail(1, folder, "prune", fixture.model(), "--data", nan, "--sparsity", 0.5, "-o", output()),
        "nan.safetensors", "NaN", "[1, 2]");
  }

  @ParameterizedTest
  @ValueSource(strings = {"0,1,2,3\n4,5,6,7\n", "1,b,c,d\n1,2,3,4\n"})
  void recordsThatMayBeHeaders(String content) throws IOException {
    Path file = Files.writeString(fixture.file("other.csv"), content);
    assertContains(pruneWith("--data", file), "other.csv", "--csv-header yes or no");
  }

  @Test
  void labelsInAColumnAndElsewhere() throws IOException {
    assertContains(prune(2, fixture.model(), "--label-column", "1", "--labels", fixture.labels()), "--label-column");
    assertContains(prune(1, fixture.model(), "--label-column", "species"), "has no column \"species\"");
    assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--data", "-", "--labels", "-", "--sparsity", 0.5,
        "-o", output()), "standard input");
    assertContains(prune(2, fixture.model(), "--csv-separator", ",", "--csv-decimal", ","), "two characters");
  }

  @Test
  void outputBeyondFloat32() throws IOException {
    String header = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[1,4],\"data_offsets\":[0,16]},"
        + "\"2.weight\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[16,28]}}";
    Path model = fixture.safetensors("huge.safetensors", header, 1e25f, 1e25f, 1e25f, 1e25f, 1e25f, -1e25f, 1e25f);
    assertContains(Cli.fail(1, folder, "evaluate", model, "--activations", "identity", "--data", fixture.data(),
        "--labels", fixture.labels()), "x.csv", "float32", "scale");
  }

  /// The third class is neither 0 nor 1.
  @Test
  void crossEntropyOfOneOutput() throws IOException {
    String header = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[1,4],\"data_offsets\":[0,16]}}";
    Path model = fixture.safetensors("one.safetensors", header, 1, 2, 3, 4);
    assertContains(Cli.fail(1, folder, "evaluate", model, "--activations", "identity", "--data", fixture.data(),
        "--labels", fixture.labels(), "--loss", "cross-entropy"), "sample 2", "y.csv", "needs 0 or 1", "mse");
    assertContains(Cli.fail(1, folder, "evaluate", model, "--activations", "relu", "--data", fixture.data(), "--labels",
        fixture.labels(), "--loss", "cross-entropy"), "binary-cross-entropy", "mse");
  }

  @Test
  void crossEntropyOfRowsThatAreNoProbabilities() throws IOException {
    for (String row : new String[]{"1,1,0", "2,-1,0", "0,0,0", "0.5,0.4,0"}) {
      Path rows = Files.writeString(fixture.file("rows.csv"), ("0,0,1\n1,0,0\n" + row + "\n").repeat(100));
      assertContains(Cli.fail(1, folder, "evaluate", fixture.model(), "--data", fixture.data(), "--labels", rows,
          "--loss", "cross-entropy"), "sample 2 in", "rows.csv", "add up to 1", "use mse");
    }
  }

  @Test
  void labelBeyondTheClasses() throws IOException {
    Path bad = Files.writeString(fixture.file("bad.csv"), "7\n".repeat(Fixture.SAMPLES));
    assertContains(pruneWith("--labels", bad), "bad.csv", "7");
  }

  @ParameterizedTest
  @CsvSource(textBlock = """
      --sparsity     | 1.5        | 0 to 1
      --sparsity     | -0.1       | 0 to 1
      --sparsity     | NaN        | 0 to 1
      --sparsity     | ninety     | 0 to 1
      --criterion    | ec2        | unknown criterion 'ec2'
      --device-memory| much       | not a size
      --device-memory| 0          | not a size
      --threads      | 0          | '0'
      --precision    | fp8        | fp32, tf32 or bf16
      --device       | tpu        | unknown device 'tpu'
      --compensation | much       | use none or bias
      --sensitivity  | probes:0   | at least one
      --scope        | 5:4        | 5:4
      --scope        | column     | use global, layer or row, or n:m
      --method       | good       | use paper, refit or best
      --repair       | fit        | use none, refit, joint
      --schedule     | never      | use oneshot
      --loss         | hinge      | use mse, cross-entropy or binary-cross-entropy
      --batch-size   | 0          | '0'
      --max-samples  | -1         | '-1'
      --min-per-layer| -1         | '-1'
      --seed         | x          | --seed
      --fine-tune    | 0          | '0'
      --exclude      | nothing    | matches no layer
      --exclude      | *          | all layers
      --learning-rate| 0.1        | --fine-tune
      --scale        | 1/0        | for example 1/255
      --csv-separator| x          | not a separator
      --csv-decimal  | x          | point or comma
      --csv-header   | maybe      | '''maybe'' is neither yes nor no'
      --colour       | red        | --colour
      """, delimiter = '|')
  void wrongValue(String option, String value, String said) {
    String line = option.equals("--sparsity")
        ? Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "-o", output(), option, value)
        : prune(2, fixture.model(), option, value);
    assertContains(line, said, "see 'espalier prune --help'");
  }

  @ParameterizedTest
  @CsvSource({"prun, prune", "comapre, compare", "eval, evaluate", "trian, train", "Prune, prune", "docter, doctor"})
  void unknownCommands(String typed, String meant) {
    String expected = "espalier: unknown command '%s'; did you mean '%s'? See 'espalier --help'".formatted(typed,
        meant);
    assertEquals(expected, Cli.fail(2, folder, typed));
    assertEquals(expected, Cli.fail(2, folder, typed, fixture.model(), "--sparsity", 0.5));
    assertEquals(expected, Cli.fail(2, folder, "help", typed));
  }

  @Test
  void aCommandLikeNoOther() {
    assertEquals("espalier: unknown command 'xyz'; see 'espalier --help'", Cli.fail(2, folder, "xyz"));
    assertEquals("espalier: unknown command 'nonsense'; see 'espalier --help'", Cli.fail(2, folder, "nonsense"));
    assertContains(Cli.fail(2, folder, "--sparsity", 0.5), "'--sparsity'", "see 'espalier --help'");
    assertContains(Cli.fail(2, folder, "train", "--data", fixture.data(), "--verify"), "'--verify'",
        "see 'espalier train --help'");
    assertContains(prune(2, fixture.model(), "extra"), "'extra'", "see 'espalier prune --help'");
  }

  @ParameterizedTest
  @CsvSource({"--critarion, --criterion", "--sparsty, --sparsity", "--Data, --data", "--labls, --labels"})
  void unknownOptions(String typed, String meant) {
    String expected = "espalier: unknown option '%s'; did you mean '%s'? See 'espalier prune --help'".formatted(typed,
        meant);
    assertEquals(expected, Cli.fail(2, folder, "prune", typed, "x", fixture.model()));
    assertEquals(expected, Cli.fail(2, folder, "prune", fixture.model(), typed + "=x"));
  }

  /// Also of options that share a heading with others, which picocli would reset.
  @Test
  void repeatedOptions() {
    assertContains(prune(2, fixture.model(), "--sparsity", 0.6), "'--sparsity'", "only once");
    assertContains(prune(2, fixture.model(), "--new-bias", "--loss", "mse", "--new-bias"), "'--new-bias'", "only once");
    assertContains(prune(2, fixture.model(), "--activations", "relu", "--activations", "relu"), "'--activations'",
        "only once");
    assertContains(Cli.fail(2, folder, "train", "--epochs", 1, "--epochs", 2), "'--epochs'", "only once");
    assertContains(prune(2, fixture.model(), "--exclude", "0", "--loss", "mse", "--exclude", "2"), "all layers");
  }

  @Test
  void optionsThatContradict() {
    for (String own : new String[]{"2=0.5,2=0.5", "?=0.5,2=0.7"}) {
      assertContains(pruneTo("0.9," + own), "several values of layer 2", own.replace(",", " and "));
    }
    assertContains(pruneTo("0.9,2=0.5", "--exclude", "2"), "--exclude leaves layer 2", "--sparsity 2=0.5", "drop one");
    assertContains(pruneTo("0.9,3=0.5"), "--sparsity 3=0.5 names no layer", "0, 2");
    assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "--scope", "2:4",
        "--min-per-layer", 3, "-o", output()), "--scope 2:4", "leave out --min-per-layer");
    assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "--scope", "2:4",
        "--schedule", "linear:2", "-o", output()), "--scope 2:4", "leave out --schedule linear:2");
    assertContains(Cli.fail(2, folder, "prune", "", "--data", fixture.data(), "-o", output()), "'' is not a file name");
  }

  /// Values that options accept, tried in turn.
  private static final List<String> VALUES = List.of("x", "1", "0.5", "ec", "bias", "jacobian", "mse", "cpu", "fp32",
      "oneshot", "global", "paper", "none", "relu", "comma", "yes", "1%", "2x2", "1/2", "csr");

  /// A second value would leave the first one, or the options before it, without effect.
  @Test
  void everyOptionIsGivenOnceOrListsAll() {
    for (CommandLine command : Espalier.commandLine().getSubcommands().values()) {
      for (OptionSpec option : command.getCommandSpec().options()) {
        if (option.usageHelp() || option.longestName().equals("--exclude")) {
          continue;
        }
        String[] once = VALUES.stream().map(value -> words(command, option, value, 1))
            .filter(words -> parses(Espalier.commandLine(words), words)).findFirst()
            .orElseThrow(() -> new AssertionError(option + " accepts none of the values"));
        Cli.Result twice = Cli.run((Object[]) words(command, option, once[once.length - 1], 2));
        assertEquals(2, twice.code(), twice::err);
        assertContains(twice.errLines().getFirst(), option.longestName(), "only once");
      }
    }
  }

  private static String[] words(CommandLine command, OptionSpec option, String value, int times) {
    List<String> words = new ArrayList<>(List.of(command.getCommandName()));
    command.getCommandSpec().positionalParameters().stream().filter(parameter -> parameter.arity().min() > 0)
        .forEach(_ -> words.add("file"));
    for (int i = 0; i < times; i++) {
      words.add(option.longestName());
      if (option.arity().max() > 0) {
        words.add(value);
      }
    }
    return words.toArray(String[]::new);
  }

  private static boolean parses(CommandLine commandLine, String... words) {
    try {
      commandLine.parseArgs(words);
      return true;
    } catch (ParameterException e) {
      return false;
    }
  }

  /// A usage error.
  private String pruneTo(String sparsity, String... more) {
    return Cli.fail(2, folder,
        Stream.concat(
            Stream.of("prune", fixture.model(), "--data", fixture.data(), "--sparsity", sparsity, "-o", output()),
            Stream.of(more)).toArray());
  }

  @Test
  void emptyLists() {
    for (String option : new String[]{"--sparsities", "--criteria"}) {
      assertContains(Cli.fail(2, folder, "compare", fixture.model(), "--data", fixture.data(), "--test-data",
          fixture.data(), "--test-labels", fixture.labels(), option, ","), option, "at least one");
    }
  }

  @Test
  void precisionThatTheDeviceLacks() {
    assertContains(prune(1, fixture.model(), "--device", "reference", "--precision", "bf16"), "bf16",
        "--precision fp32", "--device");
  }

  @Test
  void missingOptions() {
    assertContains(Cli.fail(2, folder), "command");
    assertContains(Cli.fail(2, folder, "prun"), "prun");
    assertContains(Cli.fail(2, folder, "prune"), "MODEL");
    assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--sparsity", 0.5, "-o", output()), "--data");
    assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "-o", output()),
        "--sparsity");
    assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5), "-o");
    assertContains(prune(2, fixture.model(), "--criterion", "gradient"), "--labels");
    assertContains(prune(2, fixture.model(), "--fine-tune", 3), "--labels");
    assertContains(prune(2, fixture.model(), "--criterion", "wanda", "--sensitivity", "probes:4"),
        "--sensitivity probes:4 has no effect: criterion wanda with compensation none needs none");
    assertContains(prune(2, fixture.model(), "--patience", 3), "--patience needs --fine-tune");
    assertContains(prune(2, fixture.model(), "--scope", "2:4"), "--sparsity");
    assertContains(prune(2, fixture.model(), "--test-data", fixture.data()), "--test-labels");
    assertContains(Cli.fail(2, folder, "score", fixture.model(), "--data", fixture.data()), "-o");
    assertContains(
        Cli.fail(2, folder, "score", fixture.model(), "--data", fixture.data(), "-o", fixture.file("s.onnx")),
        "ends in .safetensors");
    assertContains(Cli.fail(2, folder, "evaluate", fixture.model(), "--data", fixture.data()), "--labels");
    assertContains(Cli.fail(2, folder, "compare", fixture.model(), "--data", fixture.data()), "--test-data");
    assertContains(
        Cli.fail(2, folder, "compare", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(),
            "--test-labels", fixture.labels(), "--criteria", "ec,wanda/jacobian:smooth=0.2"),
        "--criteria wanda/jacobian:smooth=0.2: its sensitivity has no effect");
    assertContains(Cli.fail(2, folder, "train", "--data", fixture.data(), "--labels", fixture.labels(), "-o", output()),
        "--layers");
    assertContains(Cli.fail(2, folder, "train", "--data", fixture.data(), "--labels", fixture.labels(), "--layers",
        "4,8,3", "--activations", "relu,relu,relu", "-o", output()), "--activations");
  }

  @Test
  void existingOutput() throws IOException {
    Path existing = Files.writeString(fixture.file("existing.safetensors"), "mine");
    assertContains(
        Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o", existing),
        "existing.safetensors", "--force");
    Path report = Files.createDirectory(fixture.file("report"));
    Files.writeString(report.resolve("report.json"), "mine");
    assertContains(prune(1, fixture.model(), "--report", report), "report.json", "--force");
  }

  @Test
  void unwritableOutput() throws IOException {
    assertContains(Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o",
        fixture.file("none").resolve("p.safetensors")), "p.safetensors", "folder");
    Path named = Files.createDirectory(fixture.file("folder.safetensors"));
    assertContains(
        Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o", named),
        named.toString());
    assertContains(prune(1, fixture.model(), "--report", fixture.data()), "x.csv");
    assertContains(Cli.fail(1, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o",
        "/proc/p.safetensors"), "/proc/p.safetensors");
  }

  @Test
  void outputsThatAreInputs() throws IOException {
    byte[] before = Files.readAllBytes(fixture.data());
    for (Path read : new Path[]{fixture.data(), fixture.labels()}) {
      assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "--labels",
          fixture.labels(), "--sparsity", 0.5, "-f", "-o", read), read.toString(), "is read by this command");
    }
    assertContains(Cli.fail(2, folder, "score", fixture.model(), "--data", fixture.data(), "-f", "-o", fixture.model()),
        "is read by this command");
    assertArrayEquals(before, Files.readAllBytes(fixture.data()));
    Path report = fixture.file("both");
    assertContains(Cli.fail(2, folder, "prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o",
        report.resolve("report.json"), "--report", report), "--output and --report");
  }

  /// The data are not even opened.
  @Test
  void refusesOutputsBeforeItReads() throws IOException {
    Path none = fixture.file("none.npy");
    Path named = Files.createDirectory(fixture.file("folder.safetensors"));
    for (Path output : new Path[]{named, fixture.file("x".repeat(250) + ".safetensors"),
        fixture.file("none").resolve("p.safetensors")}) {
      assertContains(Cli.fail(1, folder, "prune", fixture.model(), "--data", none, "--sparsity", 0.5, "-o", output),
          output.toString());
      assertContains(Cli.fail(1, folder, "train", "--data", none, "--labels", none, "--layers", "4,3", "-o", output),
          output.toString());
    }
    for (Path report : new Path[]{fixture.data(), fixture.file("new").resolve("r".repeat(300))}) {
      assertContains(
          Cli.fail(1, folder, "evaluate", fixture.model(), "--data", none, "--labels", none, "--report", report),
          report.toString());
    }
    Files.createDirectories(fixture.file("demo").resolve("train.safetensors"));
    assertContains(Cli.fail(1, folder, "demo", "-o", fixture.file("demo")), "train.safetensors");
  }

  /// The name is too long for a folder, which shows only when it is made.
  @Test
  void modelAndReportAreWrittenTogether() throws IOException {
    Path report = fixture.file("new").resolve("r".repeat(300));
    assertContains(prune(1, fixture.model(), "--report", report), "rrr", "name too long");
    Files.writeString(output(), "mine");
    prune(1, fixture.model(), "--report", report, "--force");
    assertEquals("mine", Files.readString(output()));

    Path taken = Files.createDirectories(fixture.file("report").resolve("report.html")).getParent();
    assertContains(prune(1, fixture.model(), "--report", taken, "--force"), "report.html", "not a regular file");
    if (Files.isDirectory(Path.of("/proc"))) {
      assertEquals("espalier: /proc/none: a folder cannot be made there; choose another for --report",
          prune(1, fixture.model(), "--report", "/proc/none", "--force"));
      assertContains(prune(1, fixture.model(), "--report", "/proc", "--force"), "/proc/report.json",
          "no file can be made");
    }
    assertEquals("mine", Files.readString(output()));
  }

  @Test
  void diskFull() throws IOException, InterruptedException {
    Path disk = Files.createDirectory(fixture.file("disk"));
    assumeTrue(succeeds("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk.toString()),
        "a small tmpfs cannot be mounted here, which takes root");
    try {
      Path large = fixture.file("large.safetensors");
      Cli.succeed("train", "--data", fixture.data(), "--labels", fixture.labels(), "--layers", "4,500,3", "--epochs", 1,
          "-o", large);
      assertContains(Cli.fail(1, disk, "prune", large, "--data", fixture.data(), "--sparsity", 0.5, "-o",
          disk.resolve("p.safetensors")), "p.safetensors", "space");
    } finally {
      succeeds("umount", disk.toString());
    }
  }

  @Test
  void verboseShowsTheStackTrace() {
    Cli.Result result = Cli.run("inspect", fixture.file("none.safetensors"), "--verbose");
    assertTrue(result.errLines().size() > 3, result.err());
    assertContains(result.errLines().getFirst(), "espalier: ", "none.safetensors");
  }

  /// Rounds would not help.
  @Test
  void severalSparsitiesWhereOneIsSet() {
    Object[] prune = {"prune", fixture.model(), "--sparsity", "0.5,0.8", "--dry-run"};
    assertContains(Cli.fail(2, folder, Fixture.with(prune, "--data", fixture.data(), "--scope", "2:4")),
        "--scope 2:4 sets the sparsity: leave out --sparsity and limits");
    assertContains(Cli.fail(2, folder, Fixture.with(prune, "--data", fixture.data(), "--method", "paper")),
        "need rounds: give --schedule");
  }

  private Path output() {
    return fixture.file("output.safetensors");
  }

  private String prune(int code, Path model, Object... more) {
    Object[] arguments = {"prune", model, "--data", fixture.data(), "--sparsity", 0.5, "-o", output()};
    Object[] all = Arrays.copyOf(arguments, arguments.length + more.length);
    System.arraycopy(more, 0, all, arguments.length, more.length);
    return Cli.fail(code, folder, all);
  }

  private String pruneWith(String option, Path file) {
    boolean labels = option.equals("--labels");
    return Cli.fail(1, folder, "prune", fixture.model(), "--data", labels ? fixture.data() : file, "--labels",
        labels ? file : fixture.labels(), "--sparsity", 0.5, "-o", output());
  }

  private static boolean succeeds(String... command) throws IOException, InterruptedException {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      return process.waitFor(10, TimeUnit.SECONDS) && process.exitValue() == 0;
    } catch (IOException e) {
      return false; // there is no such program
    }
  }

  /// There is no hundredth GPU anywhere, nor a first one on most machines.
  @Test
  void refusesAGpuThatIsNotThere() {
    assertContains(prune(1, fixture.model(), "--device", "cuda:99"), "GPU");
  }

  private static void assertContains(String line, String... parts) {
    for (String part : parts) {
      assertTrue(line.contains(part), () -> "'%s' in: %s".formatted(part, line));
    }
  }
}
