package dev.espalier.engine.backend.cpu;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Precision;
import org.junit.jupiter.api.BeforeAll;

/// Where the CPU multiplies bfloat16.
final class CpuBfloat16BackendTest extends BackendContract {
  /// Two factors are rounded to 8 bits each.
  CpuBfloat16BackendTest() {
    super(() -> new CpuBackend(2, Precision.BF16), 0x1p-8);
  }

  @BeforeAll
  static void requireInstructions() {
    OneDnn.load();
    assumeTrue(OneDnn.multipliesBfloat16(), "this CPU has no bfloat16 instructions");
  }
}
