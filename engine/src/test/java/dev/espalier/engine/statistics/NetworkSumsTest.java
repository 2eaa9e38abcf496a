package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.io.DType;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class NetworkSumsTest {
  private static final Statistic MOMENTS = new Statistic.WeightedMoments();
  private static final Statistic SQUARES = new Statistic.InputSquares();
  private static final Statistic GRADIENT = new Statistic.LossGradient();

  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new ReferenceBackend();
  private final SumsOfSamples first = SumsOfSamples.random(arena, 1, 30, 3, 5, 2);
  private final SumsOfSamples second = SumsOfSamples.random(arena, 2, 30, 4, 3, 2);

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /// Of some of the samples at two layers, and all statistics.
  private NetworkSums sums(int from, int end) {
    Map<String, List<Sums>> layers = new LinkedHashMap<>();
    layers.put("encoder.0", List.of(sums(first, MOMENTS, from, end), sums(first, SQUARES, from, end)));
    layers.put("größe/2", List.of(sums(second, MOMENTS, from, end), sums(second, GRADIENT, from, end)));
    return new NetworkSums(end - from, layers);
  }

  private Sums sums(SumsOfSamples data, Statistic statistic, int from, int end) {
    return data.sums(backend, statistic, from, end, arena);
  }

  private static void assertSameBits(NetworkSums expected, NetworkSums actual) {
    assertEquals(expected.samples(), actual.samples());
    assertEquals(List.copyOf(expected.layers().keySet()), List.copyOf(actual.layers().keySet()));
    expected.layers().forEach((name, layer) -> {
      assertEquals(layer.size(), actual.layers().get(name).size());
      for (int i = 0; i < layer.size(); i++) {
        SumsOfSamples.assertSameBits(layer.get(i), actual.layers().get(name).get(i));
      }
    });
  }

  @Test
  void everyBitSurvivesAFile() throws IOException {
    Path path = folder.resolve("sums.safetensors");
    NetworkSums sums = sums(0, 30);
    sums.write(path, false);
    assertSameBits(sums, NetworkSums.read(path, arena));
    NetworkSums none = new NetworkSums(0, Map.of());
    none.write(path, true);
    assertSameBits(none, NetworkSums.read(path, arena));
    assertThrows(FileAlreadyExistsException.class, () -> sums.write(path, false));
  }

  @Test
  void sumsFromFilesMergeAsThoseInMemory() throws IOException {
    sums(0, 12).write(folder.resolve("a"), false);
    sums(12, 30).write(folder.resolve("b"), false);
    NetworkSums merged = NetworkSums.read(folder.resolve("a"), arena)
        .merge(NetworkSums.read(folder.resolve("b"), arena), arena);
    assertSameBits(sums(0, 12).merge(sums(12, 30), arena), merged);
    assertEquals(30, merged.samples());
    SumsOfSamples.assertSameBits(sums(first, MOMENTS, 0, 12).merge(sums(first, MOMENTS, 12, 30), arena),
        merged.layers().get("encoder.0").getFirst());
  }

  @Test
  void refusesToMergeSumsOfAnotherNetworkOrStatistic() {
    Sums moments = sums(first, MOMENTS, 0, 30);
    Sums squares = sums(first, SQUARES, 0, 30);
    Sums other = sums(second, MOMENTS, 0, 30);
    NetworkSums sums = new NetworkSums(30, Map.of("0", List.of(moments)));
    unmergeable(sums, "sums of the layers [0] do not merge with sums of the layers [1]", "1", moments);
    unmergeable(sums, "layer 0: moments of a 4 × 3 layer do not merge with moments of a 3 × 5 layer", "0", other);
    unmergeable(sums, "layer 0: input_squares of a 3 × 5 layer do not merge with moments of a 3 × 5 layer", "0",
        squares);
    unmergeable(sums, "layer 0 has 1 sums in one and 2 in the other", "0", moments, squares);
  }

  private void unmergeable(NetworkSums sums, String message, String layer, Sums... others) {
    NetworkSums other = new NetworkSums(30, Map.of(layer, List.of(others)));
    assertEquals(message, assertThrows(MismatchException.class, () -> sums.merge(other, arena)).getMessage());
  }

  @Test
  void refusesLayersOfOtherNumbersOfSamples() {
    Map<String, List<Sums>> layers = Map.of("0", List.of(sums(first, SQUARES, 0, 20)));
    assertEquals("input_squares of layer 0 are of 20 samples, not 30",
        assertThrows(IllegalArgumentException.class, () -> new NetworkSums(30, layers)).getMessage());
  }

  // ---- files ----

  private final Map<String, String> metadata = new LinkedHashMap<>(
      Map.of("format", "espalier-sums-1", "samples", "30", "shape/0", "3 5"));

  private List<NewTensor> tensors() {
    List<NewTensor> tensors = new ArrayList<>();
    for (Statistic statistic : Statistic.all()) {
      sums(first, statistic, 0, 30).arrays()
          .forEach((name, values) -> tensors.add(NewTensor.matrix("0/%s/%s".formatted(statistic, name), values)));
    }
    return tensors;
  }

  private Path file(List<NewTensor> tensors) throws IOException {
    Path path = folder.resolve("sums.safetensors");
    SafetensorsWriter.write(path, true, tensors, metadata);
    return path;
  }

  private void refused(String message, Path path) {
    String actual = assertThrows(FormatException.class, () -> NetworkSums.read(path, arena)).getMessage();
    assertEquals(path + ": " + message, actual);
    assertEquals(1, actual.lines().count());
  }

  /// The test's own file is one of sums, so what a case changes is what is refused.
  @Test
  void readsAFileThatSomebodyElseWrote() throws IOException {
    NetworkSums read = NetworkSums.read(file(tensors()), arena);
    assertEquals(Statistic.all(), read.layers().get("0").stream().map(Sums::statistic).toList());
  }

  @Test
  void refusesMetadataThatAreNotThoseOfSums() throws IOException {
    metadata.put("format", "espalier-sums-2");
    refused("its metadata do not say format espalier-sums-1: it is not a file of sums", file(tensors()));
    metadata.put("format", "espalier-sums-1");
    for (String samples : List.of("-1", "many", "1e3", "9".repeat(19))) {
      metadata.put("samples", samples);
      refused("its number of samples is '%s'".formatted(samples), file(tensors()));
    }
    metadata.remove("samples");
    refused("its number of samples is ''", file(tensors()));
    metadata.put("samples", "30");
    for (String shape : List.of("", "3", "0 5", "3 5 7", "3×5")) {
      metadata.put("shape/0", shape);
      refused("the shape of layer 0 is '%s', not outputs and inputs".formatted(shape), file(tensors()));
    }
    metadata.put("shape/0", "3\n5");
    refused("the shape of layer 0 is '3?5', not outputs and inputs", file(tensors()));
    metadata.put("shape/0", "5 3");
    refused("tensor 0/moments/pilot_mean is F32 of shape [1, 5], not F32 of shape [1, 3]", file(tensors()));
    metadata.remove("shape/0");
    refused("0 of its 9 tensors are sums of a layer", file(tensors()));
  }

  @Test
  void refusesArraysThatAreMissingOrTooMany() throws IOException {
    List<NewTensor> missing = new ArrayList<>(tensors());
    missing.removeIf(tensor -> tensor.name().equals("0/moments/m0"));
    refused("layer 0: m0 of moments is missing, not 1 × 3", file(missing));
    List<NewTensor> more = new ArrayList<>(tensors());
    more.add(NewTensor.matrix("0/moments/m3", MatrixView.allocate(arena, 3, 5)));
    refused("9 of its 10 tensors are sums of a layer", file(more));
  }

  @Test
  void refusesArraysOfAnotherShapeOrType() throws IOException {
    refused("tensor 0/moments/m0 is F32 of shape [3], not F32 of shape [1, 3]",
        file(with("0/moments/m0", values -> NewTensor.vector("0/moments/m0", values))));
    refused("tensor 0/moments/m1 is F64 of shape [3, 5], not F32 of shape [3, 5]",
        file(with("0/moments/m1", values -> new NewTensor("0/moments/m1", DType.F64, List.of(3L, 5L), values))));
  }

  @Test
  void refusesWhatIsNotFiniteOrNegativeWhereItCannotBe() throws IOException {
    for (NewTensor tensor : tensors()) {
      String name = tensor.name();
      for (float bad : new float[]{Float.NaN, Float.NEGATIVE_INFINITY}) {
        refused("tensor %s is not finite at index 2".formatted(name),
            file(with(name, values -> changed(name, values, bad))));
      }
      Path negative = file(with(name, values -> changed(name, values, -0.5f)));
      if (List.of("m0", "m2", "squares").contains(name.substring(name.lastIndexOf('/') + 1))) {
        refused("tensor %s has a negative element, but its sum cannot be negative".formatted(name), negative);
        Path rounded = file(with(name, values -> changed(name, values, -1e-7f)));
        assertEquals(30, NetworkSums.read(rounded, arena).samples(), "rounding may leave it below 0");
      } else {
        assertEquals(30, NetworkSums.read(negative, arena).samples());
      }
    }
  }

  private NewTensor changed(String name, MatrixView values, float element) {
    MatrixView copy = values.copy(arena);
    copy.segment().setAtIndex(MatrixView.ELEMENT, 2, element);
    return NewTensor.matrix(name, copy);
  }

  private List<NewTensor> with(String name, Function<MatrixView, NewTensor> change) {
    return tensors().stream().map(tensor -> tensor.name().equals(name) ? change.apply(tensor.values()) : tensor)
        .toList();
  }

  @Test
  void refusesATruncatedFile() throws IOException {
    byte[] whole = Files.readAllBytes(file(tensors()));
    for (int length : new int[]{0, 7, 100, whole.length - 1}) {
      Path path = Files.write(folder.resolve("short"), Arrays.copyOf(whole, length));
      String message = assertThrows(FormatException.class, () -> NetworkSums.read(path, arena)).getMessage();
      assertTrue(message.startsWith(path + ": "), message);
      assertEquals(1, message.lines().count());
    }
  }
}
