package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.Graph;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// A network in an ONNX model, as PyTorch, skl2onnx and tf2onnx export it. A changed model is the file with other bytes in
/// its weights and biases.
final class OnnxFile {
  private final Path path;
  private final MemorySegment content;
  private final OnnxExternal external;
  private final OnnxContent graph;
  private final OnnxWalk.Network network;
  private final List<String> notes;
  /// Tensors that lay in another file before they became smaller.
  private final Set<String> outside;

  private OnnxFile(Path path, MemorySegment content, OnnxExternal external, OnnxContent graph, OnnxWalk.Network network,
      List<String> notes, Set<String> outside) {
    this.path = path;
    this.content = content;
    this.external = external;
    this.graph = graph;
    this.network = network;
    this.notes = notes;
    this.outside = outside;
  }

  /// Whether a file looks like an ONNX model: the version of its format, then the name of what wrote it, or the graph.
  static boolean matches(Path path, MemorySegment content) {
    boolean isNamed = ModelFile.isOnnx(path);
    return !ForeignFormat.isSafetensors(content) && (isNamed || ForeignFormat.isOnnx(content));
  }

  /// Reads the network of a model, each layer of which gets weights of its own if it shares them.
  ///
  /// @param from  the value that the network begins at; empty: the model's inputs
  /// @param arena takes the memory of the model if something is shared, and that of files beside it
  /// @throws FormatException if the model is damaged, or no network that is understood; the message names the node
  static OnnxFile read(Path path, MemorySegment content, Optional<String> from, Arena arena) throws FormatException {
    return read(path, content, from, Set.of(), arena);
  }

  private static OnnxFile read(Path path, MemorySegment content, Optional<String> from, Set<String> outside,
      Arena arena) throws FormatException {
    OnnxExternal external = new OnnxExternal(path, arena);
    OnnxSharing.Unshared own = OnnxSharing.of(path, content, external, from, arena);
    OnnxContent graph = OnnxContent.of(path, own.content(), external, from);
    OnnxWalk.Network network = OnnxWalk.of(graph);
    return new OnnxFile(path, own.content(), external, graph, network,
        Stream.concat(own.notes().stream(), network.notes().stream()).toList(), outside);
  }

  /// How the layers are connected.
  Graph graph() {
    return network.graph();
  }

  /// The weights, outputs × inputs, and biases by the names `<layer>.weight` and `<layer>.bias`. Weights that lie the
  /// other way round are copied into `arena`. A layer whose bias a batch normalisation takes gets a bias of zeros.
  List<Tensor> tensors(Arena arena) {
    List<Tensor> tensors = new ArrayList<>();
    for (OnnxLayer layer : network.layers()) {
      OnnxTensor weight = layer.weight();
      if (layer.transposed()) {
        long rows = weight.shape().getLast();
        long columns = weight.shape().getFirst();
        int bytes = weight.dtype().bytes();
        MemorySegment turned = arena.allocate(weight.data().byteSize());
        for (long k = 0; k < weight.elements(); k++) {
          MemorySegment.copy(weight.data(), k * bytes, turned, (k % rows * columns + k / rows) * bytes, bytes);
        }
        tensors.add(new Tensor(layer.name() + ".weight", weight.dtype(), List.of(rows, columns), turned));
      } else {
        tensors.add(new Tensor(layer.name() + ".weight", weight.dtype(), weight.shape(), weight.data()));
      }
      layer.bias().ifPresent(
          bias -> tensors.add(new Tensor(layer.name() + ".bias", bias.dtype(), List.of(bias.elements()), bias.data())));
      layer.mean().ifPresent(mean -> tensors.add(new Tensor(layer.name() + ".bias", DType.F32, List.of(mean.elements()),
          arena.allocate(mean.elements() * Float.BYTES))));
    }
    return tensors;
  }

  /// The names of the layers in order.
  List<String> names() {
    return network.layers().stream().map(OnnxLayer::name).toList();
  }

  /// The texts that the model carries along, by their keys.
  ///
  /// @throws FormatException if one is damaged
  Map<String, String> metadata() throws FormatException {
    Map<String, String> metadata = new LinkedHashMap<>();
    for (Protobuf entry : Protobuf.parse(path, content).messages(path, OnnxContent.MODEL_METADATA)) {
      metadata.put(entry.text(1), entry.text(2));
    }
    return metadata;
  }

  /// What is left aside, and what was taken for granted.
  List<String> notes() {
    return notes;
  }

  /// The model of the features that a compaction keeps, with the bytes of all that stays.
  ///
  /// @param arena takes the memory of the model
  /// @throws FormatException if a node fixes the number of features; the message names it
  OnnxFile compacted(Compaction compaction, Arena arena) throws FormatException {
    Map<String, OnnxTensor> changed = new HashMap<>();
    for (int l = 0; l < network.layers().size(); l++) {
      OnnxLayer layer = network.layers().get(l);
      List<Integer> outputs = compaction.layers().get(l).neurons();
      List<Integer> inputs = compaction.features().get(graph().layers().get(l).input());
      put(changed, layer.weight(), layer.transposed() ? inputs : outputs, layer.transposed() ? outputs : inputs, arena);
      if (layer.bias().isPresent()) {
        put(changed, layer.bias().get(), List.of(0), outputs, arena);
      }
    }
    for (Map.Entry<OnnxTensor, Integer> constant : network.constants().entrySet()) {
      put(changed, constant.getKey(), List.of(0), compaction.features().get(constant.getValue()), arena);
    }
    OnnxFile smaller;
    try {
      Set<String> reshaped = graph.needed().stream().flatMap(node -> node.outputs().stream())
          .collect(Collectors.toSet());
      Set<String> nowInside = new HashSet<>(outside);
      changed.keySet().stream().filter(name -> OnnxExternal.isOutside(graph.tensor(name))).forEach(nowInside::add);
      smaller = read(path, OnnxTensors.replace(path, content, changed, reshaped, arena), graph.from(), nowInside,
          arena);
    } catch (FormatException e) {
      throw new FormatException(path, "is not shrunk: without these features, %s"
          .formatted(e.getMessage().replace(path + ": ", "").replace(OnnxValues.AGAIN, "")), e);
    }
    if (!smaller.graph().equals(compaction.network().graph())) {
      throw new FormatException(path, "is not shrunk: a Slice, Split or Reshape fixes the features of a layer");
    }
    return smaller;
  }

  private static void put(Map<String, OnnxTensor> changed, OnnxTensor tensor, List<Integer> rows, List<Integer> columns,
      Arena arena) {
    if ((long) rows.size() * columns.size() < tensor.elements()) {
      changed.put(tensor.name(), tensor.picked(rows, columns, arena));
    }
  }

  /// The files that the model was read from: itself, and those beside it that its initializers lie in.
  List<Path> files() throws FormatException {
    Set<Path> files = new LinkedHashSet<>(List.of(path));
    for (Protobuf tensor : OnnxOutput.tensors(path, content)) {
      if (OnnxExternal.isOutside(tensor)) {
        files.add(external.file(tensor));
      }
    }
    return List.copyOf(files);
  }

  /// Whether the model is written with a file beside it, which has elements of its tensors.
  boolean isSplit() throws FormatException {
    return output(OnnxOutput.MOST_BYTES).isSplit();
  }

  /// Refuses, before any work is done, a model that cannot be written whole.
  void requireWritable(Path target) throws FormatException {
    output(OnnxOutput.MOST_BYTES).requireWritable(target);
  }

  private OnnxOutput output(long mostBytes) {
    return new OnnxOutput(path, content, external, outside, mostBytes);
  }

  /// Writes the file with other weights and biases.
  ///
  /// @param weights of each layer, outputs × inputs
  /// @param biases  of each layer that has one
  /// @param pruned  whether zeros are removed weights, of each layer
  void write(AtomicOutputs outputs, Path target, boolean overwrite, List<MatrixView> weights,
      List<Optional<MatrixView>> biases, List<Boolean> pruned) throws IOException {
    write(outputs, target, overwrite, weights, biases, pruned, OnnxOutput.MOST_BYTES);
  }

  /// As the other.
  ///
  /// @param mostBytes of the model's own file
  void write(AtomicOutputs outputs, Path target, boolean overwrite, List<MatrixView> weights,
      List<Optional<MatrixView>> biases, List<Boolean> pruned, long mostBytes) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      List<OnnxOutput.Patch> patches = new ArrayList<>();
      for (int l = 0; l < network.layers().size(); l++) {
        OnnxLayer layer = network.layers().get(l);
        patches.add(patch(target, layer.weight(), weights.get(l), layer.transposed(), pruned.get(l), arena));
        if (layer.bias().isPresent()) {
          patches.add(patch(target, layer.bias().get(), biases.get(l).orElseThrow(), false, false, arena));
        } else if (biases.get(l).isPresent() && layer.mean().isPresent()) {
          OnnxTensor mean = layer.mean().get();
          patches.add(
              patch(target, mean, BatchNorm.without(biases.get(l).get(), mean.toFloat32(arena)), false, false, arena));
        } else if (biases.get(l).isPresent()) {
          throw new FormatException(target,
              "not written: layer %s gained a bias; write the model as safetensors".formatted(quote(layer.name())));
        }
      }
      output(mostBytes).write(outputs, target, overwrite, patches);
    }
  }

  /// Writes the file with the weights of some layers as sparse tensors.
  ///
  /// @param layers by number
  void writeSparse(AtomicOutputs outputs, Path target, boolean overwrite, List<Integer> layers) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment sparse = OnnxSparse.sparse(path, content,
          layers.stream().map(l -> network.layers().get(l).weight()).toList(), arena);
      new OnnxOutput(path, sparse, external, outside, OnnxOutput.MOST_BYTES).write(outputs, target, overwrite,
          List.of());
    }
  }

  private static OnnxOutput.Patch patch(Path target, OnnxTensor tensor, MatrixView values, boolean transposed,
      boolean pruned, Arena arena) throws FormatException {
    MemorySegment bytes = arena.allocate(Math.max(1, tensor.data().byteSize())).asSlice(0, tensor.data().byteSize());
    for (long k = 0; k < tensor.elements(); k++) {
      long at = transposed ? k % values.rows() * values.columns() + k / values.rows() : k;
      SafetensorsWriter.encode(target, tensor.name(), tensor.dtype(), tensor.data(), pruned, k,
          values.segment().getAtIndex(MatrixView.ELEMENT, at), bytes, k);
    }
    return new OnnxOutput.Patch(tensor.name(), tensor.data(), bytes);
  }
}
