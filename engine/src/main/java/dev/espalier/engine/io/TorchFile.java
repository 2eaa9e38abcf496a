package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.io.Pickle.Call;
import dev.espalier.engine.io.Pickle.Global;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// A state dict in a file of PyTorch's `torch.save`, as a zip archive or in the older form. Of the pickle in it only what
/// makes tensors is understood, and nothing is run. Tensors that lie in the file as they should are seen there; others,
/// such as transposed ones, are copied.
final class TorchFile {
  private static final String SAVE = "save its state dict: torch.save(model.state_dict(), FILE)";
  private static final BigInteger MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);
  /// Where checkpoints keep the state dict of the model, the likeliest first.
  private static final List<String> USUAL = List.of("state_dict", "model_state_dict", "model", "net", "network",
      "module", "weights");
  private static final Pattern SHARD = Pattern.compile(".*-\\d{5}-of-(?!00001)\\d{5}\\.\\w+");
  private static final int DEEPEST_REBUILDING = 8;
  /// How many copies of all elements there may be, as several tensors may see the same in another order.
  private static final int MOST_COPIES = 4;

  private static final Map<String, DType> STORAGES = Map.ofEntries(Map.entry("FloatStorage", DType.F32),
      Map.entry("DoubleStorage", DType.F64), Map.entry("HalfStorage", DType.F16),
      Map.entry("BFloat16Storage", DType.BF16), Map.entry("LongStorage", DType.I64), Map.entry("IntStorage", DType.I32),
      Map.entry("ShortStorage", DType.I16), Map.entry("CharStorage", DType.I8), Map.entry("ByteStorage", DType.U8),
      Map.entry("UntypedStorage", DType.U8), Map.entry("BoolStorage", DType.BOOL));
  private static final Map<String, DType> DTYPES = Map.of("float8_e4m3fn", DType.F8_E4M3, "float8_e5m2", DType.F8_E5M2,
      "float8_e4m3fnuz", DType.F8_E4M3FNUZ, "float8_e5m2fnuz", DType.F8_E5M2FNUZ, "float8_e8m0fnu", DType.F8_E8M0,
      "uint16", DType.U16, "uint32", DType.U32, "uint64", DType.U64);

  private final Path path;
  private final Arena arena;
  private final Map<String, MemorySegment> storages;
  private final boolean swapped;
  /// Bytes of the storages together, and of the copies of tensors that do not lie there as they should.
  private final long bytes;
  private long copied;

  private TorchFile(Path path, Arena arena, Map<String, MemorySegment> storages, boolean swapped) {
    this.path = path;
    this.arena = arena;
    this.storages = storages;
    this.swapped = swapped;
    bytes = storages.values().stream().mapToLong(MemorySegment::byteSize).sum();
  }

  /// Where the elements of tensors lie.
  ///
  /// @param first element, of a view of what is kept under the key
  private record Storage(String key, DType dtype, long first) {}

  /// A dictionary of tensors.
  ///
  /// @param name of the entry of a checkpoint that holds it; empty if the file is nothing else
  private record StateDict(String name, Map<?, ?> entries) {}

  /// What was read.
  ///
  /// @param tensors in the order of the state dict
  /// @param notes   what was left out
  record Content(List<Tensor> tensors, List<String> notes) {}

  /// Whether a file is PyTorch's, or at least a zip archive or a pickle.
  static boolean matches(MemorySegment content) {
    if (content.byteSize() < Integer.BYTES || ForeignFormat.isSafetensors(content)) {
      return false;
    }
    byte[] start = content.asSlice(0, Integer.BYTES).toArray(ValueLayout.JAVA_BYTE);
    return Arrays.equals(start, new byte[]{'P', 'K', 3, 4})
        || (start[0] == (byte) 0x80 && start[1] >= 2 && start[1] <= 5);
  }

  /// Reads the state dict of a file.
  ///
  /// @param content of the file
  /// @param arena   of tensors that have to be copied
  /// @throws FormatException if it holds none, several, or something that only PyTorch could load
  static Content read(Path path, MemorySegment content, Arena arena) throws FormatException {
    if (SHARD.matcher(String.valueOf(path.getFileName())).matches()) {
      throw new FormatException(path,
          "is one of several files of a model; load them in PyTorch, and save the state dict" + " in one file");
    }
    return content.get(ValueLayout.JAVA_BYTE, 0) == 'P' ? zip(path, content, arena) : legacy(path, content, arena);
  }

  private static Content zip(Path path, MemorySegment content, Arena arena) throws FormatException {
    Map<String, ZipMembers.Member> members = ZipMembers.of(path, content);
    List<String> pickles = members.keySet().stream()
        .filter(name -> name.equals("data.pkl") || name.endsWith("/data.pkl")).toList();
    if (pickles.size() != 1) {
      throw new FormatException(path, "is a zip archive, but not one of torch.save; load it in its framework, and save"
          + " the weights with safetensors or torch.save");
    }
    String prefix = pickles.getFirst().substring(0, pickles.getFirst().length() - "data.pkl".length());
    if (members.containsKey(prefix + "constants.pkl")) {
      throw new FormatException(path, "is a TorchScript model; load it with torch.jit.load, and " + SAVE);
    }
    for (Map.Entry<String, ZipMembers.Member> member : members.entrySet()) {
      if (member.getValue().isCompressed()) {
        throw new FormatException(path,
            "its member %s is compressed; save it again, without compression".formatted(quote(member.getKey())));
      }
    }
    Object root = new Pickle(path, members.get(pickles.getFirst()).data(), 0, TorchFile::storage).read();
    Map<String, MemorySegment> storages = new HashMap<>();
    String data = prefix + "data/";
    members.forEach((name, member) -> {
      if (name.startsWith(data)) {
        storages.put(name.substring(data.length()), member.data());
      }
    });
    ZipMembers.Member order = members.get(prefix + "byteorder");
    boolean isBigEndian = order != null
        && new String(order.data().toArray(ValueLayout.JAVA_BYTE), StandardCharsets.ISO_8859_1).strip().equals("big");
    return new TorchFile(path, arena, storages, isBigEndian).tensors(root);
  }

  private static Content legacy(Path path, MemorySegment content, Arena arena) throws FormatException {
    Map<String, Storage> used = new HashMap<>();
    Pickle pickle = new Pickle(path, content, 0, id -> {
      Object storage = storage(id);
      if (storage instanceof Storage known) {
        used.put(known.key, known);
      }
      return storage;
    });
    if (!MAGIC.equals(pickle.read())) {
      throw new FormatException(path,
          "is a Python pickle, but not one of torch.save; load it in its framework, and save"
              + " the weights with safetensors or torch.save");
    }
    pickle.read(); // the version
    if (pickle.read() instanceof Map<?, ?> system && Boolean.FALSE.equals(system.get("little_endian"))) {
      throw new FormatException(path,
          "was written by a big-endian machine; load it there, and save it with safetensors");
    }
    Object root = pickle.read();
    Object keys = pickle.read();
    long at = pickle.position();
    Map<String, MemorySegment> storages = new HashMap<>();
    for (Object key : keys instanceof List<?> list ? list : List.of()) {
      Storage storage = key instanceof String name ? used.get(name) : null;
      if (storage == null) {
        throw new FormatException(path,
            "holds tensors of a type that is not read; save the state dict of the model alone");
      }
      requireLeft(path, at <= content.byteSize() - Long.BYTES);
      long elements = content.get(ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), at);
      at += Long.BYTES;
      requireLeft(path, elements >= 0 && elements <= (content.byteSize() - at) / storage.dtype.bytes());
      storages.put(storage.key, content.asSlice(at, elements * storage.dtype.bytes()));
      at += elements * storage.dtype.bytes();
    }
    return new TorchFile(path, arena, storages, false).tensors(root);
  }

  private static void requireLeft(Path path, boolean condition) throws FormatException {
    if (!condition) {
      throw new FormatException(path, "ends before its last tensor; copy it or save it again");
    }
  }

  /// The storage of a persistent id `("storage", type, key, location, elements[, view])`, the class of
  /// `("module", class, …)`, or the id itself.
  private static Object storage(Object id) {
    if (id instanceof List<?> module && module.size() > 1 && "module".equals(module.get(0))) {
      return module.get(1);
    }
    boolean isStorage = id instanceof List<?> parts && parts.size() >= 5 && "storage".equals(parts.get(0))
        && parts.get(1) instanceof Global && parts.get(2) instanceof String && parts.get(4) instanceof Long;
    if (!isStorage) {
      return id;
    }
    List<?> parts = (List<?>) id;
    DType dtype = STORAGES.get(((Global) parts.get(1)).name());
    long first = parts.size() > 5 && parts.get(5) instanceof List<?> view && view.size() > 1
        && view.get(1) instanceof Long offset ? offset : 0;
    return dtype == null ? id : new Storage((String) parts.get(2), dtype, first);
  }

  private Content tensors(Object root) throws FormatException {
    StateDict found = stateDict(root);
    List<Tensor> tensors = new ArrayList<>();
    List<String> others = new ArrayList<>();
    for (Map.Entry<?, ?> entry : found.entries.entrySet()) {
      Optional<Tensor> tensor = entry.getKey() instanceof String name
          ? tensor(name, entry.getValue())
          : Optional.empty();
      tensor.ifPresentOrElse(tensors::add, () -> others.add(String.valueOf(entry.getKey())));
    }
    List<String> notes = new ArrayList<>();
    notes.add(found.name.isEmpty()
        ? "model: PyTorch's state dict, which is written in other formats only"
        : "model: the state dict %s of PyTorch's file, which is written in other formats only, without the rest"
            .formatted(quote(found.name)));
    if (!others.isEmpty()) {
      notes.add("left out, for they are no tensors of a known type: "
          + others.stream().limit(20).map(FormatException::quote).collect(Collectors.joining(", "))
          + (others.size() > 20 ? ", …" : ""));
    }
    return new Content(tensors, notes);
  }

  /// The file itself, or the entry of a checkpoint that is a state dict.
  private StateDict stateDict(Object root) throws FormatException {
    if (isStateDict(root)) {
      return new StateDict("", (Map<?, ?>) root);
    }
    List<StateDict> found = new ArrayList<>();
    Set<Object> seen = Collections.newSetFromMap(new IdentityHashMap<>()); // a pickle may hold one value many times
    seen.add(root);
    search("", root, 2, seen, found);
    List<StateDict> usual = found.stream().filter(dict -> USUAL.contains(dict.name))
        .sorted(Comparator.comparingInt(dict -> USUAL.indexOf(dict.name))).toList();
    if (found.size() == 1 || !usual.isEmpty()) {
      return usual.isEmpty() ? found.getFirst() : usual.getFirst();
    }
    if (!found.isEmpty()) {
      throw new FormatException(path, "holds several state dicts (%s); save one of them alone with torch.save"
          .formatted(found.stream().map(dict -> quote(dict.name)).collect(Collectors.joining(", "))));
    }
    Stream<?> values = root instanceof Map<?, ?> map ? map.values().stream() : Stream.ofNullable(root);
    Optional<Global> object = values.filter(Call.class::isInstance).map(call -> ((Call) call).function())
        .filter(Global.class::isInstance).map(Global.class::cast).findFirst();
    throw new FormatException(path,
        object
            .map(type -> "holds an object of the class %s, which only its program can load; %s"
                .formatted(quote(type.toString()), SAVE))
            .orElse("holds no state dict, which maps names to tensors; " + SAVE));
  }

  private static void search(String prefix, Object outer, int depth, Set<Object> seen, List<StateDict> found) {
    if (depth == 0 || !(outer instanceof Map<?, ?> map)) {
      return;
    }
    for (Map.Entry<?, ?> entry : map.entrySet()) {
      if (entry.getKey() instanceof String name && seen.add(entry.getValue())) {
        if (isStateDict(entry.getValue())) {
          found.add(new StateDict(prefix + name, (Map<?, ?>) entry.getValue()));
        } else {
          search(prefix + name + ".", entry.getValue(), depth - 1, seen, found);
        }
      }
    }
  }

  private static boolean isStateDict(Object value) {
    return value instanceof Map<?, ?> map && map.entrySet().stream()
        .anyMatch(entry -> entry.getKey() instanceof String && view(entry.getValue()).isPresent());
  }

  /// A tensor as PyTorch describes it: where its elements lie in a storage.
  private record View(Storage storage, DType dtype, Object offset, Object size, Object stride) {}

  /// What the functions would build that PyTorch's pickles name for tensors.
  private static Optional<View> view(Object value) {
    Object built = value;
    for (int depth = 0; depth < DEEPEST_REBUILDING; depth++) {
      if (!(built instanceof Call(Global function, List<?> arguments)) || !function.module().startsWith("torch.")) {
        return Optional.empty();
      }
      int given = arguments.size();
      switch (function.name()) {
        case "_rebuild_parameter", "_rebuild_parameter_with_state" -> built = given > 0 ? arguments.get(0) : null;
        case "_rebuild_from_type_v2" -> built = given > 2 ? new Call(arguments.get(0), arguments.get(2)) : null;
        case "_rebuild_tensor", "_rebuild_tensor_v2" -> {
          return given >= 4 && arguments.get(0) instanceof Storage storage
              ? Optional.of(new View(storage, storage.dtype, arguments.get(1), arguments.get(2), arguments.get(3)))
              : Optional.empty();
        }
        case "_rebuild_tensor_v3" -> {
          return given >= 7 && arguments.get(0) instanceof Storage storage && arguments.get(6) instanceof Global type
              && DTYPES.containsKey(type.name())
                  ? Optional.of(
                      new View(storage, DTYPES.get(type.name()), arguments.get(1), arguments.get(2), arguments.get(3)))
                  : Optional.empty();
        }
        default -> {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }

  private Optional<Tensor> tensor(String name, Object value) throws FormatException {
    Optional<View> view = view(value);
    if (view.isEmpty()) {
      return Optional.empty();
    }
    Storage storage = view.get().storage;
    DType dtype = view.get().dtype;
    MemorySegment data = storages.get(storage.key);
    List<Long> size = integers(name, view.get().size);
    List<Long> stride = integers(name, view.get().stride);
    if (data == null) {
      throw new FormatException(path,
          "the elements of tensor %s are not in it; copy it or save it again".formatted(quote(name)));
    }
    if (size.size() != stride.size() || !(view.get().offset instanceof Long offset)
        || name.equals(SafetensorsHeader.METADATA)) {
      throw damaged(name);
    }
    try {
      long elements = size.stream().reduce(1L, Math::multiplyExact);
      long first = Math.addExact(offset, storage.first);
      long last = first;
      for (int d = 0; d < size.size() && elements > 0; d++) {
        last = Math.addExact(last, Math.multiplyExact(size.get(d) - 1, stride.get(d)));
      }
      long held = data.byteSize() / dtype.bytes();
      if (first < 0 || (elements > 0 && last >= held)) {
        throw damaged(name);
      }
      boolean isSeen = elements == 0 || (!swapped && isInOrder(size, stride));
      copied += isSeen || elements > held ? 0 : elements * dtype.bytes();
      if (elements > held || copied / MOST_COPIES > bytes) {
        throw new FormatException(path,
            "tensor %s repeats its elements; save a copy of it, by .contiguous()".formatted(quote(name)));
      }
      return Optional.of(new Tensor(name, dtype, size,
          isSeen
              ? data.asSlice(elements == 0 ? 0 : first * dtype.bytes(), elements * dtype.bytes())
              : copy(data, dtype, first, size, stride, elements)));
    } catch (ArithmeticException e) {
      throw damaged(name);
    }
  }

  /// The elements row after row, little-endian.
  private MemorySegment copy(MemorySegment data, DType dtype, long first, List<Long> size, List<Long> stride,
      long elements) {
    int bytes = dtype.bytes();
    MemorySegment copy = arena.allocate(elements * bytes);
    long[] index = new long[size.size()];
    long from = first;
    for (long to = 0; to < elements; to++) {
      for (int b = 0; b < bytes; b++) {
        copy.set(ValueLayout.JAVA_BYTE, to * bytes + b,
            data.get(ValueLayout.JAVA_BYTE, from * bytes + (swapped ? bytes - 1 - b : b)));
      }
      for (int d = index.length - 1; d >= 0; d--) {
        index[d]++;
        from += stride.get(d);
        if (index[d] < size.get(d)) {
          break;
        }
        from -= index[d] * stride.get(d);
        index[d] = 0;
      }
    }
    return copy;
  }

  private static boolean isInOrder(List<Long> size, List<Long> stride) {
    long expected = 1;
    for (int d = size.size() - 1; d >= 0; d--) {
      if (size.get(d) > 1 && stride.get(d) != expected) {
        return false;
      }
      expected *= size.get(d);
    }
    return true;
  }

  private List<Long> integers(String name, Object value) throws FormatException {
    List<Long> integers = new ArrayList<>();
    boolean isShape = value instanceof List<?> list && list.size() <= SafetensorsHeader.MOST_DIMENSIONS;
    for (Object element : isShape ? (List<?>) value : List.of(false)) {
      if (!(element instanceof Long integer) || integer < 0) {
        throw damaged(name);
      }
      integers.add(integer);
    }
    return integers;
  }

  private FormatException damaged(String name) {
    return new FormatException(path,
        "tensor %s does not fit what is there of it; copy it or save it again".formatted(quote(name)));
  }
}
