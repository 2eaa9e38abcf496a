package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Random graphs of all nodes, written as ONNX, read again, and compared with ONNX Runtime.
final class OnnxRandomGraphTest {
  @TempDir
  private Path folder;

  static LongStream graphs() {
    return LongStream.range(0, 60);
  }

  @ParameterizedTest
  @MethodSource("graphs")
  void computeTheSame(long seed) throws Exception {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = TestNetworks.network(arena, seed,
          seed % 3 > 0 ? TestNetworks.graph(seed, 10) : TestNetworks.tiedGraph(seed, 14));
      Path path = TestFiles.file(folder, "model.onnx", new Writer(network).write().bytes(20));
      DenseNetwork read = ModelFile.load(path, Optional.empty(), arena).network();
      assertEquals(names(network), names(read));
      assertEquals(network.graph().tiedText(), read.graph().tiedText());
      assertEquals(network.graph().heads().stream().map(Graph.Head::width).toList(),
          read.graph().heads().stream().map(Graph.Head::width).toList());
      Plain expected = Plain.of(network);
      Plain found = Plain.of(read);
      for (int n = 0; n < 5; n++) {
        double[] x = TestNetworks.random(n).doubles(network.inputs(), -2, 2).toArray();
        assertArrayEquals(expected.output(x), found.output(x), 1e-9, network.graph().toString());
      }
      OnnxRuntime.assertSameOutputs(read, path);
    }
  }

  private static List<String> names(DenseNetwork network) {
    return network.layers().stream().map(DenseLayer::name).toList();
  }

  /// Writes a network.
  private static final class Writer {
    private final DenseNetwork network;
    private final Graph graph;
    private final OnnxModel model;

    Writer(DenseNetwork network) {
      this.network = network;
      graph = network.graph();
      model = new OnnxModel(0, graph.inputs());
    }

    OnnxModel write() {
      model.floats("zero", new long[0], 0).floats("six", new long[0], 6).floats("two", new long[0], 2)
          .floats("half", new long[0], 0.5f).integers("axis", -1);
      boolean isOne = graph.heads().isEmpty();
      for (int n = 1; n < graph.nodes().size() - (isOne ? 0 : 1); n++) {
        write(n);
      }
      List<Integer> ends = isOne ? List.of() : graph.nodes().getLast().inputs();
      ends.stream().skip(1).forEach(n -> model.output("v" + n));
      return model;
    }

    private String value(int n) {
      int first = graph.heads().isEmpty() ? graph.output() : graph.nodes().getLast().inputs().getFirst();
      return n == 0 ? "x" : n == first ? "y" : "v" + n;
    }

    private String values(Node node) {
      return node.inputs().stream().map(this::value).collect(Collectors.joining(" "));
    }

    private void write(int n) {
      Node node = graph.nodes().get(n);
      String read = values(node);
      String made = value(n);
      switch (node) {
        case Node.Input _ -> throw new AssertionError("the first node");
        case Node.Dense dense -> {
          DenseLayer layer = network.layers().stream().filter(each -> each.name().equals(dense.name())).findFirst()
              .orElseThrow();
          if (!dense.isRepeated()) {
            model.floats(dense.name() + ".weight", new long[]{layer.outputs(), layer.inputs()},
                layer.weights().toArray());
            layer.bias()
                .ifPresent(bias -> model.floats(dense.name() + ".bias", new long[]{layer.outputs()}, bias.toArray()));
          }
          model.node("Gemm",
              "%s %s.weight%s".formatted(read, dense.name(), layer.hasBias() ? " " + dense.name() + ".bias" : ""), made,
              "transB", 1);
        }
        case Node.Activate activate -> activate(activate.activation(), read, made);
        case Node.Add _ -> model.node(node.inputs().size() == 2 ? "Add" : "Sum", read, made);
        case Node.Multiply _ -> model.node("Mul", read, made);
        case Node.Scale scale -> {
          constant("factors" + n, scale.factors());
          constant("shifts" + n, scale.shifts());
          model.node("Mul", read + " factors" + n, "scaled" + n).node("Add", "scaled" + n + " shifts" + n, made);
        }
        case Node.Normalize normalize -> normalize(n, normalize, read, made);
        case Node.Slice slice -> {
          model.integers("first" + n, slice.first()).integers("end" + n, slice.first() + slice.width());
          model.node("Slice", "%s first%d end%d axis".formatted(read, n, n), made);
        }
        case Node.Sum _ -> model.node("ReduceSum", read + " axis", made);
        case Node.Concat _ -> model.node("Concat", read, made, "axis", 1);
      }
    }

    private void constant(String name, List<Float> values) {
      float[] elements = new float[values.size()];
      for (int i = 0; i < elements.length; i++) {
        elements[i] = values.get(i);
      }
      model.floats(name, new long[]{elements.length}, elements);
    }

    private void normalize(int n, Node.Normalize node, String read, String made) {
      if (node.centred()) {
        constant("ones" + n, Collections.nCopies(node.width(), 1f));
        model.node("LayerNormalization", read + " ones" + n, made, "epsilon", (float) node.epsilon());
      } else {
        model.node("Pow", read + " two", "square" + n).node("ReduceMean", "square" + n + " axis", "mean" + n)
            .node("Add", "mean" + n + " half", "sum" + n).node("Sqrt", "sum" + n, "root" + n)
            .node("Div", read + " root" + n, made);
      }
    }

    private void activate(Activation activation, String read, String made) {
      switch (activation.kind()) {
        case IDENTITY -> model.node("Identity", read, made);
        case RELU -> model.node("Relu", read, made);
        case RELU6 -> model.node("Clip", read + " zero six", made);
        case LEAKY_RELU -> model.node("LeakyRelu", read, made, "alpha", (float) activation.parameter());
        case ELU -> model.node("Elu", read, made, "alpha", (float) activation.parameter());
        case SELU -> model.node("Selu", read, made);
        case GELU -> model.node("Gelu", read, made);
        case GELU_TANH -> model.node("Gelu", read, made, "approximate", "tanh");
        case SILU -> model.node("Sigmoid", read, made + "s").node("Mul", made + "s " + read, made);
        case MISH -> model.node("Mish", read, made);
        case HARDSWISH -> model.node("HardSwish", read, made);
        case HARDSIGMOID -> model.node("HardSigmoid", read, made, "alpha", 1 / 6f);
        case SOFTPLUS -> model.node("Softplus", read, made);
        case SOFTSIGN -> model.node("Softsign", read, made);
        case TANH -> model.node("Tanh", read, made);
        case SIGMOID -> model.node("Sigmoid", read, made);
        case SIN -> model.node("Sin", read, made);
        case SOFTMAX -> model.node("Softmax", read, made, "axis", -1);
        case LOG_SOFTMAX -> model.node("LogSoftmax", read, made, "axis", -1);
      }
    }
  }
}
