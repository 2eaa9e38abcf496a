package dev.espalier.spark.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.DType;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.statistics.GatheredSums;
import dev.espalier.spark.Fixture;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

final class EspalierSparkTest {
  @TempDir
  private static Path inputs;
  private static Path model;
  private static Path data;
  @TempDir
  private Path folder;

  /// @param code what the process would have ended with
  private record Result(int code, String out, String err) {}

  @BeforeAll
  static void write() throws IOException {
    model = inputs.resolve("model.safetensors");
    data = inputs.resolve("x.parquet");
    try (Arena arena = Arena.ofShared()) {
      List<NewTensor> tensors = new ArrayList<>();
      for (DenseLayer layer : Fixture.network(arena).layers()) {
        tensors.add(NewTensor.matrix(layer.name() + ".weight", layer.weights()));
        tensors.add(NewTensor.vector(layer.name() + ".bias", layer.bias().orElseThrow()));
      }
      SafetensorsWriter.write(model, false, tensors, Map.of("activations", "relu,relu,identity"));
    }
    Fixture.columns(2).selectExpr("*", "cast(pmod(floor(a), 3) as int) as class", "3 as three").write()
        .parquet(data.toString());
  }

  private static Result run(Object... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    CommandLine commandLine = EspalierSpark.commandLine(Fixture::spark);
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(err));
    int code = EspalierSpark.run(commandLine, Arrays.stream(arguments).map(Object::toString).toArray(String[]::new));
    return new Result(code, out.toString(), err.toString());
  }

  private static Result prune(Object... more) {
    Object[] command = {"prune", model, "--data", data, "--columns", "a,b,c,d,e"};
    return run(Stream.concat(Stream.of(command), Stream.of(more)).toArray());
  }

  @Test
  void pruneWritesTheSameModelEachTime() throws IOException {
    Path first = folder.resolve("first.safetensors");
    Path second = folder.resolve("second.safetensors");
    Path mask = folder.resolve("mask.safetensors");
    Result result = prune("--sparsity", "0.5,layer3=0.2", "-o", first, "--save-mask", mask);
    assertEquals(0, result.code, result.err);
    assertTrue(result.err.contains("plan: 2 partitions in batches of "), result.err);
    assertTrue(result.err.contains("plan: the driver selects among the scores of all layers, and takes 6 KiB"),
        result.err);
    assertTrue(result.out.contains("layer3: 22 kept, 5 removed"), result.out);
    assertTrue(Files.exists(mask));
    assertEquals(0, prune("--sparsity", "0.5,layer3=0.2", "-o", second, "--quiet").code);
    assertArrayEquals(Files.readAllBytes(first), Files.readAllBytes(second));
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(5 + 84, ModelFile.load(first, Optional.empty(), arena).network().zeros());
    }
  }

  @Test
  void executorsSelectTheSameWeights() throws IOException {
    List<byte[]> models = new ArrayList<>();
    for (String where : List.of("driver", "executors")) {
      Path pruned = folder.resolve(where + ".safetensors");
      Result result = prune("--sparsity", 0.5, "--method", "refit", "--selection", where, "-o", pruned);
      assertEquals(0, result.code, result.err);
      assertEquals(where.equals("executors"), result.err.contains(
          "plan: the scores stay on the executors, which count them in histograms; the driver has one layer at a time"),
          result.err);
      models.add(Files.readAllBytes(pruned));
    }
    assertArrayEquals(models.getFirst(), models.getLast());
  }

  @Test
  void refitPrunesInRounds() throws IOException {
    Path pruned = folder.resolve("pruned.safetensors");
    Result result = prune("--sparsity", 0.5, "--method", "refit", "-o", pruned);
    assertEquals(0, result.code, result.err);
    // 0.75³ < 0.5; a count, and in each round the scores and three layers
    assertTrue(
        result.err.contains("plan: 3 rounds, each scored anew, with 3 layers refitted one after the other, for which "),
        result.err);
    assertTrue(result.err.contains("; 13 passes over the data in all"), result.err);
    assertTrue(result.out.contains("total: 97 kept, 98 removed"), result.out);
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(98, ModelFile.load(pruned, Optional.empty(), arena).network().zeros());
    }
  }

  /// By `joint`, because Spark does not train.
  @Test
  void bestIsRefitAndJoint() {
    Result result = prune("--sparsity", 0.5, "--method", "best", "--dry-run");
    assertEquals(0, result.code, result.err);
    assertTrue(result.err.contains("3 layers refitted one after the other")
        && result.err.contains("joint repair of the last round: up to "), result.err);
  }

  @Test
  void removesNeurons() {
    Path pruned = folder.resolve("pruned.safetensors");
    Result result = prune("--sparsity", 0.5, "--prune-neurons", "-o", pruned);
    assertEquals(0, result.code, result.err);
    // 12 and 9 hidden neurons
    assertTrue(result.err.contains("11 of 21 hidden neurons removed"), result.err);
  }

  /// Each option of `espalier prune` is one here, too, or refused with what to do.
  @Test
  void knowsTheOptionsOfOneMachine() throws IOException {
    List<String> here = new CommandLine(new PruneCommand(Fixture::spark)).getCommandSpec().options().stream()
        .map(OptionSpec::longestName).toList();
    Path sources = Path.of("../cli/src/main/java/dev/espalier/cli");
    List<String> names = new ArrayList<>();
    for (String file : List.of("PruneCommand", "PruneData", "DataOptions", "TestOptions", "SelectionOptions",
        "CriterionOptions", "ScoringChoices", "RunOptions", "BatchOptions", "DeviceOptions", "PruneOutputs",
        "OutputOptions", "ReportOptions", "ModelOptions", "VerifyOptions")) {
      Matcher options = Pattern.compile("@Option\\(names = \\{?[^)]*?\"(--[a-z-]+)\"")
          .matcher(Files.readString(sources.resolve(file + ".java")));
      options.results().forEach(option -> names.add(option.group(1)));
    }
    assertTrue(names.size() > 40, names::toString);
    for (String name : names) {
      assertTrue(here.contains(name) != OneMachine.refusal(List.of(name)).isPresent(), name);
    }
  }

  @Test
  void saysHowFarWeightsOfEightBitsAreRounded() throws IOException {
    Path eight = folder.resolve("eight.safetensors");
    try (Arena arena = Arena.ofShared()) {
      List<NewTensor> tensors = new ArrayList<>();
      for (DenseLayer layer : Fixture.network(arena).layers()) {
        List<Long> shape = List.of((long) layer.outputs(), (long) layer.inputs());
        tensors.add(new NewTensor(layer.name() + ".weight", DType.F8_E4M3, shape, layer.weights()));
        tensors.add(NewTensor.vector(layer.name() + ".bias", layer.bias().orElseThrow()));
      }
      SafetensorsWriter.write(eight, false, tensors, Map.of("activations", "relu,relu,identity"));
    }
    Result result = run("prune", eight, "--data", data, "--columns", "a,b,c,d,e", "--sparsity", 0.5, "--schedule",
        "oneshot", "--repair", "refit", "-o", folder.resolve("pruned.safetensors"));
    assertEquals(0, result.code, result.err);
    assertTrue(result.err.contains("have changed and are rounded to F8_E4M3"), result.err);
  }

  @Test
  void jointRepairGoesOnFromACheckpoint() throws IOException {
    Path first = folder.resolve("first.safetensors");
    Path second = folder.resolve("second.safetensors");
    Object[] command = {"--sparsity", 0.5, "--schedule", "linear:2", "--repair", "refit+joint:outer=1:inner=2",
        "--checkpoint", folder.resolve("rounds")};
    Result result = prune(Stream.concat(Stream.of(command), Stream.of("-o", first)).toArray());
    assertEquals(0, result.code, result.err);
    assertTrue(
        result.err.contains("plan: joint repair of the last round: up to 9 jobs, over samples that the executors "
            + "keep, 1 KiB each with the dense network's outputs"),
        result.err);
    Result again = prune(Stream.concat(Stream.of(command), Stream.of("-o", second)).toArray());
    assertTrue(again.err.contains("note: went on after round 2 of 2, which the checkpoint had"), again.err);
    assertEquals(result.out, again.out);
    assertArrayEquals(Files.readAllBytes(first), Files.readAllBytes(second));
    Result other = prune("--sparsity", 0.6, "--checkpoint", folder.resolve("rounds"), "-o",
        folder.resolve("x.safetensors"), "-q");
    assertEquals(1, other.code);
    assertTrue(other.err.contains("is of another pruning: ") && other.err.lines().count() == 1, other.err);
  }

  @Test
  void searchesByALimit() throws IOException {
    Path first = folder.resolve("first.safetensors");
    Path second = folder.resolve("second.safetensors");
    Object[] command = {"--max-loss-increase", "10%", "--max-output-change", "2%", "--label-column", "class",
        "--method", "refit", "--checkpoint", folder.resolve("attempts")};
    Result result = prune(Stream.concat(Stream.of(command), Stream.of("-o", first)).toArray());
    assertEquals(0, result.code, result.err);
    assertTrue(
        result.err.contains("plan: each attempt of the search takes a pass over the data to judge, and one for each of "
            + "3 layers that are refitted; each round on the way takes one more to score"),
        result.err);
    assertTrue(result.err.contains(
        "plan: the search judges by 1 in 5 samples of %s, and prunes with 4 in 5 samples of %s".formatted(data, data)),
        result.err);
    assertTrue(result.out.startsWith("dense: loss "), result.out);
    assertEquals(1, result.out.lines().filter(line -> line.endsWith(": found")).count(), result.out);
    assertTrue(result.out.contains(": beyond the limit"), result.out);
    Result again = prune(Stream.concat(Stream.of(command), Stream.of("-o", second)).toArray());
    assertEquals(result.out, again.out);
    assertArrayEquals(Files.readAllBytes(first), Files.readAllBytes(second));
    Result tested = prune("--max-output-change", "60%", "--test-data", data, "--dry-run");
    assertEquals(0, tested.code, tested.err);
    assertTrue(tested.err.contains("one more scores for all of them") && tested.out.isEmpty(), tested.err);
  }

  @Test
  void scoreWritesStatisticsThatPrune() throws IOException {
    Path file = folder.resolve("sums.safetensors");
    Result result = run("score", model, "--data", data, "--columns", "a,b,c,d,e", "-o", file);
    assertEquals(0, result.code, result.err);
    assertEquals("300 samples, 3 layers", result.out.strip());
    try (Arena arena = Arena.ofShared(); Backend backend = Device.CPU.open()) {
      GatheredSums sums = GatheredSums.read(file, arena);
      assertEquals(List.of(), sums.provenance().missing());
      assertEquals(data.toString(), sums.provenance().ranges().getFirst().name());
      PruningPlan.of(PruningOptions.builder().build(), ModelFile.load(model, Optional.empty(), arena).network(), sums,
          backend);
    }
  }

  @Test
  void dryRunTellsTheCostAndWritesNothing() {
    Result result = prune("--sparsity", 0.5, "--dry-run");
    assertEquals(0, result.code, result.err);
    assertTrue(result.err.contains("shuffled at most, before compression, in 3 tiles"), result.err);
    assertEquals("", result.out);
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      2 | --sparsity 1.5 -o OUT            | --sparsity '1.5' is not a fraction from 0 to 1
      2 | -o OUT                           | --sparsity is missing
      2 | --sparsity 0.5                   | --output is missing: give -o FILE, or --dry-run
      2 | --sparsity 0.5,0.9 -o OUT        | give one sparsity
      2 | --sparsity 0.5 --scope 2:4 -o OUT | --scope 2:4 sets the sparsity
      2 | --max-output-change 1% --sparsity 0.5 -o OUT | --sparsity and a limit both say how much is removed
      2 | --max-output-change x -o OUT | is not a number of 0 or more
      2 | --max-output-change 1% --schedule linear:3 -o OUT | --schedule linear:3 divides the way to a known sparsity
      2 | --max-output-change 1% --scope 2:4 -o OUT | --scope 2:4 sets the sparsity: leave out --sparsity and limits
      2 | --max-accuracy-drop 0.5 -o OUT | --label-column is missing: --max-loss-increase and --max-accuracy-drop need
      2 | --max-accuracy-drop 101 --label-column class -o OUT | an accuracy drop of 101.0 points: use 0 to 100
      2 | --max-output-change 1% --loss mse -o OUT | --loss needs --label-column
      2 | --sparsity 0.5 --label-column class -o OUT | --label-column, --loss and --test-data are those of a search
      1 | --max-accuracy-drop 1 --label-column id -o OUT | column id holds string, not numbers
      1 | --max-accuracy-drop 1 --label-column three -o OUT | : column three is no class index from 0 to 2
      1 | --max-output-change 0 -o OUT | no sparsity holds the limit (output change 0): allow more
      2 | --sparsity 0.5 --selection here -o OUT | unknown selection 'here': use auto, driver or executors
      2 | --sparsity 0.5 --scope all -o OUT | unknown scope 'all'
      2 | --sparsity 0.5 --max-samples 9 -o OUT | --max-samples is not there on Spark: choose among the files or rows
      2 | --sparsity 0.5 --fine-tune=3 -o OUT | --fine-tune is not there on Spark: training needs one machine
      2 | --sparsity 0.5 --maximal 9 -o OUT | unknown options: '--maximal', '9'
      2 | --prune-neurons --scope 2:4 -o OUT | --prune-neurons counts neurons, and limits
      2 | --prune-neurons --sparsity 0.5,layer1=0.2 -o OUT | --prune-neurons counts the neurons of all layers
      2 | --scope 2:4 --schedule linear:3 -o OUT | --scope 2:4 is reached in one round
      2 | --sparsity 0.5 --repair fit -o OUT | fit
      1 | --sparsity 0.5 --repair distill -o OUT | trains, which Spark does not: use refit, joint, refit+joint or none
      1 | --sparsity 0.5 --device cuda:all -o OUT | device cuda:all: Spark chooses the GPUs of a task
      2 | --sparsity 0.5 --batch-size 0 -o OUT | --batch-size 0: use at least 1
      2 | --sparsity 0.5 --criterion foo -o OUT | foo
      1 | --sparsity 0.5 --criterion gradient -o OUT | criterion gradient needs labels
      1 | --sparsity 0.5 --exclude none -o OUT | the pattern none excludes no layer
      """)
  void refuses(int code, String options, String message) throws IOException {
    Path out = folder.resolve("out.safetensors");
    byte[] before = Files.readAllBytes(model);
    Result result = prune(Stream.concat(Stream.of("--quiet"), Arrays.stream(options.split(" ")))
        .map(word -> word.equals("OUT") ? out : word.equals("MODEL") ? model : word).toArray());
    assertEquals(code, result.code, result.err);
    assertTrue(result.err.startsWith("espalier-spark: ") && result.err.contains(message), result.err);
    assertEquals(1, result.err.lines().count(), result.err);
    assertFalse(Files.exists(out));
    assertArrayEquals(before, Files.readAllBytes(model));
  }

  @Test
  void refusesFilesThatAreMissingOrThere() throws IOException {
    Path out = Files.writeString(folder.resolve("out.safetensors"), "mine");
    Result exists = prune("--sparsity", 0.5, "-o", out, "-q");
    assertEquals(1, exists.code);
    assertTrue(exists.err.contains("or add --force"), exists.err);
    assertEquals("mine", Files.readString(out));
    Result same = prune("--sparsity", 0.5, "-o", model, "-q");
    assertEquals(2, same.code);
    assertTrue(same.err.contains("is read by this command"), same.err);
    Result missing = run("prune", model, "--data", folder.resolve("none"), "--sparsity", 0.5, "-o", out, "-f", "-q");
    assertEquals(1, missing.code);
    assertTrue(missing.err.contains("none") && missing.err.lines().count() == 1, missing.err);
  }
}
