package dev.espalier.engine.backend;

import dev.espalier.bindings.NativeLibraryException;

import java.util.Locale;
import java.util.function.Consumer;

/// Where a run takes place: what `--device` names.
public enum Device {
  /// The best there is: the CPU where its matrix library loads, else the reference.
  AUTO,
  /// [CpuBackend].
  CPU,
  /// [ReferenceBackend].
  REFERENCE;

  /// `auto`, `cpu` or `reference`.
  ///
  /// @throws IllegalArgumentException for anything else; the message says what there is
  public static Device parse(String name) {
    return switch (name) {
      case "auto" -> AUTO;
      case "cpu" -> CPU;
      case "reference" -> REFERENCE;
      case "cuda" -> throw new IllegalArgumentException(
          "device cuda: this version of Espalier has no cuda backend yet, use --device cpu");
      default ->
        throw new IllegalArgumentException("unknown device '%s': use auto, cpu or reference".formatted(name));
    };
  }

  /// A backend on this device, on all cores and in float32 where it has the choice, closed by the caller.
  ///
  /// @throws NativeLibraryException if the CPU is asked for and its matrix library does not load
  public Backend open() {
    return open(CpuBackend.availableThreads(), Precision.FP32, _ -> {});
  }

  /// A backend on this device, closed by the caller.
  ///
  /// @param threads most threads of [CpuBackend], at least 1
  /// @param precision of [CpuBackend]
  /// @param notice takes one line when auto picks something slower than a machine like this should need
  /// @throws NativeLibraryException if the CPU is asked for and its matrix library does not load
  /// @throws IllegalArgumentException if the device does not have the precision
  public Backend open(int threads, Precision precision, Consumer<String> notice) {
    return switch (this) {
      case CPU -> new CpuBackend(threads, precision);
      case REFERENCE -> reference(precision);
      case AUTO -> {
        try {
          yield new CpuBackend(threads, precision);
        } catch (NativeLibraryException e) {
          notice.accept("device auto: reference, slow but right, for the CPU's matrix library is missing: "
              + e.getMessage());
          yield reference(precision);
        }
      }
    };
  }

  private static Backend reference(Precision precision) {
    if (precision != Precision.FP32) {
      throw new IllegalArgumentException(
          "precision %s: the reference backend computes in float64, leave --precision out"
              .formatted(precision));
    }
    return new ReferenceBackend();
  }

  /// The name on the command line.
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
