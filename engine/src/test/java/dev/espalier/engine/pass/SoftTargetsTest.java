package dev.espalier.engine.pass;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SoftTargetsTest {
  private final Arena arena = Arena.ofAuto();
  private final Backend backend = new ReferenceBackend();

  @Test
  void entropyOfProbabilities() {
    MatrixView logits = MatrixView.of(arena, 2, 2, 5, 5, 0, (float) (2 * Math.log(3)));
    double ofQuarters = -0.25 * Math.log(0.25) - 0.75 * Math.log(0.75);
    assertEquals((Math.log(2) + ofQuarters) / 2, SoftTargets.entropy(logits, 2), 1e-7);
    MatrixView large = MatrixView.of(arena, 1, 3, 3e38f, -3e38f, 0);
    assertEquals(0, SoftTargets.entropy(large, 1));
  }

  /// 10 000 samples, of which some are looked at.
  @ParameterizedTest
  @ValueSource(ints = {1000, 10_000})
  void temperatureGivesTheEntropy(int samples) throws IOException {
    MatrixView inputs = samples(samples, 10);
    double temperature = temperature(identity(Activation.IDENTITY), inputs);
    assertTrue(temperature > 1 && temperature < SoftTargets.HOTTEST, "temperature " + temperature);
    double wanted = SoftTargets.ENTROPY * Math.log(5);
    assertEquals(wanted, SoftTargets.entropy(inputs, temperature), 0.05 * wanted);
    assertEquals(temperature, temperature(identity(Activation.SOFTMAX), inputs), "softmax of the same logits");
  }

  @Test
  void staysWithinBounds() throws IOException {
    assertEquals(1, temperature(identity(Activation.IDENTITY), samples(100, 0.01f)));
    assertEquals(SoftTargets.HOTTEST, temperature(identity(Activation.IDENTITY), samples(100, 1000)));
    assertEquals(1, temperature(identity(Activation.TANH), samples(100, 3)), "no probabilities");
  }

  @Test
  void isOfClassifiersAlone() throws IOException {
    DenseNetwork network = identity(Activation.IDENTITY);
    MatrixView inputs = samples(10, 10);
    assertEquals(OptionalDouble.empty(),
        SoftTargets.temperature(backend, network, TestNetworks.source(inputs).samples(), new Loss.SquaredError()));
    assertEquals(OptionalDouble.of(temperature(network, inputs)),
        SoftTargets.temperature(backend, network, TestNetworks.source(inputs).samples(), new Loss.CrossEntropy()));
  }

  private double temperature(DenseNetwork network, MatrixView inputs) throws IOException {
    return SoftTargets.temperature(backend, network, TestNetworks.source(inputs).samples());
  }

  private MatrixView samples(int count, float spread) {
    return TestNetworks.normal(arena, TestNetworks.random(7), count, 5, spread, 0);
  }

  /// The logits are the inputs.
  private DenseNetwork identity(Activation last) {
    DenseNetwork network = TestNetworks.network(arena, 1, List.of(5, 5), List.of(last));
    MatrixView weights = network.layers().getFirst().weights();
    for (int i = 0; i < 5; i++) {
      for (int j = 0; j < 5; j++) {
        weights.set(i, j, i == j ? 1 : 0);
      }
    }
    network.layers().getFirst().bias().ifPresent(bias -> bias.segment().fill((byte) 0));
    return network;
  }
}
