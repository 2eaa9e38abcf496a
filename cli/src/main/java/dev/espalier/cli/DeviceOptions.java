package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendOptions;
import dev.espalier.engine.backend.CpuBackend;
import dev.espalier.engine.backend.Device;
import dev.espalier.engine.backend.Precision;
import java.util.Optional;
import java.util.OptionalLong;
import picocli.CommandLine.Option;

/// Where a command computes.
class DeviceOptions {
  @Option(names = "--device", paramLabel = "DEVICE", order = 60, description = {
      "auto, cuda (an NVIDIA GPU; cuda:1 is the second), cpu, or reference: slow, in double precision, to check others"
          + " by (default: ${DEFAULT-VALUE})."})
  Device device = Device.AUTO;

  @Option(names = "--threads", paramLabel = "N", order = 61, converter = Values.AtLeastOne.class, description = {
      "Threads of the CPU; default: all cores that this process may use."})
  int threads = CpuBackend.availableThreads();

  @Option(names = "--precision", paramLabel = "PRECISION", order = 62, description = {
      "Of large products: fp32, tf32 on GPUs, or bf16 on GPUs and on CPUs that multiply bfloat16: less exact; default:"
          + " tf32 on a GPU, else fp32."})
  private Precision precision;

  @Option(names = "--device-memory", paramLabel = "SIZE", order = 62, converter = Values.Bytes.class, description = {
      "GPU memory to take at most, for example 20G or 512M; default: what is free, less a reserve."})
  private Long deviceMemory;

  /// A backend, after saying which one and why.
  Backend open(GlobalOptions global) {
    Backend backend = device.open(new BackendOptions(threads, Optional.ofNullable(precision),
        deviceMemory == null ? OptionalLong.empty() : OptionalLong.of(deviceMemory)), global::say);
    global.say("device: %s, %s".formatted(backend.description(),
        device.equals(Device.AUTO) ? "picked by auto" : "as asked for"));
    return backend;
  }
}
