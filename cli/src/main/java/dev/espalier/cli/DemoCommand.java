package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.calibration.MatrixSamples;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.training.Loss;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `espalier demo`.
@Command(name = "demo", sortOptions = false, synopsisHeading = "%nUsage: ",
    customSynopsis = "espalier demo [OPTION]...",
    header = "Train a small network, prune it, and show what each method loses.",
    description = "%nSimulates the diffusion of a substance through a column that sorbs it, trains a network to foretell"
        + " the concentrations 100 s ahead, and prunes it by several criteria. Takes less than a minute. The numbers"
        + " are the same every time.%n",
    footerHeading = "%nExample:%n", footer = {"    espalier demo"})
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
  private static final Method UNCOMPENSATED = Method.parse("ec/none");
  private static final Method COMPENSATED = Method.parse("ec");
  private static final List<Method> METHODS = List.of(MAGNITUDE, Method.parse("gradient"), UNCOMPENSATED, COMPENSATED);
  private static final int HISTOGRAM_BINS = 60;

  @Mixin
  private GlobalOptions global;

  @Option(names = {"-o", "--output"}, paramLabel = "DIR", order = 1,
      description = {"Folder for the models, the data and the report; files of an earlier demo are overwritten"
          + " (default: ${DEFAULT-VALUE})."})
  private Path output = Path.of("espalier-demo");

  @Option(names = "--seed", paramLabel = "N", order = 2,
      description = {"Of the simulations, the noise and the training (default: ${DEFAULT-VALUE})."})
  private long seed;

  @Mixin
  private DeviceOptions run;

  @Override
  public Integer call() throws IOException {
    Reports.check(output, true);
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      global.say("simulating %d columns of soil, with noise of %s".formatted(TRAINING_SIMULATIONS, NOISE));
      CalibrationSource training = DiffusionSorptionData.generate("training samples", TRAINING_SIMULATIONS, NOISE,
          2 * seed, arena);
      CalibrationSource test = DiffusionSorptionData.generate("test samples", TEST_SIMULATIONS, 0, 2 * seed + 1, arena);
      DenseNetwork network = train(backend, training, progress, arena);
      Comparison.Result comparison = compare(backend, network, training, test, progress);
      PruningResult pruned = new Pruner(backend,
          options(COMPENSATED, progress).sparsity(SHOWN_SPARSITY).histogramBins(HISTOGRAM_BINS).build())
          .prune(network, training, arena);
      progress.clear();
      write(backend, network, pruned, training, test, comparison);
      print(comparison);
      run.verify(global, backend, network, training);
    }
    return 0;
  }

  private DenseNetwork train(Backend backend, CalibrationSource training, Progress progress, Arena arena)
      throws IOException {
    List<Integer> widths = List.of(DiffusionSorptionData.PLACES, WIDTH, WIDTH, DiffusionSorptionData.PLACES);
    global.say("training a network of widths %s on %d samples".formatted(widths, training.samples().samples()));
    DenseNetwork initial = Trainer.initialise(widths, List.of(Activation.TANH, Activation.TANH, Activation.IDENTITY),
        seed, arena);
    DenseNetwork trained = Trainer.train(backend, initial, training,
        new TrainingOptions(EPOCHS, BATCH_SIZE, Adam.of(1e-3), Loss.MSE, seed, false, progress), arena);
    progress.clear();
    return trained;
  }

  private Comparison.Result compare(Backend backend, DenseNetwork network, CalibrationSource training,
      CalibrationSource test, Progress progress) throws IOException {
    global.say("pruning it %d times".formatted(METHODS.size() * SPARSITIES.size()));
    Comparison.Result result = new Comparison(backend, network, training, test, Loss.MSE, backend.batchSize(), progress)
        .run(SPARSITIES, METHODS, method -> options(method, progress));
    progress.clear();
    return result;
  }

  private PruningOptions.Builder options(Method method, Progress progress) {
    PruningOptions.Builder options = PruningOptions.builder().criterion(method.criterion()).seed(seed)
        .listener(progress);
    method.compensation().ifPresent(options::compensation);
    return options;
  }

  private void write(Backend backend, DenseNetwork network, PruningResult pruned, CalibrationSource training,
      CalibrationSource test, Comparison.Result comparison) throws IOException {
    backend.enter(Phase.WRITE);
    Files.createDirectories(output);
    ModelFile.write(output.resolve("dense.safetensors"), network, true);
    ModelFile.write(output.resolve("pruned.safetensors"), pruned.network(), true);
    writeData(output.resolve("train.safetensors"), training);
    writeData(output.resolve("test.safetensors"), test);
    Map<String, Object> options = new LinkedHashMap<>(global.inForce());
    options.put("backend", backend.description());
    options.put("criteria", METHODS);
    options.put("sparsities", SPARSITIES);
    Reports.write(comparison.report(Reports.begin("demo")).summary(summary(comparison))
        .loss(Loss.MSE.toString(), comparison.loss(COMPENSATED, SHOWN_SPARSITY))
        .model(network.weights(), Zeros.in(pruned.network())).layers(Reports.layers(network, pruned.layers()))
        .notes(pruned.notes()).timings(Reports.timings(backend)).options(options).build(), output, true, global);
  }

  private static void writeData(Path file, CalibrationSource source) throws IOException {
    MatrixSamples x = (MatrixSamples) source.samples();
    MatrixSamples y = (MatrixSamples) source.labels().orElseThrow();
    SafetensorsWriter.write(file, true, List.of(NewTensor.matrix("x", x.values()), NewTensor.matrix("y", y.values())),
        Map.of());
  }

  private static String summary(Comparison.Result result) {
    double magnitude = result.loss(MAGNITUDE, SHOWN_SPARSITY);
    double compensated = result.loss(COMPENSATED, SHOWN_SPARSITY);
    return "With %s of the weights removed, the test error is %s by magnitude, %s by ec without compensation, and %s by ec."
        .formatted(PLAIN.exactPercent(SHOWN_SPARSITY), PLAIN.value(magnitude),
            PLAIN.value(result.loss(UNCOMPENSATED, SHOWN_SPARSITY)), PLAIN.value(compensated))
        + " That is what moving the biases buys: an error %s times smaller than magnitude's, without any training."
            .formatted(PLAIN.fixed(magnitude / compensated, 0));
  }

  private void print(Comparison.Result result) {
    global.out().println("Mean squared error on test data (without noise, from other simulations):");
    global.out().println();
    Table table = new Table(1,
        Stream.concat(Stream.of("removed"), METHODS.stream().map(Method::toString)).toArray(String[]::new));
    table.row(Stream.concat(Stream.of("nothing"), METHODS.stream().map(_ -> PLAIN.value(result.dense().loss())))
        .toArray(String[]::new));
    for (double sparsity : SPARSITIES) {
      table.row(Stream.concat(Stream.of(PLAIN.exactPercent(sparsity)),
          METHODS.stream().map(method -> PLAIN.value(result.loss(method, sparsity)))).toArray(String[]::new));
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
