package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class PrecisionTest {
  @ParameterizedTest
  @EnumSource
  void readsWhatItWrites(Precision precision) {
    assertEquals(precision, Precision.parse(precision.toString()));
  }

  @Test
  void refusesOtherNames() {
    assertEquals("unknown precision 'FP32': use fp32, tf32 or bf16",
        assertThrows(IllegalArgumentException.class, () -> Precision.parse("FP32")).getMessage());
  }
}
