package dev.espalier.spark;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.function.FlatMapFunction;
import org.apache.spark.sql.catalyst.InternalRow;

/// The first samples of a partition.
final class FirstRows implements FlatMapFunction<Iterator<InternalRow>, float[]> {
  private static final long serialVersionUID = 1;

  private final RowReader reader;
  private final int most;

  FirstRows(RowReader reader, int most) {
    this.reader = reader;
    this.most = most;
  }

  @Override
  public Iterator<float[]> call(Iterator<InternalRow> rows) throws IOException {
    List<float[]> samples = new ArrayList<>();
    try (Arena arena = Arena.ofConfined()) {
      MatrixView sample = MatrixView.allocate(arena, 1, reader.width());
      while (samples.size() < most && rows.hasNext()) {
        reader.read(rows.next(), sample, 0, samples.size());
        samples.add(sample.toArray());
      }
    }
    return samples.iterator();
  }
}
