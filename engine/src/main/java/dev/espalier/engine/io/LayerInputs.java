package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.data.SampleSource;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The inputs of layers, captured from a running network: a folder with a file `<layer>.npy` for each layer, samples ×
/// inputs, and optionally `<layer>.sensitivity.npy`, samples × outputs.
///
/// @param inputs        a, by the layer's name
/// @param sensitivities s, of some or all of these layers
public record LayerInputs(Map<String, SampleSource> inputs, Map<String, SampleSource> sensitivities) {
  private static final String ENDING = ".npy";
  private static final String SENSITIVITY = ".sensitivity";

  /// Opens the files of a folder.
  ///
  /// @param layers names of all layers that there are
  /// @throws FormatException if a file, unless it is hidden, is not one of these of a layer, or there is none
  /// @throws IOException     if one cannot be read
  public static LayerInputs open(Path folder, List<String> layers) throws IOException {
    if (!Files.isDirectory(folder)) {
      throw new FormatException(folder, Files.exists(folder) ? "is not a folder" : "no such folder");
    }
    Map<String, SampleSource> inputs = new LinkedHashMap<>();
    Map<String, SampleSource> sensitivities = new LinkedHashMap<>();
    for (Path file : files(folder)) {
      String name = file.getFileName().toString();
      String layer = name.endsWith(ENDING) ? name.substring(0, name.length() - ENDING.length()) : "";
      String behind = layer.endsWith(SENSITIVITY) ? layer.substring(0, layer.length() - SENSITIVITY.length()) : "";
      if (layers.contains(layer)) {
        inputs.put(layer, SampleFiles.samples(file));
      } else if (layers.contains(behind)) {
        sensitivities.put(behind, SampleFiles.samples(file));
      } else {
        throw new FormatException(file, unknown(layer.isEmpty() ? name : behind.isEmpty() ? layer : behind, layers));
      }
    }
    for (String layer : sensitivities.keySet()) {
      if (!inputs.containsKey(layer)) {
        throw new FormatException(folder,
            "has the sensitivities of layer %s and not its inputs, %s".formatted(quote(layer), quote(layer + ENDING)));
      }
    }
    if (inputs.isEmpty()) {
      throw new FormatException(folder, "has no inputs of a layer, such as %s".formatted(example(layers.getFirst())));
    }
    return new LayerInputs(inputs, sensitivities);
  }

  /// In the order of their names, without those that begin with a dot.
  private static List<Path> files(Path folder) throws IOException {
    List<Path> files = new ArrayList<>();
    try (DirectoryStream<Path> all = Files.newDirectoryStream(folder)) {
      all.forEach(files::add);
    }
    files.removeIf(file -> file.getFileName().toString().startsWith("."));
    files.sort(Comparator.naturalOrder());
    return files;
  }

  private static String unknown(String name, List<String> layers) {
    String nearest = layers.stream().min(Comparator.comparingInt(layer -> distance(name, layer))).orElseThrow();
    return "names no layer of the model; the nearest name is %s".formatted(example(nearest));
  }

  private static String example(String layer) {
    return quote(layer + ENDING);
  }

  /// How many characters must be inserted, removed or replaced to turn one text into the other (Levenshtein).
  private static int distance(String from, String to) {
    int[] before = new int[to.length() + 1];
    for (int j = 0; j <= to.length(); j++) {
      before[j] = j;
    }
    for (int i = 1; i <= from.length(); i++) {
      int[] now = new int[to.length() + 1];
      now[0] = i;
      for (int j = 1; j <= to.length(); j++) {
        int replaced = before[j - 1] + (from.charAt(i - 1) == to.charAt(j - 1) ? 0 : 1);
        now[j] = Math.min(replaced, 1 + Math.min(before[j], now[j - 1]));
      }
      before = now;
    }
    return before[to.length()];
  }

  /// Copies the maps.
  public LayerInputs {
    inputs = new LinkedHashMap<>(inputs);
    sensitivities = new LinkedHashMap<>(sensitivities);
  }

  /// The sensitivities of a layer, if there are any.
  public Optional<SampleSource> sensitivities(String layer) {
    return Optional.ofNullable(sensitivities.get(layer));
  }
}
