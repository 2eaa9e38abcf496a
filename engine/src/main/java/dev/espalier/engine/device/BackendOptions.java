package dev.espalier.engine.device;

import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import java.util.Optional;
import java.util.OptionalLong;

/// How a [Device] is used.
///
/// @param threads      most threads of [CpuBackend], at least 1
/// @param precision    of large products; empty: TF32 on a GPU, else float32
/// @param deviceMemory bytes of GPU memory to take at most; empty: what is free, less a reserve
public record BackendOptions(int threads, Optional<Precision> precision, OptionalLong deviceMemory) {
  /// All cores, and what suits the device.
  public static final BackendOptions DEFAULT = new BackendOptions(CpuBackend.availableThreads(), Optional.empty(),
      OptionalLong.empty());
}
