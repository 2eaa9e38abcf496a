package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/// A safetensors file, memory-mapped: eight bytes of header length, a JSON header, the bytes of the tensors.
/// Nothing is read from the disk before it is used.
public final class SafetensorsFile {
  private static final ValueLayout.OfLong LENGTH = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Path path;
  private final MemorySegment mapped;
  private final MemorySegment header;
  private final SafetensorsHeader parsed;
  private final List<Tensor> tensors;
  private final Map<String, Tensor> byName;

  private SafetensorsFile(Path path, MemorySegment mapped, MemorySegment header, SafetensorsHeader parsed) {
    this.path = path;
    this.mapped = mapped;
    this.header = header;
    this.parsed = parsed;
    long dataOffset = Long.BYTES + header.byteSize();
    this.tensors = parsed.entries().stream().map(entry -> new Tensor(entry.name(), entry.dtype(), entry.shape(),
        mapped.asSlice(dataOffset + entry.begin(), entry.end() - entry.begin()))).toList();
    this.byName = tensors.stream().collect(Collectors.toMap(Tensor::name, tensor -> tensor));
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
    return new SafetensorsFile(path, mapped, header, SafetensorsHeader.parse(path, json, left - headerBytes));
  }

  public Path path() {
    return path;
  }

  /// The header as it stands in the file, with its padding.
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
  ///                         or one beyond 2³¹
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
      matrix.segment().setAtIndex(MatrixView.ELEMENT, i, tensor.dtype().read(tensor.data(), i));
    }
    return matrix;
  }

  /// Where in the file the tensor's bytes begin.
  long offset(Tensor tensor) {
    return tensor.data().address() - mapped.address();
  }
}
