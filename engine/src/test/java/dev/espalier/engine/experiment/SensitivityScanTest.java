package dev.espalier.engine.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

final class SensitivityScanTest {
  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(6, 8, 7, 3),
      List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY));
  private final Dataset data = labelled();

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  private Dataset labelled() {
    MatrixView labels = MatrixView.allocate(arena, 50, 1);
    for (int n = 0; n < 50; n++) {
      labels.set(n, 0, n % 3);
    }
    return TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(5), 50, 6, 1, 0.5), labels);
  }

  private SensitivityScan.Result scan(PruningOptions options, Optional<Loss> loss, List<Double> sparsities)
      throws IOException {
    return new SensitivityScan(backend, network, Optional.of(data), data, loss, 16, ProgressListener.NONE)
        .run(sparsities, options);
  }

  /// Every network is that of a pruning with all other layers excluded.
  @ParameterizedTest
  @EnumSource(names = {"PAPER", "REFIT"})
  void everyFigureIsThatOfALayerPrunedAlone(Preset preset) throws IOException {
    Optional<Loss> loss = Optional.of(new Loss.CrossEntropy());
    PruningOptions options = PruningOptions.builder().preset(preset, OptionalDouble.of(4)).minPerLayer(2).build();
    SensitivityScan.Result result = scan(options, loss, List.of(0.9, 0.3, 0.6, 0.3));
    assertEquals(List.of(0.3, 0.6, 0.9), result.sparsities());
    assertEquals(List.of("layer0", "layer1", "layer2"),
        result.layers().stream().map(SensitivityScan.Layer::name).toList());
    // In rounds, the network at the end of a path depends on the stops before it; the first does not.
    int compared = preset == Preset.PAPER ? 3 : 1;
    for (SensitivityScan.Layer layer : result.layers()) {
      for (int i = 0; i < compared; i++) {
        PruningOptions.Builder alone = PruningOptions.builder().preset(preset, OptionalDouble.of(4)).minPerLayer(2)
            .sparsity(result.sparsities().get(i)).exclude(result.layers().stream().map(SensitivityScan.Layer::name)
                .filter(name -> !name.equals(layer.name())).toArray(String[]::new));
        DenseNetwork pruned = new Pruner(backend, alone.build()).prune(network, data, arena).network();
        try (DeviceNetwork before = DeviceNetwork.copyOf(backend, network);
            DeviceNetwork after = DeviceNetwork.copyOf(backend, pruned)) {
          EvaluationPass.Result expected = EvaluationPass
              .run(backend, List.of(before, after), data, loss, 16, ProgressListener.NONE).getLast();
          EvaluationPass.Result found = layer.judged().get(i);
          // The scan's network stays in double; the pruner's went through float32.
          assertEquals(expected.outputChange(), found.outputChange(), 1e-6 * (1 + expected.outputChange()));
          assertEquals(expected.evaluation().orElseThrow().loss(), found.evaluation().orElseThrow().loss(), 1e-6);
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"ec", "magnitude", "random"})
  void nothingRemovedChangesNothingAndExcludedLayersAreLeftOut(String criterion) throws IOException {
    SensitivityScan.Result result = scan(
        PruningOptions.builder().criterion(Criterion.parse(criterion)).exclude("layer1").build(), Optional.empty(),
        List.of(0.0, 1.0));
    assertEquals(List.of("layer0", "layer2"), result.layers().stream().map(SensitivityScan.Layer::name).toList());
    for (SensitivityScan.Layer layer : result.layers()) {
      assertEquals(0, layer.judged().getFirst().outputChange());
      assertEquals(Optional.empty(), layer.judged().getFirst().evaluation());
      assertTrue(layer.judged().getLast().outputChange() > 0);
    }
  }

  /// round(0.55 · 56) = 31 of layer1, whatever the other layers' shapes.
  @Test
  void countsAreThoseOfTheLayer() throws IOException {
    PruningOptions options = PruningOptions.builder().criterion(new Criterion.Magnitude()).build();
    SensitivityScan.Result alone = scan(options, Optional.empty(), List.of(0.55));
    DenseNetwork pruned = new Pruner(backend, PruningOptions.builder().criterion(new Criterion.Magnitude())
        .sparsity(0.55).exclude("layer0", "layer2").build()).prune(network, data, arena).network();
    assertEquals(31, pruned.layers().get(1).weights().zeros());
    try (DeviceNetwork before = DeviceNetwork.copyOf(backend, network);
        DeviceNetwork after = DeviceNetwork.copyOf(backend, pruned)) {
      assertEquals(EvaluationPass
          .run(backend, List.of(before, after), data, Optional.empty(), 16, ProgressListener.NONE).getLast(),
          alone.layers().get(1).judged().getFirst());
    }
  }
}
