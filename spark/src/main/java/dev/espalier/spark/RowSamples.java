package dev.espalier.spark;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.util.Iterator;
import org.apache.spark.sql.catalyst.InternalRow;

/// The samples of a partition, as Spark streams its rows: one pass, on the thread of the task.
final class RowSamples implements SampleSource {
  private final Iterator<InternalRow> rows;
  private final RowReader reader;
  private final String name;
  private final long first;
  private final long samples;

  /// @param rows of the columns that the reader reads
  /// @param first the position of the partition's first sample among all
  /// @param samples how many the partition had when they were counted, at least 1
  RowSamples(Iterator<InternalRow> rows, RowReader reader, String name, long first, long samples) {
    this.rows = rows;
    this.reader = reader;
    this.name = name;
    this.first = first;
    this.samples = samples;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long samples() {
    return samples;
  }

  @Override
  public int width() {
    return reader.width();
  }

  @Override
  public long first() {
    return first;
  }

  @Override
  public Pass open() {
    return new Pass() {
      private long position;

      @Override
      public int read(MatrixView target) throws IOException {
        int read = 0;
        while (read < target.rows() && rows.hasNext()) {
          requireCounted(position < samples);
          reader.read(rows.next(), target, read, first + position);
          read++;
          position++;
        }
        requireCounted(read > 0 || position == samples);
        return read;
      }

      @Override
      public void close() {
        // Spark ends the iterator with its task.
      }
    };
  }

  private void requireCounted(boolean asCounted) throws IOException {
    if (!asCounted) {
      throw new IOException("%s: a partition has not the %s rows that were counted in it; cache the data, or write them"
          .formatted(name, samples) + " to files first, so that each of its computations gives the same rows");
    }
  }
}
