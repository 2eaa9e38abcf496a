package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.io.DType;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsFile;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Every command on small files, as a user would run them.
class CommandsTest {
  @TempDir
  private Path folder;
  private Fixture fixture;

  @BeforeEach
  void train() throws IOException {
    fixture = Fixture.in(folder);
  }

  @Test
  void columnsMakeASample() throws IOException {
    Path parquet = Path.of("../engine/src/test/resources/dev/espalier/engine/io/parquet/numbers.parquet");
    Path columns = fixture.file("columns.safetensors");
    Path labelled = fixture.file("labelled.safetensors");
    Object[] prune = {"prune", fixture.model(), "--data", parquet, "--sparsity", 0.5};
    Cli.succeed(append(prune, "--columns", "a,b,c,d", "-o", columns));
    String table = Cli.succeed(append(prune, "--label-column", "y", "-o", labelled)).out();
    assertTrue(table.contains("accuracy"), table);
    assertArrayEquals(Files.readAllBytes(columns), Files.readAllBytes(labelled));
    Cli.succeed(append(prune, "--columns", "d,c,b,a", "-o", columns, "--force"));
    assertFalse(Arrays.equals(Files.readAllBytes(columns), Files.readAllBytes(labelled)));
    assertTrue(Cli.fail(1, folder, append(prune, "--columns", "a,b,c,e", "-o", fixture.file("none.safetensors")))
        .contains("has no column \"e\""));
  }

  @Test
  void pruneRemovesTheFractionAndReports() throws IOException {
    Path pruned = fixture.file("pruned.safetensors");
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--method", "paper", "--sparsity", 0.5, "-o", pruned, "--report", report);
    assertTrue(result.out().contains("50.00 %"), result.out());
    assertTrue(result.out().contains("accuracy"), result.out());
    assertTrue(result.err().contains("picked by auto"), result.err());
    assertTrue(result.err().contains("note: sensitivity: jacobian"), result.err());
    assertEquals(28, zeros(pruned));

    String json = Files.readString(report.resolve("report.json"));
    for (String key : List.of("accuracy", "denseAccuracy", "loss", "outputChange", "layers", "load", "forward",
        "backward", "moments", "select", "write", "importance", "threshold", "criterion", "scope", "schedule", "repair",
        "batch-size", "seed", "device", "min-per-layer", "new-bias", "sensitivity", "compensation", "sparsity")) {
      assertTrue(json.contains("\"" + key + "\""), key + " in " + json);
    }
    assertTrue(Files.readString(report.resolve("report.html")).contains("<html"));
  }

  @Test
  void theReportHasProductsAndSecondsOfEachRepair() throws IOException {
    Object[] prune = {"prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--sparsity",
        0.5, "-f", "-o", fixture.file("pruned.safetensors"), "--report", fixture.file("report")};
    Cli.succeed(with(prune, "--repair", "refit+joint:mse+distill:mse", "--fine-tune", "1:each-round"));
    Map<String, Double> seconds = numbers("timings");
    assertEquals(
        List.of("load", "forward", "backward", "moments", "select", "refit", "joint", "distill", "fine-tune", "write"),
        List.copyOf(seconds.keySet()));
    Map<String, Double> products = numbers("work");
    assertEquals(List.of("scoring", "refit", "joint:mse", "distill:mse", "fine-tune:epochs=1:rate=0.0001"),
        List.copyOf(products.keySet()));
    for (String part : products.keySet()) {
      assertTrue(products.get(part) > 0, products::toString);
      assertTrue(part.equals("scoring") || seconds.get(part.split(":", 2)[0]) > 0, seconds::toString);
    }
    Cli.succeed(with(prune, "--method", "paper", "--fine-tune", "1"));
    assertEquals(List.of("load", "forward", "backward", "moments", "select", "fine-tune", "write"),
        List.copyOf(numbers("timings").keySet()));
  }

  /// An object of numbers in `report/report.json`.
  private Map<String, Double> numbers(String name) throws IOException {
    String json = Files.readString(fixture.file("report").resolve("report.json"));
    int start = json.indexOf("\"" + name + "\"");
    Map<String, Double> numbers = new LinkedHashMap<>();
    Pattern.compile("\"([^\"]+)\"\\s*:\\s*([-+.0-9Ee]+)").matcher(json.substring(start, json.indexOf('}', start)))
        .results().forEach(number -> numbers.put(number.group(1), Double.valueOf(number.group(2))));
    return numbers;
  }

  @Test
  void sparsityZeroReturnsTheSameBytes() throws IOException {
    Path same = fixture.file("same.safetensors");
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0, "-o", same);
    assertArrayEquals(Files.readAllBytes(fixture.model()), Files.readAllBytes(same));
  }

  @Test
  void theSameCommandGivesTheSameBytes() throws IOException {
    Path first = fixture.file("first.safetensors");
    Path second = fixture.file("second.safetensors");
    for (Path output : List.of(first, second)) {
      Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--sparsity", 0.7,
          "--fine-tune", 2, "--sensitivity", "probes:3", "--seed", 5, "-o", output);
    }
    assertArrayEquals(Files.readAllBytes(first), Files.readAllBytes(second));
    assertEquals(39, zeros(first));
  }

  @Test
  void excludedLayersKeepTheirBytesThroughFineTuning() throws IOException {
    Path pruned = fixture.file("pruned.safetensors");
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--sparsity", 0.5,
        "--exclude", "2", "--fine-tune", 2, "-o", pruned);
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile before = SafetensorsFile.open(fixture.model(), arena);
      SafetensorsFile after = SafetensorsFile.open(pruned, arena);
      for (Tensor tensor : before.tensors()) {
        assertEquals(tensor.name().startsWith("2."),
            tensor.data().mismatch(after.tensor(tensor.name()).orElseThrow().data()) < 0, tensor.name());
      }
    }
  }

  @Test
  void fineTuningEndsByHeldOutSamples() throws IOException {
    Object[] command = {"prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--sparsity",
        0.5, "--patience", 1, "-f", "-o", fixture.file("pruned.safetensors"), "--learning-rate", 10, "--fine-tune"};
    String note = Cli.succeed(with(command, 20)).err();
    assertTrue(note.contains("note: fine-tuning ended after epoch 1 of 20, and left the network as it was, with the "
        + "least cross-entropy ("), note);
    Cli.succeed(with(command, "20:each-round"));
  }

  @Test
  void readsTheFormsOfDataThatProgramsWrite() throws IOException {
    List<String> samples = Files.readAllLines(fixture.data());
    List<String> labels = Files.readAllLines(fixture.labels());
    StringBuilder both = new StringBuilder("a;b;c;d;class\n");
    for (int n = 0; n < samples.size(); n++) {
      both.append(samples.get(n).replace(',', ';').replace('.', ',')).append(';').append(labels.get(n)).append('\n');
    }
    String expected = Cli.succeed("evaluate", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels())
        .out();
    Path file = Files.writeString(fixture.file("both.csv"), both);
    Cli.Result column = Cli.succeed("evaluate", fixture.model(), "--data", file, "--label-column", "class");
    assertEquals(expected, column.out());
    assertTrue(column.err().contains("note: " + file + ": fields are separated by semicolons, numbers have decimal"),
        column.err());
    Path x = Files.writeString(fixture.file("pandas-x.csv"), "0,1,2,3\n" + Files.readString(fixture.data()));
    Path y = Files.writeString(fixture.file("pandas-y.csv"), "0\n" + Files.readString(fixture.labels()));
    Cli.Result pandas = Cli.succeed("evaluate", fixture.model(), "--data", x, "--labels", y);
    assertEquals(expected, pandas.out());
    assertTrue(pandas.err().contains("pandas-x.csv: the first record is a header (0, 1, 2, 3)"), pandas.err());
    assertTrue(pandas.err().contains("pandas-y.csv: the first record is a header (0)"), pandas.err());

    Path counts = Files.writeString(fixture.file("counts.csv"), "0,1,2,3\n".repeat(3));
    for (String[] header : new String[][]{{"yes", "samples   2"}, {"no", "samples   3"}}) {
      Path three = Files.writeString(fixture.file("three.csv"), header[0].equals("yes") ? "y\n0\n1\n" : "0\n1\n2\n");
      assertTrue(
          Cli.succeed("evaluate", fixture.model(), "--data", counts, "--labels", three, "--csv-header", header[0]).out()
              .contains(header[1]));
    }

    InputStream before = System.in;
    try {
      System.setIn(Files.newInputStream(fixture.data()));
      assertEquals(expected,
          Cli.succeed("evaluate", fixture.model(), "--data", "-", "--labels", fixture.labels()).out());
    } finally {
      System.setIn(before);
    }
  }

  @Test
  void quietAndVerboseStandBeforeOrAfterTheCommand() {
    Object[] evaluate = {"evaluate", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels()};
    assertFalse(Cli.succeed(evaluate).err().isEmpty());
    for (String quiet : List.of("-q", "--quiet")) {
      assertEquals("", Cli.succeed(with(evaluate, quiet)).err());
      assertEquals("", Cli.succeed(append(new Object[]{quiet}, evaluate)).err());
      assertEquals("", Cli.succeed(append(new Object[]{quiet}, with(evaluate, quiet))).err());
    }
    Object[] missing = {"evaluate", fixture.file("none"), "--data", fixture.data(), "--labels", fixture.labels(), "-q"};
    assertEquals(1, Cli.run(missing).errLines().size());
    for (Object[] verbose : List.of(with(missing, "-v"), append(new Object[]{"--verbose"}, missing))) {
      Cli.Result result = Cli.run(verbose);
      assertEquals(1, result.code());
      assertTrue(result.err().contains("\tat dev.espalier."), result.err());
    }
  }

  @Test
  void aRegressionHasNoColumnOfAccuracies() throws IOException {
    Path values = Files.writeString(fixture.file("values.csv"), "9,1,0\n0,1,0\n0,0,1\n".repeat(Fixture.SAMPLES / 3));
    Object[][] commands = {
        {"prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "--dry-run", "--labels"},
        {"compare", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(), "--test-labels"},
        {"train", "--data", fixture.data(), "--layers", "4,3", "--epochs", 1, "-f", "-o",
            fixture.file("trained.safetensors"), "--labels"}};
    for (Object[] command : commands) {
      String regression = Cli.succeed(with(command, values)).out();
      assertTrue(regression.contains("mse") && !regression.contains("accuracy"), regression);
      String classes = Cli.succeed(with(command, fixture.labels())).out();
      assertTrue(classes.contains("accuracy"), classes);
    }
  }

  @Test
  void dryRunWritesNoModel() {
    Path pruned = fixture.file("pruned.safetensors");
    Cli.Result result = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--scope", "2:4", "-o", pruned,
        "--dry-run");
    assertFalse(Files.exists(pruned));
    assertTrue(result.err().contains("dry run"), result.err());
    assertTrue(result.err().contains("plan: weights 1 KiB, scores 1 KiB, batch of 512 samples "), result.err());
  }

  @Test
  void verifiesByTheReference() {
    for (Object[] command : new Object[][]{{"prune", "--sparsity", 0.5, "--dry-run"},
        {"evaluate", "--labels", fixture.labels()},
        {"score", "--criterion", "magnitude", "-o", fixture.file("scores.safetensors")}}) {
      Object[] arguments = Stream.concat(Stream.of(command[0], fixture.model(), "--data", fixture.data(), "--verify"),
          Stream.of(command).skip(1)).toArray();
      String out = Cli.succeed(arguments).out();
      String compensation = command[0].equals("score") ? "" : "  compensation"; // magnitude has none
      assertTrue(out.contains("deviation from the reference  importance%s  removed otherwise".formatted(compensation)),
          out);
    }
  }

  @Test
  void reportsShowDeviationsFromTheReference() throws IOException {
    for (Object[] command : new Object[][]{{"prune", "--sparsity", 0.5, "--dry-run"},
        {"evaluate", "--labels", fixture.labels()}, {"sensitivity"},
        {"compare", "--test-data", fixture.data(), "--test-labels", fixture.labels()}}) {
      Path report = fixture.file("report of " + command[0]);
      Object[] arguments = Stream
          .concat(Stream.of(command[0], fixture.model(), "--data", fixture.data(), "--verify", "--report", report),
              Stream.of(command).skip(1))
          .toArray();
      Cli.succeed(arguments);
      String json = Files.readString(report.resolve("report.json"));
      assertTrue(json.contains("\"deviations\" : {\n    \"samples\" : "), json);
      assertTrue(Files.readString(report.resolve("report.html")).contains("<h2>Deviations from the reference</h2>"),
          command[0].toString());
    }
  }

  @Test
  void methodsStandForChoicesThatOptionsReplace() throws IOException {
    Path pruned = fixture.file("repaired.safetensors");
    Path report = fixture.file("repaired");
    Cli.Result refit = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "--method",
        "refit", "-o", pruned, "--report", report);
    assertTrue(refit.err().contains("note: method refit: schedule geometric:0.75, repair refit"), refit.err());
    Path byDefault = fixture.file("default.safetensors");
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "-o", byDefault);
    assertArrayEquals(Files.readAllBytes(pruned), Files.readAllBytes(byDefault), "the default with samples");
    for (String other : List.of("--criterion magnitude", "--compensation none", "--sparsity 1")) {
      Object[] given = Stream.concat(Stream.of("prune", fixture.model(), "--data", fixture.data(), "--dry-run"),
          Stream.of((other.startsWith("--s") ? other : other + " --sparsity 0.5").split(" "))).toArray();
      assertTrue(Cli.succeed(given).err().contains("plan: 56 weights"), other);
      assertTrue(Cli.succeed(given).err().contains(", schedule oneshot"), other);
    }
    assertTrue(refit.err().contains("sensitivity: probes:1:smooth=0.2"), refit.err());
    assertEquals(28, zeros(pruned));
    assertTrue(Files.readString(report.resolve("report.json")).contains("\"method\" : \"refit\""));

    Object[] best = {"prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "--method", "best",
        "--dry-run"};
    String regression = Cli.succeed(best).err();
    assertTrue(regression.contains("repair refit+distill:mse (for a regression; --loss cross-entropy makes it one"),
        regression);
    String classifier = Cli.succeed(append(best, "--labels", fixture.labels(), "--schedule", "linear:2")).err();
    assertTrue(classifier.contains(
        "method best: schedule linear:2, repair refit+distill:kl:1.2 (for a classifier; the entropy"), classifier);
    assertTrue(classifier.contains("sensitivity: fisher:1:T=1.2:smooth=0.2"), classifier);
    assertTrue(Cli.succeed(append(best, "--criterion", "ec-nonlinear")).err().contains("sensitivity: probes:1\n"),
        "ec-nonlinear measures the network itself");
    assertTrue(Cli
        .succeed("prune", fixture.model(), "--data", fixture.data(), "--scope", "2:4", "--method", "refit", "--dry-run")
        .err().contains("schedule oneshot, repair refit"), "a pattern takes one round");
  }

  @Test
  void whatARepairChangesOfEightBitWeightsIsRoundedAndSaid() throws IOException {
    Path model = fixture.file("fp8.safetensors");
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile file = SafetensorsFile.open(fixture.model(), arena);
      List<NewTensor> tensors = new ArrayList<>();
      for (Tensor tensor : file.tensors()) {
        DType dtype = tensor.shape().size() == 2 ? DType.F8_E4M3 : DType.BF16;
        tensors.add(new NewTensor(tensor.name(), dtype, tensor.shape(), file.asFloat32(tensor, arena)));
      }
      SafetensorsWriter.write(model, false, tensors, file.metadata());
    }
    Object[] prune = {"prune", model, "--data", fixture.data(), "--sparsity", 0.5};
    Path pruned = fixture.file("pruned.safetensors");
    Cli.Result result = Cli.succeed(append(prune, "--method", "paper", "-o", pruned));
    assertFalse(result.err().contains("rounded"), result.err());
    assertEquals(28, zeros(pruned));
    result = Cli.succeed(append(prune, "-o", pruned, "--force"));
    assertTrue(result.err().matches("(?s).*note: \\d+ numbers of \"0.weight\" have changed and are rounded to F8_E4M3, "
        + "by [1-4]\\.\\d % \\(root mean square\\); the figures are without that\\n.*"), result.err());
    String evaluated = Cli.succeed("evaluate", pruned, "--data", fixture.data(), "--labels", fixture.labels()).out();
    assertTrue(evaluated.contains("accuracy"), evaluated);
  }

  @Test
  void severalSparsitiesWriteAModelEach() throws IOException {
    Path pruned = fixture.file("path.safetensors");
    Object[] path = {"prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(), "--sparsity",
        ".25,.5,0.75", "--method", "refit", "-o", pruned};
    Cli.Result result = Cli.succeed(path);
    assertTrue(result.err().contains("3 models written"), result.err());
    for (String sparsity : List.of("0.25", "0.5", "0.75")) {
      Path model = fixture.file("path-%s.safetensors".formatted(sparsity));
      assertEquals(Math.round(56 * Double.parseDouble(sparsity)), zeros(model));
      assertTrue(result.out().contains(model.toString()), result.out());
    }
    assertFalse(Files.exists(pruned));
    Files.delete(fixture.file("path-0.25.safetensors"));
    Files.delete(fixture.file("path-0.75.safetensors"));
    assertTrue(Cli.run(path).err().contains("path-0.5.safetensors"), "refused before the work");
    assertFalse(Files.exists(fixture.file("path-0.25.safetensors")), "all models or none");
    for (Object[] refused : new Object[][]{{"--sparsity", ".5,.25", "'.5,.25' does not rise: give each value once"},
        {"--schedule", "oneshot", "several values of --sparsity need rounds"},
        {"--fine-tune", 1, "--report and --fine-tune are for one network"}}) {
      Cli.Result refusal = Cli.run(append(path, "-f", refused[0], refused[1]));
      assertNotEquals(0, refusal.code());
      assertTrue(refusal.err().contains(refused[2].toString()), refusal.err());
    }
  }

  private static Object[] append(Object[] first, Object... rest) {
    return Stream.concat(Stream.of(first), Stream.of(rest)).toArray();
  }

  @Test
  void saysWhichWeightsMinPerLayerKeeps() {
    Cli.Result all = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 1, "--dry-run");
    assertTrue(all.err().contains("note: 2 weights short of a sparsity of 100 %, because of --min-per-layer 1"),
        all.err());
    for (String scope : List.of("global", "layer", "row")) {
      Cli.Result some = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.45, "--scope",
          scope, "--dry-run");
      assertFalse(some.err().contains("short of"), some.err());
    }
  }

  @Test
  void doubtsAreInTheReportToo() throws IOException {
    Path report = fixture.file("doubts");
    Cli.Result one = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--max-samples", 1, "--sparsity",
        1, "--dry-run", "--report", report);
    String json = Files.readString(report.resolve("report.json"));
    for (String note : List.of("2 weights short of a sparsity of 100 %, because of --min-per-layer 1",
        "are 0 on these samples: which weights go is arbitrary; give more, or more varied, samples")) {
      assertTrue(one.err().contains(note), one.err());
      assertTrue(json.contains(note), json);
    }
    Path pruned = fixture.file("pruned-before.safetensors");
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.7, "-o", pruned);
    Cli.Result less = Cli.succeed("prune", pruned, "--data", fixture.data(), "--sparsity", 0.5, "--dry-run");
    assertTrue(less.err().contains("11 weights more than a sparsity of 50 % asks for: zero before the pruning"),
        less.err());
  }

  @Test
  void saysWhichLossIsInForce() throws IOException {
    Path oneHot = Files.writeString(fixture.file("one-hot.csv"), "1,0,0\n0,1,0\n0,0,1\n".repeat(Fixture.SAMPLES / 3));
    Path soft = Files.writeString(fixture.file("soft.csv"), ".9,.1,0\n0,1,0\n0,0,1\n".repeat(Fixture.SAMPLES / 3));
    Path values = Files.writeString(fixture.file("values.csv"), "9,1,0\n0,1,0\n0,0,1\n".repeat(Fixture.SAMPLES / 3));
    assertSaid(oneHot, "note: loss: cross-entropy (default for one-hot labels and identity)");
    assertSaid(soft,
        "note: loss: mse (default for label columns that add up to 1); for class probabilities, give --loss "
            + "cross-entropy");
    assertSaid(values, "note: loss: mse (default for 3 label columns)");
    assertSaid(fixture.labels(), "note: loss: cross-entropy (default for class indices and identity)");
    Cli.Result indices = Cli.succeed("evaluate", fixture.model(), "--data", fixture.data(), "--labels",
        fixture.labels());
    assertEquals(indices.out(),
        Cli.succeed("evaluate", fixture.model(), "--data", fixture.data(), "--labels", oneHot).out());
  }

  private void assertSaid(Path labels, String note) {
    Object[][] commands = {{"evaluate", fixture.model(), "--data", fixture.data(), "--labels", labels},
        {"prune", fixture.model(), "--data", fixture.data(), "--labels", labels, "--sparsity", 0.5, "--dry-run",
            "--criterion", "gradient"},
        {"score", fixture.model(), "--data", fixture.data(), "--labels", labels, "--criterion", "gradient", "-f", "-o",
            fixture.file("scores.safetensors")},
        {"compare", fixture.model(), "--data", fixture.data(), "--test-data", fixture.data(), "--test-labels", labels},
        {"train", "--data", fixture.data(), "--labels", labels, "--layers", "4,3", "--epochs", 1, "-f", "-o",
            fixture.file("trained.safetensors")}};
    for (Object[] command : commands) {
      List<String> told = Cli.succeed(command).errLines();
      assertEquals(1, told.stream().filter(note::equals).count(), told::toString);
      assertFalse(Cli.succeed(with(command, "--loss", "mse")).err().contains("note: loss"));
    }
  }

  /// ln(1 + e^−z) and the like of a network that adds up its inputs.
  @Test
  void judgesOneOutputByBinaryCrossEntropy() throws IOException {
    Path model = fixture.safetensors("sum.safetensors",
        "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}", 1, 1);
    Path x = Files.writeString(fixture.file("two.csv"), "1,1\n-1,0\n.5,0\n0,3\n");
    Path y = Files.writeString(fixture.file("binary.csv"), "1\n0\n0\n1\n");
    double loss = (Math.log1p(Math.exp(-2)) + Math.log1p(Math.exp(-1)) + Math.log1p(Math.exp(0.5))
        + Math.log1p(Math.exp(-3))) / 4;
    String expected = "loss      %.4f (binary-cross-entropy)".formatted(loss);
    for (String last : List.of("sigmoid", "identity")) {
      Cli.Result result = Cli.succeed("evaluate", model, "--activations", last, "--data", x, "--labels", y, "--loss",
          "cross-entropy");
      assertTrue(result.out().contains(expected) && result.out().contains("accuracy  75.00 %"), result.out());
      assertTrue(result.err().contains("note: loss: binary-cross-entropy, which is the cross-entropy of one output"),
          result.err());
    }
    Cli.Result byDefault = Cli.succeed("evaluate", model, "--activations", "sigmoid", "--data", x, "--labels", y);
    assertTrue(byDefault.out().contains(expected), byDefault.out());
    assertTrue(byDefault.err().contains("note: loss: binary-cross-entropy (default for labels of 0 and 1 and sigmoid)"),
        byDefault.err());
    Cli.Result squared = Cli.succeed("evaluate", model, "--activations", "identity", "--data", x, "--labels", y);
    assertTrue(squared.err().contains("note: loss: mse (default for labels of 0 and 1 and identity); for classes, give "
        + "--loss binary-cross-entropy"), squared.err());
  }

  @Test
  void layersWithoutABiasGainOneOnlyIfAsked() throws IOException {
    Path model = fixture.safetensors("unbiased.safetensors",
        "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]},"
            + "\"2.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[32,56]}}",
        .5f, .4f, -.3f, .2f, .1f, .6f, .7f, .8f, .9f, .3f, .5f, .2f, .4f, .6f);
    Path pruned = fixture.file("pruned.safetensors");
    Object[] prune = {"prune", model, "--activations", "relu", "--data", fixture.data(), "--sparsity", 0.5, "-f", "-o",
        pruned};
    String said = "note: layers 0, 2 have no bias: their weights are %s; --new-bias adds one, which takes up the means of "
        + "what is removed";
    String uncompensated = said.formatted("pruned without compensation");
    Object[] compare = {"compare", model, "--activations", "relu", "--data", fixture.data(), "--test-data",
        fixture.data(), "--test-labels", fixture.labels()};
    Object[] score = {"score", model, "--activations", "relu", "--data", fixture.data(), "-f", "-o",
        fixture.file("scores.safetensors")};
    for (Object[] command : new Object[][]{prune, compare, score}) {
      List<String> told = Cli.succeed(command).errLines();
      assertEquals(1, told.stream().filter(uncompensated::equals).count(), told::toString);
      String asked = Cli.succeed(with(command, "--new-bias")).err();
      assertFalse(asked.contains("no bias:"), asked);
    }
    assertEquals(List.of("0.bias", "0.weight", "2.bias", "2.weight"), tensors(pruned));
    String refitted = Cli.succeed(with(prune, "--criterion", "magnitude", "--repair", "refit")).err();
    assertTrue(refitted.contains(said.formatted("refitted without one")), refitted);
    assertEquals(List.of("0.weight", "2.weight"), tensors(pruned));
  }

  private static List<String> tensors(Path model) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      return SafetensorsFile.open(model, arena).tensors().stream().map(Tensor::name).sorted().toList();
    }
  }

  @Test
  void layersAreInTheOrderOfTheirNames() throws IOException {
    StringBuilder header = new StringBuilder("{");
    for (String name : List.of("fc2", "fc", "fc10")) {
      int at = header.toString().split("F32", -1).length - 1;
      header.append(at == 0 ? "" : ",").append("\"%s.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],".formatted(name))
          .append("\"data_offsets\":[%d,%d]}".formatted(16 * at, 16 * at + 16));
    }
    Path model = fixture.safetensors("order.safetensors", header.append('}').toString(), 48);
    List<String> lines = Cli.succeed("inspect", model, "--activations", "relu").out().lines().toList();
    assertEquals(List.of("fc", "fc2", "fc10"),
        lines.subList(1, 4).stream().map(line -> line.substring(0, line.indexOf(' '))).toList());
  }

  @Test
  void namesLayersWhoseOrderIsNotObviousAndTensorsThatAreLeftAside() throws IOException {
    Path model = fixture.safetensors("autoencoder.safetensors",
        "{\"decoder.weight\":{\"dtype\":\"F32\",\"shape\":[4,2],\"data_offsets\":[0,32]},"
            + "\"encoder.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[32,64]},"
            + "\"table\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[64,76]}}",
        76);
    Object[] prune = {"prune", model, "--activations", "tanh", "--criterion", "magnitude", "--sparsity", 0.5,
        "--dry-run"};
    List<String> told = Cli.succeed(with(prune, "--data", fixture.data())).errLines();
    assertTrue(told.contains("note: layers: encoder, decoder (the only order in which the widths chain; --layers sets"
        + " another, or a part)"), told::toString);
    assertTrue(told.contains("note: not part of the network: table"), told::toString);
    String several = Cli.fail(1, folder, prune);
    assertTrue(several.endsWith("or by --layers, for example --layers decoder,encoder"), several);
    Cli.Result part = Cli.succeed(with(prune, "--layers", "encoder"));
    assertTrue(part.err().contains("note: not part of the network: decoder.weight, table"), part.err());
    assertTrue(part.out().contains("total") && !part.out().contains("decoder"), part.out());
    assertTrue(Cli.succeed(with(prune, "--layers", "encoder,decoder", "--exclude", "enc*")).out()
        .contains("encoder (excluded)"));
  }

  /// A matrix without a bias behind layers that have one, and behind one that has none.
  @Test
  void namesALastLayerThatMayBeAnEmbedding() throws IOException {
    String layers = "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]},"
        + "\"emb.weight\":{\"dtype\":\"F32\",\"shape\":[9,2],\"data_offsets\":[32,104]}";
    String bias = ",\"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[104,112]}";
    String note = "note: layer emb (9 x 2) alone has no bias: if it is an embedding, leave it out by --layers 0";
    Path model = fixture.safetensors("embedding.safetensors", layers + bias + "}", 112);
    List<String> told = Cli.succeed("inspect", model, "--activations", "relu").errLines();
    assertTrue(told.contains(note), told::toString);
    Path plain = fixture.safetensors("plain.safetensors", layers + "}", 104);
    List<String> other = Cli.succeed("inspect", plain, "--activations", "relu").errLines();
    assertTrue(other.stream().anyMatch(line -> line.startsWith("note: layers: 0, emb ")), other::toString);
    assertFalse(other.contains(note), other::toString);
  }

  private static Object[] with(Object[] command, Object... more) {
    return Stream.concat(Stream.of(command), Stream.of(more)).toArray();
  }

  @Test
  void magnitudeNeedsNoData() throws IOException {
    Path pruned = fixture.file("pruned.safetensors");
    Cli.succeed("prune", fixture.model(), "--criterion", "magnitude", "--sparsity", 0.25, "--exclude", "2*", "-o",
        pruned);
    assertEquals(8, zeros(pruned));
  }

  @Test
  void forceOverwrites() throws IOException {
    Path copy = fixture.file("copy.safetensors");
    Files.copy(fixture.model(), copy);
    Cli.succeed("prune", copy, "--data", fixture.data(), "--sparsity", 0.5, "-o", copy, "--force");
    assertEquals(28, zeros(copy));
  }

  @Test
  void quietSaysNothingOnStderr() {
    assertEquals("", Cli
        .succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.5, "--dry-run", "--quiet").err());
  }

  @Test
  void scoreWritesImportanceCompensationAndSensitivity() throws IOException {
    Path scores = fixture.file("scores.safetensors");
    Cli.succeed("score", fixture.model(), "--data", fixture.data(), "-o", scores);
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile file = SafetensorsFile.open(scores, arena);
      assertEquals(List.of("0.weight.importance", "0.weight.compensation", "0.weight.sensitivity",
          "2.weight.importance", "2.weight.compensation", "2.weight.sensitivity"),
          file.tensors().stream().map(Tensor::name).toList());
      assertEquals(List.of(8L, 4L), file.tensor("0.weight.importance").orElseThrow().shape());
      assertEquals(List.of(8L), file.tensor("0.weight.sensitivity").orElseThrow().shape());
      MatrixView importance = file.asFloat32(file.tensor("2.weight.importance").orElseThrow(), arena);
      for (float value : importance.toArray()) {
        assertTrue(value >= 0);
      }
    }
  }

  @Test
  void evaluateJudges() throws IOException {
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("evaluate", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--report", report);
    assertTrue(result.out().contains("cross-entropy"), result.out());
    String json = Files.readString(report.resolve("report.json"));
    String accuracy = json.replaceAll("(?s).*\"accuracy\" : ([0-9.]+).*", "$1");
    assertTrue(Double.parseDouble(accuracy) > 0.9, json);
    assertTrue(json.contains("\"loss\""), json);
  }

  @Test
  void compareListsTheDenseNetworkFirst() throws IOException {
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("compare", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--test-data", fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".5,.9", "--criteria",
        "ec,ec/none,ec/row,magnitude,gradient,wanda,random", "--report", report);
    List<String> lines = result.out().lines().toList();
    assertTrue(lines.get(1).contains("dense"), result.out());
    assertEquals(14, lines.stream().filter(line -> line.startsWith("50 %") || line.startsWith("90 %")).count());
    assertTrue(Files.readString(report.resolve("report.json")).contains("ec/none"));
  }

  @Test
  void ecNonlinearIsOneOfTheCriteria() throws IOException {
    Cli.Result compared = Cli.succeed("compare", fixture.model(), "--data", fixture.data(), "--test-data",
        fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".5", "--criteria",
        "ec-nonlinear,ec-nonlinear/none,ec-nonlinear/linear:2");
    for (String method : List.of("ec-nonlinear ", "ec-nonlinear/none", "ec-nonlinear/linear:2")) {
      assertTrue(compared.out().contains("50 %      " + method), compared.out());
    }
    Cli.Result pruned = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--criterion", "ec-nonlinear", "--sparsity", .25, "--dry-run", "--verify");
    assertTrue(pruned.out().contains("25.00 %") && pruned.out().contains("deviation"), pruned.out());
    assertTrue(pruned.err().contains("criterion ec-nonlinear, compensation bias"), pruned.err());
    Path scores = fixture.file("scores.safetensors");
    Cli.succeed("score", fixture.model(), "--data", fixture.data(), "--criterion", "ec-nonlinear", "-o", scores);
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsFile file = SafetensorsFile.open(scores, arena);
      assertEquals("ec-nonlinear", file.metadata().get("criterion"));
      assertTrue(file.tensor("0.weight.compensation").isPresent());
    }
  }

  @Test
  void ecNonlinearIsRefusedWhereItTakesVeryLong() throws IOException {
    Path model = fixture.file("wide.safetensors");
    Path data = fixture.file("wide-x.safetensors");
    try (Arena arena = Arena.ofConfined()) {
      MatrixView square = MatrixView.allocate(arena, 512, 512);
      SafetensorsWriter.write(model, false,
          Stream.of("0", "1", "2").map(name -> NewTensor.matrix(name + ".weight", square)).toList(),
          Map.of("activations", "relu,relu,identity"));
      SafetensorsWriter.write(data, false, List.of(NewTensor.matrix("x", MatrixView.allocate(arena, 4000, 512))),
          Map.of());
    }
    Object[] prune = {"prune", model, "--data", data, "--criterion", "ec-nonlinear", "--sparsity", 0.5, "--dry-run"};
    String refusal = Cli.fail(1, fixture.folder(), prune);
    assertTrue(refusal.matches("espalier: criterion ec-nonlinear would take about .*: .* multiply-adds at .* a second;"
        + " lower --max-samples, --exclude layers, or give --allow-slow"), refusal);
    // Its weights are zero, which takes no time.
    Cli.succeed(append(prune, "--allow-slow", "--max-samples", 64));
  }

  @Test
  void compareSelectsInAScope() throws IOException {
    Object[] compare = {"compare", fixture.model(), "--data", fixture.data(), "--labels", fixture.labels(),
        "--test-data", fixture.data(), "--test-labels", fixture.labels(), "--sparsities", ".5", "--criteria",
        "refit,ec"};
    assertNotEquals(Cli.succeed(compare).out(), Cli.succeed(append(compare, "--scope", "layer")).out());
    assertTrue(Cli.run(append(compare, "--scope", "2:4")).err().contains("use global, layer or row"));
  }

  @Test
  void layersHaveSparsitiesOfTheirOwn() throws IOException {
    Path pruned = fixture.file("own.safetensors");
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", ".5,0=.25", "-o",
        pruned, "--report", report);
    List<String> lines = result.out().lines().toList();
    assertTrue(lines.get(1).contains("25.00 %") && lines.get(2).contains("50.00 %"), result.out());
    assertTrue(result.err().contains("sparsity 50 %, and 0=0.25: "), result.err());
    assertTrue(Files.readString(report.resolve("report.json")).contains("\"sparsity\" : \"0.5,0=0.25\""));
    for (String[] refused : new String[][]{
        {"0=.5", "'0=.5' names no sparsity of the other layers: put it first, as in 0.9,0=.5"},
        {".5,9=.5", "--sparsity 9=0.5 names no layer; the layers are 0, 2"},
        {".5,0=2", "sparsity 2.0 of layer 0: use a fraction from 0 to 1"}}) {
      Cli.Result refusal = Cli.run("prune", fixture.model(), "--data", fixture.data(), "--dry-run", "--sparsity",
          refused[0]);
      assertEquals(2, refusal.code());
      assertTrue(refusal.err().contains(refused[1]), refusal.err());
    }
  }

  @Test
  void inspectShowsTensorsAndWhatIsMissing(@TempDir Path other) throws IOException {
    Path model = other.resolve("bare.safetensors");
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsWriter.write(model, false, List.of(NewTensor.matrix("0.weight", MatrixView.of(arena, 1, 2, 1, 2))),
          Map.of("made", "by hand"));
    }
    Cli.Result result = Cli.succeed("inspect", model);
    assertTrue(result.out().matches("(?s).*0\\.weight +F32 +1 × 2\nmetadata made: by hand\n"), result.out());
    assertTrue(result.err().contains("note: no network yet: ") && result.err().contains("--activations relu"),
        result.err());
    Path torch = Path.of("../engine/src/test/resources/dev/espalier/engine/io/torch/zip.pt");
    Cli.Result ofTorch = Cli.succeed("inspect", torch);
    assertTrue(ofTorch.out().contains(" F32 ") && !ofTorch.out().contains("metadata"), ofTorch.out());
    assertTrue(ofTorch.err().contains("note: no network yet: "), ofTorch.err());
    assertFalse(Cli.succeed("inspect", torch, "--activations", "relu").out().contains("metadata"));
  }

  @Test
  void inspectShowsLayersAndMetadata() {
    String out = Cli.succeed("inspect", fixture.model()).out();
    assertTrue(out.contains("8 x 4"), out);
    assertTrue(out.contains("F32"), out);
    assertTrue(out.contains("metadata activations: relu,identity"), out);
  }

  @Test
  void shrinkRemovesNeuronsAndSaysWhatThatGains() throws IOException {
    Path model = fixture.safetensors("dead.safetensors",
        "{\"__metadata__\":{\"activations\":\"relu\",\"author\":\"me\"},"
            + "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"
            + "\"a.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,36]},"
            + "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[36,48]},"
            + "\"b.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[48,52]}}",
        0, 0, 1, 2, 3, 4, 0.5f, 6, 7, 8, 9, 0, 10);
    Path small = fixture.file("small.safetensors");
    Cli.Result result = Cli.succeed("shrink", model, "-o", small, "--layers", "a,b");
    assertTrue(result.out().contains("multiply-adds per sample: 9, now 3 (33.33 %)"), result.out());
    assertTrue(result.out().contains("file: %d bytes, now %d".formatted(Files.size(model), Files.size(small))),
        result.out());
    assertTrue(result.err().contains("needs the widths 2-1-1"), result.err());
    try (Arena arena = Arena.ofConfined()) {
      ModelFile file = ModelFile.load(small, Optional.empty(), arena);
      assertArrayEquals(new float[]{1, 2}, file.network().layers().getFirst().weights().toArray());
      assertArrayEquals(new float[]{9}, file.network().layers().getLast().weights().toArray());
      assertArrayEquals(new float[]{14}, file.network().layers().getLast().bias().orElseThrow().toArray());
      assertEquals("me", file.file().metadata().get("author"));
    }
    assertTrue(Cli.fail(1, folder, "shrink", model, "-o", small, "--layers", "a,b").contains("already exists"));
    String torch = Cli.fail(2, folder, "shrink", model, "-o", fixture.file("small.pt"));
    assertTrue(torch.contains("files of PyTorch are read and not written"), torch);
    Path same = fixture.file("same.safetensors");
    assertTrue(Cli.succeed("shrink", small, "-o", same).err().contains("no neuron can be removed"));
    assertArrayEquals(Files.readAllBytes(small), Files.readAllBytes(same));
  }

  @Test
  void onnxIsPrunedAsTheSameModelInSafetensors() throws IOException {
    Path onnx = Path.of("../engine/src/test/resources/dev/espalier/engine/io/onnx/relu.onnx");
    Path model = fixture.file("converted.safetensors");
    Cli.succeed("convert", onnx, model);
    Path pruned = fixture.file("pruned.onnx");
    Path expected = fixture.file("pruned.safetensors");
    Cli.succeed("prune", onnx, "--data", fixture.data(), "--sparsity", 0.5, "-o", pruned);
    Cli.succeed("prune", model, "--data", fixture.data(), "--sparsity", 0.5, "-o", expected);
    Path actual = fixture.file("actual.safetensors");
    Cli.succeed("convert", pruned, actual);
    assertArrayEquals(Files.readAllBytes(expected), Files.readAllBytes(actual));
    assertTrue(Cli.succeed("inspect", pruned).out().contains("relu"));
    // the same weights, whatever was read and written
    for (String choices : List.of("--sparsity 0.5", "--sparsity 0.75 --method refit", "--scope 2:4 --repair refit",
        "--sparsity 0.5 --prune-neurons", "--sparsity 0.5 --criterion wanda --scope row")) {
      Optional<int[]> first = Optional.empty();
      for (Path read : List.of(onnx, model)) {
        for (String name : List.of("a.onnx", "b.safetensors")) {
          Object[] prune = {"prune", read, "--data", fixture.data(), "-o", fixture.file(name), "--force"};
          Cli.succeed(append(prune, (Object[]) choices.split(" ", -1)));
          int[] found = bits(fixture.file(name));
          assertArrayEquals(first.orElse(found), found, "%s of %s as %s".formatted(choices, read, name));
          first = Optional.of(found);
        }
      }
    }
    Path again = fixture.file("again.onnx");
    Cli.succeed("convert", model, again);
    Cli.succeed("convert", again, actual, "--force");
    assertArrayEquals(bits(model), bits(actual));
    assertEquals(Cli.succeed("evaluate", onnx, "--data", fixture.data(), "--labels", fixture.labels()).out(),
        Cli.succeed("evaluate", again, "--data", fixture.data(), "--labels", fixture.labels()).out());
    String given = Cli.fail(1, folder, "inspect", onnx, "--activations", "relu");
    assertTrue(given.contains("give neither"), given);
  }

  @Test
  void convertLeavesOutZeros() throws IOException {
    Path pruned = fixture.file("mostly-zero.safetensors");
    Path report = fixture.file("report");
    String told = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.8, "-o", pruned,
        "--report", report).out();
    Path sparse = fixture.file("sparse.safetensors");
    Matcher gain = Pattern.compile("bytes of weights: 224 dense, (\\d+) by convert --sparse (\\S+)").matcher(told);
    assertTrue(gain.find(), told);
    int bytes = Cli.succeed("convert", pruned, sparse, "--sparse", gain.group(2)).out().lines().skip(1)
        .mapToInt(line -> Integer.parseInt(line.replaceFirst("^\\S+ +\\S+ +(\\d+) .*", "$1"))).sum();
    assertEquals(Integer.parseInt(gain.group(1)), bytes);
    assertTrue(told.contains("multiply-adds per sample: 56, 11 without zeros, "), told);
    assertTrue(Files.readString(report.resolve("report.html")).contains("Bytes of weights"));
    Cli.Result result = Cli.succeed("convert", pruned, sparse, "--sparse", "csr", "--force");
    assertTrue(result.out().lines().anyMatch(line -> line.startsWith("0 ") && line.contains(" csr ")), result.out());
    assertTrue(result.err().contains("note: layer 2 stays dense: as csr it would take ")
        || result.out().lines().anyMatch(line -> line.startsWith("2 ") && line.contains(" csr ")), result.err());
    Path again = fixture.file("dense.safetensors");
    Cli.succeed("convert", sparse, again);
    assertArrayEquals(Files.readAllBytes(pruned), Files.readAllBytes(again));
    assertEquals(Cli.succeed("inspect", pruned).out(), Cli.succeed("inspect", sparse).out());
    assertTrue(Cli.succeed("inspect", sparse).out().contains("as csr"));
    assertEquals(Cli.succeed("evaluate", pruned, "--data", fixture.data(), "--labels", fixture.labels()).out(),
        Cli.succeed("evaluate", sparse, "--data", fixture.data(), "--labels", fixture.labels()).out());
    Path half = fixture.file("half.safetensors");
    Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--scope", "2:4", "-o", half);
    Cli.succeed("convert", half, sparse, "--sparse", "2:4", "--force");

    String form = Cli.fail(2, folder, "convert", pruned, fixture.file("a.safetensors"), "--sparse", "coo");
    assertTrue(form.contains("--sparse coo: ") && form.contains("has no such form; use csr or 2:4"), form);
    String onnx = Cli.fail(2, folder, "convert", pruned, fixture.file("a.onnx"), "--sparse", "csr");
    assertTrue(onnx.contains("has no such form; use coo"), onnx);
    String index = Cli.fail(2, folder, "convert", pruned, fixture.file("a.index.json"), "--sparse", "csr");
    assertTrue(index.contains("a model in several files has no sparse weights"), index);
    String none = Cli.fail(1, folder, "convert", fixture.model(), fixture.file("a.safetensors"), "--sparse", "csr");
    assertTrue(none.contains("no layer becomes smaller as csr; prune it first"), none);
  }

  /// A residual network. What is for chains alone refuses it in one line.
  @Test
  void onnxGraphsArePruned() throws IOException {
    Path onnx = Path.of("../engine/src/test/resources/dev/espalier/engine/io/onnx/residual.onnx");
    Path pruned = fixture.file("residual.onnx");
    for (List<String> method : List.of(List.of("--method", "paper"), List.of("--method", "refit"),
        List.of("--method", "best", "--loss", "cross-entropy"), List.of("--repair", "refit+joint"),
        List.of("--fine-tune", "1"), List.of("--criterion", "wanda", "--scope", "2:4"))) {
      List<Object> command = new ArrayList<>(
          List.of("prune", onnx, "--data", fixture.data(), "--labels", fixture.labels(), "-o", pruned, "--force"));
      command.addAll(method);
      command.addAll(method.contains("2:4") ? List.of() : List.of("--sparsity", "0.5"));
      Cli.succeed(command.toArray());
      assertEquals(method.contains("2:4") ? 40 : 51, zeros(pruned), method::toString); // of 102
      assertEquals(Files.size(onnx), Files.size(pruned));
    }
    String drawn = Cli.succeed("inspect", pruned).out();
    assertTrue(drawn.lines().anyMatch(line -> line.matches("6 +add +5, 2 +6")), drawn);
    Cli.succeed("score", onnx, "--data", fixture.data(), "-o", fixture.file("scores.safetensors"));
    Cli.succeed("evaluate", pruned, "--data", fixture.data(), "--labels", fixture.labels());
    Cli.succeed("sensitivity", onnx, "--data", fixture.data(), "--sparsities", "0.5");
    Cli.succeed("compare", onnx, "--data", fixture.data(), "--test-data", fixture.data(), "--test-labels",
        fixture.labels(), "--sparsities", "0.5");
    String larger = Cli.fail(1, folder, "compare", onnx, "--data", fixture.data(), "--labels", fixture.labels(),
        "--test-data", fixture.data(), "--test-labels", fixture.labels(), "--small-dense", 1);
    assertTrue(larger.contains("only a chain of layers has a smaller one of its shape"), larger);
    Path other = fixture.file("other.safetensors");
    for (List<Object> command : List.of(List.<Object>of("convert", onnx, other),
        List.<Object>of("prune", onnx, "--data", fixture.data(), "--sparsity", 0.5, "-o", other))) {
      String refused = Cli.fail(1, folder, command.toArray());
      assertTrue(refused.contains("safetensors hold chains of layers, and this network is none"), refused);
    }
    Cli.succeed("prune", onnx, "--data", fixture.data(), "--sparsity", 0.9, "-o", pruned, "--force");
    Path small = fixture.file("small.onnx");
    String shrunk = Cli.succeed("shrink", pruned, "-o", small).out();
    assertTrue(Files.size(small) < Files.size(onnx), shrunk);
    Cli.succeed("evaluate", small, "--data", fixture.data(), "--labels", fixture.labels());
  }

  @Test
  void doctorSaysWhatThereIsAndNothingOnStderr() {
    Cli.Result result = Cli.succeed("doctor");
    assertTrue(result.out().contains("reference  yes"), result.out());
    assertTrue(result.out().contains("cuda       no"), result.out());
    // Its version and file, or what was not found where.
    assertTrue(result.out().lines().anyMatch(line -> line.matches("cublas +(\\d+\\.|no ).*libcublas.*")), result.out());
    assertTrue(
        result.out().lines()
            .anyMatch(line -> line.matches(
                "bfloat16 +(multiplied at \\d+\\.\\d\\d times the rate of float32.*|no instructions.*|unknown: .*)")),
        result.out());
    assertTrue(result.out().contains("vector api  not loaded: with ESPALIER_JAVA_OPTIONS='--add-modules "),
        result.out());
    assertEquals("", result.err());
  }

  @Test
  void versionIsThatOfTheModule() {
    assertTrue(Cli.succeed("--version").out().matches("espalier \\d+\\.\\d+\\.\\d+.*\\R"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"demo", "prune", "shrink", "score", "merge", "evaluate", "compare", "train", "inspect",
      "convert", "time", "doctor"})
  void helpHasAnExample(String command) {
    Cli.Result help = Cli.succeed(command, "--help");
    assertTrue(help.out().contains("Usage: espalier " + command), help.out());
    assertTrue(help.out().contains("Example"), help.out());
    assertTrue(help.out().lines().allMatch(line -> line.length() <= 100), help.out());
    assertTrue(Cli.succeed("--help").out().contains("\n  " + command + " "), command);
  }

  /// Of the weights and biases of all layers.
  private static int[] bits(Path model) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      return ModelFile.load(model, Optional.empty(), arena).network().layers().stream()
          .flatMap(layer -> Stream.concat(Stream.of(layer.weights()), layer.bias().stream()))
          .flatMapToInt(values -> IntStream.range(0, (int) values.elements())
              .map(i -> Float.floatToRawIntBits(values.segment().getAtIndex(MatrixView.ELEMENT, i))))
          .toArray();
    }
  }

  private static long zeros(Path model) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      return ModelFile.load(model, Optional.empty(), arena).network().zeros();
    }
  }
}
