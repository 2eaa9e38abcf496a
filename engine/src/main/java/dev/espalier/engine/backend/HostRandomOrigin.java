package dev.espalier.engine.backend;

/// Two numbers.
final class HostRandomOrigin implements RandomOrigin {
  private long seed;
  private long firstSample;

  @Override
  public void set(long seed, long firstSample) {
    this.seed = seed;
    this.firstSample = firstSample;
  }

  @Override
  public long seed() {
    return seed;
  }

  @Override
  public long firstSample() {
    return firstSample;
  }

  @Override
  public void close() {
    // Nothing is held.
  }
}
