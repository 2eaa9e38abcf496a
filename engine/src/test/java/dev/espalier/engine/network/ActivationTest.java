package dev.espalier.engine.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

final class ActivationTest {
  /// Values from Python's math module.
  @ParameterizedTest
  @CsvSource({"identity, -1.5, -1.5", "relu, -1.5, 0", "relu, 2, 2", "leaky_relu, -1.5, -0.015",
      "elu, -1.5, -0.7768698398515702", "gelu, -1.5, -0.10021080190328713", "gelu, 0.7, 0.5306254434438489",
      "silu, -1.5, -0.2736382857095345", "softplus, -1.5, 0.2014132779827524", "softplus, 800, 800",
      "tanh, -1.5, -0.9051482536448664", "sigmoid, -1.5, 0.18242552380635635", "sigmoid, -800, 0"})
  void hasItsDefinitionsValue(String name, double z, double expected) {
    assertEquals(expected, Activation.parse(name).value(z), 1e-15 * Math.max(1, Math.abs(expected)));
  }

  @ParameterizedTest
  @EnumSource(mode = Mode.EXCLUDE, names = "SOFTMAX")
  void hasTheDerivativeOfItsValue(Activation activation) {
    double h = 1e-5;
    for (double z : new double[]{-30, -3.3, -1.1, -0.4, 0.4, 1.1, 3.3, 30}) {
      double difference = (activation.value(z + h) - activation.value(z - h)) / (2 * h);
      assertEquals(difference, activation.derivative(z), 1e-8, activation + " at " + z);
    }
  }

  @Test
  void namesThoseThereAre() {
    String message = assertThrows(IllegalArgumentException.class, () -> Activation.parse("mish")).getMessage();
    assertTrue(message.contains("'mish'") && message.contains("silu"), message);
    for (String other : List.of("ReLU6", "leaky_relu:0.2", "gelu:tanh", "Hardswish", "")) {
      assertThrows(IllegalArgumentException.class, () -> Activation.parse(other), other);
    }
  }

  @ParameterizedTest
  @CsvSource({"ReLU, RELU", "LeakyReLU, LEAKY_RELU", "ELU, ELU", "GELU, GELU", "SiLU, SILU", "swish, SILU",
      "Softplus, SOFTPLUS", "Tanh, TANH", "Sigmoid, SIGMOID", "Softmax, SOFTMAX", "Identity, IDENTITY",
      "linear, IDENTITY", "leakyrelu, LEAKY_RELU"})
  void pytorchAndKerasNamesAreNamesToo(String name, Activation activation) {
    assertEquals(activation, Activation.parse(name));
    assertEquals(activation, Activation.parse(activation.toString()));
  }

  @Test
  void oneNameForSeveralLayersIsThatOfTheHiddenOnes() {
    Activations one = Activations.parse("silu");
    assertEquals(List.of(Activation.SILU), one.forLayers(1));
    assertEquals(List.of(Activation.SILU, Activation.SILU, Activation.IDENTITY), one.forLayers(3));
    Activations each = Activations.parse("tanh, relu,softmax");
    assertEquals(List.of(Activation.TANH, Activation.RELU, Activation.SOFTMAX), each.forLayers(3));
    assertEquals("tanh,relu,softmax", each.toString());
    assertEquals(each, Activations.parse(each.toString()));
    assertEquals("3 activations (tanh,relu,softmax) for 2 layers; give one for each, or one for all hidden layers",
        assertThrows(MismatchException.class, () -> each.forLayers(2)).getMessage());
    assertThrows(IllegalArgumentException.class, () -> Activations.parse("relu,"));
  }
}
