package dev.espalier.engine.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// A tensor of an open safetensors file.
///
/// @param shape possibly empty (a scalar), possibly with zeros (no elements)
/// @param data its bytes: little-endian, row-major, at any address, read-only
public record Tensor(String name, DType dtype, List<Long> shape, MemorySegment data) {
  public Tensor {
    shape = List.copyOf(shape);
  }

  /// The number of elements.
  public long elements() {
    return data.byteSize() * Byte.SIZE / dtype.bits();
  }

  /// Some of its elements, along one or two dimensions.
  ///
  /// @param rows    of a matrix; of a vector, which may have leading dimensions of 1, it is one
  /// @param columns of the last dimension
  Tensor picked(List<Integer> rows, List<Integer> columns, Arena arena) {
    int bytes = dtype.bytes();
    MemorySegment picked = arena.allocate((long) rows.size() * columns.size() * bytes);
    long to = 0;
    for (long row : rows) {
      for (int column : columns) {
        MemorySegment.copy(data, (row * shape.getLast() + column) * bytes, picked, to, bytes);
        to += bytes;
      }
    }
    List<Long> smaller = new ArrayList<>(shape);
    if (rows.size() > 1 || elements() > shape.getLast()) {
      smaller.set(shape.size() - 2, (long) rows.size());
    }
    smaller.set(shape.size() - 1, (long) columns.size());
    return new Tensor(name, dtype, smaller, picked);
  }
}
