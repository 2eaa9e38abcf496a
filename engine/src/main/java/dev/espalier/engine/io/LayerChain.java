package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// Puts weight tensors of a file in the order of their layers. Names of one series, such as `fc`, `fc2`, `fc10` or
/// `net.0`, `net.2`, differ by numbers only and number the layers. Several series, such as `encoder.0` and `decoder.0`,
/// are merged in the only way in which the widths chain.
final class LayerChain {
  private static final Pattern NUMBER = Pattern.compile("\\.?\\d+");
  private static final Pattern BOUNDARY = Pattern.compile("(?<=\\d)(?=\\D)|(?<=\\D)(?=\\d)|(?=\\.)|(?<=\\.)(?=.)");
  private static final int MOST_STATES = 10_000;
  private static final int MOST_SERIES = 64;
  private static final int MOST_NAMED = 20;

  private final SafetensorsFile file;
  /// Each in the order of its numbers.
  private final List<List<Tensor>> series;
  private final int layers;
  /// What has been taken of each series, and the series taken last, from where no order goes on to the end.
  private final Set<List<Integer>> dead = new HashSet<>();
  private final List<List<Tensor>> orders = new ArrayList<>();
  private int states;

  private LayerChain(SafetensorsFile file, List<List<Tensor>> series) {
    this.file = file;
    this.series = series;
    layers = series.stream().mapToInt(List::size).sum();
    states = series.size() > MOST_SERIES ? MOST_STATES : 0;
  }

  /// @param weights matrices, at least one
  /// @param inputs  width of the samples, if it is known
  /// @throws LayerOrderException if no order follows from the names and widths, or more than one
  static LayerTensors of(SafetensorsFile file, List<Tensor> weights, OptionalInt inputs) throws FormatException {
    Map<String, List<Tensor>> series = weights.stream()
        .sorted(Comparator.comparing(LayerTensors::layerName, LayerChain::compareNaturally)).collect(Collectors
            .groupingBy(tensor -> series(LayerTensors.layerName(tensor)), LinkedHashMap::new, Collectors.toList()));
    boolean isNumbered = series.size() == 1;
    List<Tensor> order = isNumbered
        ? series.values().iterator().next()
        : new LayerChain(file, List.copyOf(series.values())).onlyOrder(inputs);
    requireChain(file, order);
    return new LayerTensors(file, order, BatchNorm.all(file, order),
        isNumbered ? LayerOrder.NUMBERS : LayerOrder.WIDTHS);
  }

  /// A name without its numbers, which those of one series share.
  static String series(String name) {
    return NUMBER.matcher(name).replaceAll("");
  }

  private static void requireChain(SafetensorsFile file, List<Tensor> order) throws LayerOrderException {
    for (int l = 1; l < order.size(); l++) {
      Tensor before = order.get(l - 1);
      Tensor layer = order.get(l);
      if (inputs(layer) != outputs(before)) {
        throw new LayerOrderException(file.path(),
            "layers do not chain: %s takes %s, %s before it has %s".formatted(LayerTensors.layerName(layer),
                Nouns.counted(inputs(layer), "input"), LayerTensors.layerName(before),
                Nouns.counted(outputs(before), "output")),
            order.subList(0, l).stream().map(LayerTensors::layerName).toList());
      }
    }
  }

  /// The only order that chains from `inputs` on; if none does, the only one that chains at all.
  private List<Tensor> onlyOrder(OptionalInt inputs) throws LayerOrderException {
    if (inputs.isPresent()) {
      search(inputs.getAsInt());
    }
    if (orders.isEmpty() && states < MOST_STATES) {
      dead.clear();
      for (long width : series.stream().map(each -> inputs(each.getFirst())).distinct().toList()) {
        search(width);
      }
    }
    if (orders.size() == 1 && states < MOST_STATES) {
      return orders.getFirst();
    }
    List<Tensor> all = series.stream().flatMap(List::stream).toList();
    String names = some(all,
        tensor -> "%s (%d x %d)".formatted(LayerTensors.layerName(tensor), outputs(tensor), inputs(tensor)));
    String problem = states >= MOST_STATES
        ? "the order of the layers %s was not found, there are too many to try"
        : "the widths of the layers %s chain in " + (orders.isEmpty() ? "no order" : "more than one order");
    throw new LayerOrderException(file.path(), problem.formatted(names),
        (orders.isEmpty() ? series.getFirst() : orders.getFirst()).stream().map(LayerTensors::layerName).toList());
  }

  /// Adds the orders that begin with `inputs`, up to two in all.
  private void search(long inputs) {
    List<Integer> taken = new ArrayList<>(series.stream().map(_ -> 0).toList());
    extend(new ArrayList<>(), taken, -1, inputs);
  }

  private void extend(List<Tensor> order, List<Integer> taken, int last, long width) {
    if (order.size() == layers) {
      orders.add(List.copyOf(order));
      return;
    }
    List<Integer> state = new ArrayList<>(taken);
    state.add(last);
    if (dead.contains(state) || ++states >= MOST_STATES) {
      return;
    }
    int before = orders.size();
    for (int s = 0; s < series.size() && orders.size() < 2; s++) {
      int next = taken.get(s);
      if (next < series.get(s).size() && inputs(series.get(s).get(next)) == width) {
        Tensor tensor = series.get(s).get(next);
        order.add(tensor);
        taken.set(s, next + 1);
        extend(order, taken, s, outputs(tensor));
        taken.set(s, next);
        order.removeLast();
      }
    }
    if (orders.size() == before && last >= 0) {
      dead.add(state);
    }
  }

  /// The first tensors in words.
  static String some(List<Tensor> tensors, Function<Tensor, String> words) {
    String named = tensors.stream().limit(MOST_NAMED).map(words).collect(Collectors.joining(", "));
    return tensors.size() > MOST_NAMED ? "%s and %d more".formatted(named, tensors.size() - MOST_NAMED) : named;
  }

  /// @throws LayerOrderException if the tensor is no matrix that can be written
  static void requireMatrix(SafetensorsFile file, Tensor tensor, List<Tensor> weights) throws LayerOrderException {
    if (!isMatrix(tensor)) {
      throw new LayerOrderException(file.path(),
          "tensor %s is %s of shape %s; a dense layer needs %s, of shape [outputs, inputs]%s".formatted(
              quote(tensor.name()), tensor.dtype(), tensor.shape(), DType.WRITABLE,
              PreluSlopes.isSlope(file, tensor) ? ofVector(tensor) : ""),
          weights.stream().filter(LayerChain::isMatrix).map(LayerTensors::layerName).toList());
    }
  }

  private static String ofVector(Tensor tensor) {
    return tensor.elements() == 1
        ? ", and if it is the slope of a PReLU, name prelu among the activations"
        : UnreadTensors.forRmsNorm();
  }

  private static boolean isMatrix(Tensor tensor) {
    return tensor.shape().size() == 2 && tensor.dtype().isWritable();
  }

  private static long outputs(Tensor weight) {
    return weight.shape().getFirst();
  }

  private static long inputs(Tensor weight) {
    return weight.shape().getLast();
  }

  /// Runs of digits compare as numbers, and what stands between dots as words: `2` comes before `10`, and `fc` before
  /// `fc2`.
  static int compareNaturally(String a, String b) {
    String[] left = BOUNDARY.split(a, -1);
    String[] right = BOUNDARY.split(b, -1);
    for (int i = 0; i < Math.min(left.length, right.length); i++) {
      boolean numbers = startsWithDigit(left[i]) && startsWithDigit(right[i]);
      String x = numbers ? left[i].replaceFirst("^0+(?=.)", "") : left[i];
      String y = numbers ? right[i].replaceFirst("^0+(?=.)", "") : right[i];
      int order = numbers && x.length() != y.length() ? Integer.compare(x.length(), y.length()) : x.compareTo(y);
      if (order != 0) {
        return order;
      }
    }
    return Integer.compare(left.length, right.length);
  }

  private static boolean startsWithDigit(String part) {
    return !part.isEmpty() && Character.isDigit(part.charAt(0));
  }
}
