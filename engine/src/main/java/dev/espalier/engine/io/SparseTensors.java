package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Sparse matrices in safetensors, each as several tensors that begin with the name of the matrix.
///
/// | form | tensors | shape | |
/// |---|---|---|---|
/// | compressed rows | `.crow_indices` | rows + 1 | I32 or I64: for each row the number of its first value, and that of all |
/// | | `.col_indices` | values | of the same type, ascending within a row |
/// | | `.values` | values | the metadata `<name>.shape` are `rows,columns` |
/// | two of four | `.values` | rows × columns / 2 | two of each four columns |
/// | | `.indices_2_4` | rows × ⌈columns / 8⌉ | U8: four bits for each four columns, the lower half of a byte first: two for the place of the first value, the upper two for that of the second |
final class SparseTensors {
  /// Columns of which two have values.
  static final int GROUP = 4;

  private static final String FIRST = ".crow_indices";
  private static final String COLUMNS = ".col_indices";
  private static final String VALUES = ".values";
  private static final String PAIRS = ".indices_2_4";
  private static final String SHAPE = ".shape";
  private static final Pattern TWO_NUMBERS = Pattern.compile("\\s*(\\d{1,18})\\s*,\\s*(\\d{1,18})\\s*");
  private static final int ALIGNMENT = 64;

  private final SafetensorsFile file;
  private final Arena arena;
  private final SparseLimit limit;

  private SparseTensors(SafetensorsFile file, Arena arena) {
    this.file = file;
    this.arena = arena;
    limit = new SparseLimit(file.tensors().stream().mapToLong(tensor -> tensor.data().byteSize()).sum());
  }

  // ---- reading ----

  /// A file with dense matrices in the places of sparse ones; the file itself if it has none.
  ///
  /// @param arena takes their memory
  /// @throws FormatException if one is not as it should be
  static SafetensorsFile dense(SafetensorsFile file, Arena arena) throws FormatException {
    if (file.tensors().stream().noneMatch(tensor -> tensor.name().endsWith(FIRST) || tensor.name().endsWith(PAIRS))) {
      return file;
    }
    SparseTensors sparse = new SparseTensors(file, arena);
    Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
    List<Tensor> tensors = new ArrayList<>();
    for (Tensor tensor : file.tensors()) {
      String name = tensor.name();
      if (name.endsWith(FIRST)) {
        tensors.add(sparse.compressedRows(base(name, FIRST)));
        metadata.remove(base(name, FIRST) + SHAPE);
      } else if (name.endsWith(PAIRS)) {
        tensors.add(sparse.twoOfFour(base(name, PAIRS)));
      } else if (!sparse.isPart(name)) {
        tensors.add(tensor);
      }
    }
    return file.with(metadata, tensors);
  }

  private static String base(String name, String ending) {
    return name.substring(0, name.length() - ending.length());
  }

  private boolean isPart(String name) {
    return (name.endsWith(COLUMNS) && file.tensor(base(name, COLUMNS) + FIRST).isPresent())
        || (name.endsWith(VALUES) && (file.tensor(base(name, VALUES) + FIRST).isPresent()
            || file.tensor(base(name, VALUES) + PAIRS).isPresent()));
  }

  private Tensor compressedRows(String name) throws FormatException {
    requireAlone(name, PAIRS);
    Tensor first = part(name, FIRST, 1);
    Tensor columns = part(name, COLUMNS, 1);
    Tensor values = part(name, VALUES, 1);
    requireIndices(first);
    requireIndices(columns);
    Matcher shape = TWO_NUMBERS.matcher(file.metadata().getOrDefault(name + SHAPE, ""));
    if (!shape.matches()) {
      throw refused(name,
          "the metadata \"%s%s\" do not tell its shape; write it as rows,columns".formatted(name, SHAPE));
    }
    long height = Long.parseLong(shape.group(1));
    long width = Long.parseLong(shape.group(2));
    if (first.elements() - 1 != height || columns.elements() != values.elements()) {
      throw refused(name, "%d row offsets, %d columns and %d values make no matrix of %d rows; write it again"
          .formatted(first.elements(), columns.elements(), values.elements(), height));
    }
    MemorySegment data = allocate(name, values.dtype(), height, width);
    int bytes = values.dtype().bytes();
    long at = 0;
    for (long row = 0; row <= height; row++) {
      // The offset of the first row must be 0, the one behind the last the number of values.
      long end = index(first, row);
      if (end < at || end > values.elements() || (row == 0 && end != 0)
          || (row == height && end != values.elements())) {
        throw refused(name,
            "the offset of row %d is %d of %d values; write it again".formatted(row, end, values.elements()));
      }
      for (long last = -1; at < end; at++) {
        long column = index(columns, at);
        if (column <= last || column >= width) {
          throw refused(name, "column %d stands behind column %d in row %d of %d columns; columns ascend within a row"
              .formatted(column, last, row - 1, width));
        }
        MemorySegment.copy(values.data(), at * bytes, data, ((row - 1) * width + column) * bytes, bytes);
        last = column;
      }
    }
    return new Tensor(name, values.dtype(), List.of(height, width), data);
  }

  private Tensor twoOfFour(String name) throws FormatException {
    requireAlone(name, FIRST);
    Tensor values = part(name, VALUES, 2);
    Tensor pairs = part(name, PAIRS, 2);
    long height = values.shape().getFirst();
    long width = values.shape().getLast() * 2;
    if (pairs.dtype() != DType.U8 || width % GROUP != 0 || !pairs.shape().equals(List.of(height, pairBytes(width)))) {
      throw refused(name, "values of shape %s do not go with indices %s of shape %s; write it again"
          .formatted(values.shape(), pairs.dtype(), pairs.shape()));
    }
    MemorySegment data = allocate(name, values.dtype(), height, width);
    int bytes = values.dtype().bytes();
    for (long row = 0; row < height; row++) {
      for (long group = 0; group < 2 * pairBytes(width); group++) {
        int both = pairs.data().get(JAVA_BYTE, row * pairBytes(width) + group / 2);
        int places = (both >> (group % 2 * 4)) & 0xf;
        int place = places & 3;
        int next = places >> 2;
        boolean isPadding = group * GROUP >= width;
        if (isPadding ? places != 0 : next <= place) {
          throw refused(name, "columns %d and %d of group %d stand in row %d; two ascending ones of four do"
              .formatted(place, next, group, row));
        } else if (!isPadding) {
          long from = (row * width / 2 + group * 2) * bytes;
          long to = row * width + group * GROUP;
          MemorySegment.copy(values.data(), from, data, (to + place) * bytes, bytes);
          MemorySegment.copy(values.data(), from + bytes, data, (to + next) * bytes, bytes);
        }
      }
    }
    return new Tensor(name, values.dtype(), List.of(height, width), data);
  }

  private void requireAlone(String name, String other) throws FormatException {
    if (file.tensor(name).isPresent() || file.tensor(name + other).isPresent()) {
      throw refused(name, "it is there in two forms; write it again");
    }
  }

  private Tensor part(String name, String ending, int dimensions) throws FormatException {
    Tensor part = file.tensor(name + ending)
        .orElseThrow(() -> refused(name, "there is no %s; write it again".formatted(quote(name + ending))));
    if (part.shape().size() != dimensions || part.dtype().bits() % Byte.SIZE != 0) {
      throw refused(name,
          "%s is %s of shape %s; write it again".formatted(quote(part.name()), part.dtype(), part.shape()));
    }
    return part;
  }

  private void requireIndices(Tensor part) throws FormatException {
    if (part.dtype() != DType.I32 && part.dtype() != DType.I64) {
      throw new FormatException(file.path(),
          "tensor %s is %s; indices are I32 or I64".formatted(quote(part.name()), part.dtype()));
    }
  }

  private static long index(Tensor indices, long element) {
    return (long) indices.dtype().value(indices.data(), element, LITTLE_ENDIAN);
  }

  private MemorySegment allocate(String name, DType dtype, long height, long width) throws FormatException {
    return arena.allocate(limit.take(file.path(), name, dtype.bytes(), List.of(height, width)), ALIGNMENT);
  }

  private FormatException refused(String name, String problem) {
    return new FormatException(file.path(), "sparse tensor %s: %s".formatted(quote(name), problem));
  }

  // ---- writing ----

  /// A file with some matrices in a sparse form.
  ///
  /// @param matrices names of tensors
  /// @param form     that each can have
  /// @param arena    takes their memory
  static SafetensorsFile sparse(SafetensorsFile file, Set<String> matrices, SparseForm form, Arena arena) {
    Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
    List<Tensor> tensors = new ArrayList<>();
    for (Tensor tensor : file.tensors()) {
      if (!matrices.contains(tensor.name())) {
        tensors.add(tensor);
        continue;
      }
      switch (form) {
        case CSR -> {
          tensors.addAll(toCompressedRows(tensor, arena));
          metadata.put(tensor.name() + SHAPE, "%d,%d".formatted(tensor.shape().getFirst(), tensor.shape().getLast()));
        }
        case TWO_OF_FOUR -> tensors.addAll(toTwoOfFour(tensor, arena));
        case COO -> throw new IllegalArgumentException("coo is a form of ONNX");
      }
    }
    return file.with(metadata, tensors);
  }

  /// The smaller type that holds the numbers of columns and values, both of which have the same.
  static DType index(long columns, long values) {
    return Math.max(columns, values) <= Integer.MAX_VALUE ? DType.I32 : DType.I64;
  }

  private static List<Tensor> toCompressedRows(Tensor matrix, Arena arena) {
    long height = matrix.shape().getFirst();
    long width = matrix.shape().getLast();
    int bytes = matrix.dtype().bytes();
    long count = SparseForm.values(matrix);
    DType type = index(width, count);
    MemorySegment first = arena.allocate((height + 1) * type.bytes(), ALIGNMENT);
    MemorySegment columns = arena.allocate(count * type.bytes(), ALIGNMENT);
    MemorySegment values = arena.allocate(count * bytes, ALIGNMENT);
    long at = 0;
    for (long i = 0; i < matrix.elements(); i++) {
      if (!SparseForm.isZero(matrix, i)) {
        MemorySegment.copy(matrix.data(), i * bytes, values, at * bytes, bytes);
        type.writeInteger(columns, at++, i % width);
      }
      if (i % width == width - 1) {
        type.writeInteger(first, i / width + 1, at);
      }
    }
    return List.of(new Tensor(matrix.name() + FIRST, type, List.of(height + 1), first),
        new Tensor(matrix.name() + COLUMNS, type, List.of(count), columns),
        new Tensor(matrix.name() + VALUES, matrix.dtype(), List.of(count), values));
  }

  /// Bytes of the places of the values of a row.
  static long pairBytes(long columns) {
    return Math.ceilDiv(columns, 2L * GROUP);
  }

  /// A four of fewer than two values has zeros among its two.
  private static List<Tensor> toTwoOfFour(Tensor matrix, Arena arena) {
    long height = matrix.shape().getFirst();
    long width = matrix.shape().getLast();
    int bytes = matrix.dtype().bytes();
    MemorySegment values = arena.allocate(matrix.data().byteSize() / 2, ALIGNMENT);
    MemorySegment pairs = arena.allocate(height * pairBytes(width), ALIGNMENT);
    for (long row = 0; row < height; row++) {
      for (long group = 0; group < width / GROUP; group++) {
        long from = row * width + group * GROUP;
        int next = GROUP - 1;
        while (next > 1 && SparseForm.isZero(matrix, from + next)) {
          next--;
        }
        int place = next - 1;
        while (place > 0 && SparseForm.isZero(matrix, from + place)) {
          place--;
        }
        long to = (row * width / 2 + group * 2) * bytes;
        MemorySegment.copy(matrix.data(), (from + place) * bytes, values, to, bytes);
        MemorySegment.copy(matrix.data(), (from + next) * bytes, values, to + bytes, bytes);
        long at = row * pairBytes(width) + group / 2;
        pairs.set(JAVA_BYTE, at, (byte) (pairs.get(JAVA_BYTE, at) | ((place + 4 * next) << (group % 2 * 4))));
      }
    }
    return List.of(new Tensor(matrix.name() + VALUES, matrix.dtype(), List.of(height, width / 2), values),
        new Tensor(matrix.name() + PAIRS, DType.U8, List.of(height, pairBytes(width)), pairs));
  }
}
