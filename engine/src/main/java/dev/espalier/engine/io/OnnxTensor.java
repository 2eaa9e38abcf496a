package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;
import static java.util.Map.entry;

import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/// A constant of an ONNX graph.
///
/// @param data where the elements lie in the file, or in one beside it, little-endian, row after row
record OnnxTensor(String name, DType dtype, List<Long> shape, MemorySegment data) {
  private static final int FLOAT = 1;
  private static final int INT64 = 7;
  private static final Map<Integer, DType> DTYPES = Map.of(FLOAT, DType.F32, 10, DType.F16, 11, DType.F64, 16,
      DType.BF16, INT64, DType.I64, 6, DType.I32);
  static final int DIMS = 1;
  private static final int DATA_TYPE = 2;
  private static final int FLOAT_DATA = 4;
  static final int RAW_DATA = 9;
  private static final int DOUBLE_DATA = 10;
  /// Bytes of an element, by the number of its type, of those whose elements take whole bytes.
  private static final Map<Integer, Integer> ELEMENT_BYTES = Map.ofEntries(entry(1, 4), entry(2, 1), entry(3, 1),
      entry(4, 2), entry(5, 2), entry(6, 4), entry(7, 8), entry(9, 1), entry(10, 2), entry(11, 8), entry(12, 4),
      entry(13, 8), entry(14, 8), entry(15, 16), entry(16, 2), entry(17, 1), entry(18, 1), entry(19, 1), entry(20, 1));
  /// The fields of its shape and elements.
  static final Set<Integer> CONTENT = Set.of(DIMS, FLOAT_DATA, RAW_DATA, DOUBLE_DATA, OnnxExternal.DATA,
      OnnxExternal.DATA_LOCATION);

  /// A constant that a node gives as numbers in an attribute, which lies in no file as a tensor does.
  ///
  /// @return empty if the node gives none in this way
  static Optional<Protobuf> given(Path path, OnnxNode node) throws FormatException {
    for (String one : List.of("value_float", "value_int")) {
      if (node.attribute(one).isPresent()) {
        return Optional.of(one.equals("value_float")
            ? floats(List.of(node.number(one, 0)), false)
            : integers(List.of(node.integer(one, 0)), false));
      }
      String several = one + "s";
      if (node.attribute(several).isPresent()) {
        return Optional.of(one.equals("value_float")
            ? floats(node.numbers(several), true)
            : integers(node.integers(path, several), true));
      }
    }
    return Optional.empty();
  }

  private static Protobuf floats(List<Float> values, boolean isVector) {
    ByteBuffer data = ByteBuffer.allocate(values.size() * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    values.forEach(data::putFloat);
    return given(FLOAT, values.size(), isVector, data);
  }

  private static Protobuf integers(List<Long> values, boolean isVector) {
    ByteBuffer data = ByteBuffer.allocate(values.size() * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    values.forEach(data::putLong);
    return given(INT64, values.size(), isVector, data);
  }

  private static Protobuf given(int type, long elements, boolean isVector, ByteBuffer data) {
    List<MemorySegment> fields = new ArrayList<>(isVector ? List.of(Protobuf.field(DIMS, elements)) : List.of());
    fields.add(Protobuf.field(DATA_TYPE, (long) type));
    fields.addAll(Protobuf.field(RAW_DATA, List.of(MemorySegment.ofBuffer(data.rewind()))));
    return Protobuf.of(fields);
  }

  /// @throws FormatException if its elements are not kept as they should be
  static OnnxTensor of(Path path, String name, Protobuf tensor, OnnxExternal external) throws FormatException {
    DType dtype = DTYPES.get((int) tensor.integer(DATA_TYPE).orElse(0));
    int number = tensor.all(RAW_DATA).isEmpty() && dtype == DType.F32
        ? FLOAT_DATA
        : tensor.all(RAW_DATA).isEmpty() && dtype == DType.F64 ? DOUBLE_DATA : RAW_DATA;
    boolean isOutside = OnnxExternal.isOutside(tensor);
    List<Protobuf.Field> fields = tensor.all(number);
    if (dtype == null || (!isOutside && fields.size() != 1)) {
      throw new FormatException(path,
          "tensor %s is of a type, or kept in a way, that is not read; export the model again, as float32"
              .formatted(quote(name)));
    }
    MemorySegment data = isOutside ? external.data(name, tensor) : fields.getFirst().bytes();
    List<Long> shape = tensor.integers(path, DIMS);
    if (bytes(path, tensor).orElse(-1) != data.byteSize()) {
      throw new FormatException(path, "tensor %s of shape %s has %d bytes; copy the model or export it again"
          .formatted(quote(name), shape, data.byteSize()));
    }
    return new OnnxTensor(name, dtype, List.copyOf(shape), data);
  }

  /// Bytes that the elements of a tensor take, by its shape; empty if that is no shape, or its type is not known.
  static OptionalLong bytes(Path path, Protobuf tensor) throws FormatException {
    Integer each = ELEMENT_BYTES.get((int) tensor.integer(DATA_TYPE).orElse(0));
    if (each == null) {
      return OptionalLong.empty();
    }
    long bytes = each;
    for (long dimension : tensor.integers(path, DIMS)) {
      if (dimension < 0 || bytes > Long.MAX_VALUE / Math.max(1, dimension)) {
        return OptionalLong.empty();
      }
      bytes *= dimension;
    }
    return OptionalLong.of(bytes);
  }

  long elements() {
    return data.byteSize() / dtype.bytes();
  }

  /// As [Tensor#picked].
  OnnxTensor picked(List<Integer> rows, List<Integer> columns, Arena arena) {
    Tensor picked = new Tensor(name, dtype, shape, data).picked(rows, columns, arena);
    return new OnnxTensor(name, dtype, picked.shape(), picked.data());
  }

  /// A row of all elements.
  MatrixView toFloat32(Arena arena) {
    MatrixView row = MatrixView.allocate(arena, 1, Math.toIntExact(elements()));
    for (int i = 0; i < row.columns(); i++) {
      row.set(0, i, (float) value(i));
    }
    return row;
  }

  double value(long index) {
    return dtype.value(data, index, ByteOrder.LITTLE_ENDIAN);
  }
}
