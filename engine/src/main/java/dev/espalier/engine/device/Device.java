package dev.espalier.engine.device;

import dev.espalier.engine.DeviceFailedException;
import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.UnsupportedPrecisionException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.cuda.CudaBackend;
import dev.espalier.engine.backend.cuda.CudaOptions;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A machine that a run can take place on.
///
/// @param kind of machine
/// @param number of the GPU, from 0, among those that CUDA shows this process; 0 of other kinds
public record Device(Kind kind, int number) {
  /// The best there is: a GPU where its driver and kernels are there, else the CPU where its matrix library loads, else
  /// the reference.
  public static final Device AUTO = new Device(Kind.AUTO, 0);
  /// The first GPU.
  public static final Device CUDA = new Device(Kind.CUDA, 0);
  /// The CPU's vector units.
  public static final Device CPU = new Device(Kind.CPU, 0);
  /// Plain Java in double precision.
  public static final Device REFERENCE = new Device(Kind.REFERENCE, 0);

  private static final Logger LOG = LoggerFactory.getLogger(Device.class);
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

  /// A backend on this device with the defaults of [BackendOptions], closed by the caller. Notices are logged as
  /// warnings.
  ///
  /// @throws DeviceUnavailableException if it cannot be used; the message says what to do
  public Backend open() {
    return open(BackendOptions.DEFAULT, LOG::warn);
  }

  /// A backend on this device, closed by the caller.
  ///
  /// @param notice takes one line when auto picks something slower than a machine like this should need, or another
  ///               precision is faster
  /// @throws DeviceUnavailableException if it cannot be used; the message says what to do
  /// @throws DeviceFailedException if a GPU fails while it is opened
  /// @throws UnsupportedPrecisionException if the device does not have the precision
  /// @throws OutOfBackendMemoryException if next to nothing of a GPU's memory is free
  public Backend open(BackendOptions options, Consumer<String> notice) {
    Backend backend = switch (kind) {
      case CUDA -> openGpu(options);
      case CPU -> cpu(options, notice);
      case REFERENCE -> reference(options);
      case AUTO -> best(options, notice);
    };
    LOG.info("device {}: {}", this, backend.description());
    return backend;
  }

  /// A backend on the GPU of this number, closed by the caller.
  ///
  /// @throws DeviceUnavailableException if it cannot be used; the message says what to do
  /// @throws DeviceFailedException if a GPU fails while it is opened
  /// @throws OutOfBackendMemoryException if next to nothing of its memory is free
  public GpuBackend openGpu(BackendOptions options) {
    return CudaBackend.open(number,
        new CudaOptions(options.precision().orElse(Precision.TF32), options.deviceMemory()));
  }

  private static Backend best(BackendOptions options, Consumer<String> notice) {
    if (CudaBackend.hasGpu()) {
      try {
        return CUDA.openGpu(options);
      } catch (DeviceUnavailableException | DeviceFailedException | OutOfBackendMemoryException e) {
        notice.accept("device auto: not the GPU: " + e.getMessage());
      }
    }
    try {
      return cpu(options, notice);
    } catch (DeviceUnavailableException e) {
      notice.accept(
          "device auto: reference, slow but right, because the CPU's matrix library is missing: " + e.getMessage());
      return reference(options);
    }
  }

  private static Backend cpu(BackendOptions options, Consumer<String> notice) {
    Precision precision = options.precision().orElse(Precision.FP32);
    Backend cpu = new CpuBackend(options.threads(), precision);
    double rate = precision == Precision.BF16 ? CpuBackend.bfloat16Rate().orElseThrow() : 1;
    if (rate < 1) {
      notice.accept(("precision bf16: this CPU multiplies bfloat16 at %s times its rate for float32: fp32 is faster,"
          + " and rounds less").formatted(String.format(Locale.ROOT, "%.2f", rate)));
    }
    return cpu;
  }

  private static Backend reference(BackendOptions options) {
    Optional<Precision> other = options.precision().filter(precision -> precision != Precision.FP32);
    if (other.isPresent()) {
      throw new UnsupportedPrecisionException(other.get().toString(), "the reference backend computes in float64");
    }
    return new ReferenceBackend();
  }

  /// As [#parse] reads it.
  @Override
  public String toString() {
    return kind.name().toLowerCase(Locale.ROOT) + (number == 0 ? "" : ":" + number);
  }
}
