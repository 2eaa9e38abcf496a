package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.CpuBackend;
import dev.espalier.engine.backend.Device;
import dev.espalier.engine.backend.Precision;
import picocli.CommandLine.Option;

/// Where a command computes.
class DeviceOptions {
  @Option(names = "--device", paramLabel = "DEVICE", order = 60, description = {
      "auto, cpu or reference: slow, in double precision, to check others by (default: ${DEFAULT-VALUE})."})
  Device device = Device.AUTO;

  @Option(names = "--threads", paramLabel = "N", order = 61, converter = Values.AtLeastOne.class, description = {
      "Threads of the CPU; default: all cores that this process may use."})
  int threads = CpuBackend.availableThreads();

  @Option(names = "--precision", paramLabel = "PRECISION", order = 62, description = {
      "fp32, or bf16 on CPUs that multiply bfloat16: less exact (default: ${DEFAULT-VALUE})."})
  Precision precision = Precision.FP32;

  /// A backend, after saying which one and why.
  Backend open(GlobalOptions global) {
    Backend backend = device.open(threads, precision, global::say);
    global.say("device: %s, %s".formatted(backend.description(),
        device == Device.AUTO ? "picked by auto" : "as asked for"));
    return backend;
  }
}
