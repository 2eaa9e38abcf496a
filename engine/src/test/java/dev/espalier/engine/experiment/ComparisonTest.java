package dev.espalier.engine.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.experiment.Comparison.Outcome;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.OutputChange;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class ComparisonTest {
  private static final Loss LOSS = new Loss.CrossEntropy();
  private static final List<Method> METHODS = Stream
      .of("ec", "ec/none", "magnitude", "magnitude/bias", "wanda", "gradient", "random", "ec").map(Method::parse)
      .toList();
  private static final List<Double> SPARSITIES = List.of(0.9, 0.3, 0.5, 0.9);

  private final Arena arena = Arena.ofConfined();
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(6, 8, 7, 3),
      List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
  private final CountedSamples calibrationSamples = new CountedSamples("calibration", 50);
  private final CountedSamples testSamples = new CountedSamples("test", 40);
  private final Dataset calibration = Dataset.of(calibrationSamples, labels(50));
  private final Dataset test = Dataset.of(testSamples, labels(40));

  @AfterEach
  void close() {
    arena.close();
  }

  private SampleSource labels(int samples) {
    MatrixView labels = MatrixView.allocate(arena, samples, 1);
    for (int n = 0; n < samples; n++) {
      labels.set(n, 0, n % 3);
    }
    return new MatrixSamples("labels", labels);
  }

  /// Counts the passes over them.
  private final class CountedSamples implements SampleSource {
    private final MatrixSamples samples;
    private int passes;

    CountedSamples(String name, int count) {
      samples = new MatrixSamples(name, TestNetworks.normal(arena, TestNetworks.random(count), count, 6, 1, 0.5));
    }

    @Override
    public String name() {
      return samples.name();
    }

    @Override
    public long samples() {
      return samples.samples();
    }

    @Override
    public int width() {
      return samples.width();
    }

    @Override
    public Pass open() {
      passes++;
      return samples.open();
    }
  }

  private Comparison comparison(Backend backend) {
    return new Comparison(backend, network, calibration, Augmentation.NONE, test, LOSS, 16, ProgressListener.NONE);
  }

  private static PruningOptions options(Method method, Target target) {
    PruningOptions.Builder builder = PruningOptions.builder().target(target).criterion(method.criterion())
        .exclude("layer1").minPerLayer(2).seed(3);
    method.compensation().ifPresent(builder::compensation);
    return builder.build();
  }

  @Test
  void everyOutcomeIsThatOfASinglePruning() throws IOException {
    for (Scope scope : List.of(new Scope.Global(), new Scope.PerLayer(), new Scope.PerRow())) {
      try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
        for (Backend backend : List.of(reference, cpu)) {
          Comparison.Result result = comparison(backend).run(SPARSITIES, METHODS,
              method -> options(method, new Target.Fraction(0.5, scope)));
          assertEquals(METHODS.subList(0, 7), result.methods().stream().map(Comparison.MethodResult::method).toList());
          try (DeviceNetwork dense = DeviceNetwork.copyOf(backend, network)) {
            assertEquals(Evaluation.of(backend, dense, test, LOSS, 16, ProgressListener.NONE), result.dense());
            for (Comparison.MethodResult method : result.methods()) {
              assertEquals(List.of(0.3, 0.5, 0.9), method.outcomes().stream().map(Outcome::sparsity).toList());
              for (Outcome outcome : method.outcomes()) {
                PruningOptions options = options(method.method(), new Target.Fraction(outcome.sparsity(), scope));
                assertEquals(single(backend, dense, options, outcome.sparsity()), outcome, method.method()::toString);
                assertEquals(outcome, result.outcome(method.method(), outcome.sparsity()));
              }
            }
          }
        }
      }
    }
  }

  private Outcome single(Backend backend, DeviceNetwork dense, PruningOptions options, double sparsity)
      throws IOException {
    try (DeviceNetwork pruned = DeviceNetwork.copyOf(backend, network)) {
      List<Double> predicted = new Pruner(backend, options).pruneInPlace(pruned, Optional.of(calibration),
          ProgressListener.NONE);
      boolean predicts = PruningPlan.of(options, network, Optional.of(calibration), backend).scoring()
          .predictsOutputChange() && options.repair().steps().isEmpty();
      return new Outcome(sparsity, Evaluation.of(backend, pruned, test, LOSS, 16, ProgressListener.NONE),
          OutputChange.measure(backend, dense, pruned, test, 16, ProgressListener.NONE).total(),
          predicts
              ? OptionalDouble.of(predicted.stream().mapToDouble(Double::doubleValue).sum())
              : OptionalDouble.empty());
    }
  }

  @Test
  void scoresOnceForEachMethodAndJudgesItsNetworksTogether() throws IOException {
    try (Backend backend = new ReferenceBackend()) {
      comparison(backend).run(SPARSITIES, METHODS, method -> options(method, Target.sparsity(0.5)));
    }
    // Magnitude and random need no samples; the dense network has a pass of the test data to itself.
    assertEquals(5, calibrationSamples.passes);
    assertEquals(1 + 7, testSamples.passes);
  }

  /// Networks of more than half of 256 MiB are judged one by one, in the memory of the same copy.
  @Test
  void largeNetworksAreJudgedOneAfterAnother() throws IOException {
    int width = 5800;
    MatrixView weights = MatrixView.allocate(arena, width, width);
    for (long i = 0; i < weights.elements(); i++) {
      weights.segment().setAtIndex(MatrixView.ELEMENT, i, (float) (i % 1009 - 504) / 504);
    }
    DenseNetwork large = new DenseNetwork(List.of(new DenseLayer("0", weights, Optional.empty(), Activation.IDENTITY)));
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(1), 2, width, 0.01, 0);
    Dataset data = TestNetworks.source(x, MatrixView.allocate(arena, 2, 1));
    int[] passes = new int[1];
    ProgressListener countsPasses = (task, done, total) -> {
      passes[0] += task.startsWith("evaluating") && done == total ? 1 : 0;
      return true;
    };
    PruningOptions byMagnitude = PruningOptions.builder().criterion(new Criterion.Magnitude()).build();
    List<Method> magnitude = List.of(Method.parse("magnitude"));
    try (Backend backend = new CpuBackend()) {
      Loss loss = new Loss.SquaredError();
      Comparison together = new Comparison(backend, large, data, Augmentation.NONE, data, loss, 2, countsPasses);
      List<Outcome> outcomes = together.run(List.of(0.8, 0.5), magnitude, _ -> byMagnitude).methods().getFirst()
          .outcomes();
      assertEquals(3, passes[0]);
      assertEquals(2, outcomes.size());
      for (Outcome outcome : outcomes) {
        assertEquals(
            together.run(List.of(outcome.sparsity()), magnitude, _ -> byMagnitude).methods().getFirst().outcomes(),
            List.of(outcome));
      }
      assertTrue(outcomes.getFirst().outputChange() < outcomes.getLast().outputChange());
    }
  }

  /// A method of several rounds goes through all sparsities in one path.
  @Test
  void everyOutcomeOfAPresetIsAStopOfItsPath() throws IOException {
    Method refit = Method.parse("refit");
    assertEquals("refit", refit.toString());
    PruningOptions options = PruningOptions.builder().preset(refit.preset().orElseThrow(), OptionalDouble.empty())
        .seed(3).build();
    try (Backend backend = new CpuBackend(); DeviceNetwork dense = DeviceNetwork.copyOf(backend, network)) {
      Comparison.Result result = comparison(backend).run(SPARSITIES, List.of(refit), _ -> options);
      PruningOptions path = options.withPath(Stream.of(0.3, 0.5, 0.9).map(Target::sparsity).toList());
      PruningPlan plan = PruningPlan.of(path, network, Optional.of(calibration), backend);
      try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
        for (PruningResult stop : new Pruner(backend, path).path(plan, network, device, Optional.of(calibration),
            ProgressListener.NONE, arena)) {
          double sparsity = Math.round(stop.sparsity() * 10) / 10.0;
          try (DeviceNetwork pruned = DeviceNetwork.copyOf(backend, stop.network())) {
            Outcome outcome = result.outcome(refit, sparsity);
            assertEquals(Evaluation.of(backend, pruned, test, LOSS, 16, ProgressListener.NONE), outcome.evaluation());
            assertEquals(OutputChange.measure(backend, dense, pruned, test, 16, ProgressListener.NONE).total(),
                outcome.outputChange(), 1e-6 * outcome.outputChange());
          }
        }
      }
    }
  }

  /// In one shot, each sparsity begins with the dense network, with a repair too.
  @Test
  void everyOutcomeOfOneShotIsThatOfASinglePruning() throws IOException {
    Method refitted = Method.parse("ec/refit");
    try (Backend backend = new CpuBackend(); DeviceNetwork dense = DeviceNetwork.copyOf(backend, network)) {
      Comparison.MethodResult result = comparison(backend)
          .run(SPARSITIES, List.of(refitted), method -> refitted(method, 0.5)).methods().getFirst();
      assertEquals(List.of(0.3, 0.5, 0.9), result.outcomes().stream().map(Outcome::sparsity).toList());
      for (Outcome outcome : result.outcomes()) {
        Outcome single = single(backend, dense, refitted(refitted, outcome.sparsity()), outcome.sparsity());
        assertEquals(single.evaluation(), outcome.evaluation());
        assertEquals(single.outputChange(), outcome.outputChange(), 1e-6 * single.outputChange());
      }
      assertTrue(result.seconds() > 0);
    }
  }

  /// The scope of a method comes before that of the options.
  @Test
  void methodsHaveScopesOfTheirOwn() throws IOException {
    try (Backend backend = new CpuBackend()) {
      for (String name : List.of("ec", "wanda/refit/linear:2", "ec/refit")) {
        List<Method> methods = Stream.of("/row", "/layer", "").map(scope -> Method.parse(name + scope)).toList();
        Comparison.Result result = comparison(backend).run(SPARSITIES, methods,
            method -> method.choose(PruningOptions.builder().target(new Target.Fraction(0.5, new Scope.Global())),
                OptionalDouble.empty()).build());
        for (int i = 0; i < 2; i++) {
          Scope scope = methods.get(i).scope().orElseThrow();
          Comparison.MethodResult same = comparison(backend).run(SPARSITIES, List.of(methods.get(2)), method -> method
              .choose(PruningOptions.builder().target(new Target.Fraction(0.5, scope)), OptionalDouble.empty()).build())
              .methods().getFirst();
          assertEquals(same.outcomes(), result.methods().get(i).outcomes());
          assertNotEquals(result.methods().get(2).outcomes(), same.outcomes());
        }
      }
    }
  }

  private static PruningOptions refitted(Method method, double sparsity) {
    return method.choose(PruningOptions.builder().sparsity(sparsity).seed(3), OptionalDouble.empty()).build();
  }

  @Test
  void methodsAreReadAsTheyArePrinted() {
    assertEquals(new Method(new Criterion.EliminationCompensation(), Optional.empty()), Method.parse("ec"));
    assertEquals(new Method(new Criterion.Wanda(), Optional.of(new Compensation.Bias())), Method.parse("wanda/bias"));
    METHODS.forEach(method -> assertEquals(method, Method.parse(method.toString())));
    for (String text : List.of("best/fisher", "refit/none/probes:2/linear:3", "wanda/bias/refit+distill:epochs=1",
        "ec/fisher:T=4/refit/geometric:0.75", "ec/row", "refit/none/linear:3/layer", "wanda/global")) {
      assertEquals(text, Method.parse(text).toString());
    }
    assertEquals(Method.parse("ec/bias/fisher/refit/cubic:3"), Method.parse("ec/cubic:3/refit/fisher/bias"));
    for (String wrong : List.of("ec/x", "ec/", "ec/bias/none", "ec/refit/distill", "best/oneshot/linear:2",
        "ec/row/layer")) {
      String message = assertThrows(IllegalArgumentException.class, () -> Method.parse(wrong)).getMessage();
      assertTrue(message.startsWith("method '%s': '".formatted(wrong)), message);
    }
    assertEquals("unknown criterion '': use ec, ec-nonlinear, magnitude, gradient, wanda or random",
        assertThrows(IllegalArgumentException.class, () -> Method.parse("/bias")).getMessage());
  }

  @Test
  void anOutcomeThatWasNotAskedForIsNone() throws IOException {
    try (Backend backend = new ReferenceBackend()) {
      Comparison.Result result = comparison(backend).run(List.of(0.5), List.of(Method.parse("random")),
          method -> options(method, Target.sparsity(0.5)));
      assertThrows(NoSuchElementException.class, () -> result.outcome(Method.parse("ec"), 0.5));
      assertThrows(NoSuchElementException.class, () -> result.outcome(Method.parse("random"), 0.6));
    }
  }
}
