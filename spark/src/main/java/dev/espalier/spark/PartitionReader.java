package dev.espalier.spark;

import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.ScaledSamples;
import dev.espalier.engine.io.Scale;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.sql.catalyst.InternalRow;

/// How tasks read the samples of their partitions.
final class PartitionReader implements Serializable {
  private static final long serialVersionUID = 1;

  private final RowReader samples;
  private final ArrayList<RowReader> labels;
  private final String name;
  private final String scale;
  private final RowShare share;
  private final long[] firsts;

  /// @param labels one, or none
  /// @param name of the samples, for messages
  /// @param scale as [Scale#parse] reads it; empty: none
  /// @param firsts the position of each partition's first sample among all, and at last how many there are
  PartitionReader(RowReader samples, List<RowReader> labels, String name, String scale, RowShare share,
      long... firsts) {
    this.samples = samples;
    this.labels = new ArrayList<>(labels);
    this.name = name;
    this.scale = scale;
    this.share = share;
    this.firsts = firsts;
  }

  String name() {
    return name;
  }

  /// Numbers in a sample.
  int width() {
    return samples.width();
  }

  int partitions() {
    return firsts.length - 1;
  }

  /// The position of a partition's first sample among those that are taken.
  long first(int partition) {
    return share.before(firsts[partition]);
  }

  /// Samples of a partition that are taken.
  long count(int partition) {
    return first(partition + 1) - first(partition);
  }

  /// The samples of a partition, of which some are taken, with their labels, if there are any.
  Dataset read(int partition, Iterator<InternalRow> rows) {
    RowSamples read = new RowSamples(rows, samples, labels, name, share, firsts[partition],
        firsts[partition + 1] - firsts[partition]);
    SampleSource scaled = read;
    if (!scale.isEmpty()) {
      Scale factor = Scale.parse(scale);
      scaled = new ScaledSamples(read, factor.numerator(), factor.denominator());
    }
    return labels.isEmpty() ? Dataset.of(scaled) : Dataset.of(scaled, read.labels());
  }
}
