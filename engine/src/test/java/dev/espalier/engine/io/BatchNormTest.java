package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// State dicts with batch normalisations, against PyTorch's formula in double.
final class BatchNormTest {
  private static final int WIDTH = 4;
  /// Of sums of a few products of magnitudes below 10, in two layers.
  private static final double TOLERANCE = 100 * 0x1p-24 * 10;

  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();
  private final RandomGenerator random = TestNetworks.random(7);

  @AfterEach
  void close() {
    arena.close();
  }

  private NewTensor tensor(String name, int rows, int columns, double least) {
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextDouble(least, least + 2);
    }
    MatrixView matrix = MatrixView.of(arena, rows, columns, values);
    return rows == 1 ? NewTensor.vector(name, matrix) : NewTensor.matrix(name, matrix);
  }

  private List<NewTensor> layer(String name, boolean hasBias) {
    List<NewTensor> tensors = new ArrayList<>(List.of(tensor(name + ".weight", WIDTH, WIDTH, -1)));
    if (hasBias) {
      tensors.add(tensor(name + ".bias", 1, WIDTH, -1));
    }
    return tensors;
  }

  private List<NewTensor> norm(String name, boolean isAffine) {
    List<NewTensor> tensors = new ArrayList<>(
        List.of(tensor(name + ".running_mean", 1, WIDTH, -1), tensor(name + ".running_var", 1, WIDTH, 0.1),
            new NewTensor(name + ".num_batches_tracked", DType.BOOL, List.of(), MatrixView.of(arena, 1, 1, 1))));
    if (isAffine) {
      tensors.addAll(List.of(tensor(name + ".weight", 1, WIDTH, 0.1), tensor(name + ".bias", 1, WIDTH, -1)));
    }
    return tensors;
  }

  private Path write(String activations, List<List<NewTensor>> tensors) throws IOException {
    Path path = folder.resolve("model.safetensors");
    SafetensorsWriter.write(path, true, new ArrayList<>(tensors.stream().flatMap(List::stream).toList()),
        Map.of("activations", activations));
    return path;
  }

  private ModelFile load(Path path, String... layers) throws IOException {
    return ModelFile.load(path, new ModelReading(Optional.empty(), List.of(layers), OptionalInt.empty()), arena);
  }

  private static String note(ModelFile model) {
    assertEquals(List.of(), model.unused());
    return model.notes().getFirst().replaceFirst("BatchNorm: ", "").replaceFirst("; with eps.*", "");
  }

  @ParameterizedTest
  @CsvSource({"0,1,3,' behind layer 0, before its activation'", "0,2,3,' behind the activation of layer 0'",
      "1,0,2,' before all layers'", "fc1,bn1,fc2,' behind layer fc1, before its activation'",
      "a.0.fc,a.0.norm,a.1.fc,' behind layer a.0.fc, before its activation'",
      "fcs.0,bns.1,fcs.1,' behind layer fcs.1, before its activation'"})
  void namesTellWhereTheyStand(String first, String norm, String second, String place) throws IOException {
    Path path = write("relu", List.of(layer(first, true), norm(norm, true), layer(second, true)));
    assertEquals(norm + place, note(load(path)));
    String[] listed = place.contains("before all")
        ? new String[]{norm, first, second}
        : new String[]{first, norm, second};
    if (!first.contains("fcs")) {
      assertEquals(norm + place, note(load(path, listed)));
    }
  }

  @Test
  void ofEqualNumbersThoseOfOnePartBelongTogether() throws IOException {
    Path path = write("relu",
        List.of(List.of(tensor("en.fc1.weight", WIDTH, 5, 0)), norm("en.bn1", false), layer("de.fc1", true)));
    assertEquals("en.bn1 behind layer en.fc1, before its activation",
        note(load(path)).replaceFirst("; running_mean.*", ""));
    assertTrue(load(path).notes().getFirst().endsWith("; running_mean takes the bias that en.fc1 does not have"));
  }

  @ParameterizedTest
  @CsvSource({"0,2,4", "fc1,bn,fc2", "fc1,bn3,fc2", "fc,bn,fc2", "0,9,2"})
  void otherNamesAreRefusedUntilTheyAreListed(String first, String norm, String second) throws IOException {
    Path path = write("relu", List.of(layer(first, true), norm(norm, true), layer(second, true)));
    String message = assertThrows(LayerOrderException.class, () -> load(path)).getMessage();
    assertTrue(
        message.contains(
            "the name of BatchNorm %s does not tell where it stands (directly behind a layer, ".formatted(norm)),
        message);
    assertEquals("%s behind layer %s, before its activation".formatted(norm, first),
        note(load(path, first, norm, second)));
  }

  @ParameterizedTest
  @CsvSource({"true,true", "true,false", "false,true", "false,false"})
  void computeWhatPyTorchComputes(boolean hasBias, boolean isAffine) throws Exception {
    Path path = write("tanh", List.of(norm("0", isAffine), layer("1", hasBias), norm("2", isAffine),
        layer("4", hasBias), norm("6", isAffine), layer("7", true), norm("8", isAffine)));
    ModelFile model = load(path);
    assertComputes(path, model.network());
    Path same = folder.resolve("same.safetensors");
    model.save(same, model.network(), true);
    assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(same));

    DenseNetwork pruned = OnnxRuntime.pruned(model.network(), arena);
    Path target = folder.resolve("pruned.safetensors");
    model.save(target, pruned, true);
    assertComputes(target, pruned);
    SafetensorsFile before = SafetensorsFile.open(path, arena);
    SafetensorsFile after = SafetensorsFile.open(target, arena);
    assertEquals(before.tensors().stream().map(Tensor::name).toList(),
        after.tensors().stream().map(Tensor::name).toList());
    for (Tensor tensor : before.tensors()) {
      boolean isMean = tensor.name().equals("2.running_mean") && !hasBias;
      if (tensor.name().matches("[0268]\\..*") && !isMean) {
        assertEquals(-1, tensor.data().mismatch(after.tensor(tensor.name()).orElseThrow().data()), tensor.name());
      }
    }
    Path onnx = folder.resolve("pruned.onnx");
    model.save(onnx, pruned, true);
    OnnxRuntime.assertSameOutputs(pruned, onnx);
  }

  /// Pruning goes the same way, since the graph and all numbers are the same.
  @ParameterizedTest
  @CsvSource({"true", "false"})
  void aModelThatBecomesOnnxIsTheSameNetwork(boolean hasBias) throws Exception {
    ModelFile model = load(write("relu",
        List.of(layer("0", hasBias), norm("1", true), layer("3", true), norm("5", false), layer("6", true))));
    Path path = folder.resolve("model.onnx");
    model.save(path, model.network(), true);
    DenseNetwork read = ModelFile.load(path, Optional.empty(), arena).network();
    assertEquals(model.network().graph(), read.graph());
    for (int l = 0; l < 3; l++) {
      DenseLayer expected = model.network().layers().get(l);
      assertArrayEquals(expected.weights().toArray(), read.layers().get(l).weights().toArray());
      assertArrayEquals(expected.bias().orElseThrow().toArray(), read.layers().get(l).bias().orElseThrow().toArray());
    }
    assertEquals(List.of(), model.conversions(path, model.network()));
  }

  @ParameterizedTest
  @CsvSource({"true", "false"})
  void shrinkWithTheirLayers(boolean hasBias) throws IOException {
    Path path = write("relu",
        List.of(layer("0", hasBias), norm("1", true), layer("3", true), norm("5", true), layer("6", true)));
    DenseNetwork whole = load(path).network();
    DenseNetwork network = new DenseNetwork(whole.graph(),
        whole.layers().stream()
            .map(layer -> new DenseLayer(layer.name(), layer.weights().copy(arena), layer.bias(), layer.activation()))
            .toList());
    for (int j = 0; j < WIDTH; j++) {
      network.layers().getFirst().weights().set(1, j, 0);
      network.layers().getLast().weights().set(j, 2, 0);
    }
    Path zeros = folder.resolve("zeros.safetensors");
    load(path).save(zeros, network, true);
    ModelFile model = load(zeros);
    Compaction compaction = Compaction.of(model.network(), 1, arena);
    Path small = folder.resolve("small.safetensors");
    model.compacted(compaction, arena).save(small, compaction.network(), true);
    assertEquals(List.of(WIDTH - 1L),
        SafetensorsFile.open(small, arena).tensor("1.running_mean").orElseThrow().shape());
    assertEquals(List.of(WIDTH - 1L), SafetensorsFile.open(small, arena).tensor("5.weight").orElseThrow().shape());
    assertComputes(small, network);
  }

  @Test
  void whatDoesNotFitIsRefused() throws IOException {
    refuse("BatchNorm \"1\" has no tensor \"1.running_var\"", layer("0", true),
        List.of(tensor("1.running_mean", 1, WIDTH, 0)));
    refuse("BatchNorm \"1\" has no tensor \"1.running_mean\"", layer("0", true),
        List.of(tensor("1.running_var", 1, WIDTH, 0)));
    refuse("BatchNorm 1 is of 3 features, and behind layer 0, before its activation there are 4", layer("0", true),
        List.of(tensor("1.running_mean", 1, 3, 0), tensor("1.running_var", 1, 3, 0)));
    refuse("tensor \"1.running_var\" is F32 of shape [3], and \"1.running_mean\" of shape [4]", layer("0", true),
        List.of(tensor("1.running_mean", 1, WIDTH, 0), tensor("1.running_var", 1, 3, 0)));
    refuse("BatchNorm 1 is not finite at feature 0: the mean is ", layer("0", true),
        List.of(tensor("1.running_mean", 1, WIDTH, 0), tensor("1.running_var", 1, WIDTH, -9)));
  }

  private void refuse(String message, List<NewTensor> layer, List<NewTensor> norm) throws IOException {
    Path path = write("relu", List.of(layer, norm));
    String actual = assertThrows(FormatException.class, () -> load(path)).getMessage();
    assertTrue(actual.contains(message), actual);
  }

  /// That a file's tensors, taken in the order of their names as an `nn.Sequential` has them, compute what a network
  /// does.
  private void assertComputes(Path path, DenseNetwork network) throws IOException {
    SafetensorsFile file = SafetensorsFile.open(path, arena);
    int last = file.tensors().stream().mapToInt(tensor -> tensor.name().charAt(0) - '0').max().orElseThrow();
    boolean isTanh = file.metadata().get("activations").equals("tanh");
    Plain plain = Plain.of(network);
    for (int n = 0; n < 10; n++) {
      double[] x = random.doubles(WIDTH, -2, 2).map(v -> (float) v).toArray();
      double[] y = x;
      for (int module = 0; module <= last; module++) {
        Optional<Tensor> weight = file.tensor(module + ".weight");
        if (file.tensor(module + ".running_mean").isPresent()) {
          y = normalized(file, module, y);
        } else if (weight.isPresent()) {
          y = dense(file, module, y);
        } else {
          y = Arrays.stream(y).map(v -> isTanh ? Math.tanh(v) : Math.max(v, 0)).toArray();
        }
      }
      assertArrayEquals(plain.output(x), y, TOLERANCE);
    }
  }

  private static double[] dense(SafetensorsFile file, int module, double... x) {
    int outputs = file.tensor(module + ".weight").orElseThrow().shape().getFirst().intValue();
    double[] z = new double[outputs];
    for (int i = 0; i < outputs; i++) {
      z[i] = value(file, module + ".bias", i, 0);
      for (int j = 0; j < x.length; j++) {
        z[i] += value(file, module + ".weight", i * x.length + j, 0) * x[j];
      }
    }
    return z;
  }

  private static double[] normalized(SafetensorsFile file, int module, double... x) {
    double[] y = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      y[i] = (x[i] - value(file, module + ".running_mean", i, 0))
          / Math.sqrt(value(file, module + ".running_var", i, 0) + 1e-5) * value(file, module + ".weight", i, 1)
          + value(file, module + ".bias", i, 0);
    }
    return y;
  }

  private static double value(SafetensorsFile file, String name, int i, double otherwise) {
    return file.tensor(name).map(tensor -> tensor.dtype().value(tensor.data(), i, ByteOrder.LITTLE_ENDIAN))
        .orElse(otherwise);
  }
}
