package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.cli.experiment.DiffusionSorptionData;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.experiment.Comparison;
import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.io.AtomicOutput;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.training.RandomNetwork;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `espalier demo`.
@Command(name = "demo", sortOptions = false)
final class DemoCommand implements Callable<Integer> {
  private static final int TRAINING_SIMULATIONS = 200;
  private static final int TEST_SIMULATIONS = 50;
  private static final double NOISE = 0.01;
  private static final int WIDTH = 64;
  private static final int EPOCHS = 40;
  private static final int BATCH_SIZE = 64;
  private static final List<Double> SPARSITIES = List.of(0.3, 0.5, 0.7, 0.8, 0.9);
  private static final double SHOWN_SPARSITY = 0.8;
  private static final Method MAGNITUDE = Method.parse("magnitude");
  /// The best of the others.
  private static final Method OTHER = Method.parse("wanda/bias");
  private static final Method UNCOMPENSATED = Method.parse("ec/none");
  private static final Method PAPER = Method.parse("paper");
  private static final Method REFITTED = Method.parse("refit");
  private static final Method BEST = Method.parse("best");
  private static final List<Method> METHODS = List.of(MAGNITUDE, Method.parse("gradient"), OTHER, UNCOMPENSATED, PAPER,
      REFITTED, BEST);
  private static final Loss LOSS = new Loss.SquaredError();
  private static final List<String> MODELS_AND_DATA = List.of("dense.safetensors", "pruned.safetensors",
      "train.safetensors", "test.safetensors");
  private static final int HISTOGRAM_BINS = 60;

  @Mixin
  private GlobalOptions global;

  @Option(names = {"-o", "--output"}, paramLabel = "DIR", order = 1)
  private Path output = Path.of("espalier-demo");

  @Option(names = "--seed", paramLabel = "N", order = 2)
  private long seed;

  @Mixin
  private VerifyOptions run;

  @Override
  public Integer call() throws IOException {
    Reports.check(output, true, "--output");
    for (String name : Files.isDirectory(output) ? MODELS_AND_DATA : List.<String>of()) {
      AtomicOutput.check(output.resolve(name), true);
    }
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      global.say(
          "simulating %s soil columns, with noise of standard deviation %s".formatted(TRAINING_SIMULATIONS, NOISE));
      Dataset training = DiffusionSorptionData.generate("training samples", TRAINING_SIMULATIONS, NOISE, 2 * seed,
          arena);
      Dataset test = DiffusionSorptionData.generate("test samples", TEST_SIMULATIONS, 0, 2 * seed + 1, arena);
      DenseNetwork network = train(backend, training, progress, arena);
      Comparison.Result comparison = compare(backend, network, training, test, progress);
      PruningResult pruned = new Pruner(backend,
          options(PAPER).sparsity(SHOWN_SPARSITY).histogramBins(HISTOGRAM_BINS).build())
          .prune(network, Optional.of(training), progress, arena);
      progress.clear();
      write(backend, network, pruned, training, test, comparison);
      print(comparison);
      run.verification(backend, network, training).ifPresent(it -> VerifyOptions.print(global, it));
    }
    return 0;
  }

  private DenseNetwork train(Backend backend, Dataset training, Progress progress, Arena arena) throws IOException {
    List<Integer> widths = List.of(DiffusionSorptionData.PLACES, WIDTH, WIDTH, DiffusionSorptionData.PLACES);
    global.say("training a network of widths %s on %s samples".formatted(widths, training.samples().samples()));
    DenseNetwork initial = RandomNetwork.chain(widths, List.of(Activation.TANH, Activation.TANH, Activation.IDENTITY),
        seed, arena);
    DenseNetwork trained = Trainer.train(backend, initial, training,
        new TrainingOptions(EPOCHS, BATCH_SIZE, Adam.of(1e-3), LOSS, seed, false), progress, arena);
    progress.clear();
    return trained;
  }

  private Comparison.Result compare(Backend backend, DenseNetwork network, Dataset training, Dataset test,
      Progress progress) throws IOException {
    global.say("pruning the network %s times".formatted(METHODS.size() * SPARSITIES.size()));
    Comparison.Result result = new Comparison(backend, network, training, Augmentation.NONE, test, LOSS,
        backend.batchSize(), progress).run(SPARSITIES, METHODS, method -> options(method).build());
    progress.clear();
    return result;
  }

  private PruningOptions.Builder options(Method method) {
    return method.choose(PruningOptions.builder().seed(seed), OptionalDouble.empty());
  }

  private void write(Backend backend, DenseNetwork network, PruningResult pruned, Dataset training, Dataset test,
      Comparison.Result comparison) throws IOException {
    backend.enter(Phase.WRITE);
    Files.createDirectories(output);
    ModelFile.write(output.resolve(MODELS_AND_DATA.get(0)), network, true);
    ModelFile.write(output.resolve(MODELS_AND_DATA.get(1)), pruned.network(), true);
    writeData(output.resolve(MODELS_AND_DATA.get(2)), training);
    writeData(output.resolve(MODELS_AND_DATA.get(3)), test);
    Map<String, Object> options = new LinkedHashMap<>(global.inForce());
    options.put("backend", backend.description());
    options.put("criteria", METHODS);
    options.put("sparsities", SPARSITIES);
    Report.Builder report = Reports.begin("demo").lossName(LOSS.toString())
        .comparison(Contestant.curves(Contestant.of(List.of(comparison)))).summary(summary(comparison))
        .loss(LOSS.toString(), loss(comparison, PAPER, SHOWN_SPARSITY))
        .model(network.weights(), pruned.network().zeros()).layers(Reports.layers(network, pruned, Optional.empty()))
        .notes(pruned.notes()).timings(Reports.timings(backend)).options(options);
    Reports.dense(report, comparison.dense());
    Reports.write(report.build(), output, true, global);
  }

  private static void writeData(Path file, Dataset source) throws IOException {
    MatrixSamples x = (MatrixSamples) source.samples();
    MatrixSamples y = (MatrixSamples) source.labels().orElseThrow();
    SafetensorsWriter.write(file, true, List.of(NewTensor.matrix("x", x.values()), NewTensor.matrix("y", y.values())),
        Map.of());
  }

  private static String summary(Comparison.Result result) {
    double other = loss(result, OTHER, SHOWN_SPARSITY);
    double compensated = loss(result, PAPER, SHOWN_SPARSITY);
    return "With %s of the weights removed in one shot, the test error is %s by magnitude, %s by ec/none, %s by paper: "
        .formatted(PLAIN.exactPercent(SHOWN_SPARSITY), PLAIN.value(loss(result, MAGNITUDE, SHOWN_SPARSITY)),
            PLAIN.value(loss(result, UNCOMPENSATED, SHOWN_SPARSITY)), PLAIN.value(compensated))
        + "compensation by the biases does most. The best other criterion with it, wanda/bias, has %s, %s times as much."
            .formatted(PLAIN.value(other), PLAIN.fixed(other / compensated, 1))
        + " In rounds, with a refit of the weights that are left in each, it is %s; by best, which also trains them to "
            .formatted(PLAIN.value(loss(result, REFITTED, SHOWN_SPARSITY)))
        + "follow the dense network, %s; the dense network's is %s."
            .formatted(PLAIN.value(loss(result, BEST, SHOWN_SPARSITY)), PLAIN.value(result.dense().loss()));
  }

  private static double loss(Comparison.Result result, Method method, double sparsity) {
    return result.outcome(method, sparsity).evaluation().loss();
  }

  private void print(Comparison.Result result) {
    global.out().println("Mean squared error on test data (other simulations, without noise):");
    global.out().println();
    Table table = new Table(1,
        Stream.concat(Stream.of("removed"), METHODS.stream().map(Method::toString)).toArray(String[]::new));
    table.row(Stream.concat(Stream.of("nothing"), METHODS.stream().map(_ -> PLAIN.value(result.dense().loss())))
        .toArray(String[]::new));
    for (double sparsity : SPARSITIES) {
      table.row(Stream.concat(Stream.of(PLAIN.exactPercent(sparsity)),
          METHODS.stream().map(method -> PLAIN.value(loss(result, method, sparsity)))).toArray(String[]::new));
    }
    table.lines().forEach(global.out()::println);
    global.out().println();
    global.out().println(summary(result));
    global.out().println();
    global.out()
        .println("Open %s in a browser. Then prune the network yourself:".formatted(output.resolve("report.html")));
    String train = quoted(output.resolve("train.safetensors"));
    String test = quoted(output.resolve("test.safetensors"));
    global.out().println("  espalier prune %s --data %s --sparsity 0.6 \\"
        .formatted(quoted(output.resolve("dense.safetensors")), train));
    global.out().println("    --test-data %1$s --test-labels %1$s --dry-run".formatted(test));
  }

  /// As it is typed into a shell.
  private static String quoted(Path path) {
    String text = path.toString();
    return text.matches("[\\w./~+,:=@%-]+") ? text : "'%s'".formatted(text.replace("'", "'\\''"));
  }
}
