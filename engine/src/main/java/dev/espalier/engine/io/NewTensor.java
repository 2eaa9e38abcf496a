package dev.espalier.engine.io;

import dev.espalier.engine.matrix.MatrixView;
import java.util.List;
import java.util.Objects;

/// A tensor to write.
///
/// @param dtype one that is [DType#isWritable]; or BOOL, which is true where the value is not 0
/// @param shape any whose product is the number of values
public record NewTensor(String name, DType dtype, List<Long> shape, MatrixView values) {
  /// @throws IllegalArgumentException if the dtype is not writable, the shape does not fit, or the name is
  ///                                  the format's own `__metadata__`
  public NewTensor {
    Objects.requireNonNull(name);
    shape = List.copyOf(shape);
    if (!(dtype.isWritable() || dtype == DType.BOOL) || name.equals(SafetensorsHeader.METADATA)
        || shape.stream().reduce(1L, Math::multiplyExact) != values.elements()) {
      throw new IllegalArgumentException(
          "name=%s, dtype=%s, shape=%s, values=%d × %d".formatted(name, dtype, shape, values.rows(), values.columns()));
    }
  }

  /// A float32 tensor of shape rows × columns.
  public static NewTensor matrix(String name, MatrixView values) {
    return new NewTensor(name, DType.F32, List.of((long) values.rows(), (long) values.columns()), values);
  }

  /// A float32 tensor of one dimension, from all values row after row.
  public static NewTensor vector(String name, MatrixView values) {
    return new NewTensor(name, DType.F32, List.of(values.elements()), values);
  }
}
