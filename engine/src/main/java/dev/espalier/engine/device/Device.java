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
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A machine that a run can take place on.
///
/// @param kind of machine
/// @param numbers of the GPUs, from 0, among those that CUDA shows this process, first the one that does what is not
///                divided; empty: all of them. Empty of other kinds.
public record Device(Kind kind, List<Integer> numbers) {
  /// The best there is: a GPU where its driver and kernels are there, else the CPU where its matrix library loads, else
  /// the reference.
  public static final Device AUTO = new Device(Kind.AUTO, List.of());
  /// The first GPU.
  public static final Device CUDA = new Device(Kind.CUDA, List.of(0));
  /// All GPUs, which share the samples of each pass.
  public static final Device ALL_GPUS = new Device(Kind.CUDA, List.of());
  /// The CPU's vector units.
  public static final Device CPU = new Device(Kind.CPU, List.of());
  /// Plain Java in double precision.
  public static final Device REFERENCE = new Device(Kind.REFERENCE, List.of());

  private static final Logger LOG = LoggerFactory.getLogger(Device.class);
  private static final Pattern NUMBERED_GPUS = Pattern.compile("cuda:(\\d{1,4}(?:,\\d{1,4})*)");

  /// @throws IllegalArgumentException if a GPU is named twice, a number is negative, or the kind has none
  public Device {
    numbers = List.copyOf(numbers);
    if (Set.copyOf(numbers).size() < numbers.size()) {
      throw new IllegalArgumentException("device %s names a GPU twice".formatted(text(kind, numbers)));
    }
    if (numbers.stream().anyMatch(number -> number < 0) || (kind != Kind.CUDA && !numbers.isEmpty())) {
      throw new IllegalArgumentException("%s are no numbers of GPUs of device %s".formatted(numbers, kind));
    }
  }

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

  /// `auto`, `cuda`, `cuda:N`, `cuda:N,M`, `cuda:all`, `cpu` or `reference`.
  ///
  /// @throws IllegalArgumentException for anything else; the message says what there is
  public static Device parse(String name) {
    Matcher numbered = NUMBERED_GPUS.matcher(name);
    if (numbered.matches()) {
      return new Device(Kind.CUDA, Arrays.stream(numbered.group(1).split(",")).map(Integer::valueOf).toList());
    }
    return switch (name) {
      case "auto" -> AUTO;
      case "cuda" -> CUDA;
      case "cuda:all" -> ALL_GPUS;
      case "cpu" -> CPU;
      case "reference" -> REFERENCE;
      default -> throw new IllegalArgumentException(
          ("unknown device '%s': use auto, cuda, cuda:1 for the second GPU, cuda:0,1 or cuda:all for several, cpu or"
              + " reference").formatted(name));
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
  /// @param notice takes one line when auto picks something slower than a machine like this should need, another
  ///               precision is faster, or one of several GPUs does some of the work alone
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
    int devices = backend.devices(Long.MAX_VALUE).backends().size();
    if (devices > 1) {
      notice.accept("device %s: %s GPUs share the samples of a pass; training and selection run on the first alone"
          .formatted(this, devices));
    }
    LOG.info("device {}: {}", this, backend.description());
    return backend;
  }

  /// A backend on the GPUs of these numbers, closed by the caller.
  ///
  /// @throws DeviceUnavailableException if it cannot be used; the message says what to do
  /// @throws DeviceFailedException if a GPU fails while it is opened
  /// @throws OutOfBackendMemoryException if next to nothing of its memory is free
  public GpuBackend openGpu(BackendOptions options) {
    List<Integer> gpus = numbers.isEmpty() ? IntStream.range(0, CudaBackend.gpus()).boxed().toList() : numbers;
    return CudaBackend.open(gpus, new CudaOptions(options.precision().orElse(Precision.TF32), options.deviceMemory()));
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
    return text(kind, numbers);
  }

  private static String text(Kind kind, List<Integer> numbers) {
    String which = numbers.isEmpty() ? "all" : numbers.stream().map(String::valueOf).collect(Collectors.joining(","));
    return kind.name().toLowerCase(Locale.ROOT) + (kind != Kind.CUDA || numbers.equals(List.of(0)) ? "" : ":" + which);
  }
}
