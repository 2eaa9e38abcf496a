package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

final class ModelFileTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @Test
  void ordersLayersByNumberAndReadsActivationsFromTheMetadata() throws IOException {
    Path path = write(Map.of("activations", "tanh, relu,softmax"), matrix("net.10.weight", 2, 5),
        matrix("net.2.weight", 4, 3), matrix("net.9.weight", 5, 4));
    DenseNetwork network = ModelFile.load(path, Optional.empty(), arena).network();
    assertEquals(List.of("net.2", "net.9", "net.10"), network.layers().stream().map(DenseLayer::name).toList());
    assertEquals(List.of(Activation.TANH, Activation.RELU, Activation.SOFTMAX),
        network.layers().stream().map(DenseLayer::activation).toList());
  }

  @Test
  void oneActivationIsThatOfAllHiddenLayers() throws IOException {
    Path path = write(Map.of(), matrix("0.weight", 4, 3), matrix("2.weight", 5, 4), matrix("4.weight", 2, 5));
    DenseNetwork network = ModelFile.load(path, Optional.of(new Activations(List.of(Activation.parse("silu")))), arena)
        .network();
    assertEquals(List.of(Activation.parse("silu"), Activation.parse("silu"), Activation.IDENTITY),
        network.layers().stream().map(DenseLayer::activation).toList());
  }

  @Test
  void writesWhatItReadsAndNothingElseChanges() throws IOException {
    NewTensor half = new NewTensor("0.weight", DType.F16, List.of(2L, 2L), MatrixView.of(arena, 2, 2, 1, 2, 3, 4));
    Path path = write(Map.of("activations", "relu", "author", "somebody"), half,
        new NewTensor("steps", DType.F64, List.of(3L), MatrixView.of(arena, 1, 3, 7, 8, 9)));
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    Path same = folder.resolve("same.safetensors");
    model.save(same, model.network(), false);
    assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(same));

    DenseLayer layer = model.network().layers().getFirst();
    MatrixView pruned = MatrixView.of(arena, 2, 2, 1, 0, 3, 0);
    DenseNetwork changed = new DenseNetwork(
        List.of(new DenseLayer("0", pruned, Optional.of(MatrixView.of(arena, 1, 2, 0.5f, -2)), layer.activation())));
    Path target = folder.resolve("pruned.safetensors");
    model.save(target, changed, false);
    SafetensorsFile written = SafetensorsFile.open(target, arena);
    assertEquals(List.of("0.weight", "steps", "0.bias"), written.tensors().stream().map(Tensor::name).toList());
    assertEquals(DType.F16, written.tensor("0.bias").orElseThrow().dtype());
    assertEquals("somebody", written.metadata().get("author"));
    ModelFile reread = ModelFile.load(target, Optional.empty(), arena);
    assertArrayEquals(new float[]{1, 0, 3, 0}, reread.network().layers().getFirst().weights().toArray());
    assertArrayEquals(new float[]{0.5f, -2}, reread.network().layers().getFirst().bias().orElseThrow().toArray());
    assertEquals(8, written.asFloat32(written.tensor("steps").orElseThrow(), arena).get(0, 1));
  }

  /// Weights that stay keep their bytes, which are more than float32 holds.
  @Test
  void aCompactedModelKeepsOrderDtypesMetadataAndOtherTensors() throws IOException {
    Path path = write(Map.of("activations", "relu", "author", "somebody"),
        new NewTensor("1.weight", DType.F64, List.of(1L, 2L), MatrixView.of(arena, 1, 2, 5, 6)),
        new NewTensor("0.weight", DType.F16, List.of(2L, 2L), MatrixView.of(arena, 2, 2, 0, 0, 3, 4)),
        new NewTensor("0.bias", DType.F16, List.of(2L), MatrixView.of(arena, 1, 2, 1, 2)),
        new NewTensor("1.bias", DType.F64, List.of(1L), MatrixView.of(arena, 1, 1, 7)),
        new NewTensor("steps", DType.F64, List.of(1L), MatrixView.of(arena, 1, 1, 9)));
    byte[] content = Files.readAllBytes(path);
    int offset = (int) SafetensorsFile.open(path, arena)
        .offset(SafetensorsFile.open(path, arena).tensor("1.weight").orElseThrow()) + Double.BYTES;
    ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).putDouble(offset, 0.1);
    Files.write(path, content);
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    Compaction compaction = Compaction.of(model.network(), 1, arena);
    Path target = folder.resolve("small.safetensors");
    model.compacted(compaction, arena).save(target, compaction.network(), false);
    SafetensorsFile small = SafetensorsFile.open(target, arena);
    assertEquals(List.of("1.weight", "0.weight", "0.bias", "1.bias", "steps"),
        small.tensors().stream().map(Tensor::name).toList());
    assertEquals(List.of(List.of(1L, 1L), List.of(1L, 2L), List.of(1L), List.of(1L), List.of(1L)),
        small.tensors().stream().map(Tensor::shape).toList());
    assertEquals("somebody", small.metadata().get("author"));
    assertEquals(0.1, DType.F64.value(small.tensor("1.weight").orElseThrow().data(), 0, ByteOrder.LITTLE_ENDIAN));
    assertEquals(DType.F16, small.tensor("0.weight").orElseThrow().dtype());
    assertEquals(12, small.asFloat32(small.tensor("1.bias").orElseThrow(), arena).get(0, 0)); // 7 + 5 · relu(1)
    assertEquals(9, small.asFloat32(small.tensor("steps").orElseThrow(), arena).get(0, 0));
  }

  /// The least number of each type, less than float32 has in F64, is removed as any other.
  @ParameterizedTest
  @EnumSource(names = {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F16", "BF16", "F32", "F64"})
  void removedSubnormalsAreZeros(DType dtype) throws IOException {
    Path path = write(Map.of("activations", "relu"),
        new NewTensor("0.weight", dtype, List.of(1L, 2L), MatrixView.of(arena, 1, 2, 1, 2)),
        new NewTensor("0.bias", dtype, List.of(1L), MatrixView.of(arena, 1, 1, 3)));
    byte[] content = Files.readAllBytes(path);
    SafetensorsFile file = SafetensorsFile.open(path, arena);
    int weight = (int) file.offset(file.tensor("0.weight").orElseThrow());
    int bias = (int) file.offset(file.tensor("0.bias").orElseThrow());
    fill(content, weight, dtype);
    fill(content, bias, dtype);
    Files.write(path, content);

    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    Path out = folder.resolve("out.safetensors");
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      model.save(outputs, out, model.network(), _ -> false, false);
      outputs.commit();
    }
    assertArrayEquals(content, Files.readAllBytes(out));

    DenseLayer layer = model.network().layers().getFirst();
    DenseNetwork pruned = new DenseNetwork(
        List.of(new DenseLayer("0", MatrixView.of(arena, 1, 2, 0, 2), layer.bias(), layer.activation())));
    model.save(out, pruned, true);
    byte[] expected = content.clone();
    expected[weight] = 0;
    assertArrayEquals(expected, Files.readAllBytes(out));
  }

  /// Makes the element at `first` the least above zero.
  private static void fill(byte[] content, int first, DType dtype) {
    Arrays.fill(content, first, first + dtype.bytes(), (byte) 0);
    content[first] = 1; // little-endian
  }

  /// A layer of eight-bit weights among tensors of all types that are not read, in one file and in two.
  @ParameterizedTest
  @CsvSource({"F8_E4M3, false", "F8_E5M2, false", "F8_E4M3, true", "F8_E4M3FNUZ, false", "F8_E5M2FNUZ, false"})
  void eightBitWeightsKeepTheirBits(DType dtype, boolean sharded) throws IOException {
    byte[] weights = new byte[64];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = (byte) (i + (i % 2 == 0 ? 0 : 128)); // of both signs, subnormal ones too; none is infinite or NaN
    }
    List<DType> unread = Arrays.stream(DType.values()).filter(each -> !each.isNumeric()).toList();
    StringBuilder header = new StringBuilder("{\"__metadata__\":{\"activations\":\"relu\"}");
    ByteBuffer data = ByteBuffer.allocate(24 * unread.size() + 64 + 16).order(ByteOrder.LITTLE_ENDIAN);
    for (DType each : unread.reversed()) { // large ones first
      entry(header, each.name().toLowerCase(Locale.ROOT), each, List.of(192L / each.bits()), data.position(),
          data.position() + 24);
      for (int i = 0; i < 24; i++) {
        data.put((byte) (37 * i + data.position()));
      }
    }
    int first = data.position();
    entry(header, "fc.weight", dtype, List.of(4L, 16L), first, first + 64);
    data.put(weights);
    entry(header, "fc.bias", DType.F32, List.of(4L), first + 64, first + 80);
    data.putFloat(0.5f).putFloat(-3).putFloat(0).putFloat(1);
    byte[] content = TestFiles.safetensors(header + "}", data.array());
    Path path = TestFiles.file(folder, sharded ? "model-00001-of-00002.safetensors" : "model.safetensors", content);
    if (sharded) {
      SafetensorsWriter.write(folder.resolve("model-00002-of-00002.safetensors"), false, List.of(matrix("z.x", 1, 1)),
          Map.of());
      String placed = SafetensorsFile.open(path, arena).tensors().stream()
          .map(tensor -> "\"%s\":\"model-00001-of-00002.safetensors\",".formatted(tensor.name()))
          .collect(Collectors.joining());
      path = TestFiles.file(folder, "model.safetensors.index.json",
          "{\"weight_map\":{%s\"z.x\":\"model-00002-of-00002.safetensors\"}}".formatted(placed)
              .getBytes(StandardCharsets.UTF_8));
    }
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    DenseLayer layer = model.network().layers().getFirst();
    MatrixView pruned = layer.weights().copy(arena);
    for (int i = 0; i < 64; i += 3) {
      pruned.segment().setAtIndex(MatrixView.ELEMENT, i, 0);
      weights[i] = 0;
    }
    DenseNetwork changed = new DenseNetwork(List
        .of(new DenseLayer("fc", pruned, Optional.of(MatrixView.of(arena, 1, 4, 0.1f, -3, 0, 1)), layer.activation())));
    Path folderOut = Files.createDirectory(folder.resolve("out"));
    Path out = folderOut.resolve(path.getFileName());
    model.save(out, changed, false);
    System.arraycopy(weights, 0, content, content.length - 80, 64);
    ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).putFloat(content.length - 16, 0.1f);
    assertArrayEquals(content,
        Files.readAllBytes(sharded ? folderOut.resolve("model-00001-of-00002.safetensors") : out));
    assertEquals(List.of(), model.conversions(out, changed));

    pruned.set(0, 1, 1.1f); // halfway is 1.0625 with three bits, and 1.125 with two
    assertEquals(
        List.of(("1 number of \"fc.weight\" has changed and is rounded to %s, by %s %% (root mean square); the "
            + "figures are without that").formatted(dtype, dtype.name().startsWith("F8_E4M3") ? "2.3" : "9.1")),
        model.conversions(out, changed));
    model.save(out, changed, true);
    float read = ModelFile.load(out, Optional.empty(), arena).network().layers().getFirst().weights().get(0, 1);
    assertEquals(dtype.name().startsWith("F8_E4M3") ? 1.125f : 1, read);
    pruned.set(0, 1, 1e6f);
    String refused = assertThrows(FormatException.class, () -> model.save(out, changed, true)).getMessage();
    assertTrue(refused.contains("element 1 of tensor \"fc.weight\" is 1000000.0, beyond the range of " + dtype),
        refused);
  }

  private static void entry(StringBuilder header, String name, DType dtype, List<Long> shape, int begin, int end) {
    header.append(
        ",\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}".formatted(name, dtype, shape, begin, end));
  }

  /// Bytes that change or are missing, in the header or in the numbers, lead to a refusal or to other values.
  @ParameterizedTest
  @EnumSource(names = {"F8_E4M3", "F8_E5M2", "F16", "F64"})
  void survivesDamage(DType dtype) throws IOException {
    byte[] whole = Files.readAllBytes(write(Map.of("activations", "relu"),
        new NewTensor("0.weight", dtype, List.of(3L, 2L), MatrixView.of(arena, 3, 2, 1, 2, 3, 4, 5, 6)),
        new NewTensor("0.bias", dtype, List.of(3L), MatrixView.of(arena, 1, 3, 1, 2, 3))));
    Random random = new Random(1);
    int refused = 0;
    for (int run = 0; run < 1500; run++) {
      byte[] damaged = run % 3 == 0 ? Arrays.copyOf(whole, 1 + random.nextInt(whole.length - 1)) : whole.clone();
      for (int flips = run % 3 == 0 ? 0 : 1 + random.nextInt(3); flips > 0; flips--) {
        damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
      }
      Path path = TestFiles.file(folder, "damaged.safetensors", damaged);
      try (Arena own = Arena.ofConfined()) {
        ModelFile.load(path, Optional.empty(), own);
      } catch (FormatException e) {
        refused++;
        assertEquals(1, e.getMessage().lines().count(), e.getMessage());
      } catch (RuntimeException e) {
        throw new AssertionError("run " + run, e);
      }
    }
    assertTrue(refused > 500, "refused " + refused);
  }

  @Test
  void aBiasThatALayerOfEightBitsGainsIsFloat32() throws IOException {
    Path path = write(Map.of("activations", "relu"),
        new NewTensor("0.weight", DType.F8_E5M2, List.of(1L, 2L), MatrixView.of(arena, 1, 2, 1, 2)));
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    DenseLayer layer = model.network().layers().getFirst();
    Path out = folder.resolve("out.safetensors");
    model.save(out,
        new DenseNetwork(List.of(
            new DenseLayer("0", layer.weights(), Optional.of(MatrixView.of(arena, 1, 1, 0.1f)), layer.activation()))),
        false);
    assertEquals(0.1f,
        ModelFile.load(out, Optional.empty(), arena).network().layers().getFirst().bias().orElseThrow().get(0, 0));
  }

  @Test
  void scalesOfQuantisedWeightsAreRefused() throws IOException {
    refuse(
        write(Map.of("activations", "relu"),
            new NewTensor("0.weight", DType.F8_E4M3, List.of(1L, 2L), MatrixView.of(arena, 1, 2, 1, 2)),
            NewTensor.vector("0.weight_scale", MatrixView.of(arena, 1, 1, 0.5f))),
        "tensor \"0.weight_scale\" is that of a quantised weight, which is not read; multiply the weight by it and save again");
  }

  /// As PyTorch saves nn.Sequential(Linear, PReLU, Linear, PReLU, Linear), and a module that uses one PReLU twice.
  @Test
  void slopesOfPrelusAreInTheFile() throws IOException {
    for (boolean each : new boolean[]{true, false}) {
      Path path = write(Map.of("activations", "prelu"), matrix("0.weight", 4, 3), matrix("2.weight", 5, 4),
          matrix("10.weight", 2, 5),
          NewTensor.vector(each ? "1.weight" : "act.weight", MatrixView.of(arena, 1, 1, 0.5f)),
          NewTensor.vector(each ? "3.weight" : "other", MatrixView.of(arena, 1, 1, -0.25f)));
      ModelFile model = ModelFile.load(path, Optional.empty(), arena);
      assertEquals(
          each
              ? List.of("leaky_relu:0.5", "leaky_relu:-0.25", "identity")
              : List.of("leaky_relu:0.5", "leaky_relu:0.5", "identity"),
          model.network().layers().stream().map(layer -> layer.activation().toString()).toList());
      assertEquals(List.of("0", "2", "10"), model.network().layers().stream().map(DenseLayer::name).toList());
      assertEquals(each ? "3.weight" : "act.weight", model.slopeTensor(1).orElseThrow().name());
      assertEquals(each ? 0 : 1, model.unused().size());
      Path out = folder.resolve("out.safetensors");
      model.save(out, model.network(), true);
      assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(out));
    }
  }

  @Test
  void slopesThatAreNotUnderstoodAreRefused() throws IOException {
    Map<String, String> prelu = Map.of("activations", "prelu,prelu,identity");
    NewTensor[] layers = {matrix("0.weight", 4, 3), matrix("2.weight", 5, 4), matrix("4.weight", 2, 5)};
    refuse(write(prelu, layers), "has 0 slopes <name>.weight of one dimension for 2 layers with prelu; give each its "
        + "slope, as in leaky_relu:0.25");
    refuse(
        write(prelu, layers[0], layers[1], layers[2], NewTensor.vector("1.weight", MatrixView.allocate(arena, 1, 4)),
            NewTensor.vector("3.weight", MatrixView.allocate(arena, 1, 1))),
        "tensor \"1.weight\" has 4 slopes of a PReLU; only one for all neurons is supported");
    refuse(
        write(prelu, layers[0], layers[1], layers[2],
            NewTensor.vector("1.weight", MatrixView.of(arena, 1, 1, Float.NaN))),
        "tensor \"1.weight\" is NaN: the slope of a PReLU must be finite");
    refuse(
        write(Map.of("activations", "relu"), layers[0], layers[1], layers[2],
            NewTensor.vector("1.weight", MatrixView.of(arena, 1, 1, 0.5f))),
        "if it is the slope of a PReLU, name prelu among the activations");
  }

  @Test
  void saysWhatIsWrong() throws IOException {
    refuse(write(Map.of(), NewTensor.vector("x", MatrixView.allocate(arena, 1, 3))),
        "no tensor is called <layer>.weight");
    refuse(write(Map.of("activations", "relu"), NewTensor.vector("0.weight", MatrixView.allocate(arena, 1, 3))),
        "tensor \"0.weight\" is F32 of shape [3]; a dense layer needs");
    refuse(write(Map.of("activations", "relu,relu"), matrix("0.weight", 4, 3), matrix("2.weight", 2, 5)),
        "layers do not chain: 2 takes 5 inputs, 0 before it has 4 outputs");
    refuse(write(Map.of(), matrix("0.weight", 4, 3)),
        "its metadata names no activations; give one for all hidden layers");
    refuse(write(Map.of("activations", "relu,relu,relu"), matrix("0.weight", 4, 3), matrix("2.weight", 2, 4)),
        "3 activations (relu,relu,relu) for 2 layers");
    refuse(write(Map.of("activations", "glu"), matrix("0.weight", 4, 3)), "unknown activation 'glu'");
    refuse(
        write(Map.of("activations", "relu"), matrix("0.weight", 4, 3),
            NewTensor.vector("0.bias", MatrixView.allocate(arena, 1, 3))),
        "layer 0: the bias has 3 elements, the weights have 4 rows");
    refuse(
        write(Map.of("activations", "relu"),
            NewTensor.matrix("0.weight", MatrixView.of(arena, 1, 2, 1, Float.POSITIVE_INFINITY))),
        "tensor 0.weight is Infinity at [0, 1]");
    Path large = write(Map.of("activations", "relu"),
        new NewTensor("0.weight", DType.F64, List.of(1L, 2L), MatrixView.of(arena, 1, 2, 1, 2)));
    byte[] content = Files.readAllBytes(large);
    ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).putDouble(content.length - Double.BYTES, 1e39);
    refuse(Files.write(large, content), "tensor \"0.weight\" is 1.0E39 at [0, 1], beyond float32's range");
  }

  @Test
  void refusesFilesOfWhichOnlyAPartWouldBeRead() throws IOException {
    Map<String, String> relu = Map.of("activations", "relu");
    NewTensor row = NewTensor.vector("2.bias", MatrixView.allocate(arena, 1, 4));
    refuse(write(relu, matrix("0.weight", 4, 4), row), "tensor \"2.bias\" has no \"2.weight\"");
    refuse(write(relu, matrix("0.weight", 4, 4), matrix("2.weight_orig", 4, 4), matrix("2.weight_mask", 4, 4), row),
        "tensor \"2.weight_orig\" ");
    refuse(
        write(relu, matrix("0.weight", 4, 4), NewTensor.vector("1.weight", row.values()),
            NewTensor.vector("1.bias", row.values()), matrix("3.weight", 2, 4)),
        "tensor \"1.weight\" of shape [4] is that of a LayerNorm or another normalisation, which is not read; export the "
            + "model as ONNX, where it is read (torch.onnx.export), or list the layers of the network in the metadata "
            + "key layers if it does not use it");
    refuse(write(relu, matrix("0.weight", 4, 4), NewTensor.vector("1.weight", row.values()), matrix("3.weight", 2, 4)),
        ", and if it is that of an RMSNorm, export the model as ONNX, where it is read (torch.onnx.export); list");
    refuse(write(relu, row, matrix("0.weight", 4, 4), matrix("2.weight_orig", 4, 4)), "a weight with a mask");
    refuse(write(relu, matrix("0.weight_v", 4, 4), matrix("0.weight_g", 4, 1)), "remove_weight_norm");
    refuse(write(relu, matrix("0.parametrizations.weight.original0", 4, 4)), "remove_parametrizations");
    Path whole = write(relu, matrix("0.weight", 4, 4));
    refuse(Files.copy(whole, folder.resolve("model-00001-of-00002.safetensors")),
        "is part 1 of 2 of a model; put the others beside it, and their index model.safetensors.index.json");
    Path only = Files.copy(whole, folder.resolve("model-00001-of-00001.safetensors"));
    assertEquals(16, ModelFile.load(only, Optional.empty(), arena).network().weights());
  }

  private static final String FIRST = "m-00001-of-00002.safetensors";
  private static final String SECOND = "m-00002-of-00002.safetensors";

  /// A model in two files, the second of which has the layer in the middle, in another type.
  private Path sharded(String weightMap) throws IOException {
    SafetensorsWriter.write(folder.resolve(FIRST), true,
        List.of(NewTensor.matrix("0.weight", MatrixView.of(arena, 3, 1, 1, 2, 3)),
            NewTensor.matrix("4.weight", MatrixView.of(arena, 1, 1, 7)),
            NewTensor.vector("4.bias", MatrixView.of(arena, 1, 1, 8))),
        Map.of("format", "pt"));
    SafetensorsWriter.write(folder.resolve(SECOND), true,
        List.of(new NewTensor("2.weight", DType.F16, List.of(1L, 3L), MatrixView.of(arena, 1, 3, 4, 5, 6))),
        Map.of("format", "pt", "activations", "relu"));
    return Files.writeString(folder.resolve("m.safetensors.index.json"),
        "{\"metadata\": {\"total_size\": 26}, \"weight_map\": {%s}, \"more\": [{}]}".formatted(weightMap));
  }

  private static String map(String... tensorsAndFiles) {
    return IntStream.range(0, tensorsAndFiles.length / 2)
        .mapToObj(i -> "\"%s\": \"%s\"".formatted(tensorsAndFiles[2 * i], tensorsAndFiles[2 * i + 1]))
        .collect(Collectors.joining(", "));
  }

  @Test
  void readsModelsInSeveralFilesAsOne() throws IOException {
    Path index = sharded(map("0.weight", FIRST, "2.weight", SECOND, "4.bias", FIRST, "4.weight", FIRST));
    for (Path path : List.of(index, folder.resolve(FIRST), folder.resolve(SECOND))) {
      ModelFile model = ModelFile.load(path, Optional.empty(), arena);
      assertEquals(List.of("0", "2", "4"), names(model));
      assertEquals(index, model.file().path());
      assertEquals(List.of(folder.resolve(FIRST), folder.resolve(SECOND)), model.file().parts());
      assertArrayEquals(new float[]{4, 5, 6}, model.network().layers().get(1).weights().toArray());
      assertEquals(Activation.RELU, model.network().layers().getFirst().activation());
    }
    ModelFile model = ModelFile.load(index, Optional.empty(), arena);
    Path target = folder.resolve("whole.safetensors");
    model.save(target, model.network(), false);
    ModelFile whole = ModelFile.load(target, Optional.empty(), arena);
    assertEquals(List.of("pt", "relu"),
        List.of(whole.file().metadata().get("format"), whole.file().metadata().get("activations")));
    for (Tensor tensor : model.file().tensors()) {
      Tensor written = whole.file().tensor(tensor.name()).orElseThrow();
      assertEquals(tensor.dtype(), written.dtype());
      assertEquals(tensor.shape(), written.shape());
      assertEquals(-1, tensor.data().mismatch(written.data()));
    }
    for (Path part : List.of(index, folder.resolve(FIRST), folder.resolve(SECOND))) {
      byte[] before = Files.readAllBytes(part);
      String message = assertThrows(FormatException.class, () -> model.save(part, model.network(), true)).getMessage();
      assertEquals(part + ": is a part of the model that was read; choose another output", message);
      assertArrayEquals(before, Files.readAllBytes(part));
    }
  }

  /// Each part with its header, the index as it is; only weights and biases differ.
  @Test
  void writesModelsInSeveralFilesAsSeveral() throws IOException {
    Path index = sharded(map("0.weight", FIRST, "2.weight", SECOND, "4.bias", FIRST, "4.weight", FIRST));
    ModelFile model = ModelFile.load(index, Optional.empty(), arena);
    Path other = Files.createDirectory(folder.resolve("other"));
    Path target = other.resolve("m.safetensors.index.json");
    List<Path> written = List.of(target, other.resolve(FIRST), other.resolve(SECOND));
    assertEquals(written, model.written(target));
    model.save(target, model.network(), false);
    for (Path path : written) {
      assertArrayEquals(Files.readAllBytes(folder.resolve(path.getFileName())), Files.readAllBytes(path));
    }
    List<DenseLayer> layers = new ArrayList<>(model.network().layers());
    layers.set(1, new DenseLayer("2", MatrixView.of(arena, 1, 3, 4, 0, 6), Optional.empty(), Activation.RELU));
    model.save(target, new DenseNetwork(layers), true);
    assertArrayEquals(Files.readAllBytes(folder.resolve(FIRST)), Files.readAllBytes(other.resolve(FIRST)));
    byte[] expected = Files.readAllBytes(folder.resolve(SECOND));
    expected[expected.length - 4] = 0;
    expected[expected.length - 3] = 0;
    assertArrayEquals(expected, Files.readAllBytes(other.resolve(SECOND)));
    assertArrayEquals(new float[]{4, 0, 6},
        ModelFile.load(target, Optional.empty(), arena).network().layers().get(1).weights().toArray());

    layers.set(1,
        new DenseLayer("2", layers.get(1).weights(), Optional.of(MatrixView.of(arena, 1, 1, 9)), Activation.RELU));
    refusesToSave(model, new DenseNetwork(layers), target,
        "an index gains no tensors, such as \"2.bias\"; choose a name that ends in .safetensors");
    refusesToSave(model, model.network(), folder.resolve("new.safetensors.index.json"),
        FIRST + " beside it is a part of the model that was read; choose another folder");
    refusesToSave(model, model.network(), other.resolve("x-00001-of-00003.safetensors"),
        "is the name of a part of a model; choose another name, or that of an index");
    ModelFile whole = ModelFile.load(write(Map.of("activations", "relu"), matrix("0.weight", 4, 3)), Optional.empty(),
        arena);
    refusesToSave(whole, whole.network(), target, "only a model in several files whose shapes stay is written as "
        + "several; choose a name that ends in .safetensors");
  }

  private static void refusesToSave(ModelFile model, DenseNetwork network, Path target, String message) {
    assertEquals(target + ": " + message,
        assertThrows(FormatException.class, () -> model.save(target, network, true)).getMessage());
  }

  @Test
  void refusesIndexesThatDoNotAgreeWithTheirFiles() throws IOException {
    String all = map("0.weight", FIRST, "2.weight", SECOND, "4.bias", FIRST, "4.weight", FIRST);
    refuse(sharded(all.replace(", \"4.weight\": \"" + FIRST + '"', "")),
        "does not place tensor \"4.weight\" into " + FIRST);
    refuse(sharded(all.replaceFirst(SECOND, FIRST)), folder.resolve(FIRST),
        "has no tensor \"2.weight\", which m.safetensors.index.json places there");
    refuse(sharded(all.replaceFirst(SECOND, "../" + SECOND)), "is not the name of a file beside it");
    refuse(sharded(""), "has no \"weight_map\"");
    refuse(sharded("1"), "is not the JSON of a model's index");
    Path index = sharded(all);
    Files.delete(folder.resolve(SECOND));
    String message = assertThrows(IOException.class, () -> ModelFile.load(index, Optional.empty(), arena)).getMessage();
    assertEquals(folder.resolve(SECOND) + ": no such file; check the path", message);
  }

  @Test
  void ordersLayersByTheWordsBetweenTheDots() throws IOException {
    for (List<String> names : List.of(List.of("fc", "fc2", "fc10"), List.of("W", "W1", "W2"),
        List.of("encoder.0", "encoder.2", "encoder2.0"), List.of("net.0.0", "net.0.2", "net.1"), List.of("2", "10"))) {
      Path path = write(Map.of("activations", "relu"),
          names.reversed().stream().map(name -> matrix(name + ".weight", 2, 2)).toArray(NewTensor[]::new));
      ModelFile model = ModelFile.load(path, Optional.empty(), arena);
      assertEquals(names, names(model));
      assertEquals(LayerOrder.NUMBERS, model.order());
    }
  }

  @Test
  void widthsOrderLayersThatNamesDoNotNumber() throws IOException {
    Map<String, String> relu = Map.of("activations", "relu");
    Path mlp = write(relu, matrix("hidden.weight", 6, 5), matrix("input.weight", 5, 4), matrix("output.weight", 3, 6));
    assertOrder(List.of("input", "hidden", "output"), mlp, OptionalInt.empty());
    Path encoder = write(relu, matrix("decoder.0.weight", 4, 2), matrix("decoder.2.weight", 8, 4),
        matrix("encoder.0.weight", 4, 8), matrix("encoder.2.weight", 2, 4));
    assertOrder(List.of("encoder.0", "encoder.2", "decoder.0", "decoder.2"), encoder, OptionalInt.of(8));
    assertOrder(List.of("decoder.0", "decoder.2", "encoder.0", "encoder.2"), encoder, OptionalInt.of(2));
    Path blocks = write(relu, matrix("b.0.in.weight", 8, 4), matrix("b.0.out.weight", 4, 8),
        matrix("b.1.in.weight", 8, 4), matrix("b.1.out.weight", 4, 8), matrix("head.weight", 3, 4));
    assertOrder(List.of("b.0.in", "b.0.out", "b.1.in", "b.1.out", "head"), blocks, OptionalInt.of(4));
    // The width of the samples is told where it does not fit, and does not hide the only order.
    assertOrder(List.of("b.0.in", "b.0.out", "b.1.in", "b.1.out", "head"), blocks, OptionalInt.of(7));
  }

  @Test
  void refusesLayersThatChainInSeveralOrdersOrInNone() throws IOException {
    Map<String, String> relu = Map.of("activations", "relu");
    LayerOrderException several = assertThrows(LayerOrderException.class,
        () -> ModelFile.load(write(relu, matrix("decoder.0.weight", 4, 2), matrix("encoder.0.weight", 2, 4)),
            Optional.empty(), arena));
    assertTrue(
        several.getMessage().contains(
            "layers decoder.0 (4 x 2), encoder.0 (2 x 4) chain in more than one order; list the layers of the network"),
        several.getMessage());
    assertEquals(List.of("decoder.0", "encoder.0"), several.example());
    refuse(write(relu, matrix("a.weight", 4, 3), matrix("b.weight", 5, 2)), "chain in no order");
    refuse(write(relu, matrix("a.weight", 2, 2), matrix("b.weight", 2, 2), matrix("2.weight", 2, 2)),
        "chain in more than one order");
    NewTensor[] many = IntStream.range(0, 100).mapToObj(i -> matrix("x".repeat(i + 1) + ".weight", 2, 2))
        .toArray(NewTensor[]::new);
    refuse(write(relu, many), "and 80 more was not found, there are too many to try");
  }

  /// Ten layers in each of three series that chain in any way until the last does not: found without trying all.
  @Test
  void searchEndsSoon() throws IOException {
    Stream<NewTensor> square = Stream.of("a", "b", "c")
        .flatMap(series -> IntStream.range(0, 10).mapToObj(i -> matrix("%s%d.weight".formatted(series, i), 2, 2)));
    refuse(
        write(Map.of("activations", "relu"),
            Stream.concat(square, Stream.of(matrix("odd.weight", 3, 5))).toArray(NewTensor[]::new)),
        "chain in no order");
  }

  @Test
  void listedLayersAreTheNetwork() throws IOException {
    NewTensor[] tensors = {matrix("0.weight", 4, 4), matrix("2.weight", 4, 4), matrix("4.weight", 4, 4),
        matrix("emb.weight", 9, 4), NewTensor.vector("norm.running_mean", MatrixView.allocate(arena, 1, 4)),
        NewTensor.vector("4.bias", MatrixView.allocate(arena, 1, 4))};
    Path path = write(Map.of("activations", "relu", "layers", "4.weight, 0"), tensors);
    ModelFile listed = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(List.of("4", "0"), names(listed));
    assertEquals(LayerOrder.METADATA, listed.order());
    assertEquals(List.of("2.weight", "emb.weight", "norm.running_mean"),
        listed.unused().stream().map(Tensor::name).sorted().toList());
    ModelFile given = ModelFile.load(path, new ModelReading(Optional.empty(), List.of("2", "emb"), OptionalInt.empty()),
        arena);
    assertEquals(List.of("2", "emb"), names(given));
    assertEquals(LayerOrder.GIVEN, given.order());
    Path out = folder.resolve("out.safetensors");
    given.save(out, given.network(), false);
    assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(out));

    refuse(write(Map.of("activations", "relu", "layers", "0,1"), tensors), "has no tensor \"1.weight\", although");
    refuse(write(Map.of("activations", "relu", "layers", "0,0.weight"), tensors), "layer \"0\" is listed twice");
    refuse(write(Map.of("activations", "relu", "layers", "emb,0"), tensors), "layers do not chain");
    refuse(write(Map.of("activations", "relu", "layers", "2"), matrix("0.weight", 4, 4), matrix("2.weight_orig", 4, 4)),
        "\"2.weight_orig\" is that of a weight with a mask");
  }

  private static List<String> names(ModelFile model) {
    return model.network().layers().stream().map(DenseLayer::name).toList();
  }

  private void assertOrder(List<String> names, Path path, OptionalInt inputs) throws IOException {
    ModelFile model = ModelFile.load(path, new ModelReading(Optional.empty(), List.of(), inputs), arena);
    assertEquals(names, names(model));
    assertEquals(LayerOrder.WIDTHS, model.order());
  }

  private void refuse(Path path, String message) {
    refuse(path, path, message);
  }

  private void refuse(Path path, Path named, String message) {
    String actual = assertThrows(FormatException.class, () -> ModelFile.load(path, Optional.empty(), arena))
        .getMessage();
    assertTrue(actual.startsWith(named + ": ") && actual.contains(message), actual);
  }

  private NewTensor matrix(String name, int rows, int columns) {
    return NewTensor.matrix(name, MatrixView.allocate(arena, rows, columns));
  }

  private Path write(Map<String, String> metadata, NewTensor... tensors) throws IOException {
    Path path = folder.resolve("model.safetensors");
    SafetensorsWriter.write(path, true, new ArrayList<>(List.of(tensors)), metadata);
    return path;
  }
}
