package dev.espalier.engine.data;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Optional;

/// Samples, read in batches, and their labels where a criterion or a loss needs them.
///
/// @param samples X, samples × inputs
/// @param labels as many rows: a class index (one column) or a target row
public record Dataset(SampleSource samples, Optional<SampleSource> labels) {
  private static final int READ_TOGETHER = 1024;

  /// @throws MismatchException if samples and labels differ in number
  public Dataset {
    labels.ifPresent(l -> {
      if (l.samples() != samples.samples()) {
        throw new MismatchException("%s has %s, but %s has %s".formatted(samples.name(),
            Nouns.counted(samples.samples(), "sample"), l.name(), Nouns.counted(l.samples(), "label")));
      }
    });
  }

  /// Samples without labels.
  public static Dataset of(SampleSource samples) {
    return new Dataset(samples, Optional.empty());
  }

  /// Samples with labels.
  ///
  /// @throws MismatchException if they differ in number
  public static Dataset of(SampleSource samples, SampleSource labels) {
    return new Dataset(samples, Optional.of(labels));
  }

  /// Whether only the thread that opens a pass over it may read it.
  public boolean isThreadConfined() {
    return samples.isThreadConfined() || labels.map(SampleSource::isThreadConfined).orElse(false);
  }

  /// @throws MismatchException if the samples are not `inputs` numbers wide
  public void requireWidth(int inputs) {
    if (samples.width() != inputs) {
      throw new MismatchException("%s has %d number%s a sample, the network takes %d".formatted(samples.name(),
          samples.width(), samples.width() == 1 ? "" : "s", inputs));
    }
  }

  /// Two parts of one dataset.
  ///
  /// @param heldOut what `used` lacks
  public record Split(Dataset used, Dataset heldOut) {}

  /// Holds out every n-th sample.
  ///
  /// @throws MismatchException if there are fewer than n
  public Split holdOut(int n) {
    return new Split(everyNth(n, true), everyNth(n, false));
  }

  private Dataset everyNth(int n, boolean others) {
    return new Dataset(new EveryNth(samples, n, others), labels.map(source -> new EveryNth(source, n, others)));
  }

  /// One of several equal parts, to within one sample.
  ///
  /// @param part from 1
  /// @throws MismatchException if there are fewer samples than parts
  public Dataset part(int part, int parts) {
    long all = samples.samples();
    if (all < parts) {
      throw new MismatchException(
          "%s has %s: too few for %d parts".formatted(samples.name(), Nouns.counted(all, "sample"), parts));
    }
    long first = Math.multiplyExact(all, part - 1L) / parts;
    long count = Math.multiplyExact(all, (long) part) / parts - first;
    return range(first, count);
  }

  /// The first samples.
  ///
  /// @param most how many, at least 1; all if there are no more
  public Dataset first(long most) {
    return range(0, Math.min(most, samples.samples()));
  }

  private Dataset range(long first, long count) {
    return new Dataset(new SampleRange(samples, first, count),
        labels.map(source -> new SampleRange(source, first, count)));
  }

  /// The same data, read once and kept in memory if they take little there: reading may cost more than computing where
  /// files are compressed and there are many passes.
  ///
  /// @param mostBytes that samples and labels may take
  /// @param arena takes their memory, and must allow other threads where they read passes
  /// @throws IOException if a sample or label cannot be read or is not finite
  public Dataset inMemory(long mostBytes, Arena arena) throws IOException {
    if (samples.isInMemory() && labels.stream().allMatch(SampleSource::isInMemory)) {
      return this;
    }
    long width = samples.width() + (long) labels.map(SampleSource::width).orElse(0);
    if (samples.samples() > Math.min(mostBytes / Float.BYTES / width, Integer.MAX_VALUE)) {
      return this;
    }
    MatrixView rows = MatrixView.allocate(arena, (int) samples.samples(), samples.width());
    Optional<MatrixView> labelRows = labels
        .map(source -> MatrixView.allocate(arena, (int) samples.samples(), source.width()));
    try (Batches batches = new Batches(this, READ_TOGETHER)) {
      while (batches.next()) {
        copy(batches.samples(), rows, batches.first());
        if (labelRows.isPresent()) {
          copy(batches.labels(), labelRows.get(), batches.first());
        }
      }
    }
    return new Dataset(new MatrixSamples(samples.name(), rows),
        labelRows.map(view -> new MatrixSamples(labels.orElseThrow().name(), view)));
  }

  private static void copy(MatrixView from, MatrixView to, long first) {
    to.slice((int) first, from.rows()).segment().copyFrom(from.segment());
  }
}
