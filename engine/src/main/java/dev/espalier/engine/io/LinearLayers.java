package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/// The linear layers in a file of tensors, whatever network they belong to: tensors `<layer>.weight` of shape outputs ×
/// inputs, each with an optional `<layer>.bias`. The file is one of safetensors, several with an index, or a state dict
/// of PyTorch; what is written is safetensors. Layers are read one by one, and replaced one by one in a copy.
public final class LinearLayers {
  private final SafetensorsFile file;
  private final Optional<ShardIndex> index;
  private final boolean sparse;
  private final List<String> notes;

  private LinearLayers(SafetensorsFile file, Optional<ShardIndex> index, boolean sparse, List<String> notes)
      throws FormatException {
    if (names(file).isEmpty()) {
      throw new FormatException(file.path(), "no tensor is called <layer>.weight and has two dimensions");
    }
    this.file = file;
    this.index = index;
    this.sparse = sparse;
    this.notes = List.copyOf(notes);
  }

  /// Maps a file into `arena`.
  ///
  /// @throws FormatException if it is no valid file of these formats, or an ONNX model, or it has no layer
  /// @throws IOException     if it cannot be read
  public static LinearLayers open(Path path, Arena arena) throws IOException {
    return switch (ModelContent.open(path, arena)) {
      case ModelContent.Tensors tensors -> {
        ModelContent.Tensors dense = tensors.dense(arena);
        yield new LinearLayers(dense.asSafetensors(), dense.index(), dense.file() != tensors.file(), dense.notes());
      }
      case ModelContent.Onnx _ -> throw new FormatException(path,
          "is an ONNX model; single layers are read from safetensors and from state dicts of PyTorch");
    };
  }

  /// The names of the layers, in the order of the file: those of all tensors `<layer>.weight` that are matrices.
  public List<String> names() {
    return names(file);
  }

  private static List<String> names(SafetensorsFile file) {
    return LayerTensors.weightTensors(file).filter(weight -> weight.shape().size() == 2).map(LayerTensors::layerName)
        .toList();
  }

  /// Whether the file has weights in a sparse form.
  public boolean isSparse() {
    return sparse;
  }

  /// The weights of a layer as the file has them.
  public Tensor weight(String name) {
    return LayerTensors.weightTensors(file).filter(weight -> LayerTensors.layerName(weight).equals(name)).findFirst()
        .orElseThrow(() -> new IllegalArgumentException("no layer " + quote(name) + " in " + file.path()));
  }

  /// How many weights of a layer are zero.
  ///
  /// @return 0 of those of a type that is not read
  public long zeros(String name) {
    Tensor weight = weight(name);
    return weight.dtype().isWritable() ? weight.elements() - SparseForm.values(weight) : 0;
  }

  /// The bytes of the weights of a layer in a sparse form; empty if they cannot have it.
  public OptionalLong sparseBytes(String name, SparseForm form) {
    Tensor weight = weight(name);
    return weight.dtype().isWritable() ? form.bytes(weight, weight.dtype()) : OptionalLong.empty();
  }

  /// The layers whose weights [#saveSparse] writes in a sparse form, as [ModelFile#sparseLayers].
  public List<String> sparseLayers(SparseForm form) {
    List<String> readable = names().stream().filter(name -> weight(name).dtype().isWritable()).toList();
    return SparseForm.smaller(readable.stream().map(this::weight).toList(), form).stream().map(readable::get).toList();
  }

  /// As [ModelFile#saveSparse].
  public void saveSparse(AtomicOutputs outputs, Path target, SparseForm form, boolean overwrite) throws IOException {
    requireWritable(target);
    if (ShardIndex.isIndex(target)) {
      throw new FormatException(target, "such a file has no sparse weights of the form " + form);
    }
    SparseForm.write(outputs, file, sparseLayers(form).stream().map(this::weight).toList(), target, form, overwrite);
  }

  /// The file that they were read from.
  public SafetensorsFile file() {
    return file;
  }

  /// What reading the file left out or took for granted.
  public List<String> notes() {
    return notes;
  }

  /// Refuses, before any work is done, layers that cannot be read or written, and inputs that do not fit them.
  ///
  /// @throws FormatException as [#layer], or if a file of inputs or sensitivities has another width than its layer
  public void requireFit(LayerInputs captured) throws FormatException {
    for (Map.Entry<String, SampleSource> layer : captured.inputs().entrySet()) {
      Tensor weight = readable(layer.getKey());
      requireWidth(layer.getValue(), weight, 1, "takes", "input");
      Optional<SampleSource> sensitivities = captured.sensitivities(layer.getKey());
      if (sensitivities.isPresent()) {
        requireWidth(sensitivities.get(), weight, 0, "has", "output");
        if (sensitivities.get().samples() != layer.getValue().samples()) {
          throw new FormatException(sensitivities.get().name(),
              "has %s, and %s has %d".formatted(Nouns.counted(sensitivities.get().samples(), "sample"),
                  layer.getValue().name(), layer.getValue().samples()));
        }
      }
    }
  }

  private static void requireWidth(SampleSource source, Tensor weight, int dimension, String verb, String noun)
      throws FormatException {
    long expected = weight.shape().get(dimension);
    if (source.width() != expected) {
      String cause = "";
      if (source.width() == weight.shape().get(1 - dimension)) {
        cause = "; a weight of shape inputs × outputs, as of Conv1D, is not understood";
      } else if (source.width() % expected == 0) {
        cause = "; behind the first dimension all are flattened, so write one row for each sample or token";
      }
      throw new FormatException(source.name(),
          "has %s a sample, and layer %s %s %s%s".formatted(Nouns.counted(source.width(), "number"),
              quote(LayerTensors.layerName(weight)), verb, Nouns.counted(expected, noun), cause));
    }
  }

  /// Reads a layer, whose activation is not known and taken for the identity.
  ///
  /// @param name  one of [#names]
  /// @param arena of values that are not F32, which is used where it lies
  /// @throws FormatException if its numbers are of a type that is not written, or belong to more than a layer
  public DenseLayer layer(String name, Arena arena) throws FormatException {
    Tensor weight = readable(name);
    Optional<Tensor> bias = LayerTensors.bias(file, weight);
    return new DenseLayer(name, file.asFloat32(weight, arena),
        bias.isPresent() ? Optional.of(file.asFloat32(bias.get(), arena)) : Optional.empty(), Activation.IDENTITY);
  }

  private Tensor readable(String name) throws FormatException {
    Tensor weight = weight(name);
    UnreadTensors.refuse(file, weight.name().equals(name) ? "" : name + ".");
    if (!weight.dtype().isWritable()) {
      throw new FormatException(file.path(),
          "tensor %s is %s, which is not read; save it as F32, in PyTorch by .float()".formatted(quote(weight.name()),
              weight.dtype()));
    }
    return weight;
  }

  /// Refuses, before any work is done, a file that cannot be written because of what the model is.
  ///
  /// @throws FormatException as [ModelFile#requireWritable]
  public void requireWritable(Path target) throws IOException {
    if (ModelFile.isOnnx(target)) {
      throw new FormatException(target, "single layers are written as safetensors; choose a name that ends so");
    }
    ShardIndex.requireWritable(target, file, index);
  }

  /// The files that [#copy] writes, as [ModelFile#written].
  public List<Path> written(Path target) {
    return ShardIndex.written(target, index);
  }

  /// What is lost where numbers of a layer that have changed are written as floats of eight bits.
  public List<String> rounded(DenseLayer changed) {
    return LayerTensors.rounded(file, weight(changed.name()), changed);
  }

  /// The layers among some that have no bias.
  public List<String> withoutBias(List<String> some) {
    return some.stream().filter(name -> file.tensor(LayerTensors.biasName(weight(name))).isEmpty()).toList();
  }

  /// Writes all tensors again as they are: names, order, dtypes, metadata and bytes.
  ///
  /// @param outputs   with which the files appear
  /// @param target    may be the file itself
  /// @param overwrite whether an existing file may be replaced
  /// @param gaining   layers that gain a bias, of zeros at first
  /// @throws FormatException if an index would gain one
  public Copy copy(AtomicOutputs outputs, Path target, boolean overwrite, List<String> gaining) throws IOException {
    requireWritable(target);
    if (gaining.isEmpty() && ShardIndex.isIndex(target)) {
      index.orElseThrow().rewrite(outputs, target, overwrite, Map.of(), Set.of());
      return new Copy(outputs, target, file);
    } else if (ShardIndex.isIndex(target)) {
      throw new FormatException(target,
          "an index gains no tensors, such as a bias of %s; choose a name that ends in .safetensors"
              .formatted(quote(gaining.getFirst())));
    }
    SafetensorsFile written = gaining.isEmpty() ? file : withBiases(gaining);
    SafetensorsWriter.rewrite(outputs, written, target, overwrite, Map.of(), Set.of(), List.of());
    return new Copy(outputs, target, written);
  }

  private SafetensorsFile withBiases(List<String> layers) {
    List<Tensor> tensors = new ArrayList<>(file.tensors());
    for (String name : layers) {
      Tensor weight = weight(name);
      DType dtype = LayerTensors.newBias(weight);
      int outputs = Math.toIntExact(weight.shape().getFirst());
      tensors.add(new Tensor(LayerTensors.biasName(weight), dtype, List.of((long) outputs),
          MemorySegment.ofArray(new byte[Math.multiplyExact(outputs, dtype.bytes())])));
    }
    return file.with(file.metadata(), tensors);
  }

  /// A copy of the file, in which layers are replaced one by one.
  public final class Copy {
    private final AtomicOutputs outputs;
    private final Path target;
    /// As it was written.
    private final SafetensorsFile written;

    private Copy(AtomicOutputs outputs, Path target, SafetensorsFile written) {
      this.outputs = outputs;
      this.target = target;
      this.written = written;
    }

    /// Puts the weights and the bias of a layer into the copy, in the dtypes of the file.
    ///
    /// @param changed a layer of the same name and shape, which has a bias if it has one there
    /// @param pruned  whether weights were removed: zeros are then written as zeros also where the file holds an F64 that
    ///                float32 rounds to zero
    /// @throws IOException if it cannot be written, or a value is beyond the range of its dtype
    public void replace(DenseLayer changed, boolean pruned) throws IOException {
      Tensor weight = weight(changed.name());
      Map<String, MatrixView> values = new HashMap<>(Map.of(weight.name(), changed.weights()));
      changed.bias().ifPresent(bias -> values.put(LayerTensors.biasName(weight), bias));
      Set<String> zeroed = pruned ? Set.of(weight.name()) : Set.of();
      if (ShardIndex.isIndex(target)) {
        index.orElseThrow().change(outputs, target, values, zeroed);
      } else {
        SafetensorsWriter.change(outputs, written, target, values, zeroed);
      }
    }
  }

  /// Begins a file of masks of some layers, as [MaskFile] has them, that keep nothing yet.
  ///
  /// @param outputs   with which the file appears
  /// @param overwrite whether an existing file may be replaced
  /// @param arena     takes a byte for each weight of the largest layer
  public Masks masks(AtomicOutputs outputs, Path target, List<String> layers, boolean overwrite, Arena arena)
      throws IOException {
    MemorySegment zeros = arena.allocate(layers.stream().mapToLong(name -> weight(name).elements()).max().orElse(1));
    SafetensorsFile written = SafetensorsFile.of(target, Map.of("format", "pt"),
        layers.stream().map(this::weight)
            .map(weight -> new Tensor(weight.name(), DType.BOOL, weight.shape(), zeros.asSlice(0, weight.elements())))
            .toList());
    SafetensorsWriter.rewrite(outputs, written, target, overwrite, Map.of(), Set.of(), List.of());
    return new Masks(outputs, written);
  }

  /// A file of masks that are set one by one.
  public final class Masks {
    private final AtomicOutputs outputs;
    private final SafetensorsFile written;

    private Masks(AtomicOutputs outputs, SafetensorsFile written) {
      this.outputs = outputs;
      this.written = written;
    }

    /// Sets the mask of a layer, which keeps the weights that are not zero.
    public void set(DenseLayer pruned) throws IOException {
      SafetensorsWriter.change(outputs, written, written.path(), Map.of(weight(pruned.name()).name(), pruned.weights()),
          Set.of());
    }
  }
}
