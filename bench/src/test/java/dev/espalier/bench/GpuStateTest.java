package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.bindings.Nvml;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class GpuStateTest {
  @Test
  void tellsWhatItKnows() {
    assertEquals("clock 1980 MHz, memory clock 3201 MHz, 76.3 W, 41 °C",
        GpuState.text(new Nvml.Reading(OptionalLong.empty(), OptionalLong.empty(), OptionalInt.of(1980),
            OptionalInt.of(3201), OptionalDouble.of(76.3), OptionalInt.of(41))));
    assertEquals("clock - MHz, memory clock - MHz, - W, - °C", GpuState.text(new Nvml.Reading(OptionalLong.empty(),
        OptionalLong.empty(), OptionalInt.empty(), OptionalInt.empty(), OptionalDouble.empty(), OptionalInt.empty())));
  }
}
