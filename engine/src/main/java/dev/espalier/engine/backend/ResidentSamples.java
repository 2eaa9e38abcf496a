package dev.espalier.engine.backend;

import dev.espalier.engine.data.ForwardingSamples;
import dev.espalier.engine.data.SampleSource;
import java.io.IOException;
import java.util.Optional;

/// Samples that stay in a backend's memory once a pass of [SampleBatches] has brought them there. To all others it is the
/// source that they come from, which must not change.
public final class ResidentSamples implements ForwardingSamples, Resource {
  private final SampleSource source;
  private final Backend backend;
  private final Matrix samples;
  /// The first samples that are there.
  private int kept;

  /// @param source of fewer than 2³¹ samples
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if they do not fit
  public ResidentSamples(SampleSource source, Backend backend) {
    this.source = source;
    this.backend = backend;
    samples = backend.allocate(Math.toIntExact(source.samples()), source.width());
  }

  /// All samples in the memory of `backend`, if they are there: samples × width, not to be written; closed by their
  /// owner.
  public static Optional<Matrix> of(SampleSource source, Backend backend) {
    return source instanceof ResidentSamples resident && resident.isOn(backend) && resident.isComplete()
        ? Optional.of(resident.samples)
        : Optional.empty();
  }

  boolean isOn(Backend other) {
    return backend.equals(other); // the same object
  }

  /// Whether a pass has gone through all samples.
  boolean isComplete() {
    return kept == samples.rows();
  }

  /// Keeps the batch that a transfer took last.
  void keep(long first, int rows, SampleTransfer transfer) {
    if (first <= kept && first + rows > kept) {
      transfer.load(samples.slice((int) first, rows));
      kept = (int) first + rows;
    }
  }

  /// Copies samples into all rows of `target`.
  void load(long first, Matrix target) {
    backend.network().copyColumns(samples.slice((int) first, target.rows()), 0, target, 0, target.columns());
  }

  @Override
  public SampleSource source() {
    return source;
  }

  @Override
  public boolean isInMemory() {
    return true;
  }

  @Override
  public Pass open() throws IOException {
    return source.open();
  }

  @Override
  public void close() {
    samples.close();
  }
}
