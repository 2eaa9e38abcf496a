package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Node;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// A network in a file of safetensors or of PyTorch, such as the state dict of an `nn.Sequential`: tensors
/// `<layer>.weight` of shape outputs × inputs, each with an optional `<layer>.bias`. The layers are all that the file
/// has, in the order that [LayerOrder] tells, or those that are listed. The activations stand in the metadata, which
/// PyTorch's files do not have, or are given. What is written is safetensors. An ONNX model has a graph that tells the
/// layers and activations. A name that ends in `.onnx` is written as ONNX, any other as safetensors.
public final class ModelFile {
  /// The metadata key of the activations: their names, separated by commas, one for each layer.
  public static final String ACTIVATIONS = "activations";

  /// The metadata key of the layers: their names in order, separated by commas. Other tensors are left aside.
  public static final String LAYERS = "layers";

  private static final String WEIGHT = "weight";

  private final SafetensorsFile file;
  private final List<Tensor> weights;
  private final List<BatchNorm> norms;
  private final LayerOrder order;
  private final List<Optional<Tensor>> slopes;
  private final DenseNetwork network;
  private final List<String> notes;
  private final Optional<OnnxFile> onnx;
  /// Of a model in several files whose shapes are theirs.
  private final Optional<ShardIndex> index;

  private ModelFile(SafetensorsFile file, LayerChain.Found found, List<Optional<Tensor>> slopes, DenseNetwork network,
      List<String> notes, Optional<OnnxFile> onnx, Optional<ShardIndex> index) {
    this.onnx = onnx;
    this.index = index;
    this.file = file;
    this.notes = List.copyOf(notes);
    this.weights = found.weights();
    this.norms = found.norms();
    this.order = found.reason();
    this.slopes = slopes;
    this.network = network;
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
    ModelContent opened = ModelContent.open(path, arena);
    if (reading.from().isPresent() && !(opened instanceof ModelContent.Onnx)) {
      throw new FormatException(path,
          "is no ONNX model, which alone has tensors that a network can begin at; give none");
    }
    return switch (opened) {
      case ModelContent.Onnx(MemorySegment content) -> {
        MemorySegment dense = OnnxSparse.dense(path, content, arena);
        yield onnx(path, OnnxFile.read(path, dense, reading.from(), arena), reading, notes(!dense.equals(content)),
            arena);
      }
      case ModelContent.Tensors torch when torch.isTorch() -> load(torch.asSafetensors(), reading,
          Stream.concat(torch.notes().stream(), tied(torch.file().tensors()).stream()).toList(), arena)
          .withMetadata(reading);
      case ModelContent.Tensors tensors -> {
        SafetensorsFile file = SparseTensors.dense(tensors.file(), arena);
        boolean isSparse = file != tensors.file();
        ModelFile model = load(file, reading, notes(isSparse), arena);
        yield new ModelFile(file, new LayerChain.Found(model.weights, model.norms, model.order), model.slopes,
            model.network, model.notes, Optional.empty(), isSparse ? Optional.empty() : tensors.index());
      }
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

  private static List<String> notes(boolean isSparse) {
    return isSparse ? List.of("sparse weights are read as dense ones") : List.of();
  }

  private static ModelFile load(SafetensorsFile file, ModelReading reading, List<String> notes, Arena arena)
      throws IOException {
    Optional<Activations> activations = activations(file, reading.activations());
    LayerChain.Found found = layers(file, reading,
        activations.isPresent() && activations.get().named().contains(Activation.PRELU));
    List<Tensor> weights = found.weights();
    Activations named = activations.orElseThrow(() -> new MissingActivationsException(file.path(), weights.size()));
    try {
      List<Activation> chosen = named.forLayers(weights.size());
      List<Optional<Tensor>> slopes = PreluSlopes.find(file, chosen);
      List<Activation> inForce = new ArrayList<>();
      for (int l = 0; l < weights.size(); l++) {
        inForce.add(slopes.get(l).isPresent() ? PreluSlopes.read(file, slopes.get(l).get(), arena) : chosen.get(l));
      }
      List<DenseLayer> layers = denseLayers(file, weights, inForce, arena);
      List<String> unbiased = IntStream.range(0, layers.size())
          .filter(l -> !layers.get(l).hasBias() && behind(found.norms(), l).isPresent())
          .mapToObj(l -> layers.get(l).name()).toList();
      layers.replaceAll(layer -> unbiased.contains(layer.name())
          ? new DenseLayer(layer.name(), layer.weights(), Optional.of(MatrixView.allocate(arena, 1, layer.outputs())),
              layer.activation())
          : layer);
      ModelFile model = new ModelFile(file, found, slopes, BatchNorm.network(layers, found.norms()),
          Stream.concat(notes.stream(), BatchNorm.note(found.norms(), weights, unbiased).stream()).toList(),
          Optional.empty(), Optional.empty());
      if (found.reason() == LayerOrder.NUMBERS || found.reason() == LayerOrder.WIDTHS) {
        UnreadTensors.refuseFitting(file, model.unused(), weights);
      }
      return model;
    } catch (MismatchException | NonFiniteException e) {
      throw new FormatException(file.path(), e.getMessage(), e);
    }
  }

  /// The graph tells the layers and their activations, and how they are connected.
  private static ModelFile onnx(Path path, OnnxFile graph, ModelReading reading, List<String> notes, Arena arena)
      throws IOException {
    if (reading.activations().isPresent() || !reading.layers().isEmpty()) {
      throw new FormatException(path, "its graph tells the layers and their activations; give neither");
    }
    List<Activation> activations = IntStream.range(0, graph.names().size()).mapToObj(graph.graph()::activation)
        .toList();
    Map<String, String> metadata = new LinkedHashMap<>(graph.metadata());
    metadata.keySet().removeAll(List.of(ACTIVATIONS, LAYERS)); // the graph tells them
    if (graph.graph().isChain()) {
      metadata.put(ACTIVATIONS, new Activations(activations).toString());
      metadata.put(LAYERS, String.join(",", graph.names()));
    }
    SafetensorsFile file = SafetensorsFile.of(path, metadata, graph.tensors(arena));
    List<Tensor> weights = listed(file, graph.names(), LayerOrder.GIVEN).weights();
    try {
      DenseNetwork network = new DenseNetwork(graph.graph(), denseLayers(file, weights, activations, arena));
      return new ModelFile(file, new LayerChain.Found(weights, List.of(), LayerOrder.GIVEN),
          Collections.nCopies(weights.size(), Optional.empty()), network,
          Stream.concat(notes.stream(), graph.notes().stream()).toList(), Optional.of(graph), Optional.empty());
    } catch (MismatchException | NonFiniteException e) {
      throw new FormatException(path, e.getMessage(), e);
    }
  }

  private static List<DenseLayer> denseLayers(SafetensorsFile file, List<Tensor> weights, List<Activation> activations,
      Arena arena) throws FormatException {
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < weights.size(); l++) {
      Optional<Tensor> bias = bias(file, weights.get(l));
      Optional<MatrixView> values = bias.isPresent()
          ? Optional.of(file.asFloat32(bias.get(), arena))
          : Optional.empty();
      layers.add(
          new DenseLayer(layerName(weights.get(l)), file.asFloat32(weights.get(l), arena), values, activations.get(l)));
    }
    return layers;
  }

  /// With what was given in the metadata, so that what is written needs no options.
  private ModelFile withMetadata(ModelReading reading) {
    Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
    reading.activations().ifPresent(given -> metadata.put(ACTIVATIONS, given.toString()));
    if (!reading.layers().isEmpty()) {
      metadata.put(LAYERS, String.join(",", reading.layers()));
    }
    return new ModelFile(SafetensorsFile.of(file.path(), metadata, file.tensors()),
        new LayerChain.Found(weights, norms, order), slopes, network, notes, onnx, index);
  }

  /// The first that stands between a layer and its activation.
  private static Optional<BatchNorm> behind(List<BatchNorm> norms, int layer) {
    return BatchNorm.at(norms, new BatchNorm.Place(layer, false)).stream().findFirst();
  }

  /// The weights of the layers in order, and what stands between them.
  ///
  /// @param prelu whether weights may be slopes of activations
  private static LayerChain.Found layers(SafetensorsFile file, ModelReading reading, boolean prelu)
      throws FormatException {
    String listed = file.metadata().get(LAYERS);
    if (!reading.layers().isEmpty()) {
      return listed(file, reading.layers(), LayerOrder.GIVEN);
    } else if (listed != null) {
      return listed(file, List.of(listed.split(",", -1)), LayerOrder.METADATA);
    }
    UnreadTensors.refuse(file, "");
    List<Tensor> weights = weightTensors(file).filter(tensor -> !BatchNorm.isWeight(file, tensor))
        .filter(tensor -> !prelu || !PreluSlopes.isSlope(file, tensor)).toList();
    if (weights.isEmpty()) {
      throw new FormatException(file.path(),
          "no tensor is called <layer>.weight; save the network as PyTorch's state dict, with safetensors");
    }
    for (Tensor tensor : weights) {
      UnreadTensors.refuseNormalization(file, tensor);
      LayerChain.requireMatrix(file, tensor, weights);
    }
    return LayerChain.of(file, weights, reading.inputs());
  }

  static Stream<Tensor> weightTensors(SafetensorsFile file) {
    return file.tensors().stream()
        .filter(tensor -> tensor.name().equals(WEIGHT) || tensor.name().endsWith("." + WEIGHT));
  }

  /// The layers and batch normalisations of these names, in this order.
  private static LayerChain.Found listed(SafetensorsFile file, List<String> names, LayerOrder reason)
      throws FormatException {
    List<Tensor> weights = new ArrayList<>();
    List<BatchNorm> norms = new ArrayList<>();
    for (int n = 0; n < names.size(); n++) {
      String layer = names.get(n).strip().replaceFirst("\\." + WEIGHT + "$", "");
      if (BatchNorm.isNamed(file, layer)) {
        norms.add(BatchNorm.listed(file, layer, weights, n + 1 < names.size() ? names.get(n + 1).strip() : ""));
        continue;
      }
      UnreadTensors.refuse(file, layer + ".");
      String wanted = layer.equals(WEIGHT) ? WEIGHT : layer + "." + WEIGHT;
      Tensor weight = file.tensor(wanted)
          .orElseThrow(() -> new FormatException(file.path(),
              "has no tensor %s, although layer %s is listed; it has %s".formatted(quote(wanted), quote(layer),
                  LayerChain.some(file.tensors(), tensor -> quote(tensor.name())))));
      LayerChain.requireMatrix(file, weight, weights);
      if (weights.contains(weight)) {
        throw new FormatException(file.path(), "layer %s is listed twice".formatted(quote(layer)));
      }
      weights.add(weight);
    }
    return new LayerChain.Found(weights, norms, reason);
  }

  private static Optional<Activations> activations(SafetensorsFile file, Optional<Activations> given)
      throws FormatException {
    String text = file.metadata().get(ACTIVATIONS);
    if (given.isPresent() || text == null) {
      return given;
    }
    try {
      return Optional.of(Activations.parse(text));
    } catch (IllegalArgumentException e) {
      throw new FormatException(file.path(), e.getMessage(), e);
    }
  }

  static Optional<Tensor> bias(SafetensorsFile file, Tensor weight) throws FormatException {
    Optional<Tensor> bias = file.tensor(biasName(weight));
    if (bias.isPresent() && (bias.get().shape().size() != 1 || !bias.get().dtype().isWritable())) {
      throw new FormatException(file.path(), "tensor %s is %s of shape %s; a bias is %s, of shape [outputs]"
          .formatted(quote(bias.get().name()), bias.get().dtype(), bias.get().shape(), DType.WRITABLE));
    }
    return bias;
  }

  /// The dtype of a bias that a layer gains.
  static DType newBias(Tensor weight) {
    return weight.dtype().isEightBitFloat() ? DType.F32 : weight.dtype();
  }

  private static String prefix(Tensor weight) {
    return weight.name().substring(0, weight.name().length() - WEIGHT.length());
  }

  static String biasName(Tensor weight) {
    return prefix(weight) + "bias";
  }

  /// The prefix without its dot; a lone `weight` is called so itself.
  static String layerName(Tensor weight) {
    return prefix(weight).isEmpty() ? weight.name() : prefix(weight).substring(0, prefix(weight).length() - 1);
  }

  /// The network; valid while the arena is open.
  public DenseNetwork network() {
    return network;
  }

  /// The file that it was loaded from.
  public SafetensorsFile file() {
    return file;
  }

  /// Whether it was read from an ONNX model.
  public boolean isOnnx() {
    return onnx.isPresent();
  }

  /// What reading the file left out or took for granted.
  public List<String> notes() {
    return notes;
  }

  /// Where the order of the layers comes from.
  public LayerOrder order() {
    return order;
  }

  /// The tensors that are neither weights, biases nor slopes of the layers, nor of batch normalisations, in the order of the
  /// file. They have no influence, and keep their bytes.
  public List<Tensor> unused() {
    Set<String> used = new HashSet<>();
    for (Tensor weight : weights) {
      used.add(weight.name());
      used.add(biasName(weight));
    }
    slopes.forEach(slope -> slope.ifPresent(tensor -> used.add(tensor.name())));
    return file.tensors().stream()
        .filter(tensor -> !used.contains(tensor.name()) && norms.stream().noneMatch(norm -> norm.has(tensor))).toList();
  }

  /// The tensor that holds the weights of layer `l`, numbered from 0.
  public Tensor weightTensor(int l) {
    return weights.get(l);
  }

  /// The tensor that holds the slope of layer `l`, if the activation was named as prelu.
  public Optional<Tensor> slopeTensor(int l) {
    return slopes.get(l);
  }

  /// The model with the neurons that a compaction of its network keeps, and otherwise as it was: names, order, metadata,
  /// dtypes, and the bytes of all weights that stay. Its network is that of the compaction.
  ///
  /// @param arena of the tensors that become smaller
  /// @throws FormatException if an ONNX model has a node that fixes what goes; the message names it
  public ModelFile compacted(Compaction compaction, Arena arena) throws FormatException {
    if (compaction.isUnchanged()) {
      return this;
    }
    Map<String, Tensor> smaller = new HashMap<>();
    for (int l = 0; l < weights.size(); l++) {
      List<Integer> outputs = compaction.layers().get(l).neurons();
      List<Integer> inputs = compaction.features().get(network.graph().layers().get(l).input());
      Tensor weight = weights.get(l);
      smaller.put(weight.name(), picked(weight, outputs, inputs, arena));
      file.tensor(biasName(weight))
          .ifPresent(bias -> smaller.put(bias.name(), picked(bias, List.of(0), outputs, arena)));
    }
    for (BatchNorm norm : norms) {
      if (norm.place().layer() >= 0) {
        List<Integer> kept = compaction.layers().get(norm.place().layer()).neurons();
        norm.tensors().forEach(tensor -> smaller.put(tensor.name(), picked(tensor, List.of(0), kept, arena)));
      }
    }
    List<Tensor> changed = weights.stream().map(weight -> smaller.get(weight.name())).toList();
    LayerChain.Found found = new LayerChain.Found(changed, norms.stream().map(norm -> norm.with(smaller)).toList(),
        order);
    return new ModelFile(file.with(smaller), found, slopes, compaction.network(), notes,
        onnx.isPresent() ? Optional.of(onnx.get().compacted(compaction, arena)) : Optional.empty(), Optional.empty());
  }

  /// Some rows and columns of a matrix; a vector is one row.
  private static Tensor picked(Tensor tensor, List<Integer> rows, List<Integer> columns, Arena arena) {
    boolean isVector = tensor.shape().size() == 1;
    int bytes = tensor.dtype().bytes();
    MemorySegment data = arena.allocate((long) rows.size() * columns.size() * bytes);
    long to = 0;
    for (long row : rows) {
      for (int column : columns) {
        MemorySegment.copy(tensor.data(), (row * tensor.shape().getLast() + column) * bytes, data, to, bytes);
        to += bytes;
      }
    }
    List<Long> shape = isVector ? List.of((long) columns.size()) : List.of((long) rows.size(), (long) columns.size());
    return new Tensor(tensor.name(), tensor.dtype(), shape, data);
  }

  /// Refuses, before any work is done, a file that cannot be written because of what the model is.
  ///
  /// @throws FormatException if the name asks for a format or for parts that the model does not have, if the model is
  ///                         spread over the file and others, or if it is ONNX and a tensor that lies in another file
  ///                         is no initializer of its graph, or cannot be read
  public void requireWritable(Path target) throws IOException {
    if (isOnnx(target) && onnx.isEmpty()) {
      requireOnnx(target);
    } else if (isOnnx(target)) {
      onnx.orElseThrow().requireWritable(target);
    }
    if (!isOnnx(target) && onnx.isPresent()) {
      requireChain(target, network);
    }
    requireWritable(target, file, index);
  }

  /// Refuses what an ONNX model that computes the network would lose: tensors that are no part of it, and numbers that
  /// float32 does not hold.
  private void requireOnnx(Path target) throws FormatException {
    if (!unused().isEmpty()) {
      throw new FormatException(target,
          "not written: ONNX would lose %s, which %s no part of the network; %s".formatted(
              LayerChain.some(unused(), tensor -> quote(tensor.name())), unused().size() == 1 ? "is" : "are",
              "save the state dict without them, or choose a name that ends in .safetensors"));
    }
    for (Tensor tensor : file.tensors()) {
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

  /// Refuses the name of an index or of parts that tensors cannot have, and files that they are read from.
  static void requireWritable(Path target, SafetensorsFile file, Optional<ShardIndex> index) throws IOException {
    if (isIndex(target) && index.isEmpty()) {
      throw new FormatException(target, "only a model in several files whose shapes stay is written as several; "
          + "choose a name that ends in .safetensors");
    }
    List<Path> parts = new ArrayList<>(file.parts());
    parts.add(file.path());
    for (Path written : file.parts().size() > 1 ? written(target, index) : List.<Path>of()) {
      for (Path part : parts) {
        if (Files.exists(written) && Files.isSameFile(part, written)) {
          throw new FormatException(target,
              written.equals(target)
                  ? "is a part of the model that was read; choose another output"
                  : "%s beside it is a part of the model that was read; choose another folder"
                      .formatted(part.getFileName()));
        }
      }
    }
    if (ShardIndex.isPart(target)) {
      throw new FormatException(target, "is the name of a part of a model; choose another name, or that of an index");
    }
  }

  /// The files that the model was read from: an index and its parts; an ONNX model, and those that its tensors lie in.
  public List<Path> files() throws IOException {
    return onnx.isPresent() ? onnx.get().files() : file.parts();
  }

  /// The files that [#save(AtomicOutputs, Path, DenseNetwork, IntPredicate, boolean)] writes: a name that ends in
  /// `.index.json` is that of an index, beside which the parts of the model have their names; an ONNX model has the elements
  /// of tensors in a file beside it if it had them so before, or would be too large.
  public List<Path> written(Path target) throws IOException {
    if (isOnnx(target)) {
      return onnx.isPresent()
          ? onnx.get().written(target)
          : written(target, OnnxWriter.isSplit(network.layers(), OnnxWriter.MOST_WEIGHT_BYTES));
    }
    return written(target, index);
  }

  private static List<Path> written(Path target, boolean isSplit) {
    return isSplit ? List.of(target, OnnxOutput.data(target)) : List.of(target);
  }

  static List<Path> written(Path target, Optional<ShardIndex> index) {
    return isIndex(target) && index.isPresent()
        ? Stream.concat(Stream.of(target),
            index.get().parts().stream().map(part -> target.resolveSibling(part.getFileName()))).toList()
        : List.of(target);
  }

  static boolean isIndex(Path target) {
    return String.valueOf(target.getFileName()).endsWith(ShardIndex.SUFFIX);
  }

  private static void requireChain(Path target, DenseNetwork network) throws FormatException {
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
    if (changed.layers().size() != weights.size()) {
      throw new IllegalArgumentException(
          "%d layers do not fit the %d of %s".formatted(changed.layers().size(), weights.size(), file.path()));
    }
    requireWritable(target);
    if (isOnnx(target) && onnx.isEmpty()) {
      writeOnnx(outputs, target, changed, overwrite, OnnxWriter.MOST_WEIGHT_BYTES);
      return;
    }
    if (isOnnx(target)) {
      onnx.orElseThrow().write(outputs, target, overwrite, changed.layers().stream().map(DenseLayer::weights).toList(),
          changed.layers().stream().map(DenseLayer::bias).toList(),
          IntStream.range(0, weights.size()).mapToObj(pruned::test).toList());
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      rewrite(outputs, target, changed, pruned, overwrite, arena);
    }
  }

  /// @param arena of values that are computed
  private void rewrite(AtomicOutputs outputs, Path target, DenseNetwork changed, IntPredicate pruned, boolean overwrite,
      Arena arena) throws IOException {
    Map<String, MatrixView> values = means(changed, arena);
    Set<String> zeroed = new HashSet<>();
    List<NewTensor> added = new ArrayList<>();
    for (int l = 0; l < weights.size(); l++) {
      Tensor weight = weights.get(l);
      if (pruned.test(l)) {
        zeroed.add(weight.name());
      }
      DenseLayer layer = changed.layers().get(l);
      values.put(weight.name(), layer.weights());
      if (layer.bias().isPresent()) {
        MatrixView bias = layer.bias().get();
        if (file.tensor(biasName(weight)).isPresent()) {
          values.put(biasName(weight), bias);
        } else if (!takesBias(l)) {
          added.add(new NewTensor(biasName(weight), newBias(weight), List.of(bias.elements()), bias));
        }
      }
    }
    if (!isIndex(target)) {
      SafetensorsWriter.rewrite(outputs, file, target, overwrite, values, zeroed, added);
    } else if (added.isEmpty()) {
      index.orElseThrow().rewrite(outputs, target, overwrite, values, zeroed);
    } else {
      throw new FormatException(target, "an index gains no tensors, such as %s; choose a name that ends in .safetensors"
          .formatted(quote(added.getFirst().name())));
    }
  }

  /// By the names of their tensors, the means that take the biases of layers that have none in the file.
  private Map<String, MatrixView> means(DenseNetwork changed, Arena arena) throws FormatException {
    Map<String, MatrixView> means = new HashMap<>();
    for (int l = 0; l < weights.size(); l++) {
      if (takesBias(l)) {
        BatchNorm norm = behind(norms, l).orElseThrow();
        means.put(norm.mean().name(), norm.mean(file, changed.layers().get(l).bias().orElseThrow(), arena));
      }
    }
    return means;
  }

  /// Whether a batch normalisation has the bias of a layer, which has none in the file.
  private boolean takesBias(int l) {
    return behind(norms, l).isPresent() && file.tensor(biasName(weights.get(l))).isEmpty();
  }

  /// @param mostBytes of weights and biases in the model's own file
  void writeOnnx(AtomicOutputs outputs, Path target, DenseNetwork changed, boolean overwrite, long mostBytes)
      throws IOException {
    List<OnnxWriter.Layer> layers = IntStream.range(0, weights.size()).mapToObj(l -> new OnnxWriter.Layer(
        changed.layers().get(l), activation(l), weights.get(l).name(),
        takesBias(l) || !changed.layers().get(l).hasBias() ? Optional.empty() : Optional.of(biasName(weights.get(l))),
        slopes.get(l).map(Tensor::name))).toList();
    Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
    metadata.keySet().removeAll(List.of(ACTIVATIONS, LAYERS)); // the graph tells them
    try (Arena arena = Arena.ofConfined()) {
      Map<String, MatrixView> means = means(changed, arena);
      List<OnnxWriter.Norm> written = new ArrayList<>();
      for (BatchNorm norm : norms) {
        written.add(norm.forOnnx(file, means, arena));
      }
      OnnxWriter.write(outputs, target, overwrite, layers, written, metadata, mostBytes);
    }
  }

  /// What stands behind a layer and its batch normalisations, before the next layer.
  private Activation activation(int l) {
    int[] nodes = network.graph().layerNodes();
    return network.graph().nodes().subList(nodes[l], l + 1 < nodes.length ? nodes[l + 1] : network.graph().output() + 1)
        .stream().filter(Node.Activate.class::isInstance).map(node -> ((Node.Activate) node).activation()).findFirst()
        .orElse(Activation.IDENTITY);
  }

  /// What becomes of numbers that the file holds in another type than the network has: a line for each tensor that has
  /// changed and is rounded to floats of eight bits, or one that all become float32.
  ///
  /// @param target  the file that is written
  /// @param changed a network of the same shapes
  public List<String> conversions(Path target, DenseNetwork changed) {
    if (isOnnx(target)) {
      String types = file.tensors().stream().map(Tensor::dtype)
          .filter(dtype -> dtype.isWritable() && dtype != DType.F32).distinct().map(DType::toString)
          .collect(Collectors.joining(", "));
      return onnx.isPresent() || types.isEmpty()
          ? List.of()
          : List.of("%s becomes float32 in ONNX, which holds all its numbers".formatted(types));
    }
    List<String> lines = new ArrayList<>();
    for (int l = 0; l < weights.size(); l++) {
      lines.addAll(rounded(file, weights.get(l), changed.layers().get(l)));
    }
    return lines;
  }

  static List<String> rounded(SafetensorsFile file, Tensor weight, DenseLayer changed) {
    List<String> lines = new ArrayList<>();
    rounded(weight, changed.weights()).ifPresent(lines::add);
    file.tensor(biasName(weight)).flatMap(bias -> rounded(bias, changed.bias().orElseThrow())).ifPresent(lines::add);
    return lines;
  }

  private static Optional<String> rounded(Tensor tensor, MatrixView changed) {
    if (!tensor.dtype().isEightBitFloat()) {
      return Optional.empty();
    }
    MemorySegment written = MemorySegment.ofArray(new byte[1]);
    long count = 0;
    double errors = 0;
    double squares = 0;
    for (long i = 0; i < changed.elements(); i++) {
      float value = changed.segment().getAtIndex(MatrixView.ELEMENT, i);
      tensor.dtype().write(written, 0, value);
      double error = (double) tensor.dtype().read(written, 0) - value;
      if (error != 0 && Double.isFinite(error)) { // a number beyond the range is not written
        count++;
        errors += error * error;
        squares += (double) value * value;
      }
    }
    return count == 0
        ? Optional.empty()
        : Optional.of(String.format(Locale.ROOT,
            "%s of %s %s rounded to %s, by %.1f %% (root mean square); the figures are without that",
            Nouns.counted(count, "number"), quote(tensor.name()),
            count == 1 ? "has changed and is" : "have changed and are", tensor.dtype(),
            100 * Math.sqrt(errors / squares)));
  }

  /// The bytes of the weights of layer `l` as the file has them, with their zeros.
  public long denseBytes(int l) {
    return weights.get(l).data().byteSize();
  }

  /// The bytes of the weights of layer `l` in a sparse form; empty if they cannot have it.
  public OptionalLong sparseBytes(int l, SparseForm form) {
    return form.bytes(weights.get(l), weights.get(l).dtype());
  }

  /// The bytes of the weights of all layers as the file has them, with their zeros.
  public long denseBytes() {
    return IntStream.range(0, weights.size()).mapToLong(this::denseBytes).sum();
  }

  /// The bytes of the weights of a changed network in a file of this format and dtypes, in a sparse form for those layers
  /// that become smaller by it.
  public long sparseBytes(DenseNetwork changed, SparseForm form) {
    return IntStream.range(0, weights.size()).mapToLong(l -> {
      Tensor values = new Tensor("", DType.F32, weights.get(l).shape(), changed.layers().get(l).weights().segment());
      return Math.min(denseBytes(l), form.bytes(values, weights.get(l).dtype()).orElse(Long.MAX_VALUE));
    }).sum();
  }

  /// The layers, by number, whose weights [#saveSparse] writes in a sparse form: those that become smaller by it, unless
  /// they have so few values that the file would not be read again ([SparseLimit]).
  public List<Integer> sparseLayers(SparseForm form) {
    return SparseForm.smaller(weights, form);
  }

  /// Writes the file with the weights of those layers in a sparse form that become smaller by it; all else stays.
  ///
  /// @param outputs   with which the file appears
  /// @param form      coo for a name that ends in `.onnx`, otherwise csr or 2:4
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException if no layer becomes smaller, or the file cannot be written; then nothing is left of it
  public void saveSparse(AtomicOutputs outputs, Path target, SparseForm form, boolean overwrite) throws IOException {
    requireWritable(target);
    if (!SparseForm.of(isOnnx(target)).contains(form) || isIndex(target)) {
      throw new FormatException(target, "such a file has no sparse weights of the form " + form);
    }
    List<Integer> layers = sparseLayers(form);
    SparseForm.requireSmaller(file, layers, form);
    if (isOnnx(target) && onnx.isEmpty()) {
      throw new FormatException(target,
          "sparse weights are written into a model that is ONNX; convert this one to ONNX, and that to " + form);
    }
    if (isOnnx(target)) {
      onnx.orElseThrow().writeSparse(outputs, target, overwrite, layers);
      return;
    }
    SparseForm.write(outputs, file, layers.stream().map(weights::get).toList(), target, form, overwrite);
  }

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
      tensors.add(NewTensor.matrix(layer.name() + "." + WEIGHT, layer.weights()));
      layer.bias().ifPresent(bias -> tensors.add(NewTensor.vector(layer.name() + ".bias", bias)));
    }
    SafetensorsWriter.write(target, overwrite, tensors,
        Map.of("format", "pt", ACTIVATIONS, network.activations().toString()));
  }
}
