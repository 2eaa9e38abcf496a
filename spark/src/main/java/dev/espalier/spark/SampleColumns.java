package dev.espalier.spark;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.io.Names;
import dev.espalier.engine.io.Scale;
import java.io.Serializable;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.StructField;

/// Which columns of a dataset hold the samples: one of arrays of numbers, each array a sample, or one or more of
/// numbers, whose values in a row, in the order of the names, are a sample. Numbers are of Spark's types float, double,
/// byte, short, int or long, and become float32. Vectors of Spark ML are as arrays of double, where its library is on
/// the class path.
///
/// @param names of the columns; empty: all columns of the dataset, in its order
/// @param scale a factor for the samples, as [dev.espalier.engine.io.SampleReading] has it
public record SampleColumns(List<String> names, Optional<Scale> scale) {
  private static final String VECTOR = "vector";
  private static final int MOST_NAMED = 20;

  /// The numbers that a sample can be made of.
  enum Numeric {
    FLOAT, DOUBLE, BYTE, SHORT, INTEGER, LONG;

    static Optional<Numeric> of(DataType type) {
      return Stream.of(values()).filter(numeric -> numeric.name().equalsIgnoreCase(type.typeName())).findFirst();
    }
  }

  /// A column that was found.
  ///
  /// @param number its type, or that of the elements of its arrays
  /// @param isArray whether each value is a whole sample
  record Found(String name, Numeric number, boolean isArray) implements Serializable {}

  /// Copies the list.
  public SampleColumns {
    names = List.copyOf(names);
  }

  /// Columns by their names; none: all columns.
  public static SampleColumns of(String... names) {
    return new SampleColumns(Arrays.asList(names), Optional.empty());
  }

  /// How samples are read, where that changes them.
  Map<String, String> readingText() {
    return scale.map(value -> Map.of("scale", value.toString())).orElse(Map.of());
  }

  /// The columns in a dataset.
  ///
  /// @throws MismatchException if one is missing, twice there, or does not hold numbers; the message says what to do
  List<Found> in(Dataset<Row> data) {
    List<StructField> fields = Arrays.asList(data.schema().fields());
    List<Found> found = (names.isEmpty() ? fields.stream().map(StructField::name).toList() : names).stream()
        .map(name -> find(name, fields)).toList();
    if (found.isEmpty()) {
      throw new MismatchException("the data have no columns");
    }
    if (found.size() > 1) {
      found.stream().filter(Found::isArray).findFirst().ifPresent(array -> {
        throw new MismatchException("column %s holds arrays, each of which is a whole sample: name it alone%s"
            .formatted(array.name(), names.isEmpty() ? "" : ", not with " + others(array, found)));
      });
    }
    return found;
  }

  private static String others(Found array, List<Found> found) {
    return found.stream().filter(column -> !column.equals(array)).map(Found::name).limit(MOST_NAMED)
        .collect(Collectors.joining(", "));
  }

  private static Found find(String name, List<StructField> fields) {
    List<StructField> matching = fields.stream().filter(field -> field.name().equals(name)).toList();
    if (matching.isEmpty()) {
      List<String> known = fields.stream().map(StructField::name).toList();
      throw new MismatchException("the data have no column %s%s".formatted(name, Names.suggestion(name, known)));
    }
    if (matching.size() > 1) {
      throw new MismatchException("the data have several columns %s: rename or select them".formatted(name));
    }
    DataType type = matching.getFirst().dataType();
    if (type instanceof ArrayType array) {
      return new Found(name, number(name, array.elementType(), "arrays of "), true);
    }
    if (isVector(type)) {
      if (vectorToArray().isEmpty()) {
        throw new MismatchException(
            "column %s holds vectors of Spark ML, and spark-mllib is not on the class path: add it, or give arrays"
                .formatted(name));
      }
      return new Found(name, Numeric.DOUBLE, true);
    }
    return new Found(name, number(name, type, ""), false);
  }

  private static Numeric number(String name, DataType type, String arrays) {
    return Numeric.of(type)
        .orElseThrow(() -> new MismatchException("column %s holds %s%s, not numbers: leave it out, or cast it to %s"
            .formatted(name, arrays, type.simpleString(), arrays.isEmpty() ? "float" : "array<float>")));
  }

  /// Of sparse and dense ones.
  private static boolean isVector(DataType type) {
    return type.typeName().equals(VECTOR) || type.getClass().getSimpleName().equals("VectorUDT");
  }

  /// What makes an array of a vector. This module does without Spark ML, and those who have vectors have it.
  private static Optional<Method> vectorToArray() {
    try {
      return Optional
          .of(Class.forName("org.apache.spark.ml.functions").getMethod("vector_to_array", Column.class, String.class));
    } catch (ClassNotFoundException | NoSuchMethodException _) {
      return Optional.empty();
    }
  }

  /// The columns alone, in order; vectors as arrays.
  static Dataset<Row> select(Dataset<Row> data, List<Found> columns) {
    return data.select(columns.stream().map(column -> select(data, column)).toArray(Column[]::new));
  }

  private static Column select(Dataset<Row> data, Found found) {
    Column column = functions.col("`%s`".formatted(found.name().replace("`", "``")));
    if (Stream.of(data.schema().fields())
        .noneMatch(field -> field.name().equals(found.name()) && isVector(field.dataType()))) {
      return column;
    }
    try {
      return (Column) vectorToArray().orElseThrow().invoke(null, column, "float64");
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("org.apache.spark.ml.functions.vector_to_array fails", e);
    }
  }
}
