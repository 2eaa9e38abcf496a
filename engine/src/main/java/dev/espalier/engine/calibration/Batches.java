package dev.espalier.engine.calibration;

import dev.espalier.bindings.MatrixView;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Optional;

/// One pass over a [CalibrationSource] in batches, checked for NaN and infinity. Used by one thread.
public final class Batches implements AutoCloseable {
  private final CalibrationSource source;
  private final Arena arena = Arena.ofConfined();
  private final MatrixView buffer;
  private final Optional<MatrixView> labelBuffer;
  private final SampleSource.Pass samples;
  private final Optional<SampleSource.Pass> labels;
  private long first;
  private int rows;

  /// @param batchSize most samples in a batch, at least 1
  /// @throws IOException if the source cannot be read
  public Batches(CalibrationSource source, int batchSize) throws IOException {
    this.source = source;
    int capacity = (int) Math.min(batchSize, source.samples().samples());
    buffer = MatrixView.allocate(arena, capacity, source.samples().width());
    labelBuffer = source.labels().map(l -> MatrixView.allocate(arena, capacity, l.width()));
    SampleSource.Pass opened = null;
    try {
      opened = source.samples().open();
      labels = source.labels().isPresent() ? Optional.of(source.labels().get().open()) : Optional.empty();
    } catch (IOException | RuntimeException e) {
      if (opened != null) {
        opened.close();
      }
      arena.close();
      throw e;
    }
    samples = opened;
  }

  /// Moves to the next batch.
  ///
  /// @return whether there is one
  /// @throws IOException if the source cannot be read, ends early, or holds a NaN or an infinity; the message
  ///                     names it
  public boolean next() throws IOException {
    first += rows;
    rows = read(source.samples(), samples, buffer);
    if (rows == 0 && first < source.samples().samples()) {
      throw new IOException(
          "%s ends after %d of %d samples".formatted(source.samples().name(), first,
              source.samples().samples()));
    }
    if (rows > 0 && labels.isPresent()) {
      SampleSource from = source.labels().orElseThrow();
      int read = read(from, labels.get(), labels());
      if (read < rows) {
        throw new IOException(
            "%s ends after %d of %d labels".formatted(from.name(), first + read, from.samples()));
      }
    }
    return rows > 0;
  }

  /// The position of the batch's first sample in the source.
  public long first() {
    return first;
  }

  /// The position after the batch's last sample.
  public long end() {
    return first + rows;
  }

  /// The batch, samples × inputs; its memory is used again by the next.
  public MatrixView samples() {
    return buffer.slice(0, rows);
  }

  /// The batch's labels, as many rows; only of a source with labels.
  public MatrixView labels() {
    return labelBuffer.orElseThrow().slice(0, rows);
  }

  private int read(SampleSource from, SampleSource.Pass pass, MatrixView target) throws IOException {
    int read = 0;
    int more = -1;
    while (read < target.rows() && more != 0) {
      more = pass.read(target.slice(read, target.rows() - read));
      read += more;
    }
    if (read > 0) {
      MatrixView filled = target.slice(0, read);
      long bad = filled.firstNonFinite();
      if (bad >= 0) {
        int row = (int) (bad / filled.columns());
        int column = (int) (bad % filled.columns());
        throw new IOException("%s is %s at [%d, %d] (sample, column): samples and labels must be finite"
            .formatted(from.name(), filled.get(row, column), first + row, column));
      }
    }
    return read;
  }

  @Override
  public void close() throws IOException {
    try (arena; samples) {
      if (labels.isPresent()) {
        labels.get().close();
      }
    }
  }
}
