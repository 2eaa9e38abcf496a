package dev.espalier.engine.io;

import java.lang.foreign.MemorySegment;
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
}
