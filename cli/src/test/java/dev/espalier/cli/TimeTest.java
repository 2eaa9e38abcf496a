package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.experiment.InferenceTimes;
import dev.espalier.engine.experiment.InferenceTimes.RandomZeros;
import dev.espalier.engine.experiment.InferenceTimes.Variant;
import dev.espalier.engine.experiment.Stopwatch.Times;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.report.PredictedTime;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TimeTest {
  @TempDir
  private Path folder;

  /// Between two sparsities that were measured: the middle of all times of dense weights, by the speeds that were
  /// measured in turns with them, from which also follows where csr begins to be faster.
  @Test
  void predictsByInterpolation() throws IOException {
    Path csv = Files.writeString(folder.resolve("times.csv"), """
        model,sparsity,batch,variant,seconds,speed
        model,0.5,1,dense,9,1.0
        random 2-2,0.5,1,dense,3,1.0
        random 2-2,0.5,1,csr,6,0.5
        random 2-2,0.8,1,dense,5,1.0
        random 2-2,0.8,1,csr,2,2.0
        random 2-2,0.9,1,dense,4,1.0
        random 2-2,0.9,1,csr,1,4.0
        """);
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = new DenseNetwork(
          List.of(new DenseLayer("0", MatrixView.of(arena, 2, 2, 1, 0, 0, 0), Optional.empty(), Activation.IDENTITY)));
      PredictedTime time = MeasuredTimes.read(csv, network).of(network).getFirst();
      assertEquals(4, time.dense());
      double share = Math.log(0.25 / 0.5) / Math.log(0.2 / 0.5);
      assertEquals(4 / (0.5 * Math.pow(4, share)), time.sparse().orElseThrow(), 1e-12);
      Times times = new Times(List.of(1.0));
      double breakEven = InferenceTimes
          .breakEven(List.of(new RandomZeros(0.5, times, times, 2), new RandomZeros(0.8, times, times, 0.5)))
          .orElseThrow();
      assertTrue(breakEven < 0.75 && time.sparse().orElseThrow() < time.dense(), time::toString);
      DenseNetwork half = new DenseNetwork(
          List.of(new DenseLayer("0", MatrixView.of(arena, 2, 2, 1, 1, 0, 0), Optional.empty(), Activation.IDENTITY)));
      assertEquals(8, MeasuredTimes.read(csv, half).of(half).getFirst().sparse().orElseThrow());
    }
  }

  @Test
  void refusesTheTimesOfTwoRuns() throws IOException {
    Path csv = folder.resolve("times.csv");
    String run = "random 2-2,0.5,1,dense,4,1\n";
    Files.writeString(csv, "model,sparsity,batch,variant,seconds,speed\n" + run + run);
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = new DenseNetwork(
          List.of(new DenseLayer("0", MatrixView.of(arena, 2, 2, 1, 0, 0, 0), Optional.empty(), Activation.IDENTITY)));
      assertTrue(assertThrows(IOException.class, () -> MeasuredTimes.read(csv, network)).getMessage()
          .contains("give the table of one run"));
      Files.writeString(csv, "model,sparsity,batch,variant,seconds,speed\n" + run.replace(",4,", ",NaN,"));
      assertTrue(assertThrows(IOException.class, () -> MeasuredTimes.read(csv, network)).getMessage()
          .contains("times.csv: has the time NaN in "));
    }
  }

  @Test
  void manyWidthsMakeNoLongName() throws IOException {
    String widths = "4-" + "16-".repeat(60) + "3";
    Times times = new Times(List.of(1.0));
    TimeResults results = new TimeResults(List.of(),
        List.of(new TimeResults.Shapes(widths, 1, List.of(new RandomZeros(0.5, times, times, 1)))));
    assertTrue(results.page(List.of()).containsKey("latency-network-1-batch-1.svg"), results.page(List.of())::toString);
  }

  @Test
  void timesVariantsAndFindsWhereSparseWins() throws IOException {
    Fixture fixture = Fixture.in(folder);
    Path csv = fixture.file("times.csv");
    Path report = fixture.file("report");
    Cli.Result result = Cli.succeed("time", fixture.model(), "--batch", "3", "--threads", 1, "--csv", csv, "--report",
        report);
    assertTrue(result.out().lines().anyMatch(line -> line.matches("model.safetensors +dense .* 1\\.00")), result.out());
    assertTrue(result.out().lines().anyMatch(line -> line.matches("model.safetensors +csr .*")), result.out());
    assertTrue(result.out().contains("4-8-3, batch 3: csr is "), result.out());
    List<String> rows = Files.readAllLines(csv);
    assertEquals("model,sparsity,batch,variant,seconds,lower_quartile,upper_quartile,samples_per_second,speed",
        rows.getFirst());
    assertTrue(rows.stream().anyMatch(row -> row.startsWith("random 4-8-3,0.9,3,csr,")), rows.toString());
    assertTrue(rows.stream().skip(1).map(row -> row.split(",")).allMatch(fields -> Double.parseDouble(fields[4]) > 0));
    String page = Files.readString(report.resolve("README.md"));
    assertTrue(page.contains("| model.safetensors | dense |") && page.contains("](latency-4-8-3-batch-3.svg)"), page);
    assertTrue(Files.readString(report.resolve("latency-4-8-3-batch-3.svg")).startsWith("<svg"));
    assertEquals(rows, Files.readAllLines(report.resolve("times.csv")));

    Object[] prune = {"prune", fixture.model(), "--data", fixture.data(), "-o", fixture.file("pruned.safetensors"),
        "-f", "--sparsity"};
    String predicted = Cli.succeed(Fixture.with(prune, 0.75, "--times", csv, "--report", fixture.file("pruning")))
        .out();
    assertTrue(predicted.matches("(?s).*\npredicted time of a batch of 3: \\S+ ms dense, \\S+ ms as csr \\(by what was "
        + "measured with evenly spread zeros\\)\n.*"), predicted);
    assertTrue(Files.readString(fixture.file("pruning").resolve("report.html")).contains("Predicted time, batch of 3"));
    predicted = Cli.succeed(Fixture.with(prune, 0.25, "--times", csv)).out();
    assertTrue(predicted.contains(" ms dense, and csr was not measured at 25.00 % zeros\n"), predicted);
    String none = Cli.fail(1, folder, Fixture.with(prune, 0.5, "--times", fixture.data()));
    assertTrue(none.endsWith("x.csv: is no table of times; give what espalier time --csv has written"), none);
    Path others = Files.writeString(fixture.file("others.csv"),
        "model,sparsity,batch,variant,seconds,speed\nrandom 5-4-3,0.5,1,dense,0.1,1\n");
    assertTrue(Cli.fail(1, folder, Fixture.with(prune, 0.5, "--times", others)).endsWith("others.csv: has no times of "
        + "layers of the widths 4-8-3, but of 5-4-3; measure them with espalier time --csv"));
    assertTrue(Cli.fail(2, folder, Fixture.with(prune, "0.5,0.8", "--method", "refit", "--times", csv))
        .contains("--times is for one network"));
    Cli.Result onnx = Cli.succeed("prune", fixture.model(), "--data", fixture.data(), "--sparsity", 0.75, "--times",
        csv, "-o", fixture.file("pruned.onnx"));
    assertTrue(
        onnx.out().contains(" ms as csr (by what was measured") && onnx.err()
            .contains("note: --times: csr is as "
                + "espalier time computes it; ONNX models have no csr, and ONNX Runtime multiplies zeros\n"),
        onnx::toString);

    assertTrue(Cli.fail(1, folder, "time", fixture.model(), "--report", report).contains("already exists"));
    assertTrue(Cli.fail(1, folder, "time", fixture.file("none.safetensors")).contains("no such file"));
    assertTrue(Cli.fail(2, folder, "time", fixture.model(), "--batch", "1,1").contains("give each size once"));
    assertTrue(Cli.fail(2, folder, "time", fixture.model(), "--batch", "0").contains("'0' is not an integer from 1"));
    assertTrue(Cli.fail(2, folder, "time").contains("MODEL"));
    assertTrue(Cli.fail(1, folder, "time", fixture.model(), "--device", "cuda:99").contains("GPU"));
    for (String device : List.of("reference", "cuda:0,1", "cuda:all")) {
      assertTrue(Cli.fail(2, folder, "time", fixture.model(), "--device", device)
          .contains("--device: time is measured on cpu, or on one GPU: cuda, cuda:1"));
    }
  }

  @Test
  void timesGraphs() throws IOException {
    Path model = Path.of("../engine/src/test/resources/dev/espalier/engine/io/onnx/residual.onnx");
    Path report = folder.resolve("report");
    Cli.Result timed = Cli.succeed("time", model, "--batch", "2", "--threads", 1, "--report", report);
    assertTrue(timed.out().lines().anyMatch(line -> line.matches("residual.onnx +csr .*")), timed.out());
    Matcher breakEven = Pattern.compile("\n([-0-9]+) \\(graph ([0-9a-f]{8})\\), batch 2: csr is ").matcher(timed.out());
    assertTrue(breakEven.find(), timed.out());
    String name = "latency-%s-graph-%s-batch-2.svg".formatted(breakEven.group(1), breakEven.group(2));
    assertTrue(Files.readString(report.resolve("README.md")).contains("](" + name + ")"));
    assertTrue(Files.readString(report.resolve(name)).startsWith("<svg"));
    Path csv = report.resolve("times.csv");
    List<String> rows = Files.readAllLines(csv);
    assertTrue(
        rows.stream().anyMatch(
            row -> row.startsWith("random %s (graph %s),0.9,2,csr,".formatted(breakEven.group(1), breakEven.group(2)))),
        rows.toString());

    Path data = Files.writeString(folder.resolve("x.csv"), "1,2,3,4\n0,1,0,2\n2,1,4,0\n");
    Object[] prune = {"prune", model, "--data", data, "--method", "paper", "--sparsity", 0.75, "-o",
        folder.resolve("pruned.onnx"), "--times"};
    String predicted = Cli.succeed(Fixture.with(prune, csv, "--report", folder.resolve("pruning"))).out();
    assertTrue(predicted.matches("(?s).*\npredicted time of a batch of 2: \\S+ ms dense, \\S+ ms as csr \\(by what was "
        + "measured with evenly spread zeros\\)\n.*"), predicted);
    assertTrue(Files.readString(folder.resolve("pruning").resolve("report.html")).contains(" csr"));
    Path others = Files.writeString(folder.resolve("others.csv"), Files.readString(csv).replace("(graph ", "(graph 1"));
    assertTrue(
        Cli.fail(1, folder, Fixture.with(prune, others, "-f")).matches("(?s).*others.csv: has no times of layers of "
            + "the widths [-0-9]+ \\(graph [0-9a-f]{8}\\), but of [-0-9]+ \\(graph 1[0-9a-f]{8}\\); measure them .*"));
  }

  /// As on a GPU, where csr is not timed.
  @Test
  void predictsDenseWeightsAlone() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = new DenseNetwork(
          List.of(new DenseLayer("0", MatrixView.of(arena, 2, 2, 1, 0, 0, 0), Optional.empty(), Activation.IDENTITY)));
      Map<Variant, Times> times = Map.of(Variant.DENSE, new Times(List.of(3.0)), Variant.BF16, new Times(List.of(2.0)));
      TimeResults results = new TimeResults(
          List.of(new TimeResults.Row("model", TimeResults.widths(network), 0, 1, times)), List.of());
      Path csv = Files.writeString(folder.resolve("times.csv"), results.csv().toString());
      assertEquals(List.of(new PredictedTime(1, 3, OptionalDouble.empty())),
          MeasuredTimes.read(csv, network).of(network));
    }
  }

  /// Weights of 1e30 in both layers, or in one of the two rows of the second.
  @Test
  void saysWhatIsNotComparedBecauseItOverflows() throws IOException {
    Fixture fixture = new Fixture(folder, folder.resolve("x"), folder.resolve("y"), folder.resolve("z"));
    String header = "{\"__metadata__\":{\"activations\":\"relu\"},"
        + "\"0.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
        + "\"2.weight\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}}";
    Path all = fixture.safetensors("all.safetensors", header, 1e30f, 1e30f, 1e30f, 1e30f);
    Path some = fixture.safetensors("some.safetensors", header, 1e30f, 1e30f, 1e30f, 1);
    Path none = fixture.safetensors("none.safetensors", header, 1, 1, 1, 1);
    List<String> said = Cli.succeed("time", all, some, none, "--batch", "1,2", "--threads", 1).errLines().stream()
        .filter(line -> line.contains("finite")).toList();
    assertEquals(List.of(
        "note: %s: no output of random samples is finite: its variants are timed, and not compared".formatted(all),
        "note: %s: some outputs of random samples are not finite: only the others are compared between its variants"
            .formatted(some)),
        said);
  }
}
