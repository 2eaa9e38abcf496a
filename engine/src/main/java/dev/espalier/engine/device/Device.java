package dev.espalier.engine.device;

import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.cuda.CudaBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Where a run takes place: what `--device` names.
///
/// @param kind   of machine
/// @param number of the GPU, from 0, among those that CUDA shows this process; 0 of other kinds
public record Device(Kind kind, int number) {
  /// The best there is: a GPU where its driver and kernels are there, else the CPU where its matrix library loads, else
  /// the reference.
  public static final Device AUTO = new Device(Kind.AUTO, 0);
  /// The first GPU: [CudaBackend].
  public static final Device CUDA = new Device(Kind.CUDA, 0);
  /// [CpuBackend].
  public static final Device CPU = new Device(Kind.CPU, 0);
  /// [ReferenceBackend].
  public static final Device REFERENCE = new Device(Kind.REFERENCE, 0);

  private static final Pattern NUMBERED_GPU = Pattern.compile("cuda:(\\d{1,4})");

  /// A kind of machine.
  public enum Kind {
    /// Whatever is best.
    AUTO,
    /// An NVIDIA GPU.
    CUDA,
    /// A CPU's vector units.
    CPU,
    /// Plain Java.
    REFERENCE
  }

  /// `auto`, `cuda`, `cuda:N`, `cpu` or `reference`.
  ///
  /// @throws IllegalArgumentException for anything else; the message says what there is
  public static Device parse(String name) {
    Matcher numbered = NUMBERED_GPU.matcher(name);
    if (numbered.matches()) {
      return new Device(Kind.CUDA, Integer.parseInt(numbered.group(1)));
    }
    return switch (name) {
      case "auto" -> AUTO;
      case "cuda" -> CUDA;
      case "cpu" -> CPU;
      case "reference" -> REFERENCE;
      default -> throw new IllegalArgumentException(
          "unknown device '%s': use auto, cuda, cuda:1 for the second GPU, cpu or reference".formatted(name));
    };
  }

  /// A backend on this device with the defaults of [BackendOptions], closed by the caller.
  ///
  /// @throws NativeLibraryException if the CPU is asked for and its matrix library does not load
  /// @throws DeviceUnavailableException if a GPU is asked for and cannot be used
  public Backend open() {
    return open(BackendOptions.DEFAULT, _ -> {});
  }

  /// A backend on this device, closed by the caller.
  ///
  /// @param notice takes one line when auto picks something slower than a machine like this should need, or the precision is
  ///               slower than another
  /// @throws NativeLibraryException if the CPU is asked for and its matrix library does not load
  /// @throws DeviceUnavailableException if a GPU is asked for and cannot be used; the message says what to do
  /// @throws IllegalArgumentException if the device does not have the precision
  public Backend open(BackendOptions options, Consumer<String> notice) {
    return switch (kind) {
      case CUDA -> CudaBackend.open(number, options);
      case CPU -> cpu(options, notice);
      case REFERENCE -> reference(options);
      case AUTO -> best(options, notice);
    };
  }

  private static Backend best(BackendOptions options, Consumer<String> notice) {
    if (CudaBackend.hasGpu()) {
      try {
        return CudaBackend.open(0, options);
      } catch (IllegalStateException | OutOfBackendMemoryException e) {
        notice.accept("device auto: not the GPU: " + e.getMessage());
      }
    }
    try {
      return cpu(options, notice);
    } catch (NativeLibraryException e) {
      notice
          .accept("device auto: reference, slow but right, for the CPU's matrix library is missing: " + e.getMessage());
      return reference(options);
    }
  }

  private static Backend cpu(BackendOptions options, Consumer<String> notice) {
    Precision precision = options.precision().orElse(Precision.FP32);
    Backend cpu = new CpuBackend(options.threads(), precision);
    double rate = precision == Precision.BF16 ? CpuBackend.bfloat16Rate().orElseThrow() : 1;
    if (rate < 1) {
      notice.accept(("precision bf16: this CPU multiplies bfloat16 at %.2f times its rate for float32:"
          + " --precision fp32 is faster, and rounds less").formatted(rate));
    }
    return cpu;
  }

  private static Backend reference(BackendOptions options) {
    Optional<Precision> other = options.precision().filter(precision -> precision != Precision.FP32);
    if (other.isPresent()) {
      throw new IllegalArgumentException(
          "precision %s: the reference backend computes in float64, leave --precision out".formatted(other.get()));
    }
    return new ReferenceBackend();
  }

  /// The name on the command line.
  @Override
  public String toString() {
    return kind.name().toLowerCase(Locale.ROOT) + (number == 0 ? "" : ":" + number);
  }
}
