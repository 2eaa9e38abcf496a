package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.io.SafetensorsHeader.Entry;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;

/// A safetensors file, memory-mapped: eight bytes of header length, a JSON header, the bytes of the tensors.
/// Nothing is read from the disk before it is used.
public final class SafetensorsFile {
  private static final ValueLayout.OfLong LENGTH = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Path path;
  private final List<Path> parts;
  private final MemorySegment header;
  private final SafetensorsHeader parsed;
  private final List<Tensor> tensors;
  private final Map<String, Tensor> byName;
  private final Map<String, Long> offsets;

  /// @param data where the tensor of an entry lies
  private SafetensorsFile(Path path, List<Path> parts, MemorySegment header, SafetensorsHeader parsed,
      Function<Entry, MemorySegment> data) {
    this.path = path;
    this.parts = List.copyOf(parts);
    this.header = header;
    this.parsed = parsed;
    long dataOffset = Long.BYTES + header.byteSize();
    tensors = parsed.entries().stream()
        .map(entry -> new Tensor(entry.name(), entry.dtype(), entry.shape(), data.apply(entry))).toList();
    byName = tensors.stream().collect(Collectors.toMap(Tensor::name, tensor -> tensor));
    offsets = parsed.entries().stream().collect(Collectors.toMap(Entry::name, entry -> dataOffset + entry.begin()));
  }

  /// Maps a file into `arena` and checks its header completely.
  ///
  /// @param arena how long, and for which threads, the tensors' bytes can be read
  /// @throws FormatException if the file is not a valid safetensors file
  /// @throws IOException if it cannot be read
  public static SafetensorsFile open(Path path, Arena arena) throws IOException {
    MemorySegment mapped = InputFile.map(path, arena);
    ForeignFormat.refuse(path, mapped);
    long left = mapped.byteSize() - Long.BYTES;
    if (left < 0) {
      throw new FormatException(path,
          "%d bytes are too few for a safetensors file; copy it again".formatted(mapped.byteSize()));
    }
    long headerBytes = mapped.get(LENGTH, 0);
    SafetensorsHeader.checkLength(path, headerBytes, left);
    MemorySegment header = mapped.asSlice(Long.BYTES, headerBytes);
    byte[] json = header.toArray(ValueLayout.JAVA_BYTE);
    return new SafetensorsFile(path, List.of(path), header, SafetensorsHeader.parse(path, json, left - headerBytes),
        entry -> mapped.asSlice(Long.BYTES + headerBytes + entry.begin(), entry.end() - entry.begin()));
  }

  /// All files of an index as one, whose header is that of a single file with all tensors. Larger element types lie
  /// first, which keeps every tensor aligned.
  ///
  /// @throws FormatException if a part or its index is missing, or they do not agree
  static SafetensorsFile open(ShardIndex index, Arena arena) throws IOException {
    Map<String, String> metadata = new LinkedHashMap<>();
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    for (Path part : index.parts()) {
      SafetensorsFile file = open(part, arena);
      file.metadata().forEach(metadata::putIfAbsent);
      for (Tensor tensor : file.tensors) {
        if (!part.getFileName().toString().equals(index.files().get(tensor.name()))) {
          throw new FormatException(index.path(), "does not place tensor %s into %s; save the model again"
              .formatted(quote(tensor.name()), part.getFileName()));
        }
        tensors.put(tensor.name(), tensor);
      }
    }
    for (Map.Entry<String, String> placed : index.files().entrySet()) {
      if (!tensors.containsKey(placed.getKey())) {
        throw new FormatException(index.path().resolveSibling(placed.getValue()),
            "has no tensor %s, which %s places there; save the model again".formatted(quote(placed.getKey()),
                index.path().getFileName()));
      }
    }
    index.metadata().forEach(metadata::putIfAbsent);
    List<Tensor> aligned = aligned(tensors.values());
    return assembled(index.path(), index.parts(), metadata, aligned, aligned);
  }

  /// Larger element types first.
  private static List<Tensor> aligned(Collection<Tensor> tensors) {
    return tensors.stream().sorted(Comparator.comparingInt(tensor -> -tensor.dtype().bits())).toList();
  }

  /// Tensors of a file of another format, as if they were in one of this.
  static SafetensorsFile of(Path path, Map<String, String> metadata, List<Tensor> tensors) {
    return assembled(path, List.of(path), metadata, tensors, aligned(tensors));
  }

  /// This file with some tensors in the place of those of their names, of any shapes.
  SafetensorsFile with(Map<String, Tensor> replaced) {
    List<Tensor> changed = tensors.stream().map(tensor -> replaced.getOrDefault(tensor.name(), tensor)).toList();
    return assembled(path, parts, parsed.metadata(), changed,
        changed.stream().sorted(Comparator.comparingLong(this::offset).thenComparingLong(Tensor::elements)).toList());
  }

  /// This file with other tensors and metadata.
  SafetensorsFile with(Map<String, String> metadata, List<Tensor> tensors) {
    return assembled(path, parts, metadata, tensors, aligned(tensors));
  }

  /// Tensors as those of one file.
  ///
  /// @param tensors   in the order of the header
  /// @param dataOrder the same in the order in which their bytes lie
  private static SafetensorsFile assembled(Path path, List<Path> parts, Map<String, String> metadata,
      List<Tensor> tensors, List<Tensor> dataOrder) {
    Map<String, Entry> entries = new HashMap<>();
    long begin = 0;
    for (Tensor tensor : dataOrder) {
      long end = begin + tensor.data().byteSize();
      entries.put(tensor.name(), new Entry(tensor.name(), tensor.dtype(), tensor.shape(), begin, end));
      begin = end;
    }
    SafetensorsHeader header = new SafetensorsHeader(metadata,
        tensors.stream().map(tensor -> entries.get(tensor.name())).toList());
    Map<String, MemorySegment> data = tensors.stream().collect(Collectors.toMap(Tensor::name, Tensor::data));
    return new SafetensorsFile(path, parts, MemorySegment.ofArray(header.toJson()), header,
        entry -> data.get(entry.name()));
  }

  /// The file, or the index of several.
  public Path path() {
    return path;
  }

  /// The files that hold the tensors.
  public List<Path> parts() {
    return parts;
  }

  /// The header as it stands in the file, with its padding; of several files, that of a single one with all tensors.
  public MemorySegment header() {
    return header;
  }

  /// The metadata in the order of the header; empty if there are none.
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(parsed.metadata());
  }

  /// The tensors in the order of the header.
  public List<Tensor> tensors() {
    return tensors;
  }

  /// The tensor of that name.
  public Optional<Tensor> tensor(String name) {
    return Optional.ofNullable(byName.get(name));
  }

  /// A tensor of this file as a matrix; one dimension becomes one row, none a single element. F32 is seen
  /// where it lies, anything else converted into memory of `arena`.
  ///
  /// @throws FormatException if the tensor is not numeric, has no elements, or has more than two dimensions
  ///                         or one beyond 2³¹, or an element is beyond the range of float32
  public MatrixView asFloat32(Tensor tensor, Arena arena) throws FormatException {
    List<Long> shape = tensor.shape();
    long columns = shape.isEmpty() ? 1 : shape.getLast();
    long rows = shape.size() < 2 ? 1 : shape.getFirst();
    if (!tensor.dtype().isNumeric() || shape.size() > 2 || tensor.elements() == 0
        || Math.max(rows, columns) > Integer.MAX_VALUE) {
      throw new FormatException(path, "tensor %s: %s of shape %s is not a numeric vector or matrix"
          .formatted(quote(tensor.name()), tensor.dtype(), shape));
    }
    if (tensor.dtype() == DType.F32 && ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN) {
      return new MatrixView(tensor.data(), (int) rows, (int) columns);
    }
    MatrixView matrix = MatrixView.allocate(arena, (int) rows, (int) columns);
    for (long i = 0; i < matrix.elements(); i++) {
      float value = tensor.dtype().read(tensor.data(), i);
      if (Float.isInfinite(value) && Double.isFinite(tensor.dtype().value(tensor.data(), i, ByteOrder.LITTLE_ENDIAN))) {
        throw new FormatException(path,
            "tensor %s is %s at [%d, %d], beyond float32's range".formatted(quote(tensor.name()),
                tensor.dtype().value(tensor.data(), i, ByteOrder.LITTLE_ENDIAN), i / columns, i % columns));
      }
      matrix.segment().setAtIndex(MatrixView.ELEMENT, i, value);
    }
    return matrix;
  }

  /// Where in the file the tensor's bytes begin; of a model in several files, where they would in a single one.
  long offset(Tensor tensor) {
    return offsets.get(tensor.name());
  }
}
