package dev.espalier.engine.device;

import dev.espalier.engine.backend.Precision;
import java.util.Optional;
import java.util.OptionalLong;

/// The options of a [Device].
///
/// @param threads most threads of a CPU, at least 1
/// @param precision of large products; empty: TF32 on a GPU, else float32
/// @param deviceMemory bytes of the memory of each GPU to take at most; empty: the free memory, less a reserve
public record BackendOptions(int threads, Optional<Precision> precision, OptionalLong deviceMemory) {
  /// All cores that this process may use, and what suits the device.
  public static final BackendOptions DEFAULT = new BackendOptions(availableThreads(), Optional.empty(),
      OptionalLong.empty());

  /// The cores that this process may use, by affinity and container limits.
  public static int availableThreads() {
    return Runtime.getRuntime().availableProcessors();
  }
}
