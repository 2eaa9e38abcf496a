package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// The layers of a network in a file of tensors: `<layer>.weight` of shape outputs × inputs, each with an optional
/// `<layer>.bias`.
///
/// @param weights of the layers in order
/// @param norms   between the layers
/// @param reason  what the order follows from
record LayerTensors(SafetensorsFile file, List<Tensor> weights, List<BatchNorm> norms, LayerOrder reason) {
  private static final String WEIGHT = "weight";

  /// Those that `reading` or the metadata list, otherwise all of the file.
  ///
  /// @param prelu whether weights may be slopes of activations
  static LayerTensors find(SafetensorsFile file, ModelReading reading, boolean prelu) throws FormatException {
    String listed = file.metadata().get(ModelFile.LAYERS);
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

  /// The layers and batch normalisations of these names, in this order.
  static LayerTensors listed(SafetensorsFile file, List<String> names, LayerOrder reason) throws FormatException {
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
    return new LayerTensors(file, weights, norms, reason);
  }

  /// All tensors `<name>.weight` of a file, in its order.
  static Stream<Tensor> weightTensors(SafetensorsFile file) {
    return file.tensors().stream()
        .filter(tensor -> tensor.name().equals(WEIGHT) || tensor.name().endsWith("." + WEIGHT));
  }

  /// What stands before `.weight`; a lone `weight` is called so itself.
  static String layerName(Tensor weight) {
    String name = weight.name();
    return name.equals(WEIGHT) ? name : name.substring(0, name.length() - WEIGHT.length() - 1);
  }

  static String biasName(Tensor weight) {
    return weight.name().substring(0, weight.name().length() - WEIGHT.length()) + "bias";
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

  /// The batch normalisation that takes the bias of layer `l`, which has none in the file: the first between the layer and
  /// its activation.
  Optional<BatchNorm> biasTaker(int l) {
    return file.tensor(biasName(weights.get(l))).isPresent()
        ? Optional.empty()
        : BatchNorm.at(norms, new BatchNorm.Place(l, false)).stream().findFirst();
  }

  /// The layers in float32. One whose bias a batch normalisation takes gets a bias of zeros.
  List<DenseLayer> layers(List<Activation> activations, Arena arena) throws FormatException {
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < weights.size(); l++) {
      Optional<Tensor> bias = bias(file, weights.get(l));
      Optional<MatrixView> values = bias.isPresent()
          ? Optional.of(file.asFloat32(bias.get(), arena))
          : biasTaker(l).map(norm -> MatrixView.allocate(arena, 1, Math.toIntExact(norm.mean().elements())));
      layers.add(
          new DenseLayer(layerName(weights.get(l)), file.asFloat32(weights.get(l), arena), values, activations.get(l)));
    }
    return layers;
  }

  /// Those with the neurons that a compaction of their network keeps.
  ///
  /// @param graph of the network as it was
  /// @param arena of the tensors that become smaller
  LayerTensors compacted(Graph graph, Compaction compaction, Arena arena) {
    Map<String, Tensor> smaller = new HashMap<>();
    for (int l = 0; l < weights.size(); l++) {
      List<Integer> outputs = compaction.layers().get(l).neurons();
      List<Integer> inputs = compaction.features().get(graph.layers().get(l).input());
      Tensor weight = weights.get(l);
      smaller.put(weight.name(), weight.picked(outputs, inputs, arena));
      file.tensor(biasName(weight))
          .ifPresent(bias -> smaller.put(bias.name(), bias.picked(List.of(0), outputs, arena)));
    }
    norms.stream().filter(norm -> norm.place().layer() >= 0).forEach(norm -> {
      List<Integer> kept = compaction.layers().get(norm.place().layer()).neurons();
      norm.tensors().forEach(tensor -> smaller.put(tensor.name(), tensor.picked(List.of(0), kept, arena)));
    });
    return new LayerTensors(file.with(smaller), weights.stream().map(weight -> smaller.get(weight.name())).toList(),
        norms.stream().map(norm -> norm.with(smaller)).toList(), reason);
  }

  /// Writes the file again with the weights and biases of a network of these layers, as [ModelFile#save].
  void save(AtomicOutputs outputs, Path target, Optional<ShardIndex> index, DenseNetwork changed, IntPredicate pruned,
      boolean overwrite) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      Map<String, MatrixView> values = means(changed, arena);
      Set<String> zeroed = IntStream.range(0, weights.size()).filter(pruned).mapToObj(l -> weights.get(l).name())
          .collect(Collectors.toSet());
      List<NewTensor> added = new ArrayList<>();
      for (int l = 0; l < weights.size(); l++) {
        Tensor weight = weights.get(l);
        values.put(weight.name(), changed.layers().get(l).weights());
        Optional<MatrixView> bias = changed.layers().get(l).bias();
        String name = biasName(weight);
        if (bias.isPresent() && file.tensor(name).isPresent()) {
          values.put(name, bias.get());
        } else if (bias.isPresent() && biasTaker(l).isEmpty()) {
          added.add(new NewTensor(name, newBias(weight), List.of(bias.get().elements()), bias.get()));
        }
      }
      if (!ShardIndex.isIndex(target)) {
        SafetensorsWriter.rewrite(outputs, file, target, overwrite, values, zeroed, added);
      } else if (added.isEmpty()) {
        index.orElseThrow().rewrite(outputs, target, overwrite, values, zeroed);
      } else {
        throw new FormatException(target,
            "an index gains no tensors, such as %s; choose a name that ends in .safetensors"
                .formatted(quote(added.getFirst().name())));
      }
    }
  }

  /// By the names of their tensors, the means that take the biases of layers that have none in the file.
  Map<String, MatrixView> means(DenseNetwork changed, Arena arena) throws FormatException {
    Map<String, MatrixView> means = new HashMap<>();
    for (int l = 0; l < changed.layers().size(); l++) {
      Optional<BatchNorm> norm = biasTaker(l);
      if (norm.isPresent()) {
        MatrixView bias = changed.layers().get(l).bias().orElseThrow();
        means.put(norm.get().mean().name(), norm.get().mean(file, bias, arena));
      }
    }
    return means;
  }

  /// What is lost where numbers that have changed are written as floats of eight bits: a line for each tensor.
  List<String> rounded(DenseNetwork changed) {
    return IntStream.range(0, weights.size()).mapToObj(l -> rounded(file, weights.get(l), changed.layers().get(l)))
        .flatMap(List::stream).toList();
  }

  /// The same of one layer.
  static List<String> rounded(SafetensorsFile file, Tensor weight, DenseLayer changed) {
    Optional<String> bias = file.tensor(biasName(weight)).flatMap(own -> rounded(own, changed.bias().orElseThrow()));
    return Stream.of(rounded(weight, changed.weights()), bias).flatMap(Optional::stream).toList();
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
}
