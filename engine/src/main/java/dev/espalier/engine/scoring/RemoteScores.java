package dev.espalier.engine.scoring;

import dev.espalier.engine.backend.Resource;
import java.io.UncheckedIOException;

/// Scores that lie elsewhere, such as on the machines of a cluster, because one memory is too small for those of all
/// layers. Weights are selected there, and one layer at a time is fetched, to be cut.
public interface RemoteScores extends Ranking, Resource {
  /// The scores of the i-th scored layer alone, not ranked, closed by the caller. Ranked, they have the bits of those that
  /// [#cuts] selects among.
  ///
  /// @throws UncheckedIOException if they cannot be fetched
  Scores fetch(int i);
}
