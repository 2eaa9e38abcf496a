package dev.espalier.engine.io;

import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/// A network in a file of safetensors or of PyTorch, such as the state dict of an `nn.Sequential`: tensors
/// `<layer>.weight` of shape outputs × inputs, each with an optional `<layer>.bias`. The layers are all that the file
/// has, in the order that [LayerOrder] tells, or those that are listed. The activations stand in the metadata, which
/// PyTorch's files do not have, or are given. What is written is safetensors. An ONNX model has a graph that tells the
/// layers and activations. A name that ends in `.onnx` is written as ONNX, any other as safetensors.
public abstract sealed class ModelFile permits TensorModelFile, OnnxModelFile {
  /// The metadata key of the activations: their names, separated by commas, one for each layer.
  public static final String ACTIVATIONS = "activations";

  /// The metadata key of the layers: their names in order, separated by commas. Other tensors are left aside.
  public static final String LAYERS = "layers";

  final LayerTensors layers;
  private final DenseNetwork network;
  private final List<String> notes;
  /// Of a model in several files whose shapes are theirs.
  private final Optional<ShardIndex> index;

  ModelFile(LayerTensors layers, DenseNetwork network, List<String> notes, Optional<ShardIndex> index) {
    this.layers = layers;
    this.network = network;
    this.notes = List.copyOf(notes);
    this.index = index;
  }

  /// As [#load(Path, ModelReading, Arena)], with the layers that the file or its metadata show.
  ///
  /// @param activations empty: the activations that the file's metadata name
  public static ModelFile load(Path path, Optional<Activations> activations, Arena arena) throws IOException {
    return load(path, new ModelReading(activations, List.of(), OptionalInt.empty()), arena);
  }

  /// Maps a model into `arena`; F32 weights are used where they lie.
  ///
  /// @throws MissingActivationsException if neither `reading` nor the metadata name the activations
  /// @throws LayerOrderException if neither lists the layers, and they cannot be told, or their order cannot, or other
  ///                             numbers fit them
  /// @throws FormatException if the file is no valid file of these formats, holds no network, or a weight is not finite
  /// @throws IOException     if it cannot be read
  public static ModelFile load(Path path, ModelReading reading, Arena arena) throws IOException {
    return switch (ModelContent.open(path, arena)) {
      case ModelContent.Onnx(MemorySegment content) -> OnnxModelFile.read(path, content, reading, arena);
      case ModelContent.Tensors _ when reading.from().isPresent() -> throw new FormatException(path,
          "is no ONNX model, which alone has tensors that a network can begin at; give none");
      case ModelContent.Tensors tensors -> TensorModelFile.read(tensors, reading, arena);
    };
  }

  /// The inputs of an ONNX model, which stand side by side in a sample; none of other files, which do not name them.
  ///
  /// @throws FormatException if it is damaged
  /// @throws IOException if it cannot be read
  public static List<ModelInput> inputs(Path path, ModelReading reading) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      return switch (ModelContent.open(path, arena)) {
        case ModelContent.Tensors _ -> List.of();
        case ModelContent.Onnx(MemorySegment content) -> {
          OnnxContent graph = OnnxContent.of(path, OnnxSparse.dense(path, content, arena),
              new OnnxExternal(path, arena), reading.from());
          yield OnnxWalk.inputs(graph, graph.needed()).entrySet().stream()
              .map(input -> new ModelInput(input.getKey().name(), input.getValue())).toList();
        }
      };
    }
  }

  /// The tensors of a file of safetensors, of several with an index, or of a state dict, whether they make a network or
  /// not, and the metadata of the file.
  ///
  /// @param arena into which they are mapped
  /// @throws FormatException if it is no valid file of these formats, or an ONNX model
  /// @throws IOException if it cannot be read
  public static SafetensorsFile tensors(Path path, Arena arena) throws IOException {
    return switch (ModelContent.open(path, arena)) {
      case ModelContent.Tensors tensors -> tensors.file();
      case ModelContent.Onnx _ ->
        throw new FormatException(path, "is an ONNX model, whose graph has the tensors; give safetensors");
    };
  }

  /// The network; valid while the arena is open.
  public DenseNetwork network() {
    return network;
  }

  /// The file that it was loaded from.
  public SafetensorsFile file() {
    return layers.file();
  }

  /// Whether it was read from an ONNX model.
  public boolean isOnnx() {
    return this instanceof OnnxModelFile;
  }

  /// What reading the file left out or took for granted.
  public List<String> notes() {
    return notes;
  }

  /// Where the order of the layers comes from.
  public LayerOrder order() {
    return layers.reason();
  }

  /// The tensors that are neither weights, biases nor slopes of the layers, nor of batch normalisations, in the order of the
  /// file. They have no influence, and keep their bytes.
  public List<Tensor> unused() {
    Set<String> used = new HashSet<>();
    for (int l = 0; l < layers.weights().size(); l++) {
      used.add(weightTensor(l).name());
      used.add(LayerTensors.biasName(weightTensor(l)));
      slopeTensor(l).ifPresent(slope -> used.add(slope.name()));
    }
    return file().tensors().stream().filter(tensor -> !used.contains(tensor.name()))
        .filter(tensor -> layers.norms().stream().noneMatch(norm -> norm.has(tensor))).toList();
  }

  /// The tensor that holds the weights of layer `l`, numbered from 0.
  public Tensor weightTensor(int l) {
    return layers.weights().get(l);
  }

  /// The tensor that holds the slope of layer `l`, if the activation was named as prelu.
  public Optional<Tensor> slopeTensor(int l) {
    return Optional.empty();
  }

  /// The model with the neurons that a compaction of its network keeps, and otherwise as it was: names, order, metadata,
  /// dtypes, and the bytes of all weights that stay. Its network is that of the compaction.
  ///
  /// @param arena of the tensors that become smaller
  /// @throws FormatException if an ONNX model has a node that fixes what goes; the message names it
  public ModelFile compacted(Compaction compaction, Arena arena) throws FormatException {
    return compaction.isUnchanged() ? this : smaller(compaction, arena);
  }

  abstract ModelFile smaller(Compaction compaction, Arena arena) throws FormatException;

  /// Refuses, before any work is done, a file that cannot be written because of what the model is.
  ///
  /// @throws FormatException if the name asks for a format or for parts that the model does not have, if the model is
  ///                         spread over the file and others, or if it is ONNX and a tensor that lies in another file
  ///                         is no initializer of its graph, or cannot be read
  public void requireWritable(Path target) throws IOException {
    requireFormat(target);
    ShardIndex.requireWritable(target, file(), index);
  }

  /// Refuses a name whose format cannot hold the model.
  abstract void requireFormat(Path target) throws FormatException;

  /// The files that the model was read from: an index and its parts; an ONNX model, and those that its tensors lie in.
  public List<Path> files() throws IOException {
    return file().parts();
  }

  /// The files that [#save(AtomicOutputs, Path, DenseNetwork, IntPredicate, boolean)] writes: a name that ends in
  /// `.index.json` is that of an index, beside which the parts of the model have their names; an ONNX model has the elements
  /// of tensors in a file beside it if it had them so before, or would be too large.
  public List<Path> written(Path target) throws IOException {
    return isOnnx(target) ? OnnxOutput.written(target, isOnnxSplit()) : ShardIndex.written(target, index);
  }

  /// Whether the model as ONNX has a file beside it.
  abstract boolean isOnnxSplit() throws FormatException;

  static void requireChain(Path target, DenseNetwork network) throws FormatException {
    if (!network.graph().isChain()) {
      throw new FormatException(target,
          "safetensors hold chains of layers, and this network is none; choose a name that ends in .onnx");
    }
  }

  /// Whether a file of that name is written as ONNX: it ends in `.onnx`, in small or capital letters.
  public static boolean isOnnx(Path target) {
    return String.valueOf(target.getFileName()).toLowerCase(Locale.ROOT).endsWith(".onnx");
  }

  /// As [#save(AtomicOutputs, Path, DenseNetwork, IntPredicate, boolean)], of a network all layers of which were
  /// pruned, and alone.
  public void save(Path target, DenseNetwork changed, boolean overwrite) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      save(outputs, target, changed, _ -> true, overwrite);
      outputs.commit();
    }
  }

  /// Writes the file again with the weights and biases of `changed`; all that differs is what differs in them. A bias
  /// that a layer gained is added in the dtype of its weights, or in F32 where that has eight bits. A model in several files is written as one, or, to the
  /// name of an index, as the same several, to which no bias is added.
  ///
  /// @param outputs   with which the file appears
  /// @param target    may be the file itself
  /// @param changed   a network of the same shapes
  /// @param pruned whether weights were removed from the layer of a number, from 0: its zeros are written as zeros also
  ///                  where the file holds an F64 that float32 rounds to zero, which elsewhere keeps its bytes
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException              if it cannot be written; then nothing is left of it
  /// @throws IllegalArgumentException if the shapes differ
  public void save(AtomicOutputs outputs, Path target, DenseNetwork changed, IntPredicate pruned, boolean overwrite)
      throws IOException {
    if (changed.layers().size() != layers.weights().size()) {
      throw new IllegalArgumentException("%d layers do not fit the %d of %s".formatted(changed.layers().size(),
          layers.weights().size(), file().path()));
    }
    requireWritable(target);
    if (isOnnx(target)) {
      saveOnnx(outputs, target, changed, pruned, overwrite);
    } else {
      layers.save(outputs, target, index, changed, pruned, overwrite);
    }
  }

  abstract void saveOnnx(AtomicOutputs outputs, Path target, DenseNetwork changed, IntPredicate pruned,
      boolean overwrite) throws IOException;

  /// What becomes of numbers that the file holds in another type than the network has: a line for each tensor that has
  /// changed and is rounded to floats of eight bits, or one that all become float32.
  ///
  /// @param target  the file that is written
  /// @param changed a network of the same shapes
  public List<String> conversions(Path target, DenseNetwork changed) {
    return isOnnx(target) ? onnxConversions() : layers.rounded(changed);
  }

  List<String> onnxConversions() {
    return List.of();
  }

  /// The bytes of the weights of layer `l` as the file has them, with their zeros.
  public long denseBytes(int l) {
    return weightTensor(l).data().byteSize();
  }

  /// The bytes of the weights of layer `l` in a sparse form; empty if they cannot have it.
  public OptionalLong sparseBytes(int l, SparseForm form) {
    return form.bytes(weightTensor(l), weightTensor(l).dtype());
  }

  /// The bytes of the weights of all layers as the file has them, with their zeros.
  public long denseBytes() {
    return IntStream.range(0, layers.weights().size()).mapToLong(this::denseBytes).sum();
  }

  /// The bytes of the weights of a changed network in a file of this format and dtypes, in a sparse form for those layers
  /// that become smaller by it.
  public long sparseBytes(DenseNetwork changed, SparseForm form) {
    return IntStream.range(0, layers.weights().size()).mapToLong(l -> {
      Tensor values = new Tensor("", DType.F32, weightTensor(l).shape(), changed.layers().get(l).weights().segment());
      return Math.min(denseBytes(l), form.bytes(values, weightTensor(l).dtype()).orElse(Long.MAX_VALUE));
    }).sum();
  }

  /// The layers, by number, whose weights [#saveSparse] writes in a sparse form: those that become smaller by it, unless
  /// they have so few values that the file would not be read again ([SparseLimit]).
  public List<Integer> sparseLayers(SparseForm form) {
    return SparseForm.smaller(layers.weights(), form);
  }

  /// Writes the file with the weights of those layers in a sparse form that become smaller by it; all else stays.
  ///
  /// @param outputs   with which the file appears
  /// @param form      coo for a name that ends in `.onnx`, otherwise csr or 2:4
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException if no layer becomes smaller, or the file cannot be written; then nothing is left of it
  public void saveSparse(AtomicOutputs outputs, Path target, SparseForm form, boolean overwrite) throws IOException {
    requireWritable(target);
    if (!SparseForm.of(isOnnx(target)).contains(form) || ShardIndex.isIndex(target)) {
      throw new FormatException(target, "such a file has no sparse weights of the form " + form);
    }
    List<Integer> smaller = sparseLayers(form);
    SparseForm.requireSmaller(file(), smaller, form);
    if (isOnnx(target)) {
      saveSparseOnnx(outputs, target, smaller, overwrite);
    } else {
      SparseForm.write(outputs, file(), smaller.stream().map(this::weightTensor).toList(), target, form, overwrite);
    }
  }

  /// @param smaller layers by number
  abstract void saveSparseOnnx(AtomicOutputs outputs, Path target, List<Integer> smaller, boolean overwrite)
      throws IOException;

  /// Writes a new file: float32 tensors `<layer>.weight` and `<layer>.bias`, and the activations as metadata.
  ///
  /// @param network a chain of layers
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException if it cannot be written; then nothing is left of it
  /// @throws FormatException if the network is no chain
  public static void write(Path target, DenseNetwork network, boolean overwrite) throws IOException {
    requireChain(target, network);
    List<NewTensor> tensors = new ArrayList<>();
    for (DenseLayer layer : network.layers()) {
      tensors.add(NewTensor.matrix(layer.name() + ".weight", layer.weights()));
      layer.bias().ifPresent(bias -> tensors.add(NewTensor.vector(layer.name() + ".bias", bias)));
    }
    SafetensorsWriter.write(target, overwrite, tensors,
        Map.of("format", "pt", ACTIVATIONS, network.activations().toString()));
  }
}
