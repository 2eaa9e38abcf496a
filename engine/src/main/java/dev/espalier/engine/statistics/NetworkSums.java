package dev.espalier.engine.statistics;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.io.DType;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsFile;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.io.Tensor;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// The sums of a network's layers over the same samples, which can be written to a safetensors file, read from one, and
/// merged with the sums of other samples.
///
/// In the file, tensor `<layer>/<statistic>/<array>` is an array of F32. The metadata hold `format`
/// (`espalier-sums-1`), `samples`, and for each layer `shape/<layer>` with outputs and inputs, such as `300 784`.
///
/// @param samples how many were summed
/// @param layers the sums of each layer by its name, one of each statistic
public record NetworkSums(long samples, Map<String, List<Sums>> layers) {
  private static final String FORMAT = "espalier-sums-1";
  private static final String SHAPE = "shape/";
  /// Of an element, relative to the largest one of its array.
  private static final float ROUNDING = 1e-4f;
  private static final Pattern SHAPE_TEXT = Pattern.compile("([1-9]\\d{0,8}) ([1-9]\\d{0,8})");

  /// @throws IllegalArgumentException if sums are of another number of samples
  public NetworkSums {
    Map<String, List<Sums>> copy = new LinkedHashMap<>();
    for (Map.Entry<String, List<Sums>> layer : layers.entrySet()) {
      for (Sums sums : layer.getValue()) {
        if (sums.samples() != samples) {
          throw new IllegalArgumentException("%s of layer %s are of %d samples, not %d".formatted(sums.statistic(),
              layer.getKey(), sums.samples(), samples));
        }
      }
      copy.put(layer.getKey(), List.copyOf(layer.getValue()));
    }
    layers = Collections.unmodifiableMap(copy);
  }

  /// The sums over the samples of both, in memory of `arena`.
  ///
  /// @throws MismatchException if they are of other layers, shapes or statistics
  public NetworkSums merge(NetworkSums other, Arena arena) {
    return copy(arena).add(other);
  }

  NetworkSums copy(Arena arena) {
    Map<String, List<Sums>> copies = new LinkedHashMap<>();
    layers.forEach((name, all) -> copies.put(name, all.stream().map(sums -> sums.copy(arena)).toList()));
    return new NetworkSums(samples, copies);
  }

  /// As [#merge], in the memory of these sums, which are of no further use if that fails.
  NetworkSums add(NetworkSums other) {
    if (!layers.keySet().equals(other.layers.keySet())) {
      throw new MismatchException("sums of the layers %s do not merge with sums of the layers %s"
          .formatted(layers.keySet(), other.layers.keySet()));
    }
    Map<String, List<Sums>> merged = new LinkedHashMap<>();
    layers.forEach((name, own) -> {
      List<Sums> others = other.layers.get(name);
      if (own.size() != others.size()) {
        throw new MismatchException(
            "layer %s has %d sums in one and %d in the other".formatted(name, own.size(), others.size()));
      }
      List<Sums> both = new ArrayList<>();
      for (int i = 0; i < own.size(); i++) {
        try {
          both.add(own.get(i).add(others.get(i)));
        } catch (IllegalArgumentException e) {
          throw new MismatchException("layer %s: %s".formatted(name, e.getMessage()));
        }
      }
      merged.put(name, both);
    });
    return new NetworkSums(samples + other.samples, merged);
  }

  /// Writes the sums.
  ///
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException if the file cannot be written; then nothing is left of it
  public void write(Path target, boolean overwrite) throws IOException {
    write(target, overwrite, Map.of());
  }

  /// As the other.
  ///
  /// @param more metadata, which no name of these begins
  void write(Path target, boolean overwrite, Map<String, String> more) throws IOException {
    List<NewTensor> tensors = new ArrayList<>();
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("format", FORMAT);
    metadata.put("samples", String.valueOf(samples));
    metadata.putAll(more);
    layers.forEach((name, all) -> all.forEach(sums -> {
      metadata.put(SHAPE + name, sums.outputs() + " " + sums.inputs());
      sums.arrays().forEach((array, values) -> tensors
          .add(NewTensor.matrix("%s/%s/%s".formatted(name, sums.statistic(), array), values)));
    }));
    SafetensorsWriter.write(target, overwrite, tensors, metadata);
  }

  /// Reads sums, which may come from anywhere: everything about them is checked.
  ///
  /// @param arena how long, and for which threads, the sums can be read
  /// @throws FormatException if the file is not one of sums, an array is missing, superfluous or of a wrong shape, or a
  ///                         number is not finite, or negative where it cannot be
  /// @throws IOException if it cannot be read
  public static NetworkSums read(Path path, Arena arena) throws IOException {
    return read(SafetensorsFile.open(path, arena), arena);
  }

  static NetworkSums read(SafetensorsFile file, Arena arena) throws FormatException {
    return new Reader(file, arena).read();
  }

  private record Reader(SafetensorsFile file, Arena arena) {
    NetworkSums read() throws FormatException {
      if (!FORMAT.equals(file.metadata().get("format"))) {
        throw failure("its metadata do not say format %s: it is not a file of sums".formatted(FORMAT));
      }
      long samples = samples();
      Map<String, List<Sums>> layers = new LinkedHashMap<>();
      int read = 0;
      for (Map.Entry<String, String> entry : file.metadata().entrySet()) {
        if (entry.getKey().startsWith(SHAPE)) {
          String layer = entry.getKey().substring(SHAPE.length());
          List<Sums> sums = layer(layer, entry.getValue(), samples);
          layers.put(layer, sums);
          read += sums.stream().mapToInt(s -> s.arrays().size()).sum();
        }
      }
      if (read != file.tensors().size()) {
        throw failure("%d of its %d tensors are sums of a layer".formatted(read, file.tensors().size()));
      }
      return new NetworkSums(samples, layers);
    }

    private FormatException failure(String problem) {
      return FormatException.of(file.path(), problem);
    }

    private long samples() throws FormatException {
      String text = file.metadata().getOrDefault("samples", "");
      if (!text.matches("\\d{1,18}")) {
        throw failure("its number of samples is '%s'".formatted(text));
      }
      return Long.parseLong(text);
    }

    private List<Sums> layer(String layer, String shape, long samples) throws FormatException {
      Matcher matcher = SHAPE_TEXT.matcher(shape);
      if (!matcher.matches()) {
        throw failure("the shape of layer %s is '%s', not outputs and inputs".formatted(layer, shape));
      }
      int outputs = Integer.parseInt(matcher.group(1));
      int inputs = Integer.parseInt(matcher.group(2));
      List<Sums> all = new ArrayList<>();
      for (Statistic statistic : Statistic.all()) {
        Map<String, MatrixView> arrays = new LinkedHashMap<>();
        for (Statistic.Array array : statistic.arrays(outputs, inputs)) {
          String name = "%s/%s/%s".formatted(layer, statistic, array.name());
          if (file.tensor(name).isPresent()) {
            arrays.put(array.name(), values(file.tensor(name).get(), array));
          }
        }
        if (!arrays.isEmpty()) {
          try {
            all.add(new Sums(statistic, outputs, inputs, samples, arrays));
          } catch (IllegalArgumentException e) {
            throw failure("layer %s: %s".formatted(layer, e.getMessage()));
          }
        }
      }
      return all;
    }

    private MatrixView values(Tensor tensor, Statistic.Array array) throws FormatException {
      if (tensor.dtype() != DType.F32 || !tensor.shape().equals(List.of((long) array.rows(), (long) array.columns()))) {
        throw failure("tensor %s is %s of shape %s, not F32 of shape [%d, %d]".formatted(tensor.name(), tensor.dtype(),
            tensor.shape(), array.rows(), array.columns()));
      }
      MatrixView values = file.asFloat32(tensor, arena);
      long bad = values.firstNonFinite();
      if (bad >= 0) {
        throw failure("tensor %s is not finite at index %d".formatted(tensor.name(), bad));
      }
      if (array.isNonNegative() && isNegative(values)) {
        throw failure("tensor %s has a negative element, but its sum cannot be negative".formatted(tensor.name()));
      }
      return values;
    }

    /// Whether an element is further below 0 than rounding brings it, where sums move to another pilot mean.
    private static boolean isNegative(MatrixView values) {
      float least = 0;
      float largest = 0;
      for (long i = 0; i < values.elements(); i++) {
        float value = values.segment().getAtIndex(MatrixView.ELEMENT, i);
        least = Math.min(least, value);
        largest = Math.max(largest, value);
      }
      return least < -ROUNDING * largest;
    }
  }
}
