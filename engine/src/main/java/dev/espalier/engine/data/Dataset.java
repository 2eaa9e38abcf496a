package dev.espalier.engine.data;

import dev.espalier.engine.MismatchException;
import java.util.Optional;

/// Samples, read in batches and never held whole, and their labels where a criterion or a loss needs them.
///
/// @param samples X, samples × inputs
/// @param labels as many rows: a class index (one column) or a target row
public record Dataset(SampleSource samples, Optional<SampleSource> labels) {
  /// @throws MismatchException if samples and labels differ in number
  public Dataset {
    labels.ifPresent(l -> {
      if (l.samples() != samples.samples()) {
        throw new MismatchException("%s has %d samples, but %s has %d labels".formatted(samples.name(),
            samples.samples(), l.name(), l.samples()));
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
      throw new MismatchException(
          "%s has %d numbers a sample, the network takes %d".formatted(samples.name(), samples.width(), inputs));
    }
  }
}
