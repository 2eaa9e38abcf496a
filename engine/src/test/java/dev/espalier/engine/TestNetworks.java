package dev.espalier.engine;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.backend.reference.ReferenceValues;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Random networks and samples, and a plain evaluation of networks in double that shares no code with the engine.
public final class TestNetworks {
  private TestNetworks() {}

  /// The seeded generator of tests.
  public static RandomGenerator random(long seed) {
    return RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
  }

  /// One activation of each kind, and some with other parameters.
  public static Stream<Activation> activations() {
    return Stream.concat(kinds(), Stream.of("leaky_relu:-0.3", "elu:0.5", "sin:30").map(Activation::parse));
  }

  /// One activation of each kind, with slopes of about 1: a steep sine magnifies roundings.
  public static Stream<Activation> kinds() {
    return Stream.of(Activation.Kind.values()).map(Activation::of);
  }

  /// Those that act on each element alone.
  public static Stream<Activation> elementwise() {
    return activations().filter(Activation::isElementwise);
  }

  /// A network of normal weights, scaled by 1/√inputs, and biases.
  public static DenseNetwork network(Arena arena, long seed, List<Integer> widths, List<Activation> activations) {
    RandomGenerator random = random(seed);
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < activations.size(); l++) {
      int inputs = widths.get(l);
      layers.add(new DenseLayer("layer" + l, normal(arena, random, widths.get(l + 1), inputs, 1 / Math.sqrt(inputs), 0),
          Optional.of(normal(arena, random, 1, widths.get(l + 1), 0.3, 0)), activations.get(l)));
    }
    return new DenseNetwork(layers);
  }

  /// A random graph of `steps` nodes of all kinds, whose values any number of nodes read, behind which one node or two
  /// join what none of them reads; that may be several outputs.
  public static Graph graph(long seed, int steps) {
    RandomGenerator random = random(seed);
    List<Activation> activations = kinds().filter(a -> !a.equals(Activation.IDENTITY)).toList();
    Graph.Builder builder = new Graph.Builder(3);
    List<Integer> widths = new ArrayList<>(List.of(3));
    Set<Integer> unread = new TreeSet<>(List.of(0));
    for (int n = 1; n <= steps; n++) {
      int nodes = n;
      // Later nodes are read more often, so that graphs are deep.
      List<Integer> inputs = new ArrayList<>(
          random.ints(1 + random.nextInt(3), 0, nodes).map(i -> Math.max(i, random.nextInt(nodes))).boxed().toList());
      int input = inputs.getFirst();
      int kind = n == 1 ? 0 : random.nextInt(12);
      if (kind == 3 || kind == 5) {
        inputs.removeIf(other -> !widths.get(other).equals(widths.get(input)));
        inputs.subList(Math.min(inputs.size(), kind == 5 ? 2 : 3), inputs.size()).clear();
      } else if (kind != 4 || inputs.stream().mapToInt(widths::get).sum() > 8) {
        inputs.subList(1, inputs.size()).clear();
      }
      Integer[] read = inputs.toArray(Integer[]::new);
      int width = widths.get(input);
      widths.add(switch (kind) {
        case 2, 3, 5, 6, 7 -> width;
        case 4 -> inputs.stream().mapToInt(widths::get).sum();
        case 8 -> 1 + random.nextInt(width);
        case 9 -> 1;
        default -> 1 + random.nextInt(4);
      });
      int added = switch (kind) {
        case 2 -> builder.activate(input, activations.get(random.nextInt(activations.size())));
        case 3 -> builder.add(read);
        case 4 -> builder.concat(read);
        case 5 -> builder.multiply(input, inputs.getLast());
        case 6 -> builder.scale(input, numbers(random, width), numbers(random, width));
        case 7 -> builder.normalize(input, random.nextBoolean(), 0.5);
        case 8 -> builder.slice(input, random.nextInt(width - widths.getLast() + 1), widths.getLast());
        case 9 -> builder.sum(input);
        default -> builder.dense("layer" + n, input, widths.getLast());
      };
      unread.removeAll(inputs);
      unread.add(added);
    }
    int joined = unread.size() == 1 ? steps : builder.concat(unread.toArray(Integer[]::new));
    switch (random.nextInt(6)) {
      case 0 -> builder.activate(joined, Activation.SOFTMAX);
      case 3 -> builder.activate(builder.dense("last", joined, 3), Activation.LOG_SOFTMAX);
      case 4 -> {
        if (unread.size() > 1) {
          return builder.build(unread.stream().map(n -> new Graph.Head("y" + n, widths.get(n))).toList());
        }
      }
      case 1 -> builder.activate(builder.dense("last", joined, 3), Activation.SOFTMAX);
      case 2 -> builder.dense("last", joined, 2);
      default -> {
        // The output is that of the join.
      }
    }
    return builder.build();
  }

  /// A random graph of at least one tied layer: those of a [#graph] that have one shape are one, or some of them.
  public static Graph tiedGraph(long seed, int steps) {
    RandomGenerator random = random(seed);
    Graph graph = graph(seed, steps);
    for (int attempt = 1; graph.tiedText().isEmpty(); attempt++) {
      Graph own = graph(seed + 10_000L * attempt, steps);
      Map<List<Integer>, String> names = new HashMap<>();
      graph = new Graph(own.nodes().stream().map(node -> {
        if (!(node instanceof Node.Dense dense)) {
          return node;
        }
        String first = names.putIfAbsent(List.of(dense.inputWidth(), dense.width()), dense.name());
        return first == null || random.nextInt(4) == 0
            ? dense
            : new Node.Dense(first, dense.input(), dense.inputWidth(), dense.width(), true);
      }).toList(), own.heads());
    }
    return graph;
  }

  private static List<Float> numbers(RandomGenerator random, int count) {
    return random.doubles(count, -1, 1).mapToObj(value -> (float) value).toList();
  }

  /// A network of normal weights, scaled by 1/√inputs, and biases, which one layer of four lacks.
  public static DenseNetwork network(Arena arena, long seed, Graph graph) {
    RandomGenerator random = random(seed);
    List<DenseLayer> layers = new ArrayList<>();
    for (Node.Dense dense : graph.layers()) {
      MatrixView weights = normal(arena, random, dense.width(), dense.inputWidth(), 1 / Math.sqrt(dense.inputWidth()),
          0);
      Optional<MatrixView> bias = random.nextInt(4) == 0
          ? Optional.empty()
          : Optional.of(normal(arena, random, 1, dense.width(), 0.3, 0));
      layers.add(new DenseLayer(dense.name(), weights, bias, graph.activation(layers.size())));
    }
    return new DenseNetwork(graph, layers);
  }

  /// Normal numbers.
  public static MatrixView normal(Arena arena, RandomGenerator random, int rows, int columns, double spread,
      double mean) {
    MatrixView matrix = MatrixView.allocate(arena, rows, columns);
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        matrix.set(i, j, (float) (mean + spread * random.nextGaussian()));
      }
    }
    return matrix;
  }

  /// Samples in memory.
  public static Dataset source(MatrixView samples) {
    return Dataset.of(new MatrixSamples("samples", samples));
  }

  /// Samples with labels in memory.
  public static Dataset source(MatrixView samples, MatrixView labels) {
    return Dataset.of(new MatrixSamples("samples", samples), new MatrixSamples("labels", labels));
  }

  /// A network in double: its graph, and parameters `weights[l][i][j]` and `biases[l][i]`.
  @SuppressWarnings("ArrayRecordComponent")
  public record Plain(Graph graph, double[][][] weights, double[][] biases) {
    /// A copy of `network`'s parameters.
    public static Plain of(DenseNetwork network) {
      double[][][] weights = new double[network.layers().size()][][];
      double[][] biases = new double[weights.length][];
      for (int l = 0; l < weights.length; l++) {
        DenseLayer layer = network.layers().get(l);
        weights[l] = new double[layer.outputs()][];
        for (int i = 0; i < layer.outputs(); i++) {
          weights[l][i] = row(layer.weights(), i);
        }
        biases[l] = layer.bias().map(b -> row(b, 0)).orElse(new double[layer.outputs()]);
      }
      return new Plain(network.graph(), weights, biases);
    }

    /// The same with a layer of its own for each dense node, which does not follow the others.
    public Plain untied() {
      List<Node> nodes = new ArrayList<>();
      List<double[][]> ownWeights = new ArrayList<>();
      List<double[]> ownBiases = new ArrayList<>();
      for (int n = 0; n < graph.nodes().size(); n++) {
        if (graph.nodes().get(n) instanceof Node.Dense dense) {
          int l = layer(dense.name());
          ownWeights.add(Arrays.stream(weights[l]).map(double[]::clone).toArray(double[][]::new));
          ownBiases.add(biases[l].clone());
          nodes.add(new Node.Dense(dense.name() + " at " + n, dense.input(), dense.inputWidth(), dense.width()));
        } else {
          nodes.add(graph.nodes().get(n));
        }
      }
      return new Plain(new Graph(nodes, graph.heads()), ownWeights.toArray(double[][][]::new),
          ownBiases.toArray(double[][]::new));
    }

    /// The number of the layer that each dense node uses.
    public int[] layersOfNodes() {
      return graph.denseNodes().stream().mapToInt(dense -> layer(dense.name())).toArray();
    }

    /// y of one sample.
    public double[] output(double[] x) {
      return value(graph.output(), x, new double[graph.nodes().size()][]);
    }

    /// The values of all nodes for one sample.
    public double[][] values(double[] x) {
      double[][] values = new double[graph.nodes().size()][];
      value(graph.output(), x, values);
      return values;
    }

    /// The value of node `n` by its definition, after those of the nodes that it reads.
    ///
    /// @param known values by node, null where there is none yet
    private double[] value(int n, double[] x, double[][] known) {
      if (known[n] == null) {
        Node node = graph.nodes().get(n);
        List<double[]> inputs = node.inputs().stream().map(input -> value(input, x, known)).toList();
        known[n] = switch (node) {
          case Node.Input _ -> x;
          case Node.Dense dense -> dense(layer(dense.name()), inputs.getFirst());
          case Node.Activate activate -> activate(activate.activation(), inputs.getFirst());
          case Node.Add _ -> IntStream.range(0, node.width())
              .mapToDouble(i -> inputs.stream().mapToDouble(input -> input[i]).sum()).toArray();
          case Node.Multiply _ ->
            IntStream.range(0, node.width()).mapToDouble(i -> inputs.getFirst()[i] * inputs.getLast()[i]).toArray();
          case Node.Scale scale -> IntStream.range(0, node.width())
              .mapToDouble(i -> scale.factors().get(i) * inputs.getFirst()[i] + scale.shifts().get(i)).toArray();
          case Node.Normalize normalize -> normalize(normalize, inputs.getFirst());
          case Node.Slice slice -> Arrays.copyOfRange(inputs.getFirst(), slice.first(), slice.first() + slice.width());
          case Node.Sum _ -> new double[]{Arrays.stream(inputs.getFirst()).sum()};
          case Node.Concat _ -> inputs.stream().flatMapToDouble(Arrays::stream).toArray();
        };
      }
      return known[n];
    }

    private int layer(String name) {
      return graph.layers().stream().map(Node.Dense::name).toList().indexOf(name);
    }

    private double[] dense(int l, double[] a) {
      double[] z = biases[l].clone();
      for (int i = 0; i < z.length; i++) {
        for (int j = 0; j < a.length; j++) {
          z[i] += weights[l][i][j] * a[j];
        }
      }
      return z;
    }

    private static double[] normalize(Node.Normalize node, double[] x) {
      double mean = node.centred() ? Arrays.stream(x).average().orElseThrow() : 0;
      double variance = Arrays.stream(x).map(value -> (value - mean) * (value - mean)).average().orElseThrow();
      return Arrays.stream(x).map(value -> (value - mean) / Math.sqrt(variance + node.epsilon())).toArray();
    }

    private static double[] activate(Activation activation, double[] z) {
      if (activation.isElementwise()) {
        return Arrays.stream(z).map(activation::value).toArray();
      }
      double sum = Arrays.stream(z).map(Math::exp).sum();
      if (activation.equals(Activation.LOG_SOFTMAX)) {
        return Arrays.stream(z).map(k -> k - Math.log(sum)).toArray();
      }
      return Arrays.stream(z).map(k -> Math.exp(k) / sum).toArray();
    }

    /// ∂y/∂p of one sample by central differences, with p element `at` of an array of these parameters.
    public double[] derivative(double[] x, double[] parameters, int at) {
      double h = 1e-6;
      double value = parameters[at];
      parameters[at] = value + h;
      double[] up = output(x);
      parameters[at] = value - h;
      double[] down = output(x);
      parameters[at] = value;
      return IntStream.range(0, up.length).mapToDouble(k -> (up[k] - down[k]) / (2 * h)).toArray();
    }
  }

  /// The elements of a matrix, row after row; unrounded of the reference backend.
  public static double[] values(Backend backend, Matrix matrix) {
    if (backend instanceof ReferenceBackend) {
      return ReferenceValues.of(backend, matrix);
    }
    try (Arena arena = Arena.ofConfined()) {
      float[] values = backend.download(matrix, arena).toArray();
      return IntStream.range(0, values.length).mapToDouble(i -> values[i]).toArray();
    }
  }

  /// A copy of a matrix in the memory of a backend, closed by the caller.
  public static Matrix upload(Backend backend, MatrixView view) {
    Matrix matrix = backend.allocate(view.rows(), view.columns());
    backend.upload(view, matrix);
    return matrix;
  }

  /// Row n of a matrix in double.
  public static double[] row(MatrixView matrix, int n) {
    double[] row = new double[matrix.columns()];
    for (int j = 0; j < row.length; j++) {
      row[j] = matrix.get(n, j);
    }
    return row;
  }
}
