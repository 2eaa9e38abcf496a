package dev.espalier.engine.repair;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.ColumnSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// A pruned network without what does nothing: the neurons that [Compaction] removes and, in a chain of layers, maybe the
/// inputs that no weight reads. It gives the same outputs, and what a repair makes of it can be written back.
final class CompactNetwork implements Resource {
  /// What stays of a layer.
  ///
  /// @param rows numbers of its outputs
  /// @param columns numbers of its inputs
  private record Stay(List<Integer> rows, List<Integer> columns) {}

  private final Arena arena = Arena.ofShared(); // of the threads that a backend works with
  private final DenseNetwork whole;
  /// Before any repair.
  private final DenseNetwork start;
  private final List<Stay> stays = new ArrayList<>();
  private final DeviceNetwork network;
  private final Resources resources;

  private CompactNetwork(DeviceNetwork pruned, Backend backend, boolean isNarrow, Resources resources) {
    this.resources = resources;
    resources.own(arena::close);
    whole = pruned.download(arena);
    start = compact(isNarrow);
    network = resources.own(DeviceNetwork.copyOf(backend, start));
  }

  /// A compact copy, closed by the caller.
  ///
  /// @param isNarrow whether a chain goes without the inputs that no weight reads
  static CompactNetwork of(DeviceNetwork pruned, Backend backend, boolean isNarrow) {
    return Resources.build(resources -> new CompactNetwork(pruned, backend, isNarrow, resources));
  }

  private DenseNetwork compact(boolean isNarrow) {
    Compaction compaction = Compaction.forRepair(whole, arena);
    Graph graph = whole.graph();
    for (int l = 0; l < whole.layers().size(); l++) {
      stays.add(
          new Stay(compaction.layers().get(l).neurons(), compaction.features().get(graph.layers().get(l).input())));
    }
    return isNarrow && graph.isChain() ? narrow(compaction.network().layers()) : compaction.network();
  }

  /// A chain without the inputs that no weight reads.
  private DenseNetwork narrow(List<DenseLayer> chain) {
    DenseLayer first = chain.getFirst();
    List<Integer> read = IntStream.range(0, first.inputs())
        .filter(j -> IntStream.range(0, first.outputs()).anyMatch(i -> first.weights().get(i, j) != 0)).boxed()
        .toList();
    List<Integer> inputs = read.isEmpty() ? List.of(0) : read;
    stays.set(0, new Stay(stays.getFirst().rows, inputs));
    MatrixView narrow = MatrixView.allocate(arena, first.outputs(), inputs.size());
    for (int i = 0; i < narrow.rows(); i++) {
      for (int j = 0; j < narrow.columns(); j++) {
        narrow.set(i, j, first.weights().get(i, inputs.get(j)));
      }
    }
    List<DenseLayer> layers = new ArrayList<>(chain);
    layers.set(0, new DenseLayer(first.name(), narrow, first.bias(), first.activation()));
    return new DenseNetwork(layers);
  }

  DeviceNetwork network() {
    return network;
  }

  /// Goes back to the parameters before any repair.
  void reset() {
    network.load(start);
  }

  /// The numbers of the inputs that stay, if not all do.
  Optional<List<Integer>> inputs() {
    List<Integer> inputs = stays.getFirst().columns;
    return whole.graph().isChain() && inputs.size() < whole.inputs() ? Optional.of(inputs) : Optional.empty();
  }

  /// The inputs that stay, of samples in memory: `samples` itself if all do.
  MatrixView narrow(MatrixView samples, Arena arena) {
    if (inputs().isEmpty()) {
      return samples;
    }
    int[] inputs = stays.getFirst().columns.stream().mapToInt(Integer::intValue).toArray();
    MatrixView narrow = MatrixView.allocate(arena, samples.rows(), inputs.length);
    for (int i = 0; i < narrow.rows(); i++) {
      for (int j = 0; j < inputs.length; j++) {
        narrow.set(i, j, samples.get(i, inputs[j]));
      }
    }
    return narrow;
  }

  /// The inputs that stay.
  static SampleSource narrow(SampleSource samples, Optional<List<Integer>> inputs) {
    return inputs.isPresent() ? new ColumnSamples(samples, inputs.get(), true) : samples;
  }

  /// Writes the parameters as they are now back to where they came from. A bias moves by as much as here, because here it
  /// may have taken up constants.
  ///
  /// @param pruned of which this is a copy
  void writeBack(DeviceNetwork pruned) {
    DenseNetwork now = network.download(arena);
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < whole.layers().size(); l++) {
      layers.add(merged(whole.layers().get(l), start.layers().get(l), now.layers().get(l), stays.get(l)));
    }
    pruned.load(new DenseNetwork(whole.graph(), layers));
  }

  private DenseLayer merged(DenseLayer of, DenseLayer before, DenseLayer after, Stay stay) {
    MatrixView weights = of.weights().copy(arena);
    Optional<MatrixView> bias = of.hasBias() || after.hasBias()
        ? Optional.of(of.bias().map(b -> b.copy(arena)).orElseGet(() -> MatrixView.allocate(arena, 1, of.outputs())))
        : Optional.empty();
    for (int i = 0; i < stay.rows.size(); i++) {
      int row = stay.rows.get(i);
      for (int j = 0; j < stay.columns.size(); j++) {
        weights.set(row, stay.columns.get(j), after.weights().get(i, j));
      }
      float moved = bias(after, i) - bias(before, i);
      bias.ifPresent(b -> b.set(0, row, b.get(0, row) + moved));
    }
    return new DenseLayer(of.name(), weights, bias, of.activation());
  }

  private static float bias(DenseLayer layer, int i) {
    return layer.bias().map(bias -> bias.get(0, i)).orElse(0f);
  }

  @Override
  public void close() {
    resources.close();
  }
}
