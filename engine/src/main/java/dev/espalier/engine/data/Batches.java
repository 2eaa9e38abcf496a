package dev.espalier.engine.data;

import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// One pass over a [Dataset] in batches, checked for NaN and infinity; or one of several that share a pass, each
/// used by a thread of its own.
public final class Batches implements AutoCloseable {
  private final Reading reading;
  private final int number;
  private final Arena arena = Arena.ofShared(); // of the thread that makes this and the one that uses it
  private final MatrixView buffer;
  private final Optional<MatrixView> labelBuffer;
  private long first;
  private int rows;

  /// A pass that starts with the first [#next].
  ///
  /// @param batchSize most samples in a batch, at least 1
  public Batches(Dataset source, int batchSize) {
    this(new Reading(source, 1), 0, batchSize);
  }

  private Batches(Reading reading, int number, int batchSize) {
    this.reading = reading;
    this.number = number;
    Dataset source = reading.source;
    int capacity = (int) Math.min(batchSize, source.samples().samples());
    buffer = MatrixView.allocate(arena, capacity, source.samples().width());
    labelBuffer = source.labels().map(l -> MatrixView.allocate(arena, capacity, l.width()));
  }

  /// Divides one pass: number i of `parts` gets batches i, i + parts, …, whatever threads do when. Each waits in
  /// [#next] for the others' turns, so each needs a thread that uses it, until the source ends, or one is closed.
  ///
  /// @param batchSize most samples in a batch, at least 1
  public static List<Batches> divided(Dataset source, int batchSize, int parts) {
    Reading reading = new Reading(source, parts);
    return IntStream.range(0, parts).mapToObj(i -> new Batches(reading, i, batchSize)).toList();
  }

  /// Moves to the next batch.
  ///
  /// @return whether there is one; none is left either when another that shares the pass was closed
  /// @throws IOException if the source cannot be read, ends early, or holds a NaN or an infinity; the message
  ///                     names it
  public boolean next() throws IOException {
    rows = 0;
    reading.next(this);
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

  /// Samples of the whole source.
  public long total() {
    return reading.source.samples().samples();
  }

  /// The batch, samples × inputs; its memory is used again by the next.
  public MatrixView samples() {
    return buffer.slice(0, rows);
  }

  /// The batch's labels, as many rows; only of a source with labels.
  public MatrixView labels() {
    return labelBuffer.orElseThrow().slice(0, rows);
  }

  /// Ends the pass, also for those that share it.
  @Override
  public void close() throws IOException {
    if (arena.scope().isAlive()) {
      arena.close();
    }
    reading.close();
  }

  /// A pass, and whose turn it is to read.
  private static final class Reading {
    private final Dataset source;
    private final int parts;
    private SampleSource.Pass samples; // opened with the first batch
    private Optional<SampleSource.Pass> labels = Optional.empty();
    private long position;
    private int turn;
    private boolean ended;

    Reading(Dataset source, int parts) {
      this.source = source;
      this.parts = parts;
    }

    /// Reads the next batch into `batch` when it is its turn; leaves it empty if there is none.
    synchronized void next(Batches batch) throws IOException {
      boolean interrupted = false;
      while (!ended && turn != batch.number) {
        try {
          wait();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
      if (ended) {
        return;
      }
      ended = true; // unless all goes well
      try {
        open();
        batch.first = position;
        batch.rows = read(source.samples(), samples, batch.buffer);
        if (batch.rows == 0 && position < source.samples().samples()) {
          throw new IOException("%s ends after %d of %d samples".formatted(source.samples().name(), position,
              source.samples().samples()));
        }
        if (batch.rows > 0 && labels.isPresent()) {
          SampleSource from = source.labels().orElseThrow();
          int read = read(from, labels.get(), batch.labels());
          if (read < batch.rows) {
            throw new IOException(
                "%s ends after %d of %d labels".formatted(from.name(), position + read, from.samples()));
          }
        }
        position += batch.rows;
        ended = batch.rows == 0;
      } finally {
        turn = (turn + 1) % parts;
        notifyAll();
      }
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
              .formatted(from.name(), filled.get(row, column), position + row, column));
        }
      }
      return read;
    }

    private void open() throws IOException {
      if (samples == null) {
        samples = source.samples().open();
        if (source.labels().isPresent()) {
          labels = Optional.of(source.labels().get().open());
        }
      }
    }

    synchronized void close() throws IOException {
      ended = true;
      notifyAll();
      SampleSource.Pass openedSamples = samples;
      SampleSource.Pass openedLabels = labels.orElse(null);
      samples = null;
      labels = Optional.empty();
      try (openedSamples; openedLabels) {
        // both, whatever the other throws
      }
    }
  }
}
