package dev.espalier.bench;

import dev.espalier.bindings.MathMode;
import java.util.List;
import java.util.Optional;

/// What NVIDIA states of a GPU: peaks, of which no kernel reaches more, and few come near.
///
/// @param name as the driver's name of the device contains it
/// @param sharedMemory bytes of a multiprocessor
/// @param tensorRate TF32 operations a second, without sparsity
/// @param vectorRate float32 operations a second
/// @param bandwidth bytes a second of device memory
record Chip(String name, int computeCapability, int multiprocessors, int sharedMemory, double tensorRate,
    double vectorRate, double bandwidth) {
  /// The modules for servers (SXM), by their data sheets.
  static final List<Chip> KNOWN = List.of(new Chip("A100", 80, 108, 164 << 10, 156e12, 19.5e12, 2.039e12),
      new Chip("H100", 90, 132, 228 << 10, 494.7e12, 66.9e12, 3.35e12),
      new Chip("H200", 90, 132, 228 << 10, 494.7e12, 66.9e12, 4.8e12),
      new Chip("B200", 100, 148, 228 << 10, 1100e12, 75e12, 8e12));

  /// The chip of a device, if it is known.
  static Optional<Chip> of(String device) {
    return KNOWN.stream().filter(chip -> device.contains(chip.name)).findFirst();
  }

  double rate(MathMode mode) {
    return mode == MathMode.FP32 ? vectorRate : tensorRate;
  }
}
