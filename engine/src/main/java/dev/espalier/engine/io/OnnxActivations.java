package dev.espalier.engine.io;

import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activation.Kind;
import java.util.Optional;

/// Nodes of an ONNX model that are activations.
final class OnnxActivations {
  private OnnxActivations() {}

  /// The activation that a node is; empty if it is none, or one with other parameters.
  static Optional<Activation> of(OnnxContent content, OnnxNode node) throws FormatException {
    return switch (node.operator()) {
      case "Relu" -> Optional.of(Activation.RELU);
      case "Tanh" -> Optional.of(Activation.TANH);
      case "Sigmoid" -> Optional.of(Activation.SIGMOID);
      case "Softplus" -> Optional.of(Activation.of(Kind.SOFTPLUS));
      case "Softsign" -> Optional.of(Activation.of(Kind.SOFTSIGN));
      case "Sin" -> Optional.of(Activation.of(Kind.SIN));
      case "Mish" -> Optional.of(Activation.of(Kind.MISH));
      case "HardSwish" -> Optional.of(Activation.of(Kind.HARDSWISH));
      case "LeakyRelu" -> Optional.of(new Activation(Kind.LEAKY_RELU, decimal(node.number("alpha", 0.01f))));
      case "Elu" -> Optional.of(new Activation(Kind.ELU, decimal(node.number("alpha", 1))));
      case "Celu" -> Optional.of(Activation.of(Kind.ELU)).filter(_ -> node.number("alpha", 1) == 1);
      case "PRelu" -> {
        Optional<OnnxTensor> slope = content.constant(OnnxValues.name(node, 1))
            .filter(tensor -> tensor.elements() == 1);
        yield slope.map(tensor -> tensor.value(0)).filter(Double::isFinite)
            .map(value -> new Activation(Kind.LEAKY_RELU, value));
      }
      case "Gelu" -> Optional.of(Activation.of(node.text("approximate").equals("tanh") ? Kind.GELU_TANH : Kind.GELU));
      case "Selu" -> Optional.of(Activation.of(Kind.SELU))
          .filter(_ -> OnnxContent.isNear(node.number("alpha", (float) Activation.SELU_ALPHA), Activation.SELU_ALPHA)
              && OnnxContent.isNear(node.number("gamma", (float) Activation.SELU_SCALE), Activation.SELU_SCALE));
      case "HardSigmoid" -> Optional.of(Activation.of(Kind.HARDSIGMOID))
          .filter(_ -> OnnxContent.isNear(node.number("alpha", 0.2f), 1 / 6.0) && node.number("beta", 0.5f) == 0.5f);
      case "Clip" -> clip(content, node);
      case "Max" -> node.inputs().size() == 2 && content.isConstant(node.inputs().getLast(), 0)
          ? Optional.of(Activation.RELU)
          : Optional.empty();
      case "Softmax" -> Optional.of(Activation.SOFTMAX);
      case "LogSoftmax" -> Optional.of(Activation.LOG_SOFTMAX);
      default -> Optional.empty();
    };
  }

  /// Between 0 and 6, or from 0 on.
  private static Optional<Activation> clip(OnnxContent content, OnnxNode node) throws FormatException {
    String most = OnnxValues.name(node, 2);
    if (!content.isConstant(OnnxValues.name(node, 1), 0)) {
      return Optional.empty();
    }
    return content.isConstant(most, 6)
        ? Optional.of(Activation.of(Kind.RELU6))
        : Optional.of(Activation.RELU).filter(_ -> most.isEmpty());
  }

  /// The number that was written in decimal digits before it became a float32.
  static double decimal(double value) {
    return (float) value == value ? Double.parseDouble(Float.toString((float) value)) : value;
  }
}
