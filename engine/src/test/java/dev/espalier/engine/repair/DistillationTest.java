package dev.espalier.engine.repair;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Objective;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class DistillationTest {
  private final Arena arena = Arena.ofShared();

  @AfterEach
  void close() {
    arena.close();
  }

  private DenseNetwork network(Activation last) {
    return TestNetworks.network(arena, 1, List.of(12, 16, 10, 4), List.of(Activation.RELU, Activation.TANH, last));
  }

  private Dataset samples(int count) {
    return TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), count, 12, 1, 0.3));
  }

  private static PruningOptions.Builder options(Repair... repairs) {
    return PruningOptions.builder().sparsity(0.7).repair(repairs);
  }

  private static Repair.Distill distill(String objective, int epochs) {
    return new Repair.Distill(Optional.of(Objective.parse(objective)), OptionalInt.empty(), OptionalInt.of(epochs),
        OptionalDouble.of(0.01));
  }

  private DenseNetwork prune(Backend backend, DenseNetwork network, Dataset data, PruningOptions.Builder options)
      throws IOException {
    return new Pruner(backend, options.build()).prune(network, data, arena).network();
  }

  /// The mean over samples of the squared error, and of the divergence at temperature 4.
  private static double[] distances(DenseNetwork dense, DenseNetwork pruned, MatrixView x) {
    double squared = 0;
    double divergence = 0;
    for (int n = 0; n < x.rows(); n++) {
      double[] sample = TestNetworks.row(x, n);
      int logits = dense.graph().logits();
      double[] y = Plain.of(dense).values(sample)[logits];
      double[] z = Plain.of(pruned).values(sample)[logits];
      double[] p = softmax(y);
      double[] q = softmax(z);
      for (int k = 0; k < y.length; k++) {
        squared += (y[k] - z[k]) * (y[k] - z[k]) / x.rows();
        divergence += p[k] * Math.log(p[k] / q[k]) / x.rows();
      }
    }
    return new double[]{squared, divergence};
  }

  private static double[] softmax(double[] y) {
    double sum = Arrays.stream(y).map(k -> Math.exp(k / 4)).sum();
    return Arrays.stream(y).map(k -> Math.exp(k / 4) / sum).toArray();
  }

  /// Each objective lowers its own distance on samples that were not seen.
  @ParameterizedTest
  @ValueSource(strings = {"identity", "softmax"})
  void followsTheDenseNetwork(Activation last) throws IOException {
    DenseNetwork dense = network(last);
    MatrixView unseen = TestNetworks.normal(arena, TestNetworks.random(9), 500, 12, 1, 0.3);
    try (Backend backend = new CpuBackend()) {
      double[] none = distances(dense, prune(backend, dense, samples(1000), options()), unseen);
      double[] kl = distances(dense, prune(backend, dense, samples(1000), options(distill("kl:4", 20))), unseen);
      assertTrue(kl[1] < 0.5 * none[1], "%s, %s".formatted(kl[1], none[1]));
      if (last.equals(Activation.IDENTITY)) {
        double[] mse = distances(dense, prune(backend, dense, samples(1000), options(distill("mse", 20))), unseen);
        assertTrue(mse[0] < 0.5 * none[0], "%s, %s".formatted(mse[0], none[0]));
      }
    }
  }

  @Test
  void keepsRemovedWeightsAndExcludedLayers() throws IOException {
    DenseNetwork dense = network(Activation.IDENTITY);
    try (Backend backend = new CpuBackend()) {
      PruningOptions.Builder excluding = options(new Repair.Refit(), distill("mse", 3)).exclude("layer1");
      DenseNetwork pruned = prune(backend, dense, samples(300), excluding);
      assertArrayEquals(dense.layers().get(1).weights().toArray(), pruned.layers().get(1).weights().toArray());
      assertArrayEquals(dense.layers().get(1).bias().orElseThrow().toArray(),
          pruned.layers().get(1).bias().orElseThrow().toArray());
      long prunable = dense.weights() - dense.layers().get(1).weights().elements();
      assertEquals(Math.round(0.7 * prunable), pruned.zeros());
      assertFalse(Arrays.equals(dense.layers().get(0).weights().toArray(), pruned.layers().get(0).weights().toArray()));
    }
  }

  /// The network that is trained lacks what does nothing: an input and a neuron that nothing reads.
  @Test
  void trainsAsTheWholeNetworkDoes() throws IOException {
    DenseNetwork dense = network(Activation.IDENTITY);
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(2), 300, 12, 1, 0.3);
    DenseNetwork pruned = network(Activation.IDENTITY);
    for (int i = 0; i < 16; i++) {
      pruned.layers().get(0).weights().set(i, 3, 0);
      pruned.layers().get(0).weights().set(i, i % 12, 0);
    }
    for (int i = 0; i < 10; i++) {
      pruned.layers().get(1).weights().set(i, 5, 0);
    }
    ScoringPlan plan = new ScoringPlan(new Criterion.Magnitude(), new Compensation.None(),
        IntStream.range(0, 3).mapToObj(l -> new ScoringPlan.Layer(l, true)).toList(), new Sensitivity.Jacobian(),
        Optional.empty(), 100, 1);
    try (Backend backend = new ReferenceBackend();
        DeviceNetwork teacher = DeviceNetwork.copyOf(backend, dense);
        DeviceNetwork student = DeviceNetwork.copyOf(backend, pruned);
        DeviceNetwork whole = DeviceNetwork.copyOf(backend, pruned)) {
      Distillation.towards(teacher, backend, distill("mse", 2), plan, new MatrixSamples("samples", x),
          ProgressListener.NONE, arena).repair(student, true, ProgressListener.NONE);
      MatrixView targets = MatrixView.allocate(arena, 300, 4);
      for (int n = 0; n < 300; n++) {
        double[] y = Plain.of(dense).output(TestNetworks.row(x, n));
        for (int k = 0; k < 4; k++) {
          targets.set(n, k, (float) y[k]);
        }
      }
      Trainer.train(backend, whole, x, Optional.empty(), targets,
          new TrainingOptions(2, 128, Adam.of(0.01), 0.02, new Loss.SquaredError(), 1, 2, true, Set.of()),
          ProgressListener.NONE);
      for (int l = 0; l < 3; l++) {
        float[] found = student.download(arena).layers().get(l).weights().toArray();
        float[] expected = whole.download(arena).layers().get(l).weights().toArray();
        assertArrayEquals(expected, found, 1e-5f, "layer " + l);
        assertFalse(Arrays.equals(pruned.layers().get(l).weights().toArray(), found));
      }
    }
  }

  /// The order of the samples is a function of the seed alone; batches of other passes change nothing.
  @Test
  void theSameSeedGivesTheSameBits() throws IOException {
    DenseNetwork dense = network(Activation.SOFTMAX);
    try (Backend backend = new CpuBackend()) {
      DenseNetwork first = prune(backend, dense, samples(300), options(new Repair.Distill()));
      DenseNetwork second = prune(backend, dense, samples(300), options(new Repair.Distill()));
      DenseNetwork other = prune(backend, dense, samples(300), options(new Repair.Distill()).seed(1));
      for (int l = 0; l < 3; l++) {
        float[] weights = first.layers().get(l).weights().toArray();
        assertArrayEquals(weights, second.layers().get(l).weights().toArray());
        assertFalse(Arrays.equals(weights, other.layers().get(l).weights().toArray()));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"identity", "softmax"})
  void machinesAgree(Activation last) throws IOException {
    DenseNetwork dense = network(last);
    try (Backend reference = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      Plain expected = Plain.of(prune(reference, dense, samples(200), options(distill("kl:4", 2))));
      Plain found = Plain.of(prune(cpu, dense, samples(200), options(distill("kl:4", 2))));
      for (int l = 0; l < 3; l++) {
        for (int i = 0; i < expected.weights()[l].length; i++) {
          // Adam divides by the root of squared gradients: where they are next to 0, rounding moves a weight by a part
          // of the learning rate.
          assertArrayEquals(expected.weights()[l][i], found.weights()[l][i], 2e-3, "layer " + l);
        }
      }
    }
  }

  @Test
  void theObjectiveFollowsFromTheNetwork() {
    Repair.Distill open = new Repair.Distill();
    assertEquals(new Objective.Divergence(4), open.objective(network(Activation.SOFTMAX).graph()));
    assertEquals(new Objective.SquaredError(), open.objective(network(Activation.IDENTITY).graph()));
    try (Backend backend = new ReferenceBackend()) {
      PruningPlan plan = PruningPlan.of(options(open).build(), network(Activation.SOFTMAX), Optional.of(samples(5)),
          backend);
      assertEquals("distill:kl:4", plan.inForce().get("repair").toString());
      assertEquals(
          "objective kl:4 compares class probabilities: it needs two outputs or more, and softmax or identity as the"
              + " last activation",
          assertThrows(MismatchException.class, () -> PruningPlan.of(options(distill("kl:4", 1)).build(),
              network(Activation.TANH), Optional.of(samples(5)), backend)).getMessage());
    }
  }

  /// Inputs far from 0, which Adam's steps of equal size do not suit: what training would make worse stays as it was.
  @Test
  void trainingThatHelpsNothingIsUndone() throws IOException {
    DenseNetwork dense = network(Activation.IDENTITY);
    MatrixView x = TestNetworks.normal(arena, TestNetworks.random(2), 200, 12, 1, 1e6);
    try (Backend backend = new CpuBackend()) {
      PruningOptions none = options().build();
      PruningOptions distilled = options(distill("mse", 2)).build();
      PruningResult before = new Pruner(backend, none).prune(dense, TestNetworks.source(x), arena);
      PruningResult after = new Pruner(backend, distilled).prune(dense, TestNetworks.source(x), arena);
      assertTrue(after.measuredChange().orElseThrow() <= before.measuredChange().orElseThrow(), after.toString());
      PruningOptions hopeless = options(new Repair.Distill(Optional.of(new Objective.SquaredError()),
          OptionalInt.empty(), OptionalInt.of(1), OptionalDouble.of(1e30))).build();
      PruningResult undone = new Pruner(backend, hopeless).prune(dense, TestNetworks.source(x), arena);
      for (int l = 0; l < 3; l++) {
        assertArrayEquals(before.network().layers().get(l).weights().toArray(),
            undone.network().layers().get(l).weights().toArray());
      }
      assertTrue(
          undone.notes().getFirst().startsWith(
              "distill: training brought the outputs no closer to the dense " + "network's in round 1, which kept"),
          undone.notes().toString());
    }
  }

  /// Rounds but the last take their own number of epochs, which may be none.
  @Test
  void epochsOfEachRound() throws IOException {
    DenseNetwork dense = network(Activation.IDENTITY);
    Repair.Distill method = new Repair.Distill(Optional.empty(), OptionalInt.of(0), OptionalInt.of(2),
        OptionalDouble.empty());
    List<String> tasks = new ArrayList<>();
    ProgressListener listener = (task, _, _) -> tasks.add(task);
    try (Backend backend = new CpuBackend()) {
      new Pruner(backend, options(method).schedule(new Schedule.Linear(2)).measureOutputChange(false).build())
          .prune(dense, Optional.of(samples(64)), listener, arena);
    }
    assertEquals(
        List.of("running the dense network", "scoring, round 1 of 2", "scoring, round 2 of 2",
            "distilling, epoch 1/2, round 2 of 2", "distilling, epoch 2/2, round 2 of 2"),
        tasks.stream().distinct().toList());
    assertEquals(5,
        IntStream.range(0, tasks.size()).filter(i -> i == 0 || !tasks.get(i).equals(tasks.get(i - 1))).count());
  }
}
