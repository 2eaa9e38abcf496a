package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.RandomNetwork;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `espalier train`.
@Command(name = "train", sortOptions = false)
final class TrainCommand implements Callable<Integer> {
  static final int BATCH_SIZE = 128;
  static final double LEARNING_RATE = 1e-3;

  @Mixin
  private GlobalOptions global;

  @ArgGroup(validate = false, order = 1, headingKey = "data.heading")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 2, headingKey = "test.heading")
  private TestOptions test = new TestOptions();

  @ArgGroup(validate = false, order = 3, headingKey = "training.heading")
  private Training training = new Training();

  @ArgGroup(validate = false, order = 4, headingKey = "output.heading")
  private OutputOptions output = new OutputOptions();

  private static final class Training extends DeviceOptions {
    @Option(names = "--layers", paramLabel = "WIDTHS", split = ",", order = 10, converter = Values.AtLeastOne.class)
    private List<Integer> layers;

    @Option(names = "--activations", paramLabel = "NAMES", order = 11)
    private Activations activations;

    @Option(names = "--loss", paramLabel = "LOSS", order = 12)
    private Loss loss;

    @Option(names = "--epochs", paramLabel = "N", order = 13, converter = Values.AtLeastOne.class)
    private int epochs = 10;

    @Option(names = "--learning-rate", paramLabel = "RATE", order = 14, converter = Values.Positive.class)
    private double learningRate = LEARNING_RATE;

    @Option(names = "--batch-size", paramLabel = "N", order = 15, converter = Values.AtLeastOne.class)
    private int batchSize = BATCH_SIZE;

    @Option(names = "--seed", paramLabel = "N", order = 16)
    private long seed;
  }

  @Override
  public Integer call() throws IOException {
    check();
    List<Activation> activations = activations();
    try (Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      Dataset samples = data.open(global);
      DenseNetwork initial = RandomNetwork.chain(training.layers, activations, training.seed, arena);
      Loss loss = Losses.inForce(training.loss, initial.graph(), samples);
      Losses.note(training.loss, initial.graph(), samples).ifPresent(global::note);
      TrainingOptions options = new TrainingOptions(training.epochs, training.batchSize, Adam.of(training.learningRate),
          loss, training.seed, false);
      Dataset judges = test.isGiven() ? test.open(data, global) : samples;
      samples.requireWidth(initial.inputs());
      judges.requireWidth(initial.inputs());
      try (Backend backend = training.open(global)) {
        Evaluation evaluation;
        DenseNetwork trained;
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, initial)) {
          Trainer.train(backend, device, samples, options, progress);
          evaluation = Evaluation.of(backend, device, judges, loss, training.batchSize, progress);
          trained = device.download(arena);
        }
        progress.clear();
        ModelFile.write(output.output, trained, output.force);
        print(evaluation);
      }
    }
    return 0;
  }

  private void check() throws IOException {
    data.check(global);
    global.require(data.hasLabels(), "--data or --labels is missing: give both");
    global.require(training.layers != null && training.layers.size() > 1,
        "--layers is missing or too short: give the widths of the input and of each layer, for example 784,300,100,10");
    global.require(output.output != null, "--output is missing: give -o FILE");
    test.check(data, global);
    output.checkSafetensors(global, data.files());
  }

  private List<Activation> activations() {
    int layers = training.layers.size() - 1;
    try {
      return training.activations == null
          ? new Activations(List.of(layers > 1 ? Activation.RELU : Activation.IDENTITY)).forLayers(layers)
          : training.activations.forLayers(layers);
    } catch (MismatchException e) {
      global.require(false, "--activations: " + e.getMessage());
      throw e;
    }
  }

  private void print(Evaluation evaluation) {
    Table table = new Table(1, test.isGiven() ? "on test data" : "on training data", evaluation.lossName().toString(),
        "accuracy");
    table.row("trained", PLAIN.value(evaluation.loss()), PLAIN.percent(evaluation.accuracy()));
    table.lines().forEach(global.out()::println);
    global.say("model: " + output.output);
  }
}
