package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Device;
import dev.espalier.engine.pruning.PruningOptions;

import picocli.CommandLine.Option;

/// Where a command computes.
class DeviceOptions {
  @Option(names = "--device", paramLabel = "DEVICE", order = 60, description = {
      "auto or reference (default: ${DEFAULT-VALUE})."})
  Device device = Device.AUTO;

  @Option(names = "--batch-size", paramLabel = "N", order = 61, converter = Values.AtLeastOne.class, description = {
      "Samples computed at once; changes results by rounding only (default: ${DEFAULT-VALUE})."})
  int batchSize = PruningOptions.DEFAULT_BATCH_SIZE;

  Backend open(GlobalOptions global) {
    return open(device, global);
  }

  /// A backend, after saying which one and why.
  static Backend open(Device device, GlobalOptions global) {
    Backend backend = device.open();
    global.say("device: %s, %s".formatted(backend.description(),
        device == Device.AUTO ? "picked by auto: there is no other in this version" : "as asked for"));
    return backend;
  }
}
