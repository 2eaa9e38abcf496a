package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// A chain of layers in a file of safetensors, in several with an index, or in a state dict of PyTorch.
final class TensorModelFile extends ModelFile {
  /// Of the layers, behind their batch normalisations.
  private final List<Activation> activations;
  /// By the number of the layer.
  private final Map<Integer, Tensor> slopes;

  private TensorModelFile(LayerTensors layers, List<Activation> activations, Map<Integer, Tensor> slopes,
      DenseNetwork network, List<String> notes, Optional<ShardIndex> index) {
    super(layers, network, notes, index);
    this.activations = activations;
    this.slopes = slopes;
  }

  static TensorModelFile read(ModelContent.Tensors content, ModelReading reading, Arena arena) throws IOException {
    ModelContent.Tensors dense = content.isTorch() ? stateDict(content, reading) : content.dense(arena);
    SafetensorsFile file = dense.file();
    Optional<Activations> given = activations(file, reading.activations());
    LayerTensors layers = LayerTensors.find(file, reading,
        given.isPresent() && given.get().named().contains(Activation.PRELU));
    List<Tensor> weights = layers.weights();
    Activations named = given.orElseThrow(() -> new MissingActivationsException(file.path(), weights.size()));
    try {
      List<Activation> activations = new ArrayList<>(named.forLayers(weights.size()));
      Map<Integer, Tensor> slopes = PreluSlopes.find(file, activations);
      for (Map.Entry<Integer, Tensor> slope : slopes.entrySet()) {
        activations.set(slope.getKey(), PreluSlopes.read(file, slope.getValue(), arena));
      }
      DenseNetwork network = BatchNorm.network(layers.layers(activations, arena), layers.norms());
      List<String> unbiased = IntStream.range(0, weights.size()).filter(l -> layers.biasTaker(l).isPresent())
          .mapToObj(l -> LayerTensors.layerName(weights.get(l))).toList();
      List<String> notes = new ArrayList<>(dense.notes());
      BatchNorm.note(layers.norms(), weights, unbiased).ifPresent(notes::add);
      TensorModelFile model = new TensorModelFile(layers, activations, slopes, network, notes, dense.index());
      if (layers.reason() == LayerOrder.NUMBERS || layers.reason() == LayerOrder.WIDTHS) {
        UnreadTensors.refuseFitting(file, model.unused(), weights);
      }
      return model;
    } catch (MismatchException | NonFiniteException e) {
      throw new FormatException(file.path(), e.getMessage(), e);
    }
  }

  /// With what was given in the metadata, so that what is written needs no options.
  private static ModelContent.Tensors stateDict(ModelContent.Tensors content, ModelReading reading) {
    SafetensorsFile file = content.asSafetensors();
    Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
    reading.activations().ifPresent(given -> metadata.put(ACTIVATIONS, given.toString()));
    if (!reading.layers().isEmpty()) {
      metadata.put(LAYERS, String.join(",", reading.layers()));
    }
    return new ModelContent.Tensors(SafetensorsFile.of(file.path(), metadata, file.tensors()), content.index(), true,
        Stream.concat(content.notes().stream(), tied(file.tensors()).stream()).toList());
  }

  /// What becomes of a layer that a module uses twice: PyTorch writes its tensors under two names.
  private static List<String> tied(List<Tensor> tensors) {
    List<String> notes = new ArrayList<>();
    Map<MemorySegment, Tensor> first = new HashMap<>();
    for (Tensor tensor : tensors) {
      Tensor other = tensor.data().byteSize() == 0 ? null : first.putIfAbsent(tensor.data(), tensor);
      if (other != null) {
        notes.add("tensors %s and %s are one that the module uses twice, and two from now on: %s".formatted(
            quote(other.name()), quote(tensor.name()), "the module needs a layer for each to load what is written"));
      }
    }
    return notes;
  }

  private static Optional<Activations> activations(SafetensorsFile file, Optional<Activations> given)
      throws FormatException {
    try {
      return given.or(() -> Optional.ofNullable(file.metadata().get(ACTIVATIONS)).map(Activations::parse));
    } catch (IllegalArgumentException e) {
      throw new FormatException(file.path(), e.getMessage(), e);
    }
  }

  @Override
  public Optional<Tensor> slopeTensor(int l) {
    return Optional.ofNullable(slopes.get(l));
  }

  @Override
  ModelFile smaller(Compaction compaction, Arena arena) {
    return new TensorModelFile(layers.compacted(network().graph(), compaction, arena), activations, slopes,
        compaction.network(), notes(), Optional.empty());
  }

  /// Refuses what an ONNX model that computes the network would lose: tensors that are no part of it, and numbers that
  /// float32 does not hold.
  @Override
  void requireFormat(Path target) throws FormatException {
    if (!isOnnx(target)) {
      return;
    }
    if (!unused().isEmpty()) {
      throw new FormatException(target,
          "not written: ONNX would lose %s, which %s no part of the network; %s".formatted(
              LayerChain.some(unused(), tensor -> quote(tensor.name())), unused().size() == 1 ? "is" : "are",
              "save the state dict without them, or choose a name that ends in .safetensors"));
    }
    for (Tensor tensor : file().tensors()) {
      for (long i = 0; tensor.dtype() == DType.F64 && i < tensor.elements(); i++) {
        double value = tensor.dtype().value(tensor.data(), i, ByteOrder.LITTLE_ENDIAN);
        if ((float) value != value) {
          throw new FormatException(target,
              "not written: ONNX has float32 here, which does not hold element %d of tensor %s, F64 %s; %s".formatted(i,
                  quote(tensor.name()), value,
                  "save it as F32, in PyTorch by model.float(), or choose a name that ends in .safetensors"));
        }
      }
    }
  }

  @Override
  boolean isOnnxSplit() {
    return OnnxWriter.isSplit(network().layers(), OnnxWriter.MOST_WEIGHT_BYTES);
  }

  @Override
  void saveOnnx(AtomicOutputs outputs, Path target, DenseNetwork changed, IntPredicate pruned, boolean overwrite)
      throws IOException {
    writeOnnx(outputs, target, changed, overwrite, OnnxWriter.MOST_WEIGHT_BYTES);
  }

  /// @param mostBytes of weights and biases in the model's own file
  void writeOnnx(AtomicOutputs outputs, Path target, DenseNetwork changed, boolean overwrite, long mostBytes)
      throws IOException {
    List<OnnxWriter.Layer> written = IntStream.range(0, changed.layers().size()).mapToObj(l -> {
      DenseLayer layer = changed.layers().get(l);
      Optional<String> bias = layer.bias().filter(_ -> layers.biasTaker(l).isEmpty())
          .map(_ -> LayerTensors.biasName(weightTensor(l)));
      return new OnnxWriter.Layer(layer, activations.get(l), weightTensor(l).name(), bias,
          slopeTensor(l).map(Tensor::name));
    }).toList();
    Map<String, String> metadata = new LinkedHashMap<>(file().metadata());
    metadata.keySet().removeAll(List.of(ACTIVATIONS, LAYERS)); // the graph tells them
    try (Arena arena = Arena.ofConfined()) {
      Map<String, MatrixView> means = layers.means(changed, arena);
      List<OnnxWriter.Norm> norms = new ArrayList<>();
      for (BatchNorm norm : layers.norms()) {
        norms.add(norm.forOnnx(file(), means, arena));
      }
      OnnxWriter.write(outputs, target, overwrite, written, norms, metadata, mostBytes);
    }
  }

  @Override
  List<String> onnxConversions() {
    String types = file().tensors().stream().map(Tensor::dtype)
        .filter(dtype -> dtype.isWritable() && dtype != DType.F32).distinct().map(DType::toString)
        .collect(Collectors.joining(", "));
    return types.isEmpty()
        ? List.of()
        : List.of("%s becomes float32 in ONNX, which holds all its numbers".formatted(types));
  }

  @Override
  void saveSparseOnnx(AtomicOutputs outputs, Path target, List<Integer> smaller, boolean overwrite)
      throws FormatException {
    throw new FormatException(target, "sparse weights are written into a model that is ONNX; "
        + "convert this one to ONNX, and that to " + SparseForm.COO);
  }
}
