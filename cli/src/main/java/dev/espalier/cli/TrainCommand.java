package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.calibration.CalibrationSource;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.Loss;
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
@Command(name = "train", sortOptions = false, synopsisHeading = "%nUsage: ",
    customSynopsis = "espalier train --data FILE --labels FILE --layers WIDTHS -o FILE [OPTION]...",
    header = "Train a network, so that there is one to prune.",
    description = "%nTrains a fully-connected network by Adam and writes it as a safetensors file.%n",
    footerHeading = "%nExample:%n",
    footer = {"  MNIST, with the network known as LeNet-300-100:",
        "    espalier train --data train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz \\",
        "      --layers 784,300,100,10 --activations relu --epochs 6 -o lenet.safetensors"})
final class TrainCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @ArgGroup(validate = false, order = 1, heading = "%nData:%n")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nTest data, to judge the result by:%n")
  private TestOptions test = new TestOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nThe network and its training:%n")
  private Training training = new Training();

  @ArgGroup(validate = false, order = 4, heading = "%nOutput:%n")
  private OutputOptions output = new OutputOptions();

  private static final class Training extends DeviceOptions {
    @Option(names = "--layers", paramLabel = "WIDTHS", split = ",", order = 10, converter = Values.AtLeastOne.class,
        description = {"Widths of the input and of each layer, separated by commas, for example 784,300,100,10."})
    private List<Integer> layers;

    @Option(names = "--activations", paramLabel = "NAMES", order = 11, description = {
        "One for all hidden layers (the last is identity then), or one for each layer separated by commas: identity,"
            + " relu, leaky_relu, elu, gelu, silu, softplus, tanh, sigmoid, and softmax for the last"
            + " (default: ${DEFAULT-VALUE})."})
    private Activations activations = new Activations(List.of(Activation.RELU));

    @Option(names = "--loss", paramLabel = "LOSS", order = 12,
        description = {"mse or cross-entropy; default: cross-entropy for class indices, else mse."})
    private Loss loss;

    @Option(names = "--epochs", paramLabel = "N", order = 13, converter = Values.AtLeastOne.class,
        description = {"Passes over the data (default: ${DEFAULT-VALUE})."})
    private int epochs = 10;

    @Option(names = "--learning-rate", paramLabel = "RATE", order = 14, converter = Values.Positive.class,
        description = {"Of Adam (default: ${DEFAULT-VALUE})."})
    private double learningRate = 1e-3;

    @Option(names = "--batch-size", paramLabel = "N", order = 15, converter = Values.AtLeastOne.class,
        description = {"Samples in a step (default: ${DEFAULT-VALUE})."})
    private int batchSize = 128;

    @Option(names = "--seed", paramLabel = "N", order = 16,
        description = {"Of the first weights and the order of samples (default: ${DEFAULT-VALUE})."})
    private long seed;
  }

  @Override
  public Integer call() throws IOException {
    check();
    List<Activation> activations = activations();
    try (Backend backend = training.open(global);
        Arena arena = Arena.ofConfined();
        Progress progress = global.progress()) {
      CalibrationSource samples = data.open();
      DenseNetwork initial = Trainer.initialise(training.layers, activations, training.seed, arena);
      Loss loss = training.loss == null ? Loss.defaultFor(initial, samples.labels().orElseThrow()) : training.loss;
      DenseNetwork trained = Trainer.train(backend, initial, samples, new TrainingOptions(training.epochs,
          training.batchSize, Adam.of(training.learningRate), loss, training.seed, false, progress), arena);
      CalibrationSource judges = test.isGiven() ? test.open() : samples;
      Evaluation evaluation = Evaluation.of(backend, trained, judges, loss, training.batchSize, progress);
      progress.clear();
      ModelFile.write(output.output, trained, output.force);
      print(evaluation);
      training.verify(global, backend, trained, samples);
    }
    return 0;
  }

  private void check() throws IOException {
    global.require(data.data != null && data.labels != null, "--data and --labels are needed: give both");
    global.require(training.layers != null && training.layers.size() > 1,
        "--layers is missing or too short: give the widths of the input and of each layer, such as 784,300,100,10");
    global.require(output.output != null, "an output is missing: give -o FILE");
    test.check(global);
    output.check();
  }

  private List<Activation> activations() {
    try {
      return training.activations.forLayers(training.layers.size() - 1);
    } catch (IllegalArgumentException e) {
      global.require(false, e.getMessage());
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
