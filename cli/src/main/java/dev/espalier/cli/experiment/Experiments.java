package dev.espalier.cli.experiment;

import dev.espalier.cli.experiment.Experiment.Comparing;
import dev.espalier.cli.experiment.Experiment.Measuring;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.experiment.Study.Part;
import dev.espalier.engine.experiment.Subject;
import dev.espalier.engine.experiment.Subject.Task;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.LongFunction;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;

/// All experiments.
public final class Experiments {
  private static final List<Integer> LENET = List.of(784, 300, 100, 10);
  private static final List<Integer> LITTLE = List.of(784, 32, 16, 10);
  private static final List<Integer> WIDE = List.of(784, 1024, 1024, 10);
  private static final Loss CROSS_ENTROPY = new Loss.CrossEntropy();
  private static final Loss SQUARED_ERROR = new Loss.SquaredError();
  private static final int CALIBRATION = 10_000;
  private static final List<Method> CRITERIA = methods("magnitude", "magnitude/bias", "gradient", "random", "wanda",
      "wanda/bias", "ec/none", "ec", "refit", "best");
  private static final List<Method> CLASSIFIER_CRITERIA = Stream
      .concat(CRITERIA.subList(0, 8).stream(), methods("ec/fisher", "refit", "best").stream()).toList();
  /// For small networks.
  private static final List<Method> WITH_REFERENCE = Stream
      .concat(CRITERIA.subList(0, 8).stream(), methods("ec-nonlinear", "refit", "best").stream()).toList();
  private static final String PRUNED = "Pruned, without training afterwards";
  private static final List<Double> FROM_LOW_TO_HIGH = List.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98,
      0.99);
  private static final List<Double> HIGH = List.of(0.9, 0.95, 0.98, 0.99);
  private static final List<Double> FEW = List.of(0.5, 0.8, 0.9);

  /// All, in the order of a list.
  public static final List<Experiment> ALL = List.of(
      new Experiment("paper-mnist", "MNIST, as in the paper",
          "How far do the criteria go on MNIST, in one shot, with fine-tuning, and beside refit and best? With ReLU "
              + "and with tanh.",
          "about 2 h, 3 GiB", List.of(Experiment.Need.MNIST),
          new Comparing(inputs -> paperMnist(LENET, inputs), false)),
      new Experiment("paper-mnist-wide", "MNIST, as in the paper, a wider network",
          "The same on a network of 1.9 million weights.", "about 5 min on an H100, many hours on 2 cores, 2 GiB",
          List.of(Experiment.Need.MNIST), new Comparing(inputs -> paperMnist(WIDE, inputs), false)),
      new Experiment("paper-diffusion-sorption", "Diffusion-sorption, as in the paper",
          "How far do the criteria go on a regression of a physical field, and does compensation regularise against "
              + "noise on the training data? Test data are without noise.",
          "about 10 min, 1 GiB", List.of(), new Comparing(Experiments::paperDiffusionSorption, false)),
      new Experiment("public-race", "The public MLPNet checkpoint",
          "The trained 784-40-20-10 network of the tables of WoodFisher, CBS and CHITA, pruned without labels.",
          "about 40 min, 2 GiB", List.of(Experiment.Need.MNIST, Experiment.Need.CHECKPOINT),
          new Comparing(Experiments::publicRace, false)),
      new Experiment("fashion", "Fashion-MNIST",
          "Is MNIST a lucky case? The same on Fashion-MNIST; --mnist names the folder with its files.",
          "about 20 min, 2 GiB", List.of(Experiment.Need.MNIST), new Comparing(Experiments::fashion, false)),
      new Experiment("tabular", "A regression table",
          "Friedman's function of ten features, of which five matter, with noise on the training targets.",
          "about 1 min, 1 GiB", List.of(), new Comparing(Experiments::tabular, false)),
      new Experiment("siren", "A SIREN", "A network with sine activations that represents a function of two variables.",
          "about 1 min, 1 GiB", List.of(), new Comparing(Experiments::siren, false)),
      new Experiment("operator", "An operator network",
          "A DeepONet that maps a function to its antiderivative: a branch 40-64-64-32 and a trunk 1-64-64-32, tanh, "
              + "joined by products.",
          "about 5 min, 1 GiB", List.of(), new Comparing(Experiments::operator, false)),
      new Experiment("cost", "Time against quality",
          "What does each method cost, and what does it keep? Seconds are those of all sparsities together.",
          "about 5 min, 2 GiB", List.of(Experiment.Need.MNIST), new Comparing(Experiments::cost, true)),
      new Experiment("ablation", "What each part contributes",
          "Compensation, sensitivity, smoothing, rounds, calibration samples, temperature and damping, each varied alone.",
          "about 1 h, 2 GiB", List.of(Experiment.Need.MNIST), new Comparing(Experiments::ablation, false)),
      new Experiment("scale", "A wide network",
          "What does pruning three layers of 4096 × 4096 take, by phases, beside a plain matrix product?",
          "about 2 min, 3 GiB", List.of(), new Measuring(Scale::run)));

  private Experiments() {}

  /// The experiment of that name.
  ///
  /// @throws IllegalArgumentException if there is none
  public static Experiment parse(String name) {
    return ALL.stream().filter(experiment -> experiment.name().equals(name)).findFirst()
        .orElseThrow(() -> new IllegalArgumentException("unknown experiment '%s': use %s".formatted(name,
            ALL.stream().map(Experiment::name).collect(Collectors.joining(", ")))));
  }

  private static List<Part> paperMnist(List<Integer> widths, Inputs inputs) throws IOException {
    Dataset training = inputs.mnist(Inputs.TRAIN);
    Dataset test = inputs.mnist(Inputs.TEST);
    List<Subject.Trained> networks = classifiers(inputs.either(widths, LITTLE), inputs);
    return List.of(
        new Part("pruned", PRUNED, subjects(networks, training.first(CALIBRATION), training, test), CLASSIFIER_CRITERIA,
            inputs.either(FROM_LOW_TO_HIGH, FEW), true),
        new Part("fine-tuned", fineTuning(2), subjects(networks, training, training, test), fineTuned(2),
            inputs.either(HIGH, FEW), false));
  }

  private static List<Subject.Trained> classifiers(List<Integer> widths, Inputs inputs) {
    return Stream.of("relu", "tanh").map(hidden -> classifier("mnist", widths, hidden, inputs.either(6, 1))).toList();
  }

  private static List<Subject> subjects(List<Subject.Trained> networks, Dataset calibration, Dataset training,
      Dataset test) {
    return networks.stream().map(network -> subject(network, calibration, training, test)).toList();
  }

  private static String fineTuning(int epochs) {
    return "Pruned in one shot and fine-tuned with labels for %d epochs; refit does so in each round".formatted(epochs);
  }

  /// At the learning rate of the training.
  private static List<Method> fineTuned(int epochs) {
    return Stream.of("magnitude/", "gradient/", "wanda/", "ec/", "refit/refit+")
        .map(name -> Method.parse("%sfine-tune:epochs=%d:rate=0.001".formatted(name, epochs))).toList();
  }

  private static List<Part> paperDiffusionSorption(Inputs inputs) {
    List<Integer> widths = List.of(DiffusionSorptionData.PLACES, 64, 64, DiffusionSorptionData.PLACES);
    int simulations = inputs.either(200, 20);
    List<Subject> subjects = DoubleStream.of(0, 0.01, 0.05, 0.1).mapToObj(noise -> {
      String name = "noise-%s".formatted(noise);
      return new Subject("noise %.0f %%".formatted(100 * noise), new Subject.Trained("diffusion-" + name, widths,
          activations("tanh", widths), training(inputs.either(40, 2), 64, SQUARED_ERROR)), (seed, arena) -> {
            Dataset training = DiffusionSorptionData.generate("training samples", simulations, noise, 2 * seed, arena);
            return new Task(Optional.of(training), training,
                DiffusionSorptionData.generate("test samples", 50, 0, 2 * seed + 1, arena), SQUARED_ERROR);
          }, false);
    }).toList();
    List<Double> sparsities = inputs.either(FROM_LOW_TO_HIGH.subList(0, 11), FEW);
    return List.of(new Part("pruned", PRUNED, subjects, WITH_REFERENCE, sparsities, true), new Part("fine-tuned",
        fineTuning(10), subjects, fineTuned(10), inputs.either(List.of(0.5, 0.7, 0.8, 0.9, 0.95), FEW), false));
  }

  private static List<Part> publicRace(Inputs inputs) throws IOException {
    Subject.Given network = new Subject.Given(inputs.checkpointed());
    Dataset training = inputs.normalised(inputs.mnist(Inputs.TRAIN), 0.1307, 0.3081);
    Dataset test = inputs.normalised(inputs.mnist(Inputs.TEST), 0.1307, 0.3081);
    Task task = new Task(Optional.empty(), training.first(CALIBRATION), test, CROSS_ENTROPY);
    Task all = new Task(Optional.empty(), training, test, CROSS_ENTROPY);
    return List.of(new Part("race", "Without labels",
        List.of(new Subject("no biases, 10 000 images", network, (_, _) -> task, false),
            new Subject("new biases, 10 000 images", network, (_, _) -> task, true),
            new Subject("no biases, 60 000 images", network, (_, _) -> all, false)),
        methods("magnitude", "wanda", "ec", "ec/fisher", "refit", "refit/refit+joint", "best"),
        inputs.either(List.of(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98), FEW), false));
  }

  private static List<Part> fashion(Inputs inputs) throws IOException {
    Dataset training = inputs.mnist(Inputs.TRAIN);
    Subject subject = subject(classifier("fashion", inputs.either(LENET, LITTLE), "relu", inputs.either(10, 1)),
        training.first(CALIBRATION), training, inputs.mnist(Inputs.TEST));
    return List.of(
        new Part("pruned", PRUNED, List.of(subject), CLASSIFIER_CRITERIA, inputs.either(FROM_LOW_TO_HIGH, FEW), true));
  }

  private static List<Part> tabular(Inputs inputs) {
    List<Integer> widths = List.of(Friedman.FEATURES, 64, 64, 1);
    Subject subject = new Subject("10-64-64-1 relu", new Subject.Trained("friedman", widths,
        activations("relu", widths), training(inputs.either(60, 2), 64, SQUARED_ERROR)), (seed, arena) -> {
          Dataset training = Friedman.generate("training samples", inputs.either(5000, 300), 1, 2 * seed, arena);
          return new Task(Optional.of(training), training,
              Friedman.generate("test samples", inputs.either(5000, 300), 0, 2 * seed + 1, arena), SQUARED_ERROR);
        }, false);
    return List.of(new Part("pruned", PRUNED, List.of(subject), CRITERIA, inputs.either(FROM_LOW_TO_HIGH, FEW), true));
  }

  private static List<Part> siren(Inputs inputs) {
    List<Integer> widths = List.of(2, 64, 64, 1);
    Subject subject = new Subject("2-64-64-1 sin", new Subject.Trained("siren", widths,
        Activations.parse("sin:30,sin,identity").forLayers(3), training(inputs.either(60, 2), 64, SQUARED_ERROR)),
        (seed, arena) -> {
          Dataset training = Waves.generate("training samples", inputs.either(8000, 300), 2 * seed, arena);
          return new Task(Optional.of(training), training,
              Waves.generate("test samples", inputs.either(5000, 300), 2 * seed + 1, arena), SQUARED_ERROR);
        }, false);
    return List.of(new Part("pruned", PRUNED, List.of(subject), CRITERIA,
        inputs.either(FROM_LOW_TO_HIGH.subList(0, 10), FEW), true));
  }

  private static List<Part> operator(Inputs inputs) {
    Subject subject = new Subject("DeepONet",
        new Subject.TrainedGraph(Antiderivative.network(), training(inputs.either(60, 2), 64, SQUARED_ERROR)),
        (seed, arena) -> {
          Dataset training = Antiderivative.generate("training samples", inputs.either(20_000, 300), 2 * seed, arena);
          return new Task(Optional.of(training), training.first(CALIBRATION),
              Antiderivative.generate("test samples", inputs.either(5000, 300), 2 * seed + 1, arena), SQUARED_ERROR);
        }, false);
    return List.of(new Part("pruned", PRUNED, List.of(subject), CRITERIA,
        inputs.either(FROM_LOW_TO_HIGH.subList(0, 11), FEW), false));
  }

  private static List<Part> cost(Inputs inputs) throws IOException {
    return List.of(new Part("cost", "Seconds and accuracy", List.of(lenet(inputs, CALIBRATION)),
        methods("magnitude", "wanda", "ec/probes:1", "ec", "ec/fisher", "ec/probes:1/geometric:0.75",
            "ec/probes:1/refit", "refit", "refit/refit+joint", "best"),
        inputs.either(HIGH, FEW), false));
  }

  private static List<Part> ablation(Inputs inputs) throws IOException {
    List<Subject> lenet = List.of(lenet(inputs, CALIBRATION));
    List<Subject> bySamples = new ArrayList<>();
    for (int samples : inputs.either(List.of(100, 300, 1000, 10_000, 60_000), List.of(100))) {
      bySamples.add(lenet(inputs, samples));
    }
    List<Double> sparsities = inputs.either(HIGH, FEW);
    return List.of(new Part("compensation", "Compensation", lenet,
        methods("magnitude", "magnitude/bias", "wanda", "wanda/bias", "ec/none", "ec", "ec/refit"), sparsities, false),
        new Part("sensitivity", "Sensitivity, in one shot", lenet,
            methods("ec/jacobian", "ec/jacobian:smooth=0.2", "ec/probes:1", "ec/probes:4", "ec/probes:16", "ec/fisher",
                "ec/fisher:1", "ec/fisher:T=4"),
            sparsities, false),
        new Part("smoothing", "Smoothed sensitivities, in rounds", lenet,
            methods("refit/probes:1", "refit", "best/fisher:1:T=4/refit+distill:kl:4",
                "best/fisher:1:T=4:smooth=0.2/refit+distill:kl:4"),
            sparsities, false),
        new Part("rounds", "Rounds, with a refit in each", lenet,
            methods("refit/oneshot", "refit/linear:5", "refit/geometric:0.5", "refit/geometric:0.75",
                "refit/geometric:0.9"),
            sparsities, false),
        new Part("samples", "Calibration samples: repairs make noisy copies of few", bySamples,
            methods("ec", "refit", "best"), sparsities, false),
        new Part("temperature", "Temperature of sensitivity and distillation", lenet,
            methods("best/fisher:1:T=1:smooth=0.2/refit+distill:kl:1",
                "best/fisher:1:T=2:smooth=0.2/refit+distill:kl:2", "best/fisher:1:T=4:smooth=0.2/refit+distill:kl:4",
                "best/fisher:1:T=8:smooth=0.2/refit+distill:kl:8", "best/probes:1:smooth=0.2/refit+distill:mse",
                "best"),
            sparsities, false),
        new Part("damping", "Damping of the refit", lenet, methods("refit/refit:damping=0.0001",
            "refit/refit:damping=0.001", "refit/refit:damping=0.01", "refit/refit:damping=0.1"), sparsities, false));
  }

  private static Subject lenet(Inputs inputs, int samples) throws IOException {
    Dataset training = inputs.mnist(Inputs.TRAIN);
    Subject subject = subject(classifier("mnist", inputs.either(LENET, LITTLE), "relu", inputs.either(6, 1)),
        training.first(samples), training, inputs.mnist(Inputs.TEST));
    return new Subject("%s, %d samples".formatted(subject.name(), samples), subject.origin(), subject.data(), false);
  }

  private static Subject subject(Subject.Trained network, Dataset calibration, Dataset training, Dataset test) {
    Task task = new Task(Optional.of(training), calibration, test, CROSS_ENTROPY);
    return new Subject("%s %s".formatted(text(network.widths(), "-"), network.activations().getFirst()), network,
        (_, _) -> task, false);
  }

  private static Subject.Trained classifier(String data, List<Integer> widths, String hidden, int epochs) {
    return new Subject.Trained("%s-%s-%s".formatted(data, text(widths, "-"), hidden), widths,
        activations(hidden, widths), training(epochs, 128, CROSS_ENTROPY));
  }

  private static List<Activation> activations(String hidden, List<Integer> widths) {
    return Activations.parse(hidden).forLayers(widths.size() - 1);
  }

  private static LongFunction<TrainingOptions> training(int epochs, int batchSize, Loss loss) {
    return seed -> new TrainingOptions(epochs, batchSize, Adam.of(1e-3), loss, seed, false);
  }

  private static String text(List<Integer> widths, String between) {
    return widths.stream().map(String::valueOf).collect(Collectors.joining(between));
  }

  private static List<Method> methods(String... names) {
    return Stream.of(names).map(Method::parse).toList();
  }
}
