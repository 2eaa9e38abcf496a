package dev.espalier.engine.data;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// One pass over a [Dataset] in batches, checked for NaN and infinity; or one of several that share a pass, each
/// used by a thread of its own.
public final class Batches implements AutoCloseable {
  private final Reading reading;
  private final int number;
  private final Arena arena = Arena.ofShared(); // of the threads that make this, use it, and read ahead
  private final BatchBuffers buffers;
  private final Optional<ReadAhead> ahead;
  private Batch current;

  /// What was read into a buffer.
  static final class Batch {
    private final int buffer;
    private final Optional<MatrixView> labels;
    private long first;
    private int rows;
    /// What ended the pass behind these rows, on the thread that reads ahead.
    private Optional<Throwable> failure = Optional.empty();

    private Batch(int buffer, Optional<MatrixView> labels) {
      this.buffer = buffer;
      this.labels = labels;
    }

    void fail(Throwable reason) {
      failure = Optional.of(reason);
    }

    void clear() {
      rows = 0;
      failure = Optional.empty();
    }

    /// Whether none follows.
    boolean isLast() {
      return rows == 0 || failure.isPresent();
    }
  }

  /// A pass that starts with the first [#next].
  ///
  /// @param batchSize most samples in a batch, at least 1
  public Batches(Dataset source, int batchSize) {
    this(source, hostBuffer(source, batchSize));
  }

  /// A pass through buffers of a device, which are closed with it.
  public Batches(Dataset source, BatchBuffers buffers) {
    this(new Reading(source, 1), 0, buffers);
  }

  private Batches(Reading reading, int number, BatchBuffers buffers) {
    this.reading = reading;
    this.number = number;
    this.buffers = buffers;
    Dataset source = reading.source;
    boolean readsAhead = buffers.count() > 1 && reading.parts == 1 && !source.isThreadConfined();
    int rows = buffers.buffer(0).rows();
    List<Batch> batches = IntStream.range(0, readsAhead ? buffers.count() : 1)
        .mapToObj(i -> new Batch(i, source.labels().map(l -> MatrixView.allocate(arena, rows, l.width())))).toList();
    ahead = readsAhead
        ? Optional.of(new ReadAhead(batches, batch -> reading.next(this, batch, _ -> {})))
        : Optional.empty();
    current = batches.getFirst();
  }

  private static BatchBuffers hostBuffer(Dataset source, int batchSize) {
    return new HostBuffer((int) Math.min(batchSize, source.samples().samples()), source.samples().width());
  }

  /// Divides one pass: number i of `parts` gets batches i, i + parts, …, whatever threads do when. Each waits in
  /// [#next] for the others' turns, so each needs a thread that uses it, until the source ends, or one is closed.
  ///
  /// @param batchSize most samples in a batch, at least 1
  public static List<Batches> divided(Dataset source, int batchSize, int parts) {
    return divided(source, Stream.generate(() -> hostBuffer(source, batchSize)).limit(parts).toList());
  }

  /// As the other, through the buffers of each part, which are closed with it.
  public static List<Batches> divided(Dataset source, List<? extends BatchBuffers> buffers) {
    Reading reading = new Reading(source, buffers.size());
    List<Batches> parts = new ArrayList<>();
    for (BatchBuffers each : buffers) {
      parts.add(new Batches(reading, parts.size(), each));
    }
    return parts;
  }

  /// Moves to the next batch.
  ///
  /// @return whether there is one; none is left either when another that shares the pass was closed
  /// @throws IOException if the source cannot be read, ends early, or holds a NaN or an infinity; the message
  ///                     names it
  public boolean next() throws IOException {
    if (ahead.isEmpty()) {
      reading.next(this, current, this::check);
    } else {
      current = ahead.get().next();
      check(current);
      if (current.failure.isPresent()) {
        throw thrown(current.failure.get());
      }
    }
    return current.rows > 0;
  }

  /// An exception of the thread that reads ahead, for the one that waits for it.
  private static IOException thrown(Throwable failure) {
    return switch (failure) {
      case IOException e -> e;
      case RuntimeException e -> throw e;
      case Error e -> throw e;
      case Throwable e -> throw new IllegalStateException(e);
    };
  }

  /// Hands a batch over to the buffers.
  private void check(Batch batch) throws IOException {
    if (batch.rows > 0) {
      MatrixView samples = buffers.buffer(batch.buffer);
      requireFinite(reading.source.samples(), samples, buffers.take(batch.buffer, batch.rows), batch.first);
    }
  }

  private static void requireFinite(SampleSource from, MatrixView read, long bad, long first) throws IOException {
    if (bad >= 0) {
      int row = (int) (bad / read.columns());
      int column = (int) (bad % read.columns());
      throw new IOException("%s is %s at [%d, %d] (sample, column): samples and labels must be finite"
          .formatted(from.name(), read.get(row, column), first + row, column));
    }
  }

  /// The position of the batch's first sample in the source.
  public long first() {
    return current.first;
  }

  /// Samples of the batch.
  public int rows() {
    return current.rows;
  }

  /// The position after the batch's last sample.
  public long end() {
    return current.first + current.rows;
  }

  /// Samples of the whole source.
  public long total() {
    return reading.source.samples().samples();
  }

  /// The batch, samples × inputs; its memory is used again by the next. Only of a pass through one buffer.
  public MatrixView samples() {
    return buffers.buffer(current.buffer).slice(0, current.rows);
  }

  /// The batch's labels, as many rows; only of a source with labels.
  public MatrixView labels() {
    return current.labels.orElseThrow().slice(0, current.rows);
  }

  /// Ends the pass, also for those that share it.
  @Override
  public void close() throws IOException {
    reading.end();
    ahead.ifPresent(ReadAhead::close);
    try (buffers) {
      if (arena.scope().isAlive()) {
        arena.close();
      }
      reading.close();
    }
  }

  /// What is done with samples as soon as they are read.
  private interface Check {
    void accept(Batch batch) throws IOException;
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

    /// Reads the next batch when it is the turn of `part`; leaves it empty if there is none.
    synchronized void next(Batches part, Batch batch, Check check) throws IOException {
      batch.rows = 0;
      boolean interrupted = false;
      while (!ended && turn != part.number) {
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
        batch.rows = read(samples, part.buffers.buffer(batch.buffer));
        if (batch.rows == 0 && position < source.samples().samples()) {
          throw new IOException("%s ends after %d of %s".formatted(source.samples().name(), position,
              Nouns.counted(source.samples().samples(), "sample")));
        }
        check.accept(batch);
        if (batch.rows > 0 && labels.isPresent()) {
          readLabels(source.labels().orElseThrow(), labels.get(), batch.labels.orElseThrow().slice(0, batch.rows));
        }
        position += batch.rows;
        ended = batch.rows == 0;
      } finally {
        turn = (turn + 1) % parts;
        notifyAll();
      }
    }

    private void readLabels(SampleSource from, SampleSource.Pass pass, MatrixView target) throws IOException {
      int read = read(pass, target);
      if (read > 0) {
        MatrixView filled = target.slice(0, read);
        requireFinite(from, filled, filled.firstNonFinite(), position);
      }
      if (read < target.rows()) {
        throw new IOException(
            "%s ends after %d of %s".formatted(from.name(), position + read, Nouns.counted(from.samples(), "label")));
      }
    }

    private static int read(SampleSource.Pass pass, MatrixView target) throws IOException {
      int read = 0;
      int more = -1;
      while (read < target.rows() && more != 0) {
        more = pass.read(target.slice(read, target.rows() - read));
        read += more;
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

    /// Leaves nothing to read.
    synchronized void end() {
      ended = true;
      notifyAll();
    }

    synchronized void close() throws IOException {
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
