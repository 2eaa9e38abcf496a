package dev.espalier.engine.io;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/// A network in an ONNX model, whose graph tells the layers, their activations, and how they are connected. A chain of
/// layers can also be written as safetensors.
final class OnnxModelFile extends ModelFile {
  private final OnnxFile onnx;

  private OnnxModelFile(OnnxFile onnx, LayerTensors layers, DenseNetwork network, List<String> notes) {
    super(layers, network, notes, Optional.empty());
    this.onnx = onnx;
  }

  static OnnxModelFile read(Path path, MemorySegment content, ModelReading reading, Arena arena) throws IOException {
    MemorySegment dense = OnnxSparse.dense(path, content, arena);
    OnnxFile onnx = OnnxFile.read(path, dense, reading.from(), arena);
    if (reading.activations().isPresent() || !reading.layers().isEmpty()) {
      throw new FormatException(path, "its graph tells the layers and their activations; give neither");
    }
    List<Activation> activations = IntStream.range(0, onnx.names().size()).mapToObj(onnx.graph()::activation).toList();
    Map<String, String> metadata = onnx.metadata();
    metadata.keySet().removeAll(List.of(ACTIVATIONS, LAYERS)); // the graph tells them
    if (onnx.graph().isChain()) {
      metadata.put(ACTIVATIONS, new Activations(activations).toString());
      metadata.put(LAYERS, String.join(",", onnx.names()));
    }
    LayerTensors layers = LayerTensors.listed(SafetensorsFile.of(path, metadata, onnx.tensors(arena)), onnx.names(),
        LayerOrder.GIVEN);
    List<String> notes = new ArrayList<>(dense.equals(content) ? List.of() : List.of(ModelContent.SPARSE));
    notes.addAll(onnx.notes());
    try {
      return new OnnxModelFile(onnx, layers, new DenseNetwork(onnx.graph(), layers.layers(activations, arena)), notes);
    } catch (MismatchException | NonFiniteException e) {
      throw new FormatException(path, e.getMessage(), e);
    }
  }

  @Override
  ModelFile smaller(Compaction compaction, Arena arena) throws FormatException {
    return new OnnxModelFile(onnx.compacted(compaction, arena), layers.compacted(network().graph(), compaction, arena),
        compaction.network(), notes());
  }

  @Override
  public List<Path> files() throws FormatException {
    return onnx.files();
  }

  @Override
  void requireFormat(Path target) throws FormatException {
    if (isOnnx(target)) {
      onnx.requireWritable(target);
    } else {
      requireChain(target, network());
    }
  }

  @Override
  boolean isOnnxSplit() throws FormatException {
    return onnx.isSplit();
  }

  @Override
  void saveOnnx(AtomicOutputs outputs, Path target, DenseNetwork changed, IntPredicate pruned, boolean overwrite)
      throws IOException {
    onnx.write(outputs, target, overwrite, changed.layers().stream().map(DenseLayer::weights).toList(),
        changed.layers().stream().map(DenseLayer::bias).toList(),
        IntStream.range(0, changed.layers().size()).mapToObj(pruned::test).toList());
  }

  @Override
  void saveSparseOnnx(AtomicOutputs outputs, Path target, List<Integer> smaller, boolean overwrite) throws IOException {
    onnx.writeSparse(outputs, target, overwrite, smaller);
  }
}
