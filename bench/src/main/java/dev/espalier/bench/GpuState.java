package dev.espalier.bench;

import dev.espalier.bindings.CudaDriver;
import dev.espalier.bindings.NativeCallException;
import dev.espalier.bindings.Nvml;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// What the first GPU does at the moment, for the record of a run: a clock that has fallen from before a run to after
/// it, with the power at its limit or a high temperature, tells of throttling.
final class GpuState {
  private GpuState() {}

  /// Clocks, power and temperature by NVML, or that they are not known.
  static String now() {
    String pciBusId = CudaDriver.probe().pciBusId();
    Optional<Nvml> found = pciBusId.isEmpty() ? Optional.empty() : Nvml.open(pciBusId);
    if (found.isEmpty()) {
      return "clocks unknown, NVML does not know the GPU";
    }
    try (Nvml nvml = found.get()) {
      return text(nvml.read());
    } catch (NativeCallException e) {
      return "clocks unknown, " + e.getMessage();
    }
  }

  /// What the GPU does not tell is a dash.
  static String text(Nvml.Reading reading) {
    return "clock %s MHz, memory clock %s MHz, %s W, %s °C".formatted(number(reading.clock()),
        number(reading.memoryClock()), number(reading.power()), number(reading.temperature()));
  }

  private static String number(OptionalInt number) {
    return number.isPresent() ? Integer.toString(number.getAsInt()) : "-";
  }

  private static String number(OptionalDouble number) {
    return number.isPresent() ? String.format(Locale.ROOT, "%.1f", number.getAsDouble()) : "-";
  }
}
