package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuTile.copy;
import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.bindings.OneDnn;
import dev.espalier.bindings.OneDnnSparseMatmul;
import dev.espalier.bindings.OneDnnTransposition;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SparseNetwork;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// A [SparseNetwork] for many samples, by oneDNN's product of compressed rows (docs/decisions/0016-compressed-rows.md).
///
/// The batch is cut into blocks, and a thread takes a block through all nodes. The values of a block are transposed,
/// features × samples, so that a weight multiplies neighbouring numbers; they stay so from node to node and fit into a
/// second-level cache. One more feature, which is 1, takes the biases into the products.
final class CpuSparseNetwork implements SparseNetwork {
  /// Samples of a block: one or more vectors, few enough for the cache.
  private static final int LEAST_BLOCK = 16;
  private static final int MOST_BLOCK = 64;

  /// Of a thread that works by itself.
  private static final CpuPool ALONE = CpuPool.nested();

  private final CpuPool pool;
  private final Graph graph;
  private final int samples;
  private final int block;
  private final List<Lane> lanes = new ArrayList<>();
  /// From samples × features to features × samples, by features.
  private final Map<Integer, OneDnnTransposition> gathering = new HashMap<>();
  /// From features × samples to samples × features, by features.
  private final Map<Integer, OneDnnTransposition> spreading = new HashMap<>();
  private final Resources resources;

  private CpuSparseNetwork(CpuPool pool, DenseNetwork network, int samples, Resources resources) {
    this.pool = pool;
    this.samples = samples;
    this.resources = resources;
    graph = network.graph();
    int shares = Math.clamp(Math.ceilDiv(samples, LEAST_BLOCK), 1, pool.threads());
    int share = Math.ceilDiv(samples, shares);
    block = Math.clamp((long) LEAST_BLOCK * Math.ceilDiv(share, LEAST_BLOCK), LEAST_BLOCK, MOST_BLOCK);
    Map<String, OneDnnSparseMatmul.Rows> weights = network.layers().stream()
        .collect(Collectors.toMap(DenseLayer::name, this::weights));
    for (int lane = 0; lane < shares; lane++) {
      lanes.add(new Lane(weights));
    }
  }

  /// For batches of so many samples, closed by the caller.
  static SparseNetwork of(CpuPool pool, DenseNetwork network, int samples) {
    int before = OneDnn.setThreads(1); // primitives run on as many threads as they were made with
    try {
      return Resources.build(resources -> new CpuSparseNetwork(pool, network, samples, resources));
    } finally {
      OneDnn.setThreads(before);
    }
  }

  private OneDnnSparseMatmul.Rows weights(DenseLayer layer) {
    CpuCompressedRows rows = CpuCompressedRows.withBias(layer);
    return new OneDnnSparseMatmul.Rows(layer.outputs(), layer.inputs() + 1,
        memory(rows.values().length).copyFrom(MemorySegment.ofArray(rows.values())),
        memory(rows.columns().length).copyFrom(MemorySegment.ofArray(rows.columns())),
        memory(rows.first().length).copyFrom(MemorySegment.ofArray(rows.first())));
  }

  private MemorySegment memory(long elements) {
    return resources.own(new CpuMemory(elements)).segment();
  }

  private OneDnnTransposition transposition(int rows, int columns) {
    OneDnnTransposition transposition = new OneDnnTransposition(rows, columns);
    resources.own(transposition::close);
    return transposition;
  }

  private OneDnnTransposition gathering(int width) {
    return gathering.computeIfAbsent(width, _ -> transposition(block, width));
  }

  private OneDnnTransposition spreading(int width) {
    return spreading.computeIfAbsent(width, _ -> transposition(width, block));
  }

  /// Makes memory for the values of all nodes. An activation takes the memory of what it reads if no other node reads
  /// that.
  ///
  /// @param ofWidth makes some
  static <T> List<T> values(Graph graph, IntFunction<T> ofWidth) {
    List<T> values = new ArrayList<>();
    for (Node node : graph.nodes()) {
      values.add(node instanceof Node.Activate activate && graph.readers(activate.input()).size() == 1
          ? values.get(activate.input())
          : ofWidth.apply(node.width()));
    }
    return values;
  }

  /// What a node does with the values of each sample, in place; empty if it does not need all of a sample's at once.
  private static Optional<Consumer<float[]>> ofSample(Node node) {
    return switch (node) {
      case Node.Activate(_, Activation activation, int width) -> activation.isElementwise()
          ? Optional.empty()
          : Optional.of(row -> CpuActivation.rowForward(activation, row, row, width));
      case Node.Normalize(_, boolean centred, double epsilon, _) ->
        Optional.of(row -> CpuNormalization.of(row, centred, epsilon).normalize(row));
      case Node.Input _,Node.Dense _,Node.Add _,Node.Multiply _,Node.Scale _,Node.Slice _,Node.Sum _,Node.Concat _ ->
        Optional.empty();
    };
  }

  static float[] array(List<Float> numbers) {
    float[] array = new float[numbers.size()];
    for (int i = 0; i < array.length; i++) {
      array[i] = numbers.get(i);
    }
    return array;
  }

  /// What the blocks of one thread need, one after the other.
  private final class Lane {
    /// The work of a node on a block of which the first `count` samples are of use.
    private interface Work {
      void run(int count);
    }

    /// Of the nodes: (width + 1) × block.
    private final List<MemorySegment> values = values(graph, this::value);
    private final List<Work> work = new ArrayList<>();
    /// The node whose values become outputs, and what remains to be done with those of each sample.
    private final int last;
    private final Optional<Consumer<float[]>> lastOfSample;
    private final OneDnnTransposition gatheringInputs = gathering(graph.inputs());
    private final OneDnnTransposition spreadingOutputs = spreading(graph.outputs());
    /// Values of samples, block × width: of a block that the batch does not fill, or within a node.
    private final MemorySegment rows;

    Lane(Map<String, OneDnnSparseMatmul.Rows> weights) {
      Node output = graph.nodes().getLast();
      lastOfSample = ofSample(output);
      last = lastOfSample.isPresent() ? output.inputs().getFirst() : graph.output();
      int end = lastOfSample.isPresent() ? graph.output() : graph.nodes().size();
      rows = memory((long) block * IntStream.range(0, graph.nodes().size())
          .filter(n -> n == 0 || n == graph.output() || ofSample(graph.nodes().get(n)).isPresent())
          .map(n -> graph.nodes().get(n).width()).max().orElseThrow());
      for (int n = 1; n < end; n++) {
        work.add(work(n, weights));
      }
    }

    private MemorySegment value(int width) {
      MemorySegment memory = memory((width + 1L) * block);
      for (long n = 0; n < block; n++) {
        memory.setAtIndex(ValueLayout.JAVA_FLOAT, (long) width * block + n, 1);
      }
      return memory;
    }

    /// Runs the samples from `first` on, a block at most.
    void run(MatrixView batch, MatrixView output, int first) {
      int count = Math.min(block, samples - first);
      MemorySegment from = batch.slice(first, count).segment();
      MemorySegment to = output.slice(first, count).segment();
      boolean isWhole = count == block;
      gatheringInputs.transpose(isWhole ? from : rows.copyFrom(from), values.getFirst());
      work.forEach(each -> each.run(count));
      spreadingOutputs.transpose(values.get(last), isWhole ? to : rows);
      if (!isWhole) {
        to.copyFrom(rows.asSlice(0, to.byteSize()));
      }
      lastOfSample.ifPresent(ofSample -> forEachSample(to, count, graph.outputs(), ofSample));
    }

    private Work work(int n, Map<String, OneDnnSparseMatmul.Rows> weights) {
      Node node = graph.nodes().get(n);
      List<MemorySegment> inputs = node.inputs().stream().map(values::get).toList();
      MemorySegment x = inputs.getFirst();
      MemorySegment y = values.get(n);
      int width = node.width();
      long elements = (long) width * block;
      return switch (node) {
        case Node.Dense dense -> {
          OneDnnSparseMatmul product = new OneDnnSparseMatmul(weights.get(dense.name()), block, x, y);
          resources.own(product::close);
          yield _ -> product.multiply();
        }
        case Node.Activate(_, Activation activation, _) when activation.isElementwise() ->
          _ -> ALONE.tiles(elements, (first, count, tile) -> {
            CpuActivation.forward(activation, load(x, first, count, tile.a), tile.b, count);
            store(tile.b, count, y, first);
          });
        case Node.Activate _,Node.Normalize _ -> bySamples(x, y, width, ofSample(node).orElseThrow());
        case Node.Add _ -> _ -> ALONE.tiles(elements, (first, count, tile) -> {
          load(x, first, count, tile.a);
          for (MemorySegment other : inputs.subList(1, inputs.size())) {
            CpuLoops.add(1, load(other, first, count, tile.b), tile.a, count);
          }
          store(tile.a, count, y, first);
        });
        case Node.Multiply _ -> _ -> ALONE.tiles(elements, (first, count, tile) -> {
          load(x, first, count, tile.a);
          CpuLoops.multiply(load(inputs.getLast(), first, count, tile.b), tile.a, count);
          store(tile.a, count, y, first);
        });
        case Node.Scale scale -> {
          float[] factors = array(scale.factors());
          float[] shifts = array(scale.shifts());
          yield _ -> ALONE.rowTiles(width, block, (feature, _, count, tile) -> {
            Arrays.fill(tile.b, 0, count, shifts[feature]);
            CpuLoops.add(factors[feature], load(x, (long) feature * block, count, tile.a), tile.b, count);
            store(tile.b, count, y, (long) feature * block);
          });
        }
        case Node.Slice slice -> _ -> copy(x, (long) slice.first() * block, y, 0, elements);
        case Node.Sum sum -> _ -> sum(x, graph.nodes().get(sum.input()).width(), y);
        case Node.Concat concat -> _ -> {
          long first = 0;
          for (int input : concat.inputs()) {
            long part = (long) graph.nodes().get(input).width() * block;
            copy(values.get(input), 0, y, first, part);
            first += part;
          }
        };
        case Node.Input _ -> throw new IllegalArgumentException("the input is given");
      };
    }

    private Work bySamples(MemorySegment x, MemorySegment y, int width, Consumer<float[]> ofSample) {
      OneDnnTransposition spread = spreading(width);
      OneDnnTransposition gather = gathering(width);
      return count -> {
        spread.transpose(x, rows);
        forEachSample(rows, count, width, ofSample);
        gather.transpose(rows, y);
      };
    }

    private void sum(MemorySegment x, int width, MemorySegment y) {
      double[] sums = new double[block];
      ALONE.rowTiles(width, block,
          (feature, _, count, tile) -> CpuLoops.add(load(x, (long) feature * block, count, tile.a), sums, count));
      float[] rounded = new float[block];
      CpuLoops.add(sums, rounded, block);
      store(rounded, block, y, 0);
    }
  }

  private static void forEachSample(MemorySegment rows, int count, int width, Consumer<float[]> ofSample) {
    float[] row = new float[width];
    for (long n = 0; n < count; n++) {
      ofSample.accept(load(rows, n * width, width, row));
      store(row, width, rows, n * width);
    }
  }

  @Override
  public void run(MatrixView batch, MatrixView output) {
    pool.run(lanes.size(), lane -> {
      for (long first = (long) lane * block; first < samples; first += (long) lanes.size() * block) {
        lanes.get(lane).run(batch, output, (int) first);
      }
    });
  }

  @Override
  public void close() {
    resources.close();
  }
}
