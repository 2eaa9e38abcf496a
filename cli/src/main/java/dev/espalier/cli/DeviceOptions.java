package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.device.Device;
import java.util.Optional;
import java.util.OptionalLong;
import picocli.CommandLine.Option;

/// Where a command computes.
class DeviceOptions {
  @Option(names = "--device", paramLabel = "DEVICE", order = 60)
  Device device = Device.AUTO;

  @Option(names = "--threads", paramLabel = "N", order = 61, converter = Values.AtLeastOne.class)
  int threads = BackendOptions.availableThreads();

  @Option(names = "--precision", paramLabel = "PRECISION", order = 62)
  private Precision precision;

  @Option(names = "--device-memory", paramLabel = "SIZE", order = 63, converter = Values.Bytes.class)
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
