package dev.espalier.bindings;

import static dev.espalier.bindings.nvml.nvml_h.NVML_CLOCK_MEM;
import static dev.espalier.bindings.nvml.nvml_h.NVML_CLOCK_SM;
import static dev.espalier.bindings.nvml.nvml_h.NVML_ERROR_INSUFFICIENT_SIZE;
import static dev.espalier.bindings.nvml.nvml_h.NVML_ERROR_NOT_SUPPORTED;
import static dev.espalier.bindings.nvml.nvml_h.NVML_ERROR_NO_PERMISSION;
import static dev.espalier.bindings.nvml.nvml_h.NVML_SUCCESS;
import static dev.espalier.bindings.nvml.nvml_h.NVML_TEMPERATURE_GPU;
import static dev.espalier.bindings.nvml.nvml_h.nvmlDeviceGetClockInfo;
import static dev.espalier.bindings.nvml.nvml_h.nvmlDeviceGetComputeRunningProcesses_v3;
import static dev.espalier.bindings.nvml.nvml_h.nvmlDeviceGetCurrentClocksEventReasons;
import static dev.espalier.bindings.nvml.nvml_h.nvmlDeviceGetHandleByPciBusId_v2;
import static dev.espalier.bindings.nvml.nvml_h.nvmlDeviceGetMemoryInfo;
import static dev.espalier.bindings.nvml.nvml_h.nvmlDeviceGetPowerUsage;
import static dev.espalier.bindings.nvml.nvml_h.nvmlDeviceGetTemperature;
import static dev.espalier.bindings.nvml.nvml_h.nvmlErrorString;
import static dev.espalier.bindings.nvml.nvml_h.nvmlInit_v2;
import static dev.espalier.bindings.nvml.nvml_h.nvmlShutdown;
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.espalier.bindings.nvml.nvmlMemory_st;
import dev.espalier.bindings.nvml.nvmlProcessInfo_st;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;

/// What a GPU does at the moment, by NVML, which comes with NVIDIA's driver. Many threads may use one at a time.
public final class Nvml implements AutoCloseable {
  private static final String LIBRARY = "libnvidia-ml.so.1";

  /// A moment's figures. What the GPU, or the right to ask it, does not give is empty.
  ///
  /// @param totalMemory of the device, in bytes
  /// @param freeMemory  in bytes
  /// @param clock       of the multiprocessors, in MHz
  /// @param memoryClock in MHz
  /// @param power       in watts
  /// @param temperature in degrees Celsius
  public record Reading(OptionalLong totalMemory, OptionalLong freeMemory, OptionalInt clock, OptionalInt memoryClock,
      OptionalDouble power, OptionalInt temperature) {}

  /// Why the multiprocessors' clock is not the highest, by NVML's bits.
  public enum ClockLimit {
    /// There is no work.
    IDLE(0x1),
    /// Set by a user.
    APPLICATION(0x2),
    /// The power drawn is at its limit.
    POWER(0x4),
    /// The chip protects itself, by temperature or power.
    HARDWARE(0x8),
    /// Kept to the clock of other GPUs.
    SYNCHRONIZED(0x10),
    /// Temperature, by the driver.
    TEMPERATURE(0x20),
    /// Temperature, by the chip.
    CHIP_TEMPERATURE(0x40),
    /// The power supply demands it.
    POWER_BRAKE(0x80),
    /// Set by a display.
    DISPLAY(0x100);

    private final long bit;

    ClockLimit(long bit) {
      this.bit = bit;
    }
  }

  /// A process that uses the GPU to compute.
  ///
  /// @param pid in the caller's namespace, if the driver knows it there
  /// @param memory of the device, in bytes
  public record User(long pid, OptionalLong memory) {}

  private static final int ROOM = 64;

  private final MemorySegment device;
  private boolean closed;

  private Nvml(MemorySegment device) {
    this.device = device;
  }

  /// A GPU, by its PCI bus id, since indices of NVML and of CUDA differ.
  ///
  /// @param pciBusId as [CudaDriver.Probe] has it
  /// @return empty if there is no NVML, it does not start, or it knows no such GPU
  public static Optional<Nvml> open(String pciBusId) {
    if (!Nvml.class.getModule().isNativeAccessEnabled() || !isInstalled() || nvmlInit_v2() != NVML_SUCCESS()) {
      return Optional.empty();
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment device = arena.allocate(ADDRESS);
      if (nvmlDeviceGetHandleByPciBusId_v2(arena.allocateFrom(pciBusId), device) == NVML_SUCCESS()) {
        return Optional.of(new Nvml(device.get(ADDRESS, 0)));
      }
    }
    check(nvmlShutdown(), "nvmlShutdown");
    return Optional.empty();
  }

  /// Comes before the first touch of the generated class, which fails, and so for good, where there is no library.
  private static boolean isInstalled() {
    try {
      SymbolLookup.libraryLookup(LIBRARY, Arena.global());
      return true;
    } catch (IllegalArgumentException e) {
      return false;
    }
  }

  /// The figures of now.
  ///
  /// @throws NativeCallException if NVML fails, for example because the GPU was lost
  public Reading read() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = nvmlMemory_st.allocate(arena);
      boolean hasMemory = gives(nvmlDeviceGetMemoryInfo(device, memory), "nvmlDeviceGetMemoryInfo");
      OptionalInt power = figure(arena, "nvmlDeviceGetPowerUsage", out -> nvmlDeviceGetPowerUsage(device, out));
      return new Reading(hasMemory ? OptionalLong.of(nvmlMemory_st.total(memory)) : OptionalLong.empty(),
          hasMemory ? OptionalLong.of(nvmlMemory_st.free(memory)) : OptionalLong.empty(), clock(arena, NVML_CLOCK_SM()),
          clock(arena, NVML_CLOCK_MEM()),
          power.isPresent() ? OptionalDouble.of(power.getAsInt() / 1e3) : OptionalDouble.empty(), figure(arena,
              "nvmlDeviceGetTemperature", out -> nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU(), out)));
    }
  }

  /// The processes that compute on the GPU now, this one too.
  ///
  /// @return empty if they are not told; no processes may also mean that they are hidden, as in a container
  /// @throws NativeCallException if NVML fails
  public Optional<List<User>> users() {
    String function = "nvmlDeviceGetComputeRunningProcesses_v3";
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment count = arena.allocate(JAVA_INT);
      int room = ROOM;
      while (true) {
        MemorySegment infos = nvmlProcessInfo_st.allocateArray(room, arena);
        count.set(JAVA_INT, 0, room);
        int status = nvmlDeviceGetComputeRunningProcesses_v3(device, count, infos);
        if (status != NVML_ERROR_INSUFFICIENT_SIZE()) {
          return gives(status, function) ? Optional.of(users(infos, count.get(JAVA_INT, 0))) : Optional.empty();
        }
        room = 2 * Math.max(room, count.get(JAVA_INT, 0));
      }
    }
  }

  private static List<User> users(MemorySegment infos, int count) {
    List<User> users = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      MemorySegment info = nvmlProcessInfo_st.asSlice(infos, i);
      long memory = nvmlProcessInfo_st.usedGpuMemory(info);
      users.add(new User(Integer.toUnsignedLong(nvmlProcessInfo_st.pid(info)),
          memory < 0 ? OptionalLong.empty() : OptionalLong.of(memory))); // all bits set: not known
    }
    return users;
  }

  /// Why the clock is not the highest now.
  ///
  /// @return empty if the GPU does not tell
  /// @throws NativeCallException if NVML fails
  public Optional<Set<ClockLimit>> clockLimits() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment reasons = arena.allocate(JAVA_LONG);
      if (!gives(nvmlDeviceGetCurrentClocksEventReasons(device, reasons), "nvmlDeviceGetCurrentClocksEventReasons")) {
        return Optional.empty();
      }
      Set<ClockLimit> limits = EnumSet.noneOf(ClockLimit.class);
      for (ClockLimit limit : ClockLimit.values()) {
        if ((reasons.get(JAVA_LONG, 0) & limit.bit) != 0) {
          limits.add(limit);
        }
      }
      return Optional.of(limits);
    }
  }

  private OptionalInt clock(Arena arena, int type) {
    return figure(arena, "nvmlDeviceGetClockInfo", out -> nvmlDeviceGetClockInfo(device, type, out));
  }

  /// A call that writes an `unsigned int` and returns a status.
  private interface Question {
    int into(MemorySegment figure);
  }

  private static OptionalInt figure(Arena arena, String function, Question question) {
    MemorySegment figure = arena.allocate(JAVA_INT);
    return gives(question.into(figure), function) ? OptionalInt.of(figure.get(JAVA_INT, 0)) : OptionalInt.empty();
  }

  private static boolean gives(int status, String function) {
    if (status == NVML_ERROR_NOT_SUPPORTED() || status == NVML_ERROR_NO_PERMISSION()) {
      return false;
    }
    check(status, function);
    return true;
  }

  private static void check(int status, String function) {
    if (status != NVML_SUCCESS()) {
      throw new NativeCallException(function, status, nvmlErrorString(status).getString(0), "");
    }
  }

  /// Shuts NVML down. May be called twice.
  ///
  /// @throws NativeCallException if NVML fails
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      check(nvmlShutdown(), "nvmlShutdown");
    }
  }
}
