package dev.espalier.engine.io;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.data.SourceNote;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.List;

/// The layout of an array of numbers in a file, and its rows: the first dimension counts samples, the others together
/// make a row.
///
/// @param name what messages call the array
/// @param offset bytes before the first element
/// @param columnMajor whether the elements of a column, not those of a row, follow each other
/// @param scaled whether 255 stands for 1
record ArrayFormat(String name, Role role, DType dtype, ByteOrder order, long offset, boolean columnMajor, long samples,
    int width, boolean scaled) {
  /// What the rows are for.
  enum Role {
    /// Inputs of a network; the array is called `x` where arrays have names.
    SAMPLES("x"),
    /// Class indices or target rows; called `y`.
    LABELS("y");

    final String array;

    Role(String array) {
      this.array = array;
    }
  }

  /// The largest integer up to which float32 holds all: class indices must not fall together.
  static final int LARGEST_LABEL = 1 << 24;

  /// Checks a shape that a file gives.
  ///
  /// @throws FormatException if it is no array of samples or too large to count its bytes
  static ArrayFormat of(String name, Role role, DType dtype, ByteOrder order, long offset, boolean columnMajor,
      List<Long> shape, boolean scaled) throws FormatException {
    if (!dtype.isNumeric()) {
      throw new FormatException(name,
          dtype + " is not read; save the array as float32, in NumPy by .astype('float32')");
    }
    if (shape.isEmpty() || shape.contains(0L)) {
      throw new FormatException(name, "shape %s holds no rows of numbers".formatted(shape));
    }
    if (columnMajor && shape.size() > 2) {
      throw new FormatException(name, "Fortran order is read up to two dimensions; save it in C order");
    }
    long samples = shape.getFirst();
    try {
      long width = shape.stream().skip(1).reduce(1L, Math::multiplyExact);
      Math.addExact(offset, Math.multiplyExact(Math.multiplyExact(samples, width), dtype.bytes()));
      return new ArrayFormat(name, role, dtype, order, offset, columnMajor && shape.size() == 2, samples,
          Math.toIntExact(width), scaled);
    } catch (ArithmeticException e) {
      throw new FormatException(name, "shape %s is too large".formatted(shape), e);
    }
  }

  /// That bytes, such as those of images, are taken as they are.
  List<SourceNote> notes() {
    return role == Role.SAMPLES && dtype == DType.U8 && !scaled
        ? List.of(new SourceNote(SourceNote.Topic.SCALE, name + ": bytes, from 0 to 255, that are not scaled"))
        : List.of();
  }

  /// Bytes of all elements.
  long bytes() {
    return samples * width * dtype.bytes();
  }

  /// Bytes up to the last element.
  long end() {
    return offset + bytes();
  }

  /// Checks how many bytes there are.
  ///
  /// @throws FormatException if there are fewer, or more, than the array needs
  void checkEnd(long available) throws FormatException {
    if (available < end()) {
      throw new FormatException(name, "%s × %d of %s need %d bytes, but there are only %d; copy it again"
          .formatted(Nouns.counted(samples, "sample"), width, dtype, end(), available));
    }
    if (available > end()) {
      throw new FormatException(name, "has %s behind the last of %s; copy or create it again"
          .formatted(Nouns.counted(available - end(), "byte"), Nouns.counted(samples, "sample")));
    }
  }

  /// A view of the rows of `target` that samples from `position` on fill; null at the end.
  MatrixView next(MatrixView target, long position) {
    if (target.columns() != width) {
      throw new IllegalArgumentException(
          "%s has rows of %d, the target of %d".formatted(name, width, target.columns()));
    }
    long rows = Math.min(target.rows(), samples - position);
    return rows == 0 ? null : target.slice(0, (int) rows);
  }

  /// Converts `count` elements that follow each other.
  ///
  /// @param from index of the first of them in `source`
  /// @param target rows from `firstSample` on
  /// @param to index of its element that the first goes to
  /// @param stride distance in `target` from one to the next
  /// @throws FormatException if a label is an integer that float32 does not hold, or a number is beyond its range
  void decode(MemorySegment source, long from, MatrixView target, long firstSample, long to, int stride, long count)
      throws FormatException {
    if (dtype == DType.F32 && order == ByteOrder.nativeOrder() && stride == 1) {
      MemorySegment.copy(source, from * Float.BYTES, target.segment(), to * Float.BYTES, count * Float.BYTES);
      return;
    }
    boolean checked = role == Role.LABELS && dtype.isInteger();
    double unit = scaled ? 255 : 1;
    for (long i = 0; i < count; i++) {
      double value = dtype.value(source, from + i, order) / unit;
      if (checked && Math.abs(value) > LARGEST_LABEL) {
        throw new FormatException(name, "the label of sample %d is %.0f, beyond 2²⁴; use smaller class indices"
            .formatted(firstSample + (to + i * stride) / width, value));
      }
      if (Float.isInfinite((float) value) && Double.isFinite(value)) {
        long at = to + i * stride;
        throw new FormatException(name, "%s at [%d, %d] (sample, column) is beyond float32's range; scale the numbers"
            .formatted(value, firstSample + at / width, at % width));
      }
      target.segment().setAtIndex(MatrixView.ELEMENT, to + i * stride, (float) value);
    }
  }
}
