package dev.espalier.engine.io;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.stream.Stream;

/// Writes a chain of layers as an ONNX model of operator set 20: a Gemm for each layer, with its weights and bias as
/// float32 under the names of their tensors, the nodes of its activation, and those of batch normalisations. The metadata
/// become the model's. Where it would be larger than 2 GB, the elements of tensors of 1 KiB or more lie in a file beside it.
final class OnnxWriter {
  private static final int OPERATOR_SET = 20;
  /// Of the format; it came with this operator set.
  private static final int VERSION = 9;
  /// Protocol Buffers read no larger message.
  private static final long MOST_BYTES = Integer.MAX_VALUE;
  private static final long FRAME_BYTES = 1 << 16;
  /// Of weights and biases.
  static final long MOST_WEIGHT_BYTES = MOST_BYTES - FRAME_BYTES;

  private static final int FLOAT = 1;
  private static final String INPUT = "x";
  private static final String OUTPUT = "y";

  private final Arena arena;
  /// The file beside the model, if there is one.
  private final Optional<String> location;
  private final List<MemorySegment> data = new ArrayList<>();
  private long end;
  private final List<MemorySegment> graph = new ArrayList<>();
  /// The tensors that activations share, as far as they are written.
  private final Set<String> slopes = new HashSet<>();
  private int nodes;

  private OnnxWriter(Arena arena, Optional<String> location) {
    this.arena = arena;
    this.location = location;
  }

  /// A layer and the names of its tensors.
  ///
  /// @param activation behind the layer and its batch normalisations
  /// @param slope      the tensor that is the parameter of its activation, if the file has one
  record Layer(DenseLayer layer, Activation activation, String weight, Optional<String> bias, Optional<String> slope) {}

  /// A batch normalisation.
  ///
  /// @param tensors its weight, bias, mean and variance by their names
  record Norm(BatchNorm.Place place, String name, Map<String, MatrixView> tensors) {}

  /// A part of the chain, which reads a value and makes one of a name.
  private record Step(String name, BiConsumer<String, String> nodes) {}

  /// @param mostBytes of weights and biases in the model's own file
  static void write(AtomicOutputs outputs, Path target, boolean overwrite, List<Layer> layers, List<Norm> norms,
      Map<String, String> metadata, long mostBytes) throws IOException {
    boolean isSplit = isSplit(layers.stream().map(Layer::layer).toList(), mostBytes);
    try (Arena arena = Arena.ofConfined()) {
      OnnxWriter writer = new OnnxWriter(arena,
          isSplit ? Optional.of(OnnxOutput.data(target).getFileName().toString()) : Optional.empty());
      List<MemorySegment> model = writer.model(layers, norms, metadata);
      outputs.write(target, overwrite, channel -> {
        for (MemorySegment part : model) {
          if (part.byteSize() > 0) {
            AtomicOutput.writeFully(channel, part.asByteBuffer());
          }
        }
      });
      OnnxOutput.writeData(outputs, target, overwrite, writer.data);
    }
  }

  /// Whether a model has a file beside it.
  ///
  /// @param mostBytes of weights, and of biases, which all layers may gain, in the model's own file
  static boolean isSplit(List<DenseLayer> layers, long mostBytes) {
    return layers.stream().mapToLong(layer -> layer.weights().elements() + layer.outputs()).sum()
        * Float.BYTES > mostBytes;
  }

  private List<MemorySegment> model(List<Layer> layers, List<Norm> norms, Map<String, String> metadata) {
    graph.addAll(text(2, "espalier"));
    List<Step> steps = new ArrayList<>(steps(norms, new BatchNorm.Place(-1, true)));
    for (int l = 0; l < layers.size(); l++) {
      Layer layer = layers.get(l);
      steps.add(new Step(layer.layer.name() + ".z", (read, made) -> dense(layer, read, made)));
      steps.addAll(steps(norms, new BatchNorm.Place(l, false)));
      if (!layer.activation.equals(Activation.IDENTITY)) {
        steps.add(new Step(layer.layer.name() + ".a", (read, made) -> activate(layer, read, made)));
      }
      steps.addAll(steps(norms, new BatchNorm.Place(l, true)));
    }
    String read = INPUT;
    for (int i = 0; i < steps.size(); i++) {
      String made = i + 1 < steps.size() ? steps.get(i).name : OUTPUT;
      steps.get(i).nodes.accept(read, made);
      read = made;
    }
    graph.addAll(value(OnnxContent.GRAPH_INPUT, INPUT, layers.getFirst().layer.inputs()));
    graph.addAll(value(OnnxContent.GRAPH_OUTPUT, OUTPUT, layers.getLast().layer.outputs()));
    List<MemorySegment> model = new ArrayList<>(List.of(Protobuf.field(1, VERSION)));
    model.addAll(text(2, "Espalier"));
    model.addAll(Protobuf.field(OnnxContent.MODEL_GRAPH, graph));
    model.addAll(Protobuf.field(8, joined(text(1, ""), List.of(Protobuf.field(2, OPERATOR_SET)))));
    metadata.forEach(
        (key, value) -> model.addAll(Protobuf.field(OnnxContent.MODEL_METADATA, joined(text(1, key), text(2, value)))));
    return model;
  }

  private List<Step> steps(List<Norm> norms, BatchNorm.Place place) {
    return norms.stream().filter(norm -> norm.place.equals(place))
        .map(norm -> new Step(norm.name + ".y", (read, made) -> normalize(norm, read, made))).toList();
  }

  private void dense(Layer layer, String read, String z) {
    tensor(layer.weight, layer.layer.weights(), layer.layer.outputs(), layer.layer.inputs());
    layer.bias.ifPresent(name -> tensor(name, layer.layer.bias().orElseThrow(), layer.layer.outputs()));
    node("Gemm", Stream.concat(Stream.of(read, layer.weight), layer.bias.stream()).toList(), z, integer("transB", 1));
  }

  private void normalize(Norm norm, String read, String y) {
    norm.tensors.forEach((name, values) -> tensor(name, values, values.columns()));
    node("BatchNormalization", Stream.concat(Stream.of(read), norm.tensors.keySet().stream()).toList(), y);
  }

  private void activate(Layer layer, String z, String a) {
    Activation activation = layer.activation;
    float parameter = (float) activation.parameter();
    String name = layer.layer.name();
    switch (activation.kind()) {
      case IDENTITY -> throw new AssertionError("it has no node");
      case RELU -> node("Relu", z, a);
      case RELU6 -> {
        scalar(name + ".least", 0);
        scalar(name + ".most", 6);
        node("Clip", List.of(z, name + ".least", name + ".most"), a);
      }
      case LEAKY_RELU -> {
        if (layer.slope.isPresent()) {
          if (slopes.add(layer.slope.get())) {
            scalar(layer.slope.get(), parameter);
          }
          node("PRelu", List.of(z, layer.slope.get()), a);
        } else {
          node("LeakyRelu", z, a, number("alpha", parameter));
        }
      }
      case ELU -> node("Elu", z, a, number("alpha", parameter));
      case SELU -> node("Selu", z, a);
      case GELU -> node("Gelu", z, a);
      case GELU_TANH -> node("Gelu", z, a, attribute("approximate", text(4, "tanh"), 3));
      case SILU -> {
        node("Sigmoid", z, name + ".gate");
        node("Mul", List.of(z, name + ".gate"), a);
      }
      case MISH -> node("Mish", z, a);
      case HARDSWISH -> node("HardSwish", z, a);
      case HARDSIGMOID -> node("HardSigmoid", z, a, number("alpha", 1 / 6f));
      case SOFTPLUS -> node("Softplus", z, a);
      case SOFTSIGN -> node("Softsign", z, a);
      case TANH -> node("Tanh", z, a);
      case SIGMOID -> node("Sigmoid", z, a);
      case SIN -> {
        scalar(name + ".frequency", parameter);
        node("Mul", List.of(z, name + ".frequency"), name + ".phase");
        node("Sin", name + ".phase", a);
      }
      case SOFTMAX -> node("Softmax", z, a);
      case LOG_SOFTMAX -> node("LogSoftmax", z, a);
    }
  }

  private void scalar(String name, float value) {
    tensor(name, MatrixView.of(arena, 1, 1, value));
  }

  private void tensor(String name, MatrixView values, long... shape) {
    MemorySegment elements = values.segment();
    if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
      elements = arena.allocate(values.elements() * Float.BYTES);
      for (long i = 0; i < values.elements(); i++) {
        DType.F32.write(elements, i, values.segment().getAtIndex(MatrixView.ELEMENT, i));
      }
    }
    List<MemorySegment> tensor = new ArrayList<>();
    for (long dimension : shape) {
      tensor.add(Protobuf.field(OnnxTensor.DIMS, dimension));
    }
    tensor.add(Protobuf.field(2, FLOAT));
    tensor.addAll(text(OnnxContent.TENSOR_NAME, name));
    if (location.isPresent() && elements.byteSize() >= OnnxOutput.LEAST_OUTSIDE) {
      long offset = OnnxOutput.aligned(end, elements.byteSize());
      end = offset + elements.byteSize();
      data.add(elements);
      tensor.addAll(OnnxExternal.outside(location.get(), offset, elements.byteSize()));
    } else {
      tensor.addAll(Protobuf.field(OnnxTensor.RAW_DATA, List.of(elements)));
    }
    graph.addAll(Protobuf.field(OnnxContent.GRAPH_INITIALIZER, tensor));
  }

  @SafeVarargs
  private void node(String operator, String input, String output, List<MemorySegment>... attributes) {
    node(operator, List.of(input), output, attributes);
  }

  @SafeVarargs
  private void node(String operator, List<String> inputs, String output, List<MemorySegment>... attributes) {
    List<MemorySegment> node = new ArrayList<>();
    inputs.forEach(input -> node.addAll(text(1, input)));
    node.addAll(text(2, output));
    node.addAll(text(3, operator + "_" + nodes++));
    node.addAll(text(4, operator));
    for (List<MemorySegment> attribute : attributes) {
      node.addAll(Protobuf.field(5, attribute));
    }
    graph.addAll(Protobuf.field(OnnxContent.GRAPH_NODE, node));
  }

  private static List<MemorySegment> integer(String name, long value) {
    return attribute(name, List.of(Protobuf.field(3, value)), 2);
  }

  private static List<MemorySegment> number(String name, float value) {
    return attribute(name, List.of(Protobuf.field(2, value)), 1);
  }

  private static List<MemorySegment> attribute(String name, List<MemorySegment> value, int type) {
    return joined(text(1, name), joined(value, List.of(Protobuf.field(20, type))));
  }

  /// Samples of any number, and their features.
  private static List<MemorySegment> value(int field, String name, long width) {
    List<MemorySegment> shape = joined(Protobuf.field(1, text(2, "n")),
        Protobuf.field(1, List.of(Protobuf.field(1, width))));
    List<MemorySegment> tensor = joined(List.of(Protobuf.field(1, FLOAT)), Protobuf.field(2, shape));
    return Protobuf.field(field, joined(text(1, name), Protobuf.field(2, Protobuf.field(1, tensor))));
  }

  private static List<MemorySegment> text(int field, String text) {
    return Protobuf.field(field, List.of(MemorySegment.ofArray(text.getBytes(StandardCharsets.UTF_8))));
  }

  private static List<MemorySegment> joined(List<MemorySegment> first, List<MemorySegment> second) {
    return Stream.concat(first.stream(), second.stream()).toList();
  }
}
