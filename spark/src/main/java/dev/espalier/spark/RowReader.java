package dev.espalier.spark;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.io.Serializable;
import java.util.List;
import java.util.function.LongConsumer;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.SpecializedGetters;
import org.apache.spark.sql.catalyst.util.ArrayData;

/// Reads rows of Spark as samples.
///
/// @param columns one of arrays, or some of numbers
/// @param from the place of the first of them in a row
/// @param width numbers in a sample
/// @param classes that the numbers are indices of; 0: any numbers
record RowReader(List<SampleColumns.Found> columns, int from, int width, int classes) implements Serializable {
  /// A NaN that [Double#doubleToLongBits] never gives.
  private static final long NULL = -1;

  /// @param position of the sample among all, from 0
  /// @throws IOException if a number is missing or not finite, or an array is of another length; the message names the
  ///                     column, and no number of the data
  void read(InternalRow row, MatrixView target, int to, long position) throws IOException {
    if (columns.getFirst().isArray()) {
      readArray(row, target, to, position);
    } else {
      for (int j = 0; j < width; j++) {
        target.set(to, j, number(row, from + j, columns.get(j), position, ""));
      }
    }
    if (classes > 0) {
      requireClass(target.get(to, 0), position);
    }
  }

  private void requireClass(float value, long position) throws IOException {
    if (value < 0 || value >= classes || value != Math.rint(value)) {
      throw failure(columns.getFirst(), position, "", "no class index from 0 to %s".formatted(classes - 1));
    }
  }

  private void readArray(InternalRow row, MatrixView target, int to, long position) throws IOException {
    SampleColumns.Found column = columns.getFirst();
    if (row.isNullAt(from)) {
      throw failure(column, position, "", "null: fill such rows, or drop them");
    }
    ArrayData array = row.getArray(from);
    if (array.numElements() != width) {
      throw failure(column, position, "",
          "an array of %s numbers, and the network takes %s".formatted(array.numElements(), width));
    }
    for (int j = 0; j < width; j++) {
      target.set(to, j, number(array, j, column, position, "element %s of ".formatted(j)));
    }
  }

  /// All values of a row, whether they can be samples or not, as the bits of a double: those of a null are of no number,
  /// and an array's are behind its length.
  void eachValue(InternalRow row, LongConsumer to) {
    if (!columns.getFirst().isArray()) {
      for (int j = 0; j < width; j++) {
        to.accept(bits(row, from + j, columns.get(j)));
      }
    } else if (row.isNullAt(from)) {
      to.accept(NULL);
    } else {
      ArrayData array = row.getArray(from);
      to.accept(array.numElements());
      for (int j = 0; j < array.numElements(); j++) {
        to.accept(bits(array, j, columns.getFirst()));
      }
    }
  }

  private static long bits(SpecializedGetters values, int j, SampleColumns.Found column) {
    return values.isNullAt(j) ? NULL : Double.doubleToLongBits(value(values, j, column));
  }

  private static double value(SpecializedGetters values, int j, SampleColumns.Found column) {
    return switch (column.number()) {
      case FLOAT -> values.getFloat(j);
      case DOUBLE -> values.getDouble(j);
      case BYTE -> values.getByte(j);
      case SHORT -> values.getShort(j);
      case INTEGER -> values.getInt(j);
      case LONG -> values.getLong(j);
    };
  }

  private static float number(SpecializedGetters values, int j, SampleColumns.Found column, long position,
      String element) throws IOException {
    if (values.isNullAt(j)) {
      throw failure(column, position, element, "null: fill such rows, or drop them");
    }
    double value = value(values, j, column);
    float rounded = (float) value;
    if (!Float.isFinite(rounded)) {
      throw failure(column, position, element,
          Double.isNaN(value)
              ? "NaN: fill such rows, or drop them"
              : Double.isFinite(value)
                  ? "beyond float32's range: scale the column"
                  : "infinite: fill such rows, or drop them");
    }
    return rounded;
  }

  private static IOException failure(SampleColumns.Found column, long position, String element, String problem) {
    return new IOException("sample %s: %scolumn %s is %s".formatted(position + 1, element, column.name(), problem));
  }
}
