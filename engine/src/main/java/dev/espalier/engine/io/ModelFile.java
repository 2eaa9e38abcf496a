package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// A network in a safetensors file, such as PyTorch's state dict of an `nn.Sequential`: tensors `<prefix>.weight` of shape
/// outputs × inputs, each with an optional `<prefix>.bias`, in the numeric order of their prefixes. The activations stand
/// in the metadata under `activations`, or are given.
public final class ModelFile {
  /// The metadata key of the activations: their names, separated by commas, one for each layer.
  public static final String ACTIVATIONS = "activations";

  private static final String WEIGHT = "weight";
  private static final Pattern DIGIT_BOUNDARY = Pattern.compile("(?<=\\d)(?=\\D)|(?<=\\D)(?=\\d)");

  private final SafetensorsFile file;
  private final List<Tensor> weights;
  private final DenseNetwork network;

  private ModelFile(SafetensorsFile file, List<Tensor> weights, DenseNetwork network) {
    this.file = file;
    this.weights = weights;
    this.network = network;
  }

  /// Maps a model into `arena`; F32 weights are used where they lie.
  ///
  /// @param activations one name for all hidden layers, the last being identity, or a comma-separated name for each
  ///                    layer; empty: those of the file's metadata
  /// @throws FormatException if the file is no valid safetensors file, holds no network, has no activations, or a weight
  ///                         is not finite
  /// @throws IOException     if it cannot be read
  public static ModelFile load(Path path, Optional<String> activations, Arena arena) throws IOException {
    SafetensorsFile file = SafetensorsFile.open(path, arena);
    List<Tensor> weights = file.tensors().stream()
        .filter(tensor -> tensor.name().equals(WEIGHT) || tensor.name().endsWith("." + WEIGHT))
        .sorted(Comparator.comparing(Tensor::name, ModelFile::compareNaturally)).toList();
    if (weights.isEmpty()) {
      throw new FormatException(path,
          "no tensor is called <layer>.weight; save the network as PyTorch's state dict, with safetensors");
    }
    for (Tensor tensor : weights) {
      if (tensor.shape().size() != 2 || !tensor.dtype().isWritable()) {
        throw new FormatException(path,
            "tensor %s is %s of shape %s; a fully-connected layer has F32, F16, BF16 or F64 weights of shape [outputs, inputs]"
                .formatted(quote(tensor.name()), tensor.dtype(), tensor.shape()));
      }
    }
    List<Activation> chosen = activations(file, activations, weights.size());
    try {
      List<DenseLayer> layers = new ArrayList<>();
      for (int l = 0; l < weights.size(); l++) {
        Optional<Tensor> bias = bias(file, weights.get(l));
        Optional<MatrixView> values = bias.isPresent()
            ? Optional.of(file.asFloat32(bias.get(), arena))
            : Optional.empty();
        layers.add(
            new DenseLayer(layerName(weights.get(l)), file.asFloat32(weights.get(l), arena), values, chosen.get(l)));
      }
      return new ModelFile(file, weights, new DenseNetwork(layers));
    } catch (IllegalArgumentException e) {
      throw new FormatException(path, e.getMessage(), e);
    }
  }

  private static List<Activation> activations(SafetensorsFile file, Optional<String> given, int layers)
      throws FormatException {
    String text = given.or(() -> Optional.ofNullable(file.metadata().get(ACTIVATIONS)))
        .orElseThrow(() -> new FormatException(file.path(),
            "the metadata name no activations; give them, for example --activations relu (all hidden layers, the last is identity) or one for each of the %d layers"
                .formatted(layers)));
    List<Activation> parsed;
    try {
      parsed = Arrays.stream(text.split(",", -1)).map(Activation::parse)
          .collect(Collectors.toCollection(ArrayList::new));
    } catch (IllegalArgumentException e) {
      throw new FormatException(file.path(), e.getMessage(), e);
    }
    if (parsed.size() == 1 && layers > 1) {
      Activation hidden = parsed.getFirst();
      while (parsed.size() < layers - 1) {
        parsed.add(hidden);
      }
      parsed.add(Activation.IDENTITY);
    }
    if (parsed.size() != layers) {
      throw new FormatException(file.path(),
          "%d activations (%s) for %d layers; give one for each, or one for all hidden layers".formatted(parsed.size(),
              text, layers));
    }
    return parsed;
  }

  private static Optional<Tensor> bias(SafetensorsFile file, Tensor weight) throws FormatException {
    Optional<Tensor> bias = file.tensor(biasName(weight));
    if (bias.isPresent() && (bias.get().shape().size() != 1 || !bias.get().dtype().isWritable())) {
      throw new FormatException(file.path(),
          "tensor %s is %s of shape %s; a bias is F32, F16, BF16 or F64 of shape [outputs]"
              .formatted(quote(bias.get().name()), bias.get().dtype(), bias.get().shape()));
    }
    return bias;
  }

  private static String prefix(Tensor weight) {
    return weight.name().substring(0, weight.name().length() - WEIGHT.length());
  }

  private static String biasName(Tensor weight) {
    return prefix(weight) + "bias";
  }

  /// The prefix without its dot; a lone `weight` is called so itself.
  private static String layerName(Tensor weight) {
    return prefix(weight).isEmpty() ? weight.name() : prefix(weight).substring(0, prefix(weight).length() - 1);
  }

  /// Runs of digits compare as numbers: `2.weight` comes before `10.weight`.
  private static int compareNaturally(String a, String b) {
    String[] left = DIGIT_BOUNDARY.split(a, -1);
    String[] right = DIGIT_BOUNDARY.split(b, -1);
    for (int i = 0; i < Math.min(left.length, right.length); i++) {
      boolean numbers = Character.isDigit(left[i].charAt(0)) && Character.isDigit(right[i].charAt(0));
      String x = numbers ? left[i].replaceFirst("^0+(?=.)", "") : left[i];
      String y = numbers ? right[i].replaceFirst("^0+(?=.)", "") : right[i];
      int order = numbers && x.length() != y.length() ? Integer.compare(x.length(), y.length()) : x.compareTo(y);
      if (order != 0) {
        return order;
      }
    }
    return Integer.compare(left.length, right.length);
  }

  /// The network; valid while the arena is open.
  public DenseNetwork network() {
    return network;
  }

  /// The file that it was loaded from.
  public SafetensorsFile file() {
    return file;
  }

  /// The tensor that holds the weights of layer `l`, numbered from 0.
  public Tensor weightTensor(int l) {
    return weights.get(l);
  }

  /// As [#save(AtomicOutputs, Path, DenseNetwork, IntPredicate, boolean)], of a network all layers of which were pruned,
  /// and alone.
  public void save(Path target, DenseNetwork changed, boolean overwrite) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      save(outputs, target, changed, _ -> true, overwrite);
      outputs.commit();
    }
  }

  /// Writes the file again with the weights and biases of `changed`; all that differs is what differs in them. A bias that
  /// a layer gained is added in the dtype of its weights.
  ///
  /// @param outputs   with which the file appears
  /// @param target    may be the file itself
  /// @param changed   a network of the same shapes
  /// @param pruned    whether weights were removed from the layer of a number, from 0: its zeros are written as zeros also
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
    Map<String, MatrixView> values = new HashMap<>();
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
        } else {
          added.add(new NewTensor(biasName(weight), weight.dtype(), List.of(bias.elements()), bias));
        }
      }
    }
    SafetensorsWriter.rewrite(outputs, file, target, overwrite, values, zeroed, added);
  }

  /// Writes a new file: float32 tensors `<layer>.weight` and `<layer>.bias`, and the activations as metadata.
  ///
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException if it cannot be written; then nothing is left of it
  public static void write(Path target, DenseNetwork network, boolean overwrite) throws IOException {
    List<NewTensor> tensors = new ArrayList<>();
    for (DenseLayer layer : network.layers()) {
      tensors.add(NewTensor.matrix(layer.name() + "." + WEIGHT, layer.weights()));
      layer.bias().ifPresent(bias -> tensors.add(NewTensor.vector(layer.name() + ".bias", bias)));
    }
    String activations = network.layers().stream().map(layer -> layer.activation().toString())
        .collect(Collectors.joining(","));
    SafetensorsWriter.write(target, overwrite, tensors, Map.of("format", "pt", ACTIVATIONS, activations));
  }
}
