package dev.espalier.spark;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.List;
import java.util.Queue;
import org.apache.spark.sql.catalyst.InternalRow;

/// The samples of a partition, as Spark streams its rows: one pass, on the thread of the task.
final class RowSamples implements SampleSource {
  private final Iterator<InternalRow> rows;
  private final RowReader reader;
  private final List<RowReader> labels;
  private final String name;
  private final RowShare share;
  private final long first;
  private final long counted;
  /// Of samples that were read.
  private final Queue<float[]> unread = new ArrayDeque<>();

  /// @param rows of the columns that the readers read
  /// @param labels one, or none
  /// @param first the position of the partition's first sample among all
  /// @param counted samples that the partition had when they were counted, at least 1
  RowSamples(Iterator<InternalRow> rows, RowReader reader, List<RowReader> labels, String name, RowShare share,
      long first, long counted) {
    this.rows = rows;
    this.reader = reader;
    this.labels = labels;
    this.name = name;
    this.share = share;
    this.first = first;
    this.counted = counted;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long samples() {
    return share.before(first + counted) - first();
  }

  @Override
  public int width() {
    return reader.width();
  }

  @Override
  public long first() {
    return share.before(first);
  }

  @Override
  public Pass open() {
    return new Pass() {
      private long position;

      @Override
      public int read(MatrixView target) throws IOException {
        int read = 0;
        while (read < target.rows() && rows.hasNext()) {
          requireCounted(position < counted);
          InternalRow row = rows.next();
          if (share.takes(first + position)) {
            reader.read(row, target, read, first + position);
            for (RowReader label : labels) {
              float[] values = new float[label.width()];
              label.read(row, new MatrixView(MemorySegment.ofArray(values), 1, values.length), 0, first + position);
              unread.add(values);
            }
            read++;
          }
          position++;
        }
        requireCounted(read > 0 || position == counted);
        return read;
      }

      @Override
      public void close() {
        // Spark ends the iterator with its task.
      }
    };
  }

  /// The labels, each of which can be read once its sample was.
  SampleSource labels() {
    return new SampleSource() {
      @Override
      public String name() {
        return "column %s of %s".formatted(labels.getFirst().columns().getFirst().name(), name);
      }

      @Override
      public long samples() {
        return RowSamples.this.samples();
      }

      @Override
      public int width() {
        return labels.getFirst().width();
      }

      @Override
      public Pass open() {
        return new Pass() {
          @Override
          public int read(MatrixView target) {
            int read = 0;
            while (read < target.rows() && !unread.isEmpty()) {
              target.store(unread.remove(), width(), (long) read * width());
              read++;
            }
            return read;
          }

          @Override
          public void close() {
            // Holds nothing.
          }
        };
      }
    };
  }

  private void requireCounted(boolean asCounted) throws IOException {
    if (!asCounted) {
      throw new IOException("%s: a partition has not the %s rows that were counted in it; cache the data, or write them"
          .formatted(name, counted) + " to files first, so that each of its computations gives the same rows");
    }
  }
}
