package dev.espalier.spark;

import java.util.Optional;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;

/// Samples in a dataset of Spark, of which nothing is collected. Their order is that of the partitions and of the rows in
/// each: it must be the same each time that a partition is computed, as it is of files and of cached or checkpointed data.
///
/// @param rows of SQL in Spark's own process, not those of Spark Connect
/// @param columns that hold the samples
/// @param name of the data, for messages and files
/// @param labels the column of a class index from 0, or of the target of one output, or of arrays of the targets of all
///               outputs; only a [SparkSearch] reads it
public record SparkSamples(Dataset<Row> rows, SampleColumns columns, String name, Optional<String> labels) {
  /// Samples without labels.
  public SparkSamples(Dataset<Row> rows, SampleColumns columns, String name) {
    this(rows, columns, name, Optional.empty());
  }

  /// Samples that messages call "the data".
  public static SparkSamples of(Dataset<Row> rows, SampleColumns columns) {
    return new SparkSamples(rows, columns, "the data");
  }
}
