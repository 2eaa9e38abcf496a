package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.io.ArrayFormat.Role;
import dev.espalier.engine.matrix.MatrixView;
import dev.hardwood.reader.ColumnReader;
import dev.hardwood.reader.Validity;
import java.nio.file.Path;

/// The values of a Parquet column in a batch of rows.
final class ParquetValues {
  /// The value of a position in the batch, all values of all lists counted.
  private interface Numbers {
    double at(int position);
  }

  private final Path path;
  private final Role role;
  private final ParquetColumn column;
  private final Numbers numbers;
  private final Validity validity;
  private final Validity lists;
  private final int[] offsets;
  private final boolean isWhole;

  private ParquetValues(Path path, Role role, ParquetColumn column, Numbers numbers, Validity validity, Validity lists,
      boolean isWhole, int... offsets) {
    this.path = path;
    this.role = role;
    this.column = column;
    this.numbers = numbers;
    this.validity = validity;
    this.lists = lists;
    this.isWhole = isWhole;
    this.offsets = offsets;
  }

  /// Of the batch where the reader is.
  static ParquetValues of(Path path, Role role, ColumnReader reader, ParquetColumn column) {
    boolean isWhole = false;
    Numbers numbers;
    switch (column.type()) {
      case FLOAT -> {
        float[] values = reader.getFloats();
        numbers = position -> values[position];
      }
      case DOUBLE -> {
        double[] values = reader.getDoubles();
        numbers = position -> values[position];
      }
      case INT32 -> {
        int[] values = reader.getInts();
        numbers = position -> values[position];
        isWhole = true;
      }
      case INT64 -> {
        long[] values = reader.getLongs();
        numbers = position -> values[position];
        isWhole = true;
      }
      default -> throw new IllegalArgumentException("%s are no numbers".formatted(column.type()));
    }
    return column.isList()
        ? new ParquetValues(path, role, column, numbers, reader.getLeafValidity(), reader.getLayerValidity(0), isWhole,
            reader.getLayerOffsets(0))
        : new ParquetValues(path, role, column, numbers, reader.getLeafValidity(), Validity.NO_NULLS, isWhole);
  }

  /// The length of a list.
  ///
  /// @param position of the row among all, from 0
  /// @throws FormatException if the list is null
  int length(int row, long position) throws FormatException {
    if (lists.isNull(row)) {
      throw failure(position, "null; fill such rows, or drop them");
    }
    return offsets[row + 1] - offsets[row];
  }

  /// Copies the values of some rows.
  ///
  /// @param first of the rows in the batch
  /// @param position of this row among all, from 0
  /// @param to the first row of the target
  /// @param j the column of a number in the target
  /// @throws FormatException if a value is missing or no float32, or a list is longer or shorter than the target is wide
  void copy(int first, int count, long position, MatrixView target, int to, int j) throws FormatException {
    for (int i = 0; i < count; i++) {
      if (column.isList()) {
        int length = length(first + i, position + i);
        if (length != target.columns()) {
          throw failure(position + i,
              "a list of %s, and that of row 1 has %s".formatted(Nouns.counted(length, "number"), target.columns()));
        }
        for (int k = 0; k < length; k++) {
          target.set(to + i, k, number(offsets[first + i] + k, position + i));
        }
      } else {
        target.set(to + i, j, number(first + i, position + i));
      }
    }
  }

  private float number(int at, long position) throws FormatException {
    if (validity.isNull(at)) {
      throw failure(position, "null; fill such rows, or drop them");
    }
    double value = numbers.at(at);
    float rounded = (float) value;
    if (Float.isInfinite(rounded) && Double.isFinite(value)) {
      throw failure(position, "beyond float32's range");
    }
    if (role == Role.LABELS && isWhole && Math.abs(value) > ArrayFormat.LARGEST_LABEL) {
      throw failure(position, "beyond 2^24, which float32 does not hold exactly; number the classes from 0");
    }
    return rounded;
  }

  private FormatException failure(long position, String problem) {
    return new FormatException(path,
        "column %s of row %s is %s".formatted(quote(column.name()), position + 1, problem));
  }
}
