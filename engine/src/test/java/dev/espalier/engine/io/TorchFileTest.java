package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.DenseLayer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Files of PyTorch itself, in `torch`, and what damage makes of them.
final class TorchFileTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({"zip.pt,''", "legacy.pt,''", "protocol4.pt,''", "checkpoint.pt,module."})
  void readsStateDictsAndWritesSafetensors(String name, String prefix) throws IOException {
    ModelFile model = load(copy(name));
    List<DenseLayer> layers = model.network().layers();
    assertEquals(List.of(prefix + "0", prefix + "2"), layers.stream().map(DenseLayer::name).toList());
    assertArrayEquals(new float[]{1, 2, 3, 4, 5, 6}, layers.getFirst().weights().toArray());
    assertArrayEquals(new float[]{10, 11}, layers.getFirst().bias().orElseThrow().toArray());
    assertArrayEquals(new float[]{20, 21}, layers.getLast().weights().toArray());
    assertArrayEquals(new float[]{30}, layers.getLast().bias().orElseThrow().toArray());
    assertEquals(List.of(prefix.isEmpty()
        ? "model: PyTorch's state dict, which is written in other formats only"
        : "model: the state dict \"model_state_dict\" of PyTorch's file, which is written in other formats only,"
            + " without the rest"),
        model.notes());
    Path written = folder.resolve("written.safetensors");
    model.save(written, model.network(), false);
    ModelFile again = ModelFile.load(written, Optional.empty(), arena);
    assertEquals(List.of(Activation.RELU, Activation.IDENTITY), again.network().activations().named());
    assertArrayEquals(layers.getFirst().weights().toArray(), again.network().layers().getFirst().weights().toArray());
    assertEquals(model.file().tensors().stream().map(Tensor::name).toList(),
        again.file().tensors().stream().map(Tensor::name).toList());
  }

  @Test
  void readsAPartAndRemembersIt() throws IOException {
    ModelFile model = ModelFile.load(copy("zip.pt"),
        new ModelReading(Optional.of(Activations.parse("tanh")), List.of("2"), OptionalInt.empty()), arena);
    Path written = folder.resolve("written.safetensors");
    model.save(written, model.network(), false);
    assertEquals(List.of("2"),
        ModelFile.load(written, Optional.empty(), arena).network().layers().stream().map(DenseLayer::name).toList());
  }

  /// A module that uses a layer twice has its tensors under two names.
  @Test
  void saysThatTiedTensorsBecomeTwo() throws IOException {
    ModelFile model = ModelFile.load(copy("tied.pt"), Optional.of(Activations.parse("relu")), arena);
    assertEquals(2, model.network().layers().size());
    assertEquals(List.of("model: PyTorch's state dict, which is written in other formats only",
        "tensors \"0.weight\" and \"2.weight\" are one that the module uses twice, and two from now on: "
            + "the module needs a layer for each to load what is written",
        "tensors \"0.bias\" and \"2.bias\" are one that the module uses twice, and two from now on: "
            + "the module needs a layer for each to load what is written"),
        model.notes());
  }

  @ParameterizedTest
  @ValueSource(strings = {"views.pt", "views-legacy.pt"})
  void readsViewsAndTypes(String name) throws IOException {
    assertViews(copy(name));
  }

  private void assertViews(Path path) throws IOException {
    TorchFile.Content content = TorchFile.read(path, InputFile.map(path, arena), arena);
    SafetensorsFile file = SafetensorsFile.of(path, Map.of(), content.tensors());
    assertArrayEquals(new float[]{1, 4, 2, 5, 3, 6}, values(file, "transposed"));
    assertEquals(List.of(3L, 2L), file.tensor("transposed").orElseThrow().shape());
    for (String same : List.of("parameter", "half", "bfloat16", "double")) {
      assertArrayEquals(new float[]{1, 2, 3, 4, 5, 6}, values(file, same), same);
    }
    assertEquals(List.of(DType.F16, DType.BF16, DType.F64, DType.I64), List.of("half", "bfloat16", "double", "scalar")
        .stream().map(n -> file.tensor(n).orElseThrow().dtype()).toList());
    assertArrayEquals(new float[]{7}, values(file, "scalar"));
    assertArrayEquals(new float[]{10, 11, 12, 13, 14, 15}, values(file, "part"));
    assertArrayEquals(new float[]{3, 43, 83}, values(file, "strided"));
    assertEquals(List.of(0L, 4L), file.tensor("empty").orElseThrow().shape());
    assertEquals("left out, for they are no tensors of a known type: \"name\"", content.notes().getLast());
  }

  private float[] values(SafetensorsFile file, String name) throws IOException {
    return file.asFloat32(file.tensor(name).orElseThrow(), arena).toArray();
  }

  /// What lies in the file as it should is not copied.
  @Test
  void seesTensorsInTheFile() throws IOException {
    Path path = copy("views.pt");
    var mapped = InputFile.map(path, arena);
    for (Tensor tensor : TorchFile.read(path, mapped, arena).tensors()) {
      long at = tensor.data().address() - mapped.address();
      boolean isSeen = at >= 0 && at < mapped.byteSize();
      assertEquals(!List.of("transposed", "strided").contains(tensor.name()), isSeen, tensor.name());
    }
  }

  @Test
  void readsWhatABigEndianMachineWrote() throws IOException {
    Map<String, byte[]> members = members("views.pt");
    Map<String, Integer> bytes = Map.of("views/data/0", 4, "views/data/1", 2, "views/data/2", 2, "views/data/3", 8,
        "views/data/4", 8, "views/data/5", 4);
    bytes.forEach((name, width) -> swap(members.get(name), width));
    members.put("views/byteorder", "big".getBytes(StandardCharsets.UTF_8));
    assertViews(zip("big.pt", ZipEntry.STORED, members));
  }

  private static void swap(byte[] data, int width) {
    for (int i = 0; i < data.length; i += width) {
      for (int b = 0; b < width / 2; b++) {
        byte first = data[i + b];
        data[i + b] = data[i + width - 1 - b];
        data[i + width - 1 - b] = first;
      }
    }
  }

  @Test
  void refusesWhatOnlyPyTorchCouldLoad() throws IOException {
    assertRefused(
        "holds an object of the class \"torch.nn.modules.container.Sequential\", which only its program can load;"
            + " save its state dict: torch.save(model.state_dict(), FILE)",
        copy("module.pt"));
    assertRefused("is a TorchScript model; load it with torch.jit.load, and save its state dict:"
        + " torch.save(model.state_dict(), FILE)", copy("script.pt"));
    assertRefused("tensor \"0.weight\" repeats its elements; save a copy of it, by .contiguous()", copy("expanded.pt"));
    assertRefused("its member \"zip/data.pkl\" is compressed; save it again, without compression",
        zip("deflated.pt", ZipEntry.DEFLATED, members("zip.pt")));
    assertRefused("is a zip archive, but not one of torch.save; load it in its framework, and save the weights with"
        + " safetensors or torch.save", zip("other.pt", ZipEntry.STORED, Map.of("x.npy", new byte[9])));
    Map<String, byte[]> missing = members("zip.pt");
    missing.remove("zip/data/0");
    assertRefused("the elements of tensor \"0.weight\" are not in it; copy it or save it again",
        zip("missing.pt", ZipEntry.STORED, missing));
    Files.copy(copy("zip.pt"), folder.resolve("pytorch_model-00001-of-00002.bin"));
    assertRefused("is one of several files of a model; load them in PyTorch, and save the state dict in one file",
        folder.resolve("pytorch_model-00001-of-00002.bin"));
    assertRefused("is a Python pickle, but not one of torch.save; load it in its framework, and save the weights with"
        + " safetensors or torch.save", TestFiles.file(folder, "plain.pkl", pickle("N.")));
    assertRefused(
        "holds no state dict, which maps names to tensors; save its state dict:"
            + " torch.save(model.state_dict(), FILE)",
        zip("none.pt", ZipEntry.STORED, Map.of("a/data.pkl", pickle("N."))));
    assertRefused("its pickle is damaged or not PyTorch's (byte 3: opcode 0x50 is not read); copy it or save it again",
        zip("opcode.pt", ZipEntry.STORED, Map.of("a/data.pkl", pickle("P."))));
  }

  /// Two maps that hold each other, and a call of a list that holds the call.
  @Test
  void endsOnValuesThatHoldThemselves() throws IOException {
    assertRefused(
        "holds no state dict, which maps names to tensors; save its state dict:"
            + " torch.save(model.state_dict(), FILE)",
        zip("cycle.pt", ZipEntry.STORED, Map.of("a/data.pkl", pickle("}q\0U\1a}q\1U\1bh\0ssh\0."))));
    assertRefused(
        "holds an object of the class \"torch._utils._rebuild_parameter\", which only its program can load; save"
            + " its state dict: torch.save(model.state_dict(), FILE)",
        zip("call.pt", ZipEntry.STORED,
            Map.of("a/data.pkl", pickle("}U\1wctorch._utils\n_rebuild_parameter\n]q\0Rq\1h\0h\1a0s."))));
  }

  /// Names of classes that are no texts: a tuple of itself three times over, sixty times, and a list within itself.
  @ParameterizedTest
  @ValueSource(ints = {0, 1})
  void refusesNamesThatAreNoText(int crafted) throws IOException {
    String value = crafted == 0 ? "U\1x\u0085" + "22\u0087".repeat(60) : "]q\0]q\1h\0ah\0h\1a0h\0";
    Path path = zip("name.pt", ZipEntry.STORED, Map.of("a/data.pkl", pickle(value + "U\1y\u0093.")));
    FormatException refusal = assertThrows(FormatException.class, () -> load(path));
    assertTrue(refusal.getMessage().endsWith(": a class has a name that is no text); copy it or save it again"),
        refusal.getMessage());
  }

  /// Opcodes of a byte each, and what each of them makes in memory: a list, a map, a value that is remembered.
  @ParameterizedTest
  @ValueSource(strings = {"(", "]", "}", "2", "\u0094"})
  void refusesMoreValuesThanTakeReasonableMemory(String opcode) throws IOException {
    assertRefused(
        "its pickle has more than 4194304 values; save the state dict alone: torch.save(model.state_dict()," + " FILE)",
        zip("many.pt", ZipEntry.STORED, Map.of("a/data.pkl", pickle("N" + opcode.repeat(1 << 22) + "."))));
  }

  /// A list of a million tuples within each other is read, for nothing walks through it.
  @Test
  void readsTuplesDeepWithinEachOther() throws IOException {
    assertRefused(
        "holds no state dict, which maps names to tensors; save its state dict:"
            + " torch.save(model.state_dict(), FILE)",
        zip("deep.pt", ZipEntry.STORED, Map.of("a/data.pkl", pickle(")" + "\u0085".repeat(1_000_000) + "."))));
  }

  /// A map of many keys that all hold one other map of as many.
  @Test
  void endsOnValuesThatAreHeldOften() throws IOException {
    StringBuilder keys = new StringBuilder();
    for (int k = 0; k < 100_000; k++) {
      keys.append("X\5\0\0\0%05dh\0".formatted(k));
    }
    assertRefused(
        "holds no state dict, which maps names to tensors; save its state dict:"
            + " torch.save(model.state_dict(), FILE)",
        zip("often.pt", ZipEntry.STORED, Map.of("a/data.pkl",
            pickle("}U\1r}(U\1a}(" + keys.toString().replace("h\0", "N") + "uq\0" + keys + "us."))));
  }

  /// Copies of one storage of 4 bytes, transposed.
  @Test
  void refusesManyCopiesOfTheSameElements() throws IOException {
    String storage = "(U\7storagectorch\nFloatStorage\nU\1" + "0U\3cpuK\4tQ";
    String view = "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K\0K\2K\2\u0086K\1K\2\u0086\u0089}tR";
    StringBuilder entries = new StringBuilder("}(");
    for (int k = 0; k < 5; k++) {
      entries.append("U\1").append(k).append(view);
    }
    assertRefused("tensor \"4\" repeats its elements; save a copy of it, by .contiguous()",
        zip("copies.pt", ZipEntry.STORED, Map.of("a/data.pkl", pickle(entries + "u."), "a/data/0", new byte[16])));
  }

  private static byte[] pickle(String opcodes) {
    return ("\u0080\2" + opcodes).getBytes(StandardCharsets.ISO_8859_1);
  }

  /// Bytes that change or are missing lead to a refusal, or to other values; never to another failure.
  @ParameterizedTest
  @ValueSource(
      strings = {"zip.pt", "legacy.pt", "protocol4.pt", "checkpoint.pt", "views.pt", "views-legacy.pt", "module.pt"})
  void survivesDamage(String name) throws IOException {
    byte[] whole = Files.readAllBytes(copy(name));
    RandomGenerator random = TestNetworks.random(1);
    int refused = 0;
    for (int run = 0; run < 3000; run++) {
      byte[] damaged = run % 3 == 0 ? Arrays.copyOf(whole, random.nextInt(1, whole.length)) : whole.clone();
      for (int flips = run % 3 == 0 ? 0 : 1 + random.nextInt(3); flips > 0; flips--) {
        damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
      }
      Path path = TestFiles.file(folder, "damaged.pt", damaged);
      try (Arena own = Arena.ofConfined()) {
        ModelFile.load(path, Optional.of(Activations.parse("relu")), own);
      } catch (FormatException e) {
        refused++;
        assertTrue(e.getMessage().startsWith(path.toString()), e.getMessage());
      } catch (RuntimeException e) {
        throw new AssertionError("run " + run, e);
      }
    }
    assertTrue(refused > 500, "refused " + refused);
  }

  private void assertRefused(String message, Path path) {
    FormatException refusal = assertThrows(FormatException.class, () -> load(path));
    assertEquals(path + ": " + message, refusal.getMessage());
  }

  private ModelFile load(Path path) throws IOException {
    return ModelFile.load(path, Optional.of(Activations.parse("relu")), arena);
  }

  private Path copy(String name) throws IOException {
    try (InputStream in = TorchFileTest.class.getResourceAsStream("torch/" + name)) {
      return TestFiles.file(folder, name, in.readAllBytes());
    }
  }

  private Map<String, byte[]> members(String name) throws IOException {
    Map<String, byte[]> members = new LinkedHashMap<>();
    try (ZipFile zip = new ZipFile(copy(name).toFile())) {
      for (ZipEntry entry : Collections.list(zip.entries())) {
        members.put(entry.getName(), zip.getInputStream(entry).readAllBytes());
      }
    }
    return members;
  }

  private Path zip(String name, int method, Map<String, byte[]> members) throws IOException {
    var bytes = new ByteArrayOutputStream();
    try (var zip = new ZipOutputStream(bytes)) {
      for (Map.Entry<String, byte[]> member : members.entrySet()) {
        ZipEntry entry = new ZipEntry(member.getKey());
        entry.setMethod(method);
        CRC32 crc = new CRC32();
        crc.update(member.getValue());
        entry.setCrc(crc.getValue());
        entry.setSize(member.getValue().length);
        zip.putNextEntry(entry);
        zip.write(member.getValue());
      }
    }
    return TestFiles.file(folder, name, bytes.toByteArray());
  }
}
