package dev.espalier.engine.device;

import dev.espalier.bindings.Cublas;
import dev.espalier.bindings.CudaDriver;
import dev.espalier.bindings.NativeCallException;
import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.bindings.Nvml;
import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.backend.cpu.CpuBackend;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/// The hardware and libraries of this machine that Espalier can use, described for people. Nothing here prints or
/// throws because something is missing.
public final class Hardware {
  private Hardware() {}

  /// A GPU.
  ///
  /// @param description for example `NVIDIA H200, compute capability 9.0, 140 GiB, driver for CUDA 12.8`
  /// @param now its state at the moment, where NVML tells it
  public record Gpu(String description, Optional<GpuState> now) {}

  /// Figures of a moment. Those that the GPU, or the right to ask it, does not give are empty.
  ///
  /// @param totalMemory of the device, in bytes
  /// @param freeMemory in bytes
  /// @param clock of the multiprocessors, in MHz
  /// @param memoryClock in MHz
  /// @param power in watts
  /// @param temperature in degrees Celsius
  public record GpuState(OptionalLong totalMemory, OptionalLong freeMemory, OptionalInt clock, OptionalInt memoryClock,
      OptionalDouble power, OptionalInt temperature) {}

  /// A question that was answered, or why it was not.
  ///
  /// @param problem why there is no value, and what to do
  public record Answer<T>(Optional<T> value, String problem) {
    static <T> Answer<T> of(T value) {
      return new Answer<>(Optional.of(value), "");
    }

    static <T> Answer<T> none(String problem) {
      return new Answer<>(Optional.empty(), problem);
    }
  }

  /// The GPUs that the driver shows, in the order of their numbers: at least one.
  public static Answer<List<Gpu>> gpus() {
    CudaDriver.Probe probe = CudaDriver.probe();
    return probe.gpus().isEmpty()
        ? Answer.none(probe.problem())
        : Answer.of(probe.gpus().stream().map(gpu -> new Gpu(gpu.description(), now(gpu.pciBusId()))).toList());
  }

  private static Optional<GpuState> now(String pciBusId) {
    Optional<Nvml> found = pciBusId.isEmpty() ? Optional.empty() : Nvml.open(pciBusId);
    if (found.isEmpty()) {
      return Optional.empty();
    }
    try (Nvml nvml = found.get()) {
      Nvml.Reading reading = nvml.read();
      return Optional.of(new GpuState(reading.totalMemory(), reading.freeMemory(), reading.clock(),
          reading.memoryClock(), reading.power(), reading.temperature()));
    } catch (NativeCallException e) {
      return Optional.empty();
    }
  }

  /// The version and file of cuBLAS.
  public static Answer<String> cublas() {
    try {
      return Answer.of(Cublas.load());
    } catch (NativeLibraryException e) {
      return Answer.none(e.getMessage());
    }
  }

  /// How many times as fast as float32 one core multiplies bfloat16; empty where the CPU has no instructions for it.
  public static Answer<OptionalDouble> bfloat16Rate() {
    try {
      return Answer.of(CpuBackend.bfloat16Rate());
    } catch (DeviceUnavailableException e) {
      return Answer.none(e.getMessage());
    }
  }

  /// Whether scoring on the CPU skips the units that ReLU leaves dead.
  public static boolean skipsDeadUnits() {
    return CpuBackend.skipsDeadUnits();
  }
}
