package dev.espalier.kernels;

/// Where launchers send their kernels: a device, or in tests the CPU that plays one.
public interface Gpu {
  /// Starts a kernel after the work that was started before.
  ///
  /// @throws KernelException if it cannot be started
  void launch(Launch launch);

  /// Its compute capability: 80 for 8.0, 90 for 9.0.
  int computeCapability();

  /// How many multiprocessors it has.
  int multiprocessors();

  /// Bytes of shared memory that the blocks on a multiprocessor share: 100 KB, 164 KB or 228 KB, by chip.
  int sharedMemory();
}
