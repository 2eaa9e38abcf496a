package dev.espalier.spark;

import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;

/// Where the driver selects and removes weights: on its CPU, because Spark gives drivers no GPU.
final class DriverBackend {
  private DriverBackend() {}

  /// A backend, closed by the caller.
  ///
  /// @param device of the tasks: where it is the reference, that of the driver is too
  static Backend open(Device device) {
    try {
      return of(device).open();
    } catch (DeviceUnavailableException e) {
      if (device.kind() == Device.Kind.CPU) {
        throw e;
      }
      return Device.REFERENCE.open();
    }
  }

  /// What it is on, unless there is none.
  static Device of(Device device) {
    return device.kind() == Device.Kind.REFERENCE ? Device.REFERENCE : Device.CPU;
  }
}
