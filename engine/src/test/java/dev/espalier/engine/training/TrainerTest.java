package dev.espalier.engine.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class TrainerTest {
  private static final Loss CROSS_ENTROPY = new Loss.CrossEntropy();
  private static final Loss BINARY = new Loss.BinaryCrossEntropy();
  private static final Loss MSE = new Loss.SquaredError();

  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /// Two classes: inside and outside of a circle.
  private Dataset circle() {
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(1), 600, 2, 1, 0);
    MatrixView labels = MatrixView.allocate(arena, 600, 1);
    for (int n = 0; n < 600; n++) {
      labels.set(n, 0, Math.hypot(x.get(n, 0), x.get(n, 1)) < 1.2 ? 1 : 0);
    }
    return TestNetworks.source(x, labels);
  }

  private static TrainingOptions options(int epochs, Loss loss, boolean keepZeros) {
    return new TrainingOptions(epochs, 32, Adam.of(0.01), loss, 5, keepZeros);
  }

  private DenseNetwork initial(Activation last) {
    return RandomNetwork.chain(List.of(2, 24, 2), List.of(Activation.RELU, last), 3, arena);
  }

  @Test
  void learnsAndFineTunesWithoutBringingWeightsBack() throws IOException {
    Dataset circle = circle();
    DenseNetwork trained = train(initial(Activation.IDENTITY), circle, options(30, CROSS_ENTROPY, false));
    assertTrue(accuracy(trained, circle, CROSS_ENTROPY) > 0.95);
    PruningResult pruned = new Pruner(backend, PruningOptions.builder().sparsity(0.7).build()).prune(trained, circle,
        arena);
    DenseNetwork tuned = train(pruned.network(), circle, options(10, CROSS_ENTROPY, true));
    assertTrue(accuracy(tuned, circle, CROSS_ENTROPY) > accuracy(pruned.network(), circle, CROSS_ENTROPY));
    for (int l = 0; l < 2; l++) {
      MatrixView before = pruned.network().layers().get(l).weights();
      MatrixView after = tuned.layers().get(l).weights();
      for (int i = 0; i < before.rows(); i++) {
        for (int j = 0; j < before.columns(); j++) {
          assertEquals(before.get(i, j) == 0, after.get(i, j) == 0);
        }
      }
    }
  }

  @Test
  void frozenLayersKeepTheirBits() throws IOException {
    DenseNetwork before = initial(Activation.IDENTITY);
    for (int frozen = 0; frozen < 2; frozen++) {
      String name = before.layers().get(frozen).name();
      DenseNetwork after = train(before, circle(),
          new TrainingOptions(2, 32, Adam.of(0.01), CROSS_ENTROPY, 5, true, Set.of(name)));
      for (int l = 0; l < 2; l++) {
        DenseLayer old = before.layers().get(l);
        DenseLayer layer = after.layers().get(l);
        boolean same = Arrays.equals(old.weights().toArray(), layer.weights().toArray())
            && Arrays.equals(old.bias().orElseThrow().toArray(), layer.bias().orElseThrow().toArray());
        assertEquals(l == frozen, same, "layer " + l);
      }
    }
  }

  @Test
  void refusesToFreezeAllLayersOrOneThatIsNotThere() {
    for (Set<String> frozen : List.of(Set.of("0", "2"), Set.of("1"))) {
      TrainingOptions options = new TrainingOptions(2, 32, Adam.of(0.01), CROSS_ENTROPY, 5, true, frozen);
      String message = assertThrows(MismatchException.class,
          () -> train(initial(Activation.IDENTITY), circle(), options)).getMessage();
      assertTrue(message.contains(frozen.contains("1") ? "no layer 1" : "nothing is left to train"), message);
    }
  }

  @Test
  void learnsBySquaredErrorAndThroughSoftmax() throws IOException {
    Dataset circle = circle();
    assertTrue(accuracy(train(initial(Activation.SIGMOID), circle, options(30, MSE, false)), circle, MSE) > 0.95);
    assertTrue(accuracy(train(initial(Activation.SOFTMAX), circle, options(30, CROSS_ENTROPY, false)), circle,
        CROSS_ENTROPY) > 0.95);
  }

  /// One output, whose labels are 0 and 1; by logits and by a sigmoid.
  @Test
  void learnsOneOutputByBinaryCrossEntropy() throws IOException {
    Dataset circle = circle();
    for (Activation last : List.of(Activation.IDENTITY, Activation.SIGMOID)) {
      DenseNetwork initial = RandomNetwork.chain(List.of(2, 24, 1), List.of(Activation.RELU, last), 3, arena);
      DenseNetwork trained = train(initial, circle, options(30, BINARY, false));
      assertTrue(accuracy(initial, circle, BINARY) < 0.9, last.toString());
      assertTrue(accuracy(trained, circle, BINARY) > 0.95, last.toString());
    }
  }

  @Test
  void theSameSeedGivesTheSameBits() throws IOException {
    float[] first = train(initial(Activation.IDENTITY), circle(), options(2, MSE, false)).layers().getFirst().weights()
        .toArray();
    float[] second = train(initial(Activation.IDENTITY), circle(), options(2, MSE, false)).layers().getFirst().weights()
        .toArray();
    assertArrayEquals(first, second);
  }

  /// The gradient that training follows is that of the loss: central differences over one weight of each layer.
  @Test
  void followsTheGradientOfTheLoss() throws IOException {
    Dataset circle = circle();
    for (Loss loss : List.of(MSE, CROSS_ENTROPY, BINARY)) {
      DenseNetwork network = TestNetworks.network(arena, 4, List.of(2, 5, 2),
          List.of(Activation.of(Activation.Kind.GELU), loss.equals(BINARY) ? Activation.SIGMOID : Activation.SOFTMAX));
      for (int l = 0; l < 2; l++) {
        MatrixView weights = network.layers().get(l).weights();
        float value = weights.get(1, 1);
        float h = 1e-2f;
        weights.set(1, 1, value + h);
        double up = evaluate(network, circle, loss).loss();
        weights.set(1, 1, value - h);
        double down = evaluate(network, circle, loss).loss();
        weights.set(1, 1, value);
        // The first step of Adam is −rate · sign of the gradient.
        TrainingOptions oneStep = new TrainingOptions(1, 600, Adam.of(1e-3), loss, 5, false);
        float moved = train(network, circle, oneStep).layers().get(l).weights().get(1, 1);
        assertEquals(-1e-3 * Math.signum(up - down), moved - value, 1e-5, loss + ", layer " + l);
      }
    }
  }

  @Test
  void saysWhatDoesNotFit() {
    Dataset circle = circle();
    assertEquals("cross-entropy needs identity or softmax as the last activation, not relu: use mse",
        assertThrows(MismatchException.class,
            () -> train(initial(Activation.RELU), circle, options(1, CROSS_ENTROPY, false))).getMessage());
    MatrixView bad = MatrixView.allocate(arena, 600, 1);
    bad.set(17, 0, 2);
    Dataset labelled = TestNetworks.source(MatrixView.allocate(arena, 600, 2), bad);
    assertEquals("labels is 2.0 at sample 17: a class index is an integer from 0 to 1",
        assertThrows(IOException.class, () -> train(initial(Activation.IDENTITY), labelled, options(1, MSE, false)))
            .getMessage());
    Dataset wide = TestNetworks.source(MatrixView.allocate(arena, 600, 2), MatrixView.allocate(arena, 600, 3));
    assertEquals("labels has 3 columns: labels need 1 (a class index) or 2 (a value for each output of the network)",
        assertThrows(MismatchException.class, () -> train(initial(Activation.IDENTITY), wide, options(1, MSE, false)))
            .getMessage());
  }

  @Test
  void saysWhenLabelsAreMissing() {
    Dataset unlabelled = Dataset.of(circle().samples());
    DenseNetwork network = initial(Activation.IDENTITY);
    assertEquals("training needs labels",
        assertThrows(MissingDataException.class, () -> train(network, unlabelled, options(1, MSE, false)))
            .getMessage());
    assertEquals("evaluation needs labels",
        assertThrows(MissingDataException.class, () -> evaluate(network, unlabelled, MSE)).getMessage());
  }

  @Test
  void saysWhenItDiverges() {
    TrainingOptions wild = new TrainingOptions(3, 32, Adam.of(1e30), MSE, 5, false);
    String message = assertThrows(NonFiniteException.class, () -> train(initial(Activation.IDENTITY), circle(), wild))
        .getMessage();
    assertTrue(message.matches("training diverged: the mse of epoch \\d is (NaN|Infinity); use a lower learning rate"),
        message);
  }

  @Test
  void trainsANetworkWhereItLies() throws IOException {
    DenseNetwork initial = initial(Activation.IDENTITY);
    float[] before = initial.layers().getFirst().weights().toArray();
    TrainingOptions options = options(2, CROSS_ENTROPY, false);
    DenseNetwork expected = train(initial, circle(), options);
    assertArrayEquals(before, initial.layers().getFirst().weights().toArray());
    try (DeviceNetwork network = DeviceNetwork.copyOf(backend, initial)) {
      Trainer.train(backend, network, circle(), options, ProgressListener.NONE);
      for (int l = 0; l < 2; l++) {
        DenseLayer layer = expected.layers().get(l);
        assertArrayEquals(layer.weights().toArray(),
            backend.download(network.layers().get(l).weights(), arena).toArray());
        assertArrayEquals(layer.bias().orElseThrow().toArray(),
            backend.download(network.layers().get(l).bias(), arena).toArray());
      }
    }
  }

  /// One network's layer without a bias of its own stays without one; a layer of a pruned network that has gained one
  /// trains it.
  @Test
  void trainsTheBiasesThatThereAre() throws IOException {
    DenseLayer layer = initial(Activation.IDENTITY).layers().getLast();
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(8), 64, 24, 1, 0);
    MatrixView y = TestNetworks.normal(arena, TestNetworks.random(9), 64, 2, 1, 3);
    DenseNetwork unbiased = new DenseNetwork(
        List.of(new DenseLayer("0", layer.weights(), Optional.empty(), Activation.IDENTITY)));
    assertTrue(train(unbiased, TestNetworks.source(x, y), options(2, MSE, false)).layers().getFirst().bias().isEmpty());
    DenseNetwork biased = new DenseNetwork(
        List.of(new DenseLayer("0", layer.weights(), layer.bias(), Activation.IDENTITY)));
    float[] bias = train(biased, TestNetworks.source(x, y), options(2, MSE, false)).layers().getFirst().bias()
        .orElseThrow().toArray();
    assertTrue(bias[0] > 0.01 && bias[1] > 0.01, () -> Arrays.toString(bias));
  }

  /// Some steps of Adam on all samples in double, by gradients from central differences, in which all uses of a tied
  /// layer move together.
  @Test
  void aTiedLayerFollowsTheGradientsOfAllItsUses() throws IOException {
    for (long seed = 0; seed < 6; seed++) {
      DenseNetwork network = TestNetworks.network(arena, seed, TestNetworks.tiedGraph(seed, 12));
      MatrixView x = TestNetworks.normal(arena, TestNetworks.random(8), 9, network.inputs(), 1, 0.3);
      MatrixView t = TestNetworks.normal(arena, TestNetworks.random(9), 9, network.outputs(), 1, 0.5);
      Plain expected = Plain.of(network);
      List<double[]> parameters = new ArrayList<>();
      for (int l = 0; l < network.layers().size(); l++) {
        parameters.addAll(List.of(expected.weights()[l]));
        if (network.layers().get(l).hasBias()) {
          parameters.add(expected.biases()[l]);
        }
      }
      adam(expected, parameters, x, t, 4, 0.01);
      try (Backend reference = new ReferenceBackend()) {
        Plain found = Plain.of(Trainer.train(reference, network, TestNetworks.source(x, t),
            new TrainingOptions(4, 9, Adam.of(0.01), MSE, 5, false), ProgressListener.NONE, arena));
        for (int l = 0; l < network.layers().size(); l++) {
          for (int i = 0; i < found.weights()[l].length; i++) {
            assertArrayEquals(expected.weights()[l][i], found.weights()[l][i], 1e-4, network.graph().toString());
          }
          assertArrayEquals(expected.biases()[l], found.biases()[l], 1e-4, network.graph().toString());
        }
      }
    }
  }

  /// [Kingma and Ba 2015], with a constant rate.
  private static void adam(Plain plain, List<double[]> parameters, MatrixView x, MatrixView t, int steps, double rate) {
    List<double[]> first = parameters.stream().map(p -> new double[p.length]).toList();
    List<double[]> second = parameters.stream().map(p -> new double[p.length]).toList();
    for (int step = 1; step <= steps; step++) {
      List<double[]> gradients = new ArrayList<>();
      for (double[] parameter : parameters) {
        gradients.add(IntStream.range(0, parameter.length).mapToDouble(i -> {
          double sum = 0;
          for (int n = 0; n < x.rows(); n++) {
            double[] y = plain.output(TestNetworks.row(x, n));
            double[] slope = plain.derivative(TestNetworks.row(x, n), parameter, i);
            for (int k = 0; k < y.length; k++) {
              sum += 2 * (y[k] - t.get(n, k)) * slope[k] / y.length / x.rows();
            }
          }
          return sum;
        }).toArray());
      }
      for (int p = 0; p < parameters.size(); p++) {
        for (int i = 0; i < parameters.get(p).length; i++) {
          double g = gradients.get(p)[i];
          first.get(p)[i] = 0.9 * first.get(p)[i] + 0.1 * g;
          second.get(p)[i] = 0.999 * second.get(p)[i] + 0.001 * g * g;
          double mean = first.get(p)[i] / (1 - Math.pow(0.9, step));
          double square = second.get(p)[i] / (1 - Math.pow(0.999, step));
          parameters.get(p)[i] -= rate * mean / (Math.sqrt(square) + 1e-8);
        }
      }
    }
  }

  /// The samples of all epochs in the order in which the trainer takes them, seen where it uploads them.
  private static List<Integer> order(Backend on, long seed, int batchSize) throws IOException {
    List<Integer> order = new ArrayList<>();
    Backend watched = (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(), new Class<?>[]{Backend.class},
        (_, method, arguments) -> {
          if (method.getName().equals("upload") && arguments[0] instanceof MatrixView view && view.columns() == 2) {
            for (int n = 0; n < view.rows(); n++) {
              order.add((int) view.get(n, 0));
            }
          }
          return method.invoke(on, arguments);
        });
    try (Arena own = Arena.ofConfined();
        DeviceNetwork network = DeviceNetwork.copyOf(on,
            RandomNetwork.chain(List.of(2, 1), List.of(Activation.IDENTITY), 1, own))) {
      MatrixView numbered = MatrixView.allocate(own, 100, 2);
      for (int n = 0; n < 100; n++) {
        numbered.set(n, 0, n);
      }
      Trainer.train(watched, network, TestNetworks.source(numbered, MatrixView.allocate(own, 100, 1)),
          new TrainingOptions(3, batchSize, Adam.of(1e-6), MSE, seed, false), ProgressListener.NONE);
    }
    return order;
  }

  @Test
  void shufflesBySeedAndEpochAlone() throws IOException {
    List<Integer> order = order(backend, 5, 32);
    List<Integer> all = IntStream.range(0, 100).boxed().toList();
    Set<List<Integer>> epochs = new HashSet<>();
    for (int epoch = 0; epoch < 3; epoch++) {
      List<Integer> samples = order.subList(100 * epoch, 100 * epoch + 100);
      assertEquals(all, samples.stream().sorted().toList());
      epochs.add(samples);
    }
    epochs.add(all);
    assertEquals(4, epochs.size(), "epochs of one order");
    assertNotEquals(order, order(backend, 6, 32));
    for (int batchSize : new int[]{1, 7, 100, 1000}) {
      assertEquals(order, order(backend, 5, batchSize));
    }
    for (int threads : new int[]{1, 2, 3}) {
      try (Backend cpu = new CpuBackend(threads, Precision.FP32)) {
        assertEquals(order, order(cpu, 5, 32));
      }
    }
  }

  private DenseNetwork train(DenseNetwork network, Dataset data, TrainingOptions options) throws IOException {
    return Trainer.train(backend, network, data, options, ProgressListener.NONE, arena);
  }

  private Evaluation evaluate(DenseNetwork network, Dataset data, Loss loss) throws IOException {
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      return Evaluation.of(backend, device, data, loss, 64, ProgressListener.NONE);
    }
  }

  private double accuracy(DenseNetwork network, Dataset samples, Loss loss) throws IOException {
    return evaluate(network, samples, loss).accuracy().orElseThrow();
  }
}
