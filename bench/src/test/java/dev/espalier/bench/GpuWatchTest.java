package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.bindings.Nvml;
import dev.espalier.bindings.Nvml.ClockLimit;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import org.junit.jupiter.api.Test;

class GpuWatchTest {
  @Test
  void tellsWhatItKnows() {
    Nvml.Reading reading = new Nvml.Reading(OptionalLong.of(80L << 30), OptionalLong.of(79L << 30),
        OptionalInt.of(1980), OptionalInt.of(3201), OptionalDouble.of(76.3), OptionalInt.of(41));
    String state = "clock 1980 MHz, memory clock 3201 MHz, 76.3 W, 41 °C, 1024.0 MiB in use, other processes: ";
    assertEquals(state + "none", GpuWatch.text(reading, Optional.of(List.of())));
    assertEquals(state + "7 9", GpuWatch.text(reading,
        Optional.of(List.of(new Nvml.User(7, OptionalLong.of(1)), new Nvml.User(9, OptionalLong.empty())))));
    assertEquals("clock - MHz, memory clock - MHz, - W, - °C, - MiB in use, other processes: -",
        GpuWatch.text(new Nvml.Reading(OptionalLong.empty(), OptionalLong.empty(), OptionalInt.empty(),
            OptionalInt.empty(), OptionalDouble.empty(), OptionalInt.empty()), Optional.empty()));
  }

  @Test
  void tellsWhatHeldTheClockDown() {
    assertEquals("clock at least 1755 MHz, held down by: power, chip temperature",
        GpuWatch.text(OptionalInt.of(1755), EnumSet.of(ClockLimit.CHIP_TEMPERATURE, ClockLimit.POWER)));
    assertEquals("clock at least - MHz, held down by: nothing seen", GpuWatch.text(OptionalInt.empty(), Set.of()));
  }
}
