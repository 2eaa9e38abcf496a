package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ExcessiveTimeException;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.LayerSparsity;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.ScoringPlan;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class PruningPlanTest {
  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  private DenseNetwork network(int outputs, Activation last) {
    return TestNetworks.network(arena, 1, List.of(6, 5, outputs), List.of(Activation.RELU, last));
  }

  /// With as many label columns; without labels if there are none.
  private Dataset data(int labelColumns) {
    MatrixView x = MatrixView.allocate(arena, 3, 6);
    return labelColumns == 0
        ? TestNetworks.source(x)
        : TestNetworks.source(x, MatrixView.allocate(arena, 3, labelColumns));
  }

  private PruningPlan plan(PruningOptions.Builder options, DenseNetwork network, Dataset data) {
    return PruningPlan.of(options.build(), network, Optional.of(data), backend);
  }

  @Test
  void decidesWhatWasLeftOpen() {
    ScoringPlan few = plan(PruningOptions.builder(), network(64, Activation.RELU), data(0)).scoring();
    assertEquals(new Criterion.EliminationCompensation(), few.criterion());
    assertEquals(new Compensation.Bias(), few.compensation());
    assertEquals(new Sensitivity.Jacobian(), few.sensitivity());
    assertEquals(backend.batchSize(), few.batchSize());
    assertEquals(Optional.empty(), few.loss());
    assertEquals(new Sensitivity.Probes(16),
        plan(PruningOptions.builder(), network(65, Activation.RELU), data(0)).scoring().sensitivity());
    PruningOptions.Builder gradient = PruningOptions.builder().criterion(new Criterion.Gradient());
    ScoringPlan classes = plan(gradient, network(4, Activation.IDENTITY), data(1)).scoring();
    assertEquals(new Compensation.None(), classes.compensation());
    assertEquals(Optional.of(new Loss.CrossEntropy()), classes.loss());
    assertEquals(Optional.of(new Loss.SquaredError()),
        plan(gradient, network(4, Activation.SIGMOID), data(1)).scoring().loss());
    assertEquals(Optional.of(new Loss.SquaredError()),
        plan(gradient, network(4, Activation.IDENTITY), data(4)).scoring().loss());
  }

  @Test
  void refusesForATiedLayerWhatIsOfLayersUsedOnce() {
    Graph.Builder builder = new Graph.Builder(6);
    int first = builder.dense("encoder", builder.slice(0, 0, 3), 4);
    int again = builder.again(first, builder.slice(0, 3, 3));
    builder.dense("head", builder.concat(first, again), 2);
    DenseNetwork tied = TestNetworks.network(arena, 1, builder.build());
    PruningOptions.Builder nonlinear = PruningOptions.builder()
        .criterion(new Criterion.NonlinearEliminationCompensation());
    assertEquals(
        "criterion ec-nonlinear is of layers that one node uses, and layer encoder is used by 2 nodes: use ec, "
            + "or exclude it",
        assertThrows(MismatchException.class, () -> plan(nonlinear, tied, data(0))).getMessage());
    assertEquals(1, plan(nonlinear.exclude("encoder"), tied, data(0)).scoring().layers().size());
    assertEquals(
        "no neuron can be removed: none is hidden, or a normalisation, a sum of features or a tied layer has or reads "
            + "them, or they are added or multiplied with inputs or outputs, or an excluded layer has or reads them",
        assertThrows(MismatchException.class,
            () -> plan(PruningOptions.builder().target(new Target.Neurons(0.5, new Scope.Global())), tied, data(0)))
            .getMessage());
  }

  @Test
  void keepsWhatWasGiven() {
    PruningPlan plan = plan(PruningOptions.builder().criterion(new Criterion.Gradient())
        .compensation(new Compensation.Bias()).sensitivity(new Sensitivity.Probes(3)).loss(new Loss.SquaredError())
        .batchSize(2).seed(11).target(new Target.Pattern(2, 4)), network(4, Activation.IDENTITY), data(1));
    assertEquals(new ScoringPlan(new Criterion.Gradient(), new Compensation.Bias(),
        List.of(new ScoringPlan.Layer(0, true), new ScoringPlan.Layer(1, true)), new Sensitivity.Probes(3),
        Optional.of(new Loss.SquaredError()), 2, 11), plan.scoring());
    assertEquals(List.of(new Target.Pattern(2, 4)), plan.rounds());
    assertEquals("{criterion=gradient, compensation=bias, sensitivity=probes:3, loss=mse, scope=2:4, schedule=oneshot, "
        + "repair=none, min-per-layer=1, batch-size=2, seed=11}", plan.inForce().toString());
  }

  @Test
  void scoresAllLayersButTheExcluded() {
    List<DenseLayer> layers = new ArrayList<>(network(4, Activation.IDENTITY).layers());
    layers.set(0, new DenseLayer("layer0", layers.getFirst().weights(), Optional.empty(), Activation.RELU));
    DenseNetwork network = new DenseNetwork(layers);
    PruningPlan all = plan(PruningOptions.builder(), network, data(0));
    assertEquals(List.of(new ScoringPlan.Layer(0, false), new ScoringPlan.Layer(1, true)), all.scoring().layers());
    assertEquals(50, all.prunableWeights());
    // M1, M2, M0 and the pilot mean.
    assertEquals((2 * 30 + 5 + 6 + 2 * 20 + 4 + 5) * 4, all.memory().scores());
    PruningPlan some = plan(PruningOptions.builder().exclude("layer0"), network, data(0));
    assertEquals(List.of(new ScoringPlan.Layer(1, true)), some.scoring().layers());
    assertEquals(
        List.of(new PruningPlan.Layer("layer0", 5, 6, true, false), new PruningPlan.Layer("layer1", 4, 5, false, true)),
        some.layers());
    assertEquals(20, some.prunableWeights());
    assertEquals((2 * 20 + 4 + 5) * 4, some.memory().scores());
    assertEquals((30 + 5 + 20 + 4) * 4, some.memory().weights());
    assertTrue(some.toString().contains("20 weights in the layer layer1"), some::toString);
  }

  @Test
  void namesTheLayersThatNothingCompensates() {
    List<DenseLayer> layers = new ArrayList<>();
    for (DenseLayer layer : network(4, Activation.IDENTITY).layers()) {
      layers.add(new DenseLayer(layer.name(), layer.weights(), Optional.empty(), layer.activation()));
    }
    DenseNetwork network = new DenseNetwork(layers);
    assertEquals(Optional.of("layers layer0, layer1 have no bias: their weights are pruned without compensation"),
        plan(PruningOptions.builder(), network, data(0)).uncompensated());
    assertEquals(Optional.of("layer layer1 has no bias: its weights are pruned without compensation"),
        plan(PruningOptions.builder().exclude("layer0"), network, data(0)).uncompensated());
    PruningOptions.Builder magnitude = PruningOptions.builder().criterion(new Criterion.Magnitude());
    assertEquals(Optional.empty(), plan(magnitude, network, data(0)).uncompensated());
    assertEquals(Optional.of("layers layer0, layer1 have no bias: their weights are refitted without one"),
        plan(magnitude.repair(new Repair.Refit()), network, data(0)).uncompensated());
    assertEquals(Optional.empty(), plan(PruningOptions.builder().sparsity(0), network, data(0)).uncompensated());
    assertEquals(Optional.empty(), plan(PruningOptions.builder().newBias(true), network, data(0)).uncompensated());
    assertEquals(Optional.empty(),
        plan(PruningOptions.builder(), network(4, Activation.IDENTITY), data(0)).uncompensated());
  }

  @Test
  void isTheSameForANetworkOnADevice() {
    DenseNetwork network = network(4, Activation.IDENTITY);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
      PruningOptions options = PruningOptions.builder().build();
      assertEquals(PruningPlan.of(options, network, Optional.of(data(0)), backend).scoring(),
          PruningPlan.of(options, device, Optional.of(data(0)), backend).scoring());
    }
  }

  @Test
  void refusesBeforeAnyWork() {
    DenseNetwork network = network(4, Activation.RELU);
    PruningOptions.Builder gradient = PruningOptions.builder().criterion(new Criterion.Gradient());
    refused("labels has 3 columns: labels need 1 (a class index) or 4 (a value for each output of the network)",
        gradient, network, data(3));
    refused("cross-entropy needs identity or softmax as the last activation, not relu: use mse",
        PruningOptions.builder().criterion(new Criterion.Gradient()).loss(new Loss.CrossEntropy()), network, data(1));
    refused("the pattern layer2 excludes no layer; the layers are layer0, layer1",
        PruningOptions.builder().exclude("layer1", "layer2"), network, data(0));
    refused("the sparsity layer2=0.5 is that of no layer; the layers are layer0, layer1", own("layer2=0.5"), network,
        data(0));
    refused("layer layer1 has the sparsities layer?=0.5 and layer1=0.75: drop one", own("layer?=0.5", "layer1=0.75"),
        network, data(0));
    refused("layer layer1 is excluded and has the sparsity layer1=1: drop one", own("layer1=1").exclude("layer1"),
        network, data(0));
    refused("the mask of layer2 is that of no layer; the layers are layer0, layer1", masked("layer2", 4, 5), network,
        data(0));
    refused("the mask of layer layer1 is 5 × 4, its weights are 4 × 5", masked("layer1", 5, 4), network, data(0));
    refused("layer layer1 is excluded and has a mask: drop one", masked("layer1", 4, 5).exclude("layer1"), network,
        data(0));
    refused("schedule linear:2: a mask is applied in one round; use oneshot",
        masked("layer1", 4, 5).schedule(new Schedule.Linear(2)), network, data(0));
    refused("all layers are excluded: nothing is left to prune", PruningOptions.builder().exclude("layer?"), network,
        data(0));
  }

  private PruningOptions.Builder masked(String layer, int rows, int columns) {
    return PruningOptions.builder().target(new Target.Mask(Map.of(layer, MatrixView.allocate(arena, rows, columns))));
  }

  private static PruningOptions.Builder own(String... sparsities) {
    return PruningOptions.builder().layerSparsities(Stream.of(sparsities).map(LayerSparsity::parse).toList());
  }

  private void refused(String message, PruningOptions.Builder options, DenseNetwork network, Dataset data) {
    assertEquals(message, assertThrows(MismatchException.class, () -> plan(options, network, data)).getMessage());
  }

  @Test
  void refusesWhatWouldTakeVeryLong() {
    DenseNetwork network = network(4, Activation.RELU);
    PruningOptions.Builder slow = PruningOptions.builder().criterion(new Criterion.NonlinearEliminationCompensation());
    plan(slow, network, data(0));
    Dataset many = Dataset.of(new ManySamples(1L << 50));
    ExcessiveTimeException refusal = assertThrows(ExcessiveTimeException.class, () -> plan(slow, network, many));
    assertTrue(
        refusal.getMessage().matches(
            "criterion ec-nonlinear would take about \\d+ days: \\d\\.\\de\\+\\d\\d multiply-adds at .* a second"),
        refusal::getMessage);
    assertTrue(refusal.estimate().toDays() > 1);
    assertEquals(slow.build().criterion(), plan(slow.allowSlow(true), network, many).scoring().criterion());
    plan(PruningOptions.builder(), network, many);
  }

  /// As many samples as are wanted, none of which is read.
  private record ManySamples(long samples) implements SampleSource {
    @Override
    public String name() {
      return "many samples";
    }

    @Override
    public int width() {
      return 6;
    }

    @Override
    public Pass open() {
      throw new IllegalStateException("nothing is to be read");
    }
  }

  @Test
  void classProbabilitiesNeedALossOfClasses() {
    PruningOptions.Builder fisher = PruningOptions.builder().sensitivity(Sensitivity.parse("fisher:1"));
    assertEquals("sensitivity fisher:1 is that of class probabilities, but the loss is mse",
        assertThrows(MismatchException.class,
            () -> plan(fisher.loss(new Loss.SquaredError()), network(4, Activation.IDENTITY), data(1))).getMessage());
    PruningOptions.Builder smooth = PruningOptions.builder().sensitivity(Sensitivity.parse("jacobian:smooth=0.2"));
    assertFalse(plan(smooth, network(4, Activation.IDENTITY), data(1)).scoring().predictsOutputChange());
    assertEquals(
        "sensitivity jacobian:smooth=0.2: criterion ec-nonlinear measures changes of the network itself; use jacobian",
        assertThrows(MismatchException.class,
            () -> plan(smooth.criterion(Criterion.parse("ec-nonlinear")), network(4, Activation.IDENTITY), data(1)))
            .getMessage());
    assertEquals(Sensitivity.parse("fisher:1"),
        plan(fisher.loss(new Loss.CrossEntropy()), network(4, Activation.IDENTITY), data(1)).scoring().sensitivity());
  }
}
