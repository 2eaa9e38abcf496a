package dev.espalier.spark;

import java.util.Collections;
import java.util.Iterator;
import org.apache.spark.sql.catalyst.InternalRow;

/// Counts the rows of a partition.
final class RowCount {
  private RowCount() {}

  static Iterator<Long> of(Iterator<InternalRow> rows) {
    long count = 0;
    while (rows.hasNext()) {
      rows.next();
      count++;
    }
    return Collections.singleton(count).iterator();
  }
}
