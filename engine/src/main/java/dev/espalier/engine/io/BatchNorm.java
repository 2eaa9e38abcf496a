package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// A batch normalisation in inference, of the tensors `<name>.running_mean` and `.running_var`, and maybe `.weight` and
/// `.bias`: x becomes (x − mean) / √(variance + ε) · weight + bias, for each feature. The tensors tell neither ε, which is
/// PyTorch's default here, nor the place in the network, which follows from the names.
///
/// @param place  in the chain of layers
/// @param mean   as the others, of a number for each feature
/// @param weight empty: 1
/// @param bias   empty: 0
record BatchNorm(String name, Place place, Tensor mean, Tensor variance, Optional<Tensor> weight,
    Optional<Tensor> bias) {
  private static final double EPSILON = 1e-5f; // as ONNX rounds it

  private static final String MEAN = "running_mean";
  private static final String VARIANCE = "running_var";
  private static final Pattern WORDS = Pattern.compile("\\D+");

  /// Where it stands.
  ///
  /// @param layer       whose outputs it reads, from 0; −1 for the samples
  /// @param isActivated whether it stands behind the activation of the layer
  record Place(int layer, boolean isActivated) {}

  /// Whether a tensor `<name>.weight` has means beside it.
  static boolean isWeight(SafetensorsFile file, Tensor tensor) {
    return file.tensor(tensor.name().replaceFirst("weight$", MEAN)).isPresent();
  }

  /// Whether a name is that of a batch normalisation.
  static boolean isNamed(SafetensorsFile file, String name) {
    return file.tensor(name + "." + MEAN).isPresent();
  }

  /// All of a file, where their names tell between which layers they stand.
  ///
  /// @param weights of the layers in order
  /// @throws LayerOrderException if the name of one does not tell
  static List<BatchNorm> all(SafetensorsFile file, List<Tensor> weights) throws FormatException {
    List<BatchNorm> found = new ArrayList<>();
    for (Tensor tensor : file.tensors()) {
      String name = tensor.name().replaceFirst("(^|\\.)(%s|%s)$".formatted(MEAN, VARIANCE), "");
      if (tensor.name().endsWith(VARIANCE) && !name.equals(tensor.name())) {
        part(file, name, MEAN);
      } else if (!name.equals(tensor.name())) {
        found.add(of(file, name, place(file, name, tensor, weights), weights));
      }
    }
    found.sort(Comparator.comparing(BatchNorm::name, LayerChain::compareNaturally));
    return found;
  }

  /// One that is listed behind the layers of some weights: before their activation, unless numbers tell that it stands
  /// directly before the next layer.
  ///
  /// @param next what is listed behind it; empty at the end
  /// @throws FormatException if it does not fit there
  static BatchNorm listed(SafetensorsFile file, String name, List<Tensor> weights, String next) throws FormatException {
    boolean isActivated = weights.isEmpty()
        || (isDirectlyBehind(next, name) && !isDirectlyBehind(name, LayerTensors.layerName(weights.getLast())));
    return of(file, name, new Place(weights.size() - 1, isActivated), weights);
  }

  private static BatchNorm of(SafetensorsFile file, String name, Place place, List<Tensor> weights)
      throws FormatException {
    BatchNorm norm = new BatchNorm(name, place, part(file, name, MEAN), part(file, name, VARIANCE),
        file.tensor(name + ".weight"), file.tensor(name + ".bias"));
    long width = norm.mean.elements();
    for (Tensor tensor : norm.tensors()) {
      if (!tensor.dtype().isWritable() || !tensor.shape().equals(List.of(width))) {
        throw new FormatException(file.path(),
            "tensor %s is %s of shape %s, and %s of shape %s; save the model again".formatted(quote(tensor.name()),
                tensor.dtype(), tensor.shape(), quote(norm.mean.name()), norm.mean.shape()));
      }
    }
    if (!weights.isEmpty()) {
      long read = place.layer < 0 ? weights.getFirst().shape().getLast() : weights.get(place.layer).shape().getFirst();
      if (read != width) {
        throw new FormatException(file.path(), "BatchNorm %s is of %s, and%s there are %d; save the model again"
            .formatted(name, Nouns.counted(width, "feature"), norm.where(names(weights)), read));
      }
    }
    List<Double> factors = norm.factors();
    List<Double> shifts = norm.shifts();
    for (int i = 0; i < width; i++) {
      if (!Float.isFinite(factors.get(i).floatValue()) || !Float.isFinite(shifts.get(i).floatValue())) {
        throw new FormatException(file.path(),
            "BatchNorm %s is not finite at feature %d: the mean is %s, the variance %s; train the model again"
                .formatted(name, i, values(norm.mean).get(i), values(norm.variance).get(i)));
      }
    }
    return norm;
  }

  private static Tensor part(SafetensorsFile file, String name, String ending) throws FormatException {
    String wanted = name.isEmpty() ? ending : name + "." + ending;
    return file.tensor(wanted).orElseThrow(() -> new FormatException(file.path(),
        "BatchNorm %s has no tensor %s; save the model again".formatted(quote(name), quote(wanted))));
  }

  /// Numbers of one series, as in an `nn.Sequential`, tell the order, and what stands directly behind what. Elsewhere, as
  /// with `fc1` and `bn1`, the same numbers belong together.
  private static Place place(SafetensorsFile file, String name, Tensor mean, List<Tensor> weights)
      throws LayerOrderException {
    List<String> layers = names(weights);
    List<Integer> series = IntStream.range(0, layers.size())
        .filter(l -> LayerChain.series(layers.get(l)).equals(LayerChain.series(name))).boxed().toList();
    for (int l : series) {
      if (isDirectlyBehind(name, layers.get(l))) {
        return new Place(l, false);
      } else if (isDirectlyBehind(layers.get(l), name)) {
        return new Place(l - 1, true);
      }
    }
    List<Integer> same = IntStream.range(0, layers.size())
        .filter(l -> numbers(layers.get(l)).equals(numbers(name)) && !(numbers(name).isEmpty() && layers.size() > 1)
            && mean.shape().equals(List.of(weights.get(l).shape().getFirst())))
        .boxed().toList();
    if (same.size() > 1) {
      same = same.stream().filter(l -> parent(layers.get(l)).equals(parent(name))).toList();
    }
    if (!series.isEmpty() || same.size() != 1) {
      throw new LayerOrderException(file.path(),
          "the name of BatchNorm %s does not tell where it stands (%s; elsewhere, %s)".formatted(name,
              "directly behind a layer, before the activation, it can be listed there", UnreadTensors.EXPORT),
          List.of());
    }
    return new Place(same.getFirst(), false);
  }

  private static String parent(String name) {
    return name.substring(0, name.lastIndexOf('.') + 1);
  }

  private static List<String> numbers(String name) {
    return WORDS.splitAsStream(name).filter(number -> !number.isEmpty()).toList();
  }

  /// As `net.1` stands behind `net.0`.
  private static boolean isDirectlyBehind(String name, String before) {
    String prefix = name.replaceFirst("\\d{1,9}$", "");
    String prefixBefore = before.replaceFirst("\\d{1,9}$", "");
    return prefix.equals(prefixBefore) && !prefix.equals(name) && !prefixBefore.equals(before)
        && Integer.parseInt(name.substring(prefix.length())) == Integer.parseInt(before.substring(prefix.length())) + 1;
  }

  private static List<String> names(List<Tensor> weights) {
    return weights.stream().map(LayerTensors::layerName).toList();
  }

  /// What was taken for granted.
  ///
  /// @param unbiased names of the layers without a bias that one stands directly behind
  static Optional<String> note(List<BatchNorm> norms, List<Tensor> weights, List<String> unbiased) {
    String places = norms.stream().map(norm -> norm.name + norm.where(names(weights)))
        .collect(Collectors.joining(", "));
    String means = "; running_mean takes the bias that %s %s not have".formatted(String.join(", ", unbiased),
        unbiased.size() == 1 ? "does" : "do");
    return norms.isEmpty()
        ? Optional.empty()
        : Optional.of("BatchNorm: %s; with eps 1e-5, which the file does not tell%s".formatted(places,
            unbiased.isEmpty() ? "" : means));
  }

  private String where(List<String> layers) {
    if (place.layer < 0) {
      return " before all layers";
    }
    return (place.isActivated ? " behind the activation of layer %s" : " behind layer %s, before its activation")
        .formatted(layers.get(place.layer));
  }

  /// The chain of layers with what stands between them.
  static DenseNetwork network(List<DenseLayer> layers, List<BatchNorm> norms) {
    Graph chain = Graph.chain(layers); // checks them
    if (norms.isEmpty()) {
      return new DenseNetwork(chain, layers);
    }
    Graph.Builder builder = new Graph.Builder(chain.inputs());
    int value = scaled(builder, 0, norms, new Place(-1, true));
    for (int l = 0; l < layers.size(); l++) {
      value = builder.dense(layers.get(l).name(), value, layers.get(l).outputs());
      value = scaled(builder, value, norms, new Place(l, false));
      value = builder.activate(value, layers.get(l).activation());
      value = scaled(builder, value, norms, new Place(l, true));
    }
    Graph graph = builder.build();
    return new DenseNetwork(graph, IntStream.range(0, layers.size()).mapToObj(
        l -> new DenseLayer(layers.get(l).name(), layers.get(l).weights(), layers.get(l).bias(), graph.activation(l)))
        .toList());
  }

  private static int scaled(Graph.Builder builder, int value, List<BatchNorm> norms, Place place) {
    int scaled = value;
    for (BatchNorm norm : at(norms, place)) {
      scaled = builder.scale(scaled, norm.factors().stream().map(Double::floatValue).toList(),
          norm.shifts().stream().map(Double::floatValue).toList());
    }
    return scaled;
  }

  static List<BatchNorm> at(List<BatchNorm> norms, Place place) {
    return norms.stream().filter(norm -> norm.place.equals(place)).toList();
  }

  private List<Double> factors() {
    return factors(weight.map(BatchNorm::values).orElseGet(() -> constant(1)), values(variance), EPSILON);
  }

  private List<Double> shifts() {
    return shifts(bias.map(BatchNorm::values).orElseGet(() -> constant(0)), values(mean), factors());
  }

  /// What a batch normalisation multiplies by.
  static List<Double> factors(List<Double> weight, List<Double> variance, double epsilon) {
    return IntStream.range(0, weight.size()).mapToObj(i -> weight.get(i) / Math.sqrt(variance.get(i) + epsilon))
        .toList();
  }

  /// What it then adds.
  static List<Double> shifts(List<Double> bias, List<Double> mean, List<Double> factors) {
    return IntStream.range(0, bias.size()).mapToObj(i -> bias.get(i) - mean.get(i) * factors.get(i)).toList();
  }

  private List<Double> constant(double value) {
    return Collections.nCopies((int) mean.elements(), value);
  }

  private static List<Double> values(Tensor tensor) {
    return IntStream.range(0, (int) tensor.elements())
        .mapToObj(i -> tensor.dtype().value(tensor.data(), i, ByteOrder.LITTLE_ENDIAN)).toList();
  }

  /// Its means if the layer that it stands directly behind had a bias: (x + b) − m = x − (m − b).
  ///
  /// @param added b
  MatrixView mean(SafetensorsFile file, MatrixView added, Arena arena) throws FormatException {
    return without(added, file.asFloat32(mean, arena).copy(arena));
  }

  /// @param means from each of which the bias is subtracted
  static MatrixView without(MatrixView bias, MatrixView means) {
    for (int i = 0; i < means.columns(); i++) {
      means.set(0, i, means.get(0, i) - bias.get(0, i));
    }
    return means;
  }

  /// What an ONNX model has of it.
  ///
  /// @param means that have changed, by the names of their tensors
  OnnxWriter.Norm forOnnx(SafetensorsFile file, Map<String, MatrixView> means, Arena arena) throws FormatException {
    Map<String, MatrixView> tensors = new LinkedHashMap<>();
    tensors.put(name + ".weight", numbers(file, weight, 1, arena));
    tensors.put(name + ".bias", numbers(file, bias, 0, arena));
    tensors.put(mean.name(), means.containsKey(mean.name()) ? means.get(mean.name()) : file.asFloat32(mean, arena));
    tensors.put(variance.name(), file.asFloat32(variance, arena));
    return new OnnxWriter.Norm(place, name, tensors);
  }

  private MatrixView numbers(SafetensorsFile file, Optional<Tensor> tensor, float otherwise, Arena arena)
      throws FormatException {
    if (tensor.isPresent()) {
      return file.asFloat32(tensor.get(), arena);
    }
    float[] all = new float[(int) mean.elements()];
    Arrays.fill(all, otherwise);
    return MatrixView.of(arena, 1, all.length, all);
  }

  /// Its tensors, without the number of batches, which has no influence.
  List<Tensor> tensors() {
    return Stream.concat(Stream.of(mean, variance), Stream.of(weight, bias).flatMap(Optional::stream)).toList();
  }

  /// Whether a tensor is one of its own, the number of batches included.
  boolean has(Tensor tensor) {
    return tensors().contains(tensor) || tensor.name().equals(name + ".num_batches_tracked");
  }

  /// The same with tensors in the place of those of their names.
  BatchNorm with(Map<String, Tensor> replaced) {
    return new BatchNorm(name, place, replaced.getOrDefault(mean.name(), mean),
        replaced.getOrDefault(variance.name(), variance),
        weight.map(tensor -> replaced.getOrDefault(tensor.name(), tensor)),
        bias.map(tensor -> replaced.getOrDefault(tensor.name(), tensor)));
  }
}
