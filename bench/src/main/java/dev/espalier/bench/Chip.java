package dev.espalier.bench;

import dev.espalier.bindings.MathMode;
import java.util.List;
import java.util.Optional;

/// What NVIDIA states of a GPU: peaks, of which no kernel reaches more, and few come near.
///
/// @param name as the driver has it after NVIDIA, of a module before what else it says
/// @param sharedMemory bytes of a multiprocessor
/// @param tensorRate TF32 operations a second, without sparsity
/// @param vectorRate float32 operations a second
/// @param bandwidth bytes a second of device memory
record Chip(String name, int computeCapability, int multiprocessors, int sharedMemory, double tensorRate,
    double vectorRate, double bandwidth) {
  /// The modules for servers (SXM), by their data sheets, which state TF32 with sparsity, twice as much.
  static final List<Chip> KNOWN = List.of(new Chip("A100", 80, 108, 164 << 10, 156e12, 19.5e12, 2.039e12),
      new Chip("H100", 90, 132, 228 << 10, 494.7e12, 66.9e12, 3.35e12),
      new Chip("H200", 90, 132, 228 << 10, 494.7e12, 66.9e12, 4.8e12),
      new Chip("B200", 100, 148, 228 << 10, 1100e12, 75e12, 8e12));
  /// Boards with other clocks, memory or multiprocessors than the modules, and chips for other machines, by their data sheets
  /// and, of the RTX 5090, the white paper of its architecture.
  static final List<Chip> OTHERS = List.of(new Chip("A100-SXM4-40GB", 80, 108, 164 << 10, 156e12, 19.5e12, 1.555e12),
      new Chip("A100-PCIE-40GB", 80, 108, 164 << 10, 156e12, 19.5e12, 1.555e12),
      new Chip("A100 80GB PCIe", 80, 108, 164 << 10, 156e12, 19.5e12, 1.935e12),
      new Chip("H100 PCIe", 90, 114, 228 << 10, 378e12, 51.2e12, 2e12),
      new Chip("H100 NVL", 90, 132, 228 << 10, 417.5e12, 60e12, 3.9e12),
      new Chip("H200 NVL", 90, 132, 228 << 10, 417.5e12, 60e12, 4.8e12),
      new Chip("A40", 86, 84, 100 << 10, 74.8e12, 37.4e12, 0.696e12),
      new Chip("L40S", 89, 142, 100 << 10, 183e12, 91.6e12, 0.864e12),
      new Chip("GeForce RTX 5090", 120, 170, 100 << 10, 104.8e12, 104.8e12, 1.792e12));

  /// The chip of a device, if it is known: an H100 PCIe is another than the module, and a GH200 no H200.
  ///
  /// @param device its name by the driver, and more after a comma
  static Optional<Chip> of(String device) {
    String words = device.replaceFirst(",.*", "");
    return OTHERS.stream().filter(chip -> words.equals("NVIDIA " + chip.name)).findFirst()
        .or(() -> KNOWN.stream().filter(chip -> words.matches("NVIDIA %s\\b.*".formatted(chip.name))).findFirst());
  }

  /// Operations a second. bfloat16 has twice the rate of TF32 on all of these chips.
  double rate(MathMode mode) {
    return switch (mode) {
      case FP32 -> vectorRate;
      case TF32 -> tensorRate;
      case BF16 -> 2 * tensorRate;
    };
  }
}
