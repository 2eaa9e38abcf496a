package dev.espalier.engine.report;

import dev.espalier.engine.statistics.Histogram;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/// Reports of the kind that `prune` and `compare` write, with figures that were measured where there are such.
final class SampleReports {
  static final Instant TIME = Instant.parse("2026-11-23T06:12:31.250Z");
  private static final double THRESHOLD = 7.05e-4;

  private SampleReports() {}

  /// Writes the pages, to look at them: `report.html` in folders `prune`, `compare` and `named` of the given directory.
  public static void main(String[] args) throws Exception {
    ReportWriter.write(prune(), Path.of(args[0], "prune"), true);
    ReportWriter.write(compare(), Path.of(args[0], "compare"), true);
    ReportWriter.write(named("<script>alert(1)</script>{{x}}"), Path.of(args[0], "named"), true);
  }

  /// LeNet-300-100 at 90 %.
  static Report prune() {
    List<LayerReport> layers = List.of(layer("0.weight", 300, 784, "relu", 31_200, -4.6, 0.9, 0.71, 0.94),
        layer("2.weight", 100, 300, "relu", 0, -3.6, 0.55, 0.62, 0.83),
        layer("4.weight", 10, 100, "identity", 0, -1.9, 0.6, 0.013, 0.0127));
    long removed = layers.stream().mapToLong(LayerReport::removed).sum();
    return Report.builder("prune", "0.1.0", TIME)
        .summary("Removed 90 % of the weights of lenet-300-100.safetensors and compensated their biases, "
            + "by 10 000 calibration samples.")
        .model(266_200, removed).gain(new Gain(1_064_800, 208_940, "csr", 266_200, 26_620, 112_000))
        .graph(chain(layers))
        .predictedTimes(List.of(new PredictedTime(1, 2.8e-5, OptionalDouble.of(1.6e-5)),
            new PredictedTime(32, 0.001, OptionalDouble.of(0.002)),
            new PredictedTime(1024, 0.011, OptionalDouble.empty())))
        .accuracy(0.9779).denseAccuracy(0.9799).loss("cross-entropy", 0.0742).denseLoss(0.0671).outputChange(2.714)
        .layers(layers)
        .deviations(new Deviations(256, 0.9,
            List.of(new Deviations.Layer("0.weight", 1.4e-6, OptionalDouble.of(3.1e-7), 218_000, 2),
                new Deviations.Layer("4.weight", 0, OptionalDouble.empty(), 8, 0))))
        .timings(timings()).work(Map.of("scoring", 4.8e11)).options(options())
        .notes(List.of("sensitivity: jacobian, 10 outputs", "device: reference, as no GPU was found",
            "layer 4.weight had no bias and gained one"))
        .build();
  }

  /// Five criteria at seven sparsities.
  static Report compare() {
    double[] sparsities = {0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98};
    Map<String, double[]> accuracies = new LinkedHashMap<>();
    accuracies.put("ec", new double[]{0.9791, 0.9787, 0.9768, 0.969, 0.934, 0.849, 0.61});
    accuracies.put("wanda", new double[]{0.9789, 0.9783, 0.976, 0.972, 0.924, 0.772, 0.43});
    accuracies.put("magnitude", new double[]{0.9785, 0.9768, 0.9701, 0.942, 0.787, 0.548, 0.29});
    accuracies.put("gradient", new double[]{0.9781, 0.9761, 0.9694, 0.941, 0.718, 0.484, 0.25});
    accuracies.put("random", new double[]{0.83, 0.61, 0.44, 0.26, 0.12, 0.1, 0.098});
    List<Curve> curves = new ArrayList<>();
    accuracies.forEach((criterion,
        accuracy) -> curves.add(new Curve(criterion,
            IntStream.range(0, sparsities.length)
                .mapToObj(i -> new Point(sparsities[i], OptionalDouble.of(0.02 + 2.5 * (1 - accuracy[i])),
                    OptionalDouble.of(accuracy[i]), OptionalDouble.of(900 * Math.pow(1 - accuracy[i], 1.4))))
                .toList())));
    return Report.builder("compare", "0.1.0", TIME)
        .summary("Five criteria on lenet-300-100.safetensors, one shot, without fine-tuning.").lossName("cross-entropy")
        .comparison(curves).timings(timings()).options(options()).build();
  }

  /// With the same name wherever a report may have one.
  static Report named(String name) {
    LayerReport first = layer(name, 300, 784, name, 31_200, -4.6, 0.9, 0.71, 0.94);
    LayerReport second = layer(name, 100, 300, name, 0, -3.6, 0.55, 0.62, 0.83);
    List<Curve> curves = List.of(new Curve(name, points(0.1, 0.3)), new Curve(name + name, points(0.2, 0.1)));
    return Report.builder(name, name, TIME).summary(name).model(266_200, 1000).accuracy(0.9).loss(name, 0.5)
        .denseLoss(0.4).layers(List.of(first, second)).comparison(curves)
        .deviations(new Deviations(1, 0.5, List.of(new Deviations.Layer(name, 0, OptionalDouble.empty(), 1, 0))))
        .timings(Map.of(name, 1.5)).work(Map.of(name, 2e9)).notes(List.of(name))
        .options(Map.of(name, List.of(name, name))).build();
  }

  private static GraphReport chain(List<LayerReport> layers) {
    List<GraphReport.Step> nodes = new ArrayList<>(
        List.of(new GraphReport.Step("input", false, false, List.of(), layers.getFirst().inputs())));
    for (LayerReport layer : layers) {
      nodes.add(new GraphReport.Step("layer " + layer.name(), true, false, List.of(nodes.size() - 1), layer.outputs()));
      nodes.add(new GraphReport.Step(layer.activation(), false, true, List.of(nodes.size() - 1), layer.outputs()));
    }
    return new GraphReport(nodes);
  }

  private static List<Point> points(double... losses) {
    return IntStream.range(0, losses.length).mapToObj(i -> new Point(0.5 + 0.1 * i, OptionalDouble.of(losses[i]),
        OptionalDouble.of(1 - losses[i]), OptionalDouble.of(10 * losses[i]))).toList();
  }

  private static Map<String, Double> timings() {
    Map<String, Double> timings = new LinkedHashMap<>();
    timings.put("load", 0.412);
    timings.put("forward", 3.871);
    timings.put("backward", 11.204);
    timings.put("moments", 24.918);
    timings.put("select", 0.0934);
    timings.put("write", 0.0081);
    return timings;
  }

  private static Map<String, Object> options() {
    Map<String, Object> options = new LinkedHashMap<>();
    options.put("model", "lenet-300-100.safetensors");
    options.put("data", "train-images-idx3-ubyte.gz");
    options.put("sparsity", 0.9);
    options.put("criterion", "ec");
    options.put("compensation", "bias");
    options.put("sensitivity", "jacobian");
    options.put("scope", "global");
    options.put("schedule", "oneshot");
    options.put("exclude", List.of());
    options.put("min-per-layer", 1);
    options.put("max-samples", 10_000);
    options.put("activations", List.of("relu", "relu", "identity"));
    options.put("device", "reference");
    options.put("seed", 42L);
    options.put("force", true);
    return options;
  }

  /// A layer whose log10 importance is about normal.
  private static LayerReport layer(String name, int outputs, int inputs, String activation, long zeros, double mean,
      double deviation, double predicted, double measured) {
    int bins = 60;
    double min = mean - 4 * deviation;
    double max = mean + 3 * deviation;
    double step = (max - min) / bins;
    double[] shares = IntStream.range(0, bins).mapToDouble(i -> (min + (i + 0.5) * step - mean) / deviation)
        .map(z -> Math.exp(-z * z / 2 + 0.25 * z)).toArray();
    double sum = IntStream.range(0, bins).mapToDouble(i -> shares[i]).sum();
    long left = (long) outputs * inputs - zeros;
    long removed = zeros;
    List<Long> counts = new ArrayList<>();
    for (double share : shares) {
      counts.add(Math.min(left, Math.round(share / sum * ((long) outputs * inputs - zeros))));
      left -= counts.getLast();
      double below = (Math.log10(THRESHOLD) - (min + (counts.size() - 1) * step)) / step;
      removed += Math.round(Math.clamp(below, 0.0, 1.0) * counts.getLast());
    }
    return new LayerReport(name, outputs, inputs, activation, removed, OptionalDouble.of(predicted),
        OptionalDouble.of(measured), Optional.of(new Histogram(min, max, counts, zeros + left)),
        OptionalDouble.of(THRESHOLD));
  }
}
