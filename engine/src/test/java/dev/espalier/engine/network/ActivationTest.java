package dev.espalier.engine.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

final class ActivationTest {
  /// Values from Python's math module.
  @ParameterizedTest
  @CsvSource({"identity, -1.5, -1.5", "relu, -1.5, 0", "relu, 2, 2", "leaky_relu, -1.5, -0.015",
      "elu, -1.5, -0.7768698398515702", "gelu, -1.5, -0.10021080190328713", "gelu, 0.7, 0.5306254434438489",
      "silu, -1.5, -0.2736382857095345", "softplus, -1.5, 0.2014132779827524", "softplus, 800, 800",
      "tanh, -1.5, -0.9051482536448664", "sigmoid, -1.5, 0.18242552380635635", "sigmoid, -800, 0",
      "leaky_relu:0.2, -1.5, -0.3", "elu:0.5, -1.5, -0.3884349199257851", "relu6, -1, 0", "relu6, 2.5, 2.5",
      "relu6, 7, 6", "SELU, -1.5, -1.3658143533672527", "selu, 2, 2.101401974710961",
      "gelu:tanh, -1.5, -0.10042842301976707", "gelu:tanh, 0.7, 0.5305701347051167", "gelu:tanh, -1e200, 0",
      "mish, -1.5, -0.29809974216680674", "mish, 2, 1.9439589595339946", "mish, 800, 800", "mish, -800, 0",
      "hardswish, -1.5, -0.375", "hardswish, -4, 0", "hardswish, 4, 4", "hardsigmoid, -1.5, 0.25",
      "softsign, -1.5, -0.6", "sin, -1.5, -0.9974949866040544", "sin:30, 0.1, 0.1411200080598672"})
  void hasItsDefinitionsValue(String name, double z, double expected) {
    assertEquals(expected, Activation.parse(name).value(z), 1e-15 * Math.max(1, Math.abs(expected)));
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#elementwise")
  void hasTheDerivativeOfItsValue(Activation activation) {
    double h = 1e-5;
    // The difference is off by h² φ‴ / 6, where φ‴ is about 1, or the cube of a sine's frequency.
    double rise = activation.kind() == Activation.Kind.SIN ? Math.pow(activation.parameter(), 3) : 1;
    for (double z : new double[]{-30, -3.3, -1.1, -0.4, 0.4, 1.1, 3.3, 7, 30}) {
      double difference = (activation.value(z + h) - activation.value(z - h)) / (2 * h);
      assertEquals(difference, activation.derivative(z), 1e-8 + h * h * rise / 6, activation + " at " + z);
    }
  }

  @Test
  void namesThoseThereAre() {
    assertEquals("unknown activation 'swiglu': use one of identity, relu, relu6, leaky_relu[:NUMBER], elu[:NUMBER], "
        + "selu, gelu, gelu:tanh, silu, mish, hardswish, hardsigmoid, softplus, softsign, tanh, sigmoid, sin[:NUMBER], "
        + "softmax, log_softmax, prelu", refusal("swiglu"));
    assertEquals("activation 'relu:0.1': relu has no parameter '0.1'", refusal("relu:0.1"));
    assertEquals("activation 'gelu:erf': gelu has no parameter 'erf'", refusal("gelu:erf"));
    assertEquals("activation 'elu:x': give a number, such as elu:1.0", refusal("elu:x"));
    assertEquals("activation 'leaky_relu:NaN': give a number, such as leaky_relu:0.01", refusal("leaky_relu:NaN"));
    assertEquals("activation 'sin:0': give a number other than 0, such as sin:1.0", refusal("sin:0"));
    for (String other : List.of("", ":", ":0.2", "elu:", "elu:1:2", "sin:Infinity", "prelu:0.2", "gelu:tanh:1")) {
      refusal(other);
    }
  }

  private static String refusal(String text) {
    return assertThrows(IllegalArgumentException.class, () -> Activation.parse(text), text).getMessage();
  }

  @ParameterizedTest
  @CsvSource({"ReLU, relu", "LeakyReLU, leaky_relu", "ELU, elu", "GELU, gelu", "SiLU, silu", "swish, silu",
      "Softplus, softplus", "Tanh, tanh", "Sigmoid, sigmoid", "Softmax, softmax", "LogSoftmax, log_softmax",
      "Identity, identity", "linear, identity", "leakyrelu, leaky_relu", "ReLU6, relu6", "Hardswish, hardswish",
      "hard_swish, hardswish", "LeakyReLU:0.2, leaky_relu:0.2", "leaky_relu:0.010, leaky_relu", "elu:1, elu",
      "GELU:tanh, gelu:tanh", "sin:30.0, sin:30", "sin:1, sin", "PReLU, prelu", "elu:-.5e-3, elu:-5.0E-4"})
  void otherNamesAreNamesToo(String name, String canonical) {
    Activation activation = Activation.parse(name);
    assertEquals(canonical, activation.toString());
    assertEquals(activation, Activation.parse(canonical));
  }

  @ParameterizedTest
  @MethodSource("dev.espalier.engine.TestNetworks#activations")
  void printsItself(Activation activation) {
    assertEquals(activation, Activation.parse(activation.toString()));
  }

  @Test
  void oneNameForSeveralLayersIsThatOfTheHiddenOnes() {
    Activations one = Activations.parse("silu");
    assertEquals(List.of(Activation.parse("silu")), one.forLayers(1));
    assertEquals(List.of(Activation.parse("silu"), Activation.parse("silu"), Activation.IDENTITY), one.forLayers(3));
    Activations each = Activations.parse("tanh, relu,softmax");
    assertEquals(List.of(Activation.TANH, Activation.RELU, Activation.SOFTMAX), each.forLayers(3));
    assertEquals("tanh,relu,softmax", each.toString());
    assertEquals(each, Activations.parse(each.toString()));
    assertEquals("3 activations (tanh,relu,softmax) for 2 layers; give one for each, or one for all hidden layers",
        assertThrows(MismatchException.class, () -> each.forLayers(2)).getMessage());
    assertThrows(IllegalArgumentException.class, () -> Activations.parse("relu,"));
  }
}
