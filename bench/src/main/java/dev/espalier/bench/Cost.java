package dev.espalier.bench;

import dev.espalier.bindings.MathMode;
import java.util.Optional;

/// What a kernel does at least: operations, and bytes that it reads from and writes to device memory.
///
/// @param operations 0 where memory is what bounds it on every chip
/// @param mode how products round; empty without operations
record Cost(double operations, Optional<MathMode> mode, double bytes) {
  static Cost ofMemory(double bytes) {
    return new Cost(0, Optional.empty(), bytes);
  }

  static Cost ofProducts(MathMode mode, double operations, double bytes) {
    return new Cost(operations, Optional.of(mode), bytes);
  }

  boolean isBoundByMemory() {
    return mode.isEmpty();
  }

  /// Seconds that it takes at least, by the stated peaks of a chip.
  double least(Chip chip) {
    return Math.max(bytes / chip.bandwidth(), mode.map(given -> operations / chip.rate(given)).orElse(0.0));
  }
}
