package dev.espalier.engine.backend;

import java.util.Locale;

/// Memory that a backend may take.
///
/// @param bytes for matrices and workspace
/// @param forWeights the part of it for what [Backend#allocateWeights] allocates
public record MemoryBudget(long bytes, long forWeights) {
  private static final int KEPT_SHARE = 8;

  /// The part of it for what trainings and repairs keep because it spares them work, and could do without.
  public long forKept() {
    return bytes / KEPT_SHARE;
  }

  /// A number of bytes for people, for example `12 KiB` or `1,024.0 MiB`.
  public static String text(long bytes) {
    return bytes < 1 << 20
        ? "%s KiB".formatted(Math.ceilDiv(bytes, 1 << 10))
        : String.format(Locale.ROOT, "%,.1f MiB", bytes / (double) (1 << 20));
  }
}
