package dev.espalier.engine.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class EvaluationPassTest {
  private static final int SAMPLES = 30;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  /// Three networks of a residual block, in batches that do not divide the samples, against plain evaluations.
  @ParameterizedTest
  @ValueSource(ints = {1, 7, 30, 100})
  void findsOfEveryNetworkWhatAPlainEvaluationFinds(int batchSize) throws IOException {
    Graph.Builder builder = new Graph.Builder(5);
    int hidden = builder.activate(builder.dense("0", 0, 4), Activation.TANH);
    builder.dense("2", builder.add(hidden, builder.dense("1", hidden, 4)), 3);
    Graph graph = builder.build();
    List<DenseNetwork> networks = IntStream.range(0, 3).mapToObj(seed -> TestNetworks.network(arena, seed, graph))
        .toList();
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(1), SAMPLES, 5, 1, 0);
    MatrixView labels = MatrixView.allocate(arena, SAMPLES, 1);
    for (int n = 0; n < SAMPLES; n++) {
      labels.set(n, 0, n % 3);
    }
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      for (Backend backend : List.of(reference, cpu)) {
        for (Loss loss : List.of(new Loss.SquaredError(), new Loss.CrossEntropy())) {
          List<EvaluationPass.Result> results = run(backend, networks, TestNetworks.source(x, labels), loss, batchSize);
          for (int i = 0; i < networks.size(); i++) {
            check(results.get(i), Plain.of(networks.get(0)), Plain.of(networks.get(i)), x, loss);
            assertEquals(unlabelled(backend, networks, x, batchSize).get(i), new EvaluationPass.Result(Optional.empty(),
                results.get(i).outputChange(), results.get(i).outputSquare()));
            assertEquals(run(backend, networks.subList(i, i + 1), TestNetworks.source(x, labels), loss, batchSize)
                .getFirst().evaluation(), results.get(i).evaluation());
          }
        }
      }
    }
  }

  /// Of two outputs: loss and accuracy are those of the one alone, changes those of both.
  @Test
  void labelsMayBeOfOneOutput() throws IOException {
    Graph.Builder builder = new Graph.Builder(5);
    int hidden = builder.activate(builder.dense("0", 0, 4), Activation.TANH);
    builder.concat(builder.dense("1", hidden, 2), builder.dense("2", hidden, 3));
    Graph graph = builder.build(List.of(new Graph.Head("a", 2), new Graph.Head("b", 3)));
    List<DenseNetwork> networks = IntStream.range(0, 2).mapToObj(seed -> TestNetworks.network(arena, seed, graph))
        .toList();
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(1), SAMPLES, 5, 1, 0);
    MatrixView labels = MatrixView.allocate(arena, SAMPLES, 1);
    for (int n = 0; n < SAMPLES; n++) {
      labels.set(n, 0, n % 3);
    }
    Dataset data = TestNetworks.source(x, labels);
    Optional<Loss> loss = Optional.of(new Loss.CrossEntropy());
    try (Backend backend = new ReferenceBackend(); Resources resources = new Resources()) {
      List<DeviceNetwork> copies = networks.stream()
          .map(network -> resources.own(DeviceNetwork.copyOf(backend, network))).toList();
      List<EvaluationPass.Result> results = EvaluationPass.run(backend, copies, data, loss, Optional.of("b"), 7,
          ProgressListener.NONE);
      List<EvaluationPass.Result> alone = run(backend, networks.stream().map(network -> network.head("b")).toList(),
          data, loss, 7);
      for (int i = 0; i < networks.size(); i++) {
        assertEquals(alone.get(i).evaluation(), results.get(i).evaluation());
        assertEquals(unlabelled(backend, networks, x, 7).get(i),
            new EvaluationPass.Result(Optional.empty(), results.get(i).outputChange(), results.get(i).outputSquare()));
        assertEquals(i > 0, results.get(i).outputChange() > alone.get(i).outputChange());
      }
      assertEquals("the network has no output called c, but a (2), b (3)",
          assertThrows(MismatchException.class,
              () -> EvaluationPass.run(backend, copies, data, loss, Optional.of("c"), 7, ProgressListener.NONE))
              .getMessage());
    }
  }

  private static void check(EvaluationPass.Result result, Plain first, Plain network, MatrixView x, Loss loss) {
    double lossSum = 0;
    double change = 0;
    double square = 0;
    int hits = 0;
    for (int n = 0; n < SAMPLES; n++) {
      double[] y = network.output(TestNetworks.row(x, n));
      double[] before = first.output(TestNetworks.row(x, n));
      int label = n % 3;
      double exponentials = 0;
      int largest = 0;
      for (int k = 0; k < 3; k++) {
        exponentials += Math.exp(y[k]);
        largest = y[k] > y[largest] ? k : largest;
        square += y[k] * y[k] / SAMPLES;
        change += (y[k] - before[k]) * (y[k] - before[k]) / SAMPLES;
        lossSum += loss instanceof Loss.SquaredError ? Math.pow(y[k] - (k == label ? 1 : 0), 2) / 3 : 0;
      }
      lossSum += loss instanceof Loss.CrossEntropy ? Math.log(exponentials) - y[label] : 0;
      hits += largest == label ? 1 : 0;
    }
    assertEquals(SAMPLES, result.evaluation().orElseThrow().samples());
    assertEquals(loss, result.evaluation().orElseThrow().lossName());
    assertEquals(lossSum / SAMPLES, result.evaluation().orElseThrow().loss(), 1e-5);
    assertEquals(OptionalDouble.of((double) hits / SAMPLES), result.evaluation().orElseThrow().accuracy());
    assertEquals(change, result.outputChange(), 1e-5 * (1 + change));
    assertEquals(square, result.outputSquare(), 1e-5 * (1 + square));
  }

  private static List<EvaluationPass.Result> run(Backend backend, List<DenseNetwork> networks, Dataset data, Loss loss,
      int batchSize) throws IOException {
    return run(backend, networks, data, Optional.of(loss), batchSize);
  }

  private static List<EvaluationPass.Result> unlabelled(Backend backend, List<DenseNetwork> networks, MatrixView x,
      int batchSize) throws IOException {
    return run(backend, networks, TestNetworks.source(x), Optional.empty(), batchSize);
  }

  private static List<EvaluationPass.Result> run(Backend backend, List<DenseNetwork> networks, Dataset data,
      Optional<Loss> loss, int batchSize) throws IOException {
    try (Resources resources = new Resources()) {
      List<DeviceNetwork> copies = networks.stream()
          .map(network -> resources.own(DeviceNetwork.copyOf(backend, network))).toList();
      return EvaluationPass.run(backend, copies, data, loss, batchSize, ProgressListener.NONE);
    }
  }

  @Test
  void targetRowsHaveNoAccuracyUnderSquaredError() throws IOException {
    DenseNetwork network = TestNetworks.network(arena, 1, List.of(2, 3), List.of(Activation.IDENTITY));
    MatrixView classes = MatrixView.of(arena, 4, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0.5f, 0.5f);
    Dataset data = TestNetworks.source(MatrixView.allocate(arena, 4, 2), classes);
    try (Backend backend = new ReferenceBackend()) {
      assertEquals(OptionalDouble.empty(), run(backend, List.of(network), data, new Loss.SquaredError(), 4).getFirst()
          .evaluation().orElseThrow().accuracy());
      assertEquals(true, run(backend, List.of(network), data, new Loss.CrossEntropy(), 4).getFirst().evaluation()
          .orElseThrow().accuracy().isPresent());
    }
  }

  /// The share of right labels, by logits and by sigmoids: 1/2, 1, 1/2 and 0 of the samples.
  @Test
  void binaryLabelsAreRightAlone() throws IOException {
    MatrixView x = MatrixView.of(arena, 4, 1, -1, 1, 2, -2);
    MatrixView labels = MatrixView.of(arena, 4, 2, 1, 1, 1, 0, 0, 0, 1, 0);
    MatrixView weights = MatrixView.of(arena, 2, 1, 1, -1);
    for (Activation last : List.of(Activation.IDENTITY, Activation.SIGMOID)) {
      DenseNetwork network = new DenseNetwork(List.of(new DenseLayer("0", weights, Optional.empty(), last)));
      try (Backend backend = new ReferenceBackend()) {
        Evaluation evaluation = run(backend, List.of(network), TestNetworks.source(x, labels),
            new Loss.BinaryCrossEntropy(), 3).getFirst().evaluation().orElseThrow();
        assertEquals(OptionalDouble.of(0.5), evaluation.accuracy());
        double expected = 0;
        for (int n = 0; n < 4; n++) {
          for (int k = 0; k < 2; k++) {
            double z = x.get(n, 0) * weights.get(k, 0);
            expected += Math.log1p(Math.exp(labels.get(n, k) == 1 ? -z : z)) / 8;
          }
        }
        assertEquals(expected, evaluation.loss(), 1e-6);
      }
    }
  }

  @Test
  void refusesWhatDoesNotFit() {
    DenseNetwork network = TestNetworks.network(arena, 1, List.of(2, 3), List.of(Activation.RELU));
    MatrixView x = MatrixView.allocate(arena, 4, 2);
    refused("samples has 3 numbers a sample, the network takes 2", network,
        TestNetworks.source(MatrixView.allocate(arena, 4, 3), MatrixView.allocate(arena, 4, 1)),
        new Loss.SquaredError());
    refused("cross-entropy needs identity or softmax as the last activation, not relu: use mse", network,
        TestNetworks.source(x, MatrixView.allocate(arena, 4, 1)), new Loss.CrossEntropy());
    refused("labels has 2 columns: labels need 1 (a class index) or 3 (a value for each output of the network)",
        network, TestNetworks.source(x, MatrixView.allocate(arena, 4, 2)), new Loss.SquaredError());
  }

  private static void refused(String message, DenseNetwork network, Dataset data, Loss loss) {
    try (Backend backend = new ReferenceBackend()) {
      assertEquals(message,
          assertThrows(MismatchException.class, () -> run(backend, List.of(network), data, loss, 4)).getMessage());
    }
  }
}
