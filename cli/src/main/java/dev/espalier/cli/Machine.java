package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import com.sun.management.OperatingSystemMXBean;
import dev.espalier.engine.device.Hardware;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/// What the machine is made of, within the limits of its container.
final class Machine {
  private static final Path CPU_INFO = Path.of("/proc/cpuinfo");
  private static final Path STATUS = Path.of("/proc/self/status");

  private Machine() {}

  static String java() {
    return "%s (%s), %s".formatted(Runtime.version(), System.getProperty("java.vendor"),
        System.getProperty("java.home"));
  }

  static String system() {
    return "%s %s, %s".formatted(System.getProperty("os.name"), System.getProperty("os.version"),
        System.getProperty("os.arch"));
  }

  static String cpu() {
    List<String> lines = lines(CPU_INFO);
    String model = field(lines, "model name").orElse(System.getProperty("os.arch"));
    int cores = Runtime.getRuntime().availableProcessors();
    return "%s, %s, %s".formatted(model, PLAIN.counted(cores, "core"),
        vectors(field(lines, "flags").or(() -> field(lines, "Features")).orElse("")));
  }

  /// The widest vectors that the flags of /proc/cpuinfo speak of.
  static String vectors(String flags) {
    List<String> all = Arrays.asList(flags.split(" "));
    if (all.contains("avx512f")) {
      return "AVX-512: vectors of 512 bits, 16 float32";
    } else if (all.contains("avx2")) {
      return "AVX2: vectors of 256 bits, 8 float32";
    } else if (all.contains("sse2") || all.contains("asimd")) {
      return "%s: vectors of 128 bits, 4 float32".formatted(all.contains("sse2") ? "SSE2" : "NEON");
    }
    return "vector width unknown";
  }

  /// Whether `--precision bf16` is worth it on the CPU.
  static String bfloat16() {
    Hardware.Answer<OptionalDouble> rate = Hardware.bfloat16Rate();
    if (rate.value().isEmpty()) {
      return "unknown: " + rate.problem();
    }
    return rate.value().get().isPresent()
        ? "multiplied at %s times the rate of float32, on one core"
            .formatted(PLAIN.fixed(rate.value().get().getAsDouble(), 2))
        : "no instructions for it";
  }

  /// Whether scoring on the CPU skips dead units.
  static String vectorApi() {
    if (Hardware.skipsDeadUnits()) {
      return "loaded: scoring on the CPU skips the units that ReLU leaves dead";
    }
    return ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent()
        ? "loaded, but vectors are too short to skip dead units by"
        : "not loaded: with ESPALIER_JAVA_OPTIONS='--add-modules jdk.incubator.vector', the CPU skips dead units";
  }

  static String memory() {
    OperatingSystemMXBean system = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
    return "%s, of which %s free; Java heap up to %s".formatted(gibibytes(system.getTotalMemorySize()),
        gibibytes(system.getFreeMemorySize()), gibibytes(Runtime.getRuntime().maxMemory()));
  }

  /// The most memory that this process has had, where the system tells.
  static Optional<String> peakMemory() {
    return field(lines(STATUS), "VmHWM")
        .map(text -> gibibytes(1024 * Long.parseLong(text.replaceFirst("\\s*kB$", ""))));
  }

  static String gpuNow(Hardware.GpuState state) {
    return "%s of %s free, clock %s MHz, memory clock %s MHz, power %s W, %s °C".formatted(
        gibibytes(state.freeMemory()), gibibytes(state.totalMemory()), number(state.clock()),
        number(state.memoryClock()), PLAIN.value(state.power()), number(state.temperature()));
  }

  private static String gibibytes(OptionalLong bytes) {
    return bytes.isPresent() ? gibibytes(bytes.getAsLong()) : "-";
  }

  private static String number(OptionalInt number) {
    return number.isPresent() ? String.valueOf(number.getAsInt()) : "-";
  }

  private static String gibibytes(long bytes) {
    return PLAIN.value(bytes / (double) (1 << 30)) + " GiB";
  }

  private static List<String> lines(Path file) {
    try {
      return Files.isReadable(file) ? Files.readAllLines(file) : List.of();
    } catch (IOException e) {
      return List.of();
    }
  }

  private static Optional<String> field(List<String> lines, String name) {
    return lines.stream().filter(line -> line.startsWith(name) && line.contains(":")).findFirst()
        .map(line -> line.substring(line.indexOf(':') + 1).strip());
  }
}
