package dev.espalier.engine.backend;

/// Where the random vectors of a batch begin: their seed and the position of its first sample. Work that a backend has
/// recorded ([Backend#repeat]) reads them when it is replayed, so that it is the same work for each batch.
public interface RandomOrigin extends Resource {
  /// Sets both for the work from here on. Not to be called by work that may be recorded.
  ///
  /// @param firstSample the position of the batch's first sample in its source
  void set(long seed, long firstSample);

  /// The seed for the work from here on, 0 at first.
  long seed();

  /// The first sample for the work from here on, 0 at first.
  long firstSample();

  /// One for backends that record nothing.
  static RandomOrigin onHost() {
    return new HostRandomOrigin();
  }
}
