package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.device.Hardware.GpuState;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class MachineTest {
  @Test
  void tellsWhatTheGpuDoes() {
    assertEquals("139.7 GiB of 140.4 GiB free, clock 1980 MHz, memory clock 3201 MHz, power 76.30 W, 41 °C",
        Machine.gpuNow(new GpuState(OptionalLong.of(150_754_820_096L), OptionalLong.of(150_000_000_000L),
            OptionalInt.of(1980), OptionalInt.of(3201), OptionalDouble.of(76.3), OptionalInt.of(41))));
    assertEquals("- of - free, clock - MHz, memory clock - MHz, power - W, - °C",
        Machine.gpuNow(new GpuState(OptionalLong.empty(), OptionalLong.empty(), OptionalInt.empty(),
            OptionalInt.empty(), OptionalDouble.empty(), OptionalInt.empty())));
  }
}
