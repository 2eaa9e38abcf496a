package dev.espalier.engine.method;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class NeedsTest {
  /// Elements are those of a 3 × 5 layer: moments take 5 + 3 + 15 + 15, squares 5, a gradient 15. A network of 4
  /// outputs has 4 backward passes for the Jacobian, and one for a loss.
  @ParameterizedTest
  @CsvSource(nullValues = "nothing",
      value = {"ec, bias, moments, false, 38, 4, 2", "ec, none, moments, false, 38, 4, 2",
          "ec-nonlinear, bias, moments, false, 38, 4, 2", "magnitude, none, nothing, false, 0, 0, 0",
          "magnitude, bias, moments, false, 38, 4, 2", "random, none, nothing, false, 0, 0, 0",
          "random, bias, moments, false, 38, 4, 2", "wanda, none, input_squares, false, 5, 0, 0",
          "wanda, bias, moments input_squares, false, 43, 4, 2", "gradient, none, loss_gradient, true, 15, 1, 1",
          "gradient, bias, moments loss_gradient, true, 53, 5, 3"})
  void followsFromCriterionAndCompensation(String criterion, String compensation, String statistics, boolean labels,
      long elements, int jacobianPasses, int probePasses) {
    Needs needs = Criterion.parse(criterion).needs().and(Compensation.parse(compensation).needs());
    List<String> expected = statistics == null ? List.of() : List.of(statistics.split(" "));
    assertEquals(expected, needs.inOrder().stream().map(Object::toString).toList());
    assertEquals(statistics != null, needs.samples());
    assertEquals(labels, needs.labels());
    assertEquals(expected.contains("moments"), needs.sensitivities());
    assertEquals(jacobianPasses, needs.backwardPasses(new Sensitivity.Jacobian(), 4));
    assertEquals(probePasses, needs.backwardPasses(new Sensitivity.Probes(2), 4));
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(elements,
          needs.elements(new DenseLayer("0", MatrixView.allocate(arena, 3, 5), Optional.empty(), Activation.IDENTITY)));
    }
  }

  @Test
  void onlyEliminationCompensationCompensatesByDefault() {
    for (String own : List.of("ec", "ec-nonlinear")) {
      assertEquals(new Compensation.Bias(), Criterion.parse(own).defaultCompensation());
    }
    for (String other : List.of("magnitude", "gradient", "wanda", "random")) {
      assertEquals(new Compensation.None(), Criterion.parse(other).defaultCompensation());
    }
  }

  @Test
  void theJacobianIsTheDefaultUpTo64Outputs() {
    assertEquals(new Sensitivity.Jacobian(), Sensitivity.defaultFor(64));
    assertEquals(new Sensitivity.Probes(16), Sensitivity.defaultFor(65));
    assertEquals(64, new Sensitivity.Jacobian().passes(64));
    assertEquals(3, new Sensitivity.Probes(3).passes(64));
  }

  @Test
  void oneShotIsOneRound() {
    Target last = new Target.Pattern(2, 4);
    assertEquals(List.of(last), new Schedule.OneShot().rounds(last));
  }

  @Test
  void crossEntropyIsTheDefaultForClassesWhereItIsPossible() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      SampleSource classes = new MatrixSamples("classes", MatrixView.allocate(arena, 2, 1));
      SampleSource oneHot = new MatrixSamples("one-hot", MatrixView.of(arena, 2, 3, 0, 1, 0, 1, 0, 0));
      SampleSource values = new MatrixSamples("values", MatrixView.of(arena, 2, 3, 0, 1, 0, 1, 0.5f, 0));
      SampleSource targets = new MatrixSamples("targets", MatrixView.allocate(arena, 2, 3));
      for (Activation last : TestNetworks.activations().toList()) {
        Graph network = network(arena, 3, last);
        boolean possible = last.equals(Activation.IDENTITY) || !last.isElementwise();
        assertEquals(possible ? new Loss.CrossEntropy() : new Loss.SquaredError(), Loss.defaultFor(network, classes));
        assertEquals(last.equals(Activation.SIGMOID) ? new Loss.BinaryCrossEntropy() : new Loss.SquaredError(),
            Loss.defaultFor(network, targets));
        assertEquals(switch (last.kind()) {
          case IDENTITY, SOFTMAX, LOG_SOFTMAX -> new Loss.CrossEntropy();
          case SIGMOID -> new Loss.BinaryCrossEntropy();
          default -> new Loss.SquaredError();
        }, Loss.defaultFor(network, oneHot));
        assertEquals(new Loss.SquaredError(), Loss.defaultFor(network, values));
        new Loss.SquaredError().requireFits(network);
        if (possible) {
          new Loss.CrossEntropy().requireFits(network);
        } else {
          assertEquals(
              "cross-entropy needs identity or softmax as the last activation, not %s: use mse".formatted(last),
              assertThrows(MismatchException.class, () -> new Loss.CrossEntropy().requireFits(network)).getMessage());
        }
      }
      assertEquals(new Loss.SquaredError(), Loss.defaultFor(network(arena, 1, Activation.IDENTITY), classes));
      assertEquals(new Loss.BinaryCrossEntropy(), Loss.defaultFor(network(arena, 1, Activation.SIGMOID), classes));
    }
  }

  /// Cross-entropies, divergences and Fisher sensitivities are of one output, and so are class indices.
  @Test
  void severalOutputsHaveTargetsAndASquaredError() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      Graph.Builder builder = new Graph.Builder(2);
      builder.concat(builder.dense("0", 0, 3), builder.dense("1", 0, 2));
      Graph network = builder.build(List.of(new Graph.Head("classes", 3), new Graph.Head("box", 2)));
      SampleSource classes = new MatrixSamples("y.npy", MatrixView.allocate(arena, 2, 1));
      SampleSource oneHot = new MatrixSamples("y.npy", MatrixView.of(arena, 1, 5, 0, 1, 0, 0, 0));
      Loss loss = Loss.defaultFor(network, oneHot);
      assertEquals(new Loss.SquaredError(), loss);
      assertEquals(new Loss.SquaredError(), Loss.defaultFor(network, classes));
      loss.encoder(network, oneHot);
      refused("y.npy has 1 column, and the network several outputs, classes (3), box (2): give targets for all their 5 "
          + "numbers, or prune without labels and evaluate one output", () -> loss.encoder(network, classes));
      refused("cross-entropy is of one output, and the network has several, classes (3), box (2): use mse",
          () -> new Loss.CrossEntropy().requireFits(network));
      refused("binary-cross-entropy is of one output, and the network has several, classes (3), box (2): use mse",
          () -> new Loss.BinaryCrossEntropy().requireFits(network));
      refused("objective kl:4 is of one output, and the network has several, classes (3), box (2): use mse",
          () -> new Objective.Divergence(4).requireFits(network));
      refused("sensitivity fisher is of one output, and the network has several, classes (3), box (2): "
          + "use jacobian or probes", () -> new Sensitivity.Fisher(OptionalInt.empty(), 1).requireFits(network));
    }
  }

  private static void refused(String message, Executable call) {
    assertEquals(message, assertThrows(MismatchException.class, call).getMessage());
  }

  @Test
  void crossEntropyOfOneOutputOrOfSigmoidsIsBinary() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      SampleSource labels = new MatrixSamples("y", MatrixView.allocate(arena, 2, 1));
      Optional<Loss> asked = Optional.of(new Loss.CrossEntropy());
      Loss binary = new Loss.BinaryCrossEntropy();
      assertEquals(binary, Loss.inForce(asked, network(arena, 1, Activation.IDENTITY), labels));
      assertEquals(binary, Loss.inForce(asked, network(arena, 3, Activation.SIGMOID), labels));
      assertEquals(new Loss.CrossEntropy(), Loss.inForce(asked, network(arena, 3, Activation.IDENTITY), labels));
      assertEquals(new Loss.CrossEntropy(), Loss.inForce(asked, network(arena, 1, Activation.TANH), labels));
      for (Activation last : TestNetworks.activations().toList()) {
        Graph network = network(arena, 2, last);
        if (last.equals(Activation.IDENTITY) || last.equals(Activation.SIGMOID)) {
          binary.requireFits(network);
        } else {
          assertThrows(MismatchException.class, () -> binary.requireFits(network));
        }
      }
    }
  }

  private static Graph network(Arena arena, int outputs, Activation last) {
    return new DenseNetwork(
        List.of(new DenseLayer("0", MatrixView.allocate(arena, outputs, 2), Optional.empty(), last))).graph();
  }
}
