package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class AdamTest {
  @Test
  void hasThePapersConstants() {
    assertEquals(new Adam(0.01, 0.9, 0.999, 1e-8), Adam.of(0.01));
  }

  @ParameterizedTest
  @CsvSource({"0, 0.9, 0.999, 1e-8", "NaN, 0.9, 0.999, 1e-8", "0.1, -0.1, 0.999, 1e-8", "0.1, 1, 0.999, 1e-8",
      "0.1, 0.9, 1, 1e-8", "0.1, 0.9, -0.1, 1e-8", "0.1, 0.9, 0.999, 0"})
  void refusesConstantsOutOfTheirRange(double learningRate, double beta1, double beta2, double epsilon) {
    assertEquals("learning rate %s, beta1 %s, beta2 %s, epsilon %s".formatted(learningRate, beta1, beta2, epsilon),
        assertThrows(IllegalArgumentException.class, () -> new Adam(learningRate, beta1, beta2, epsilon)).getMessage());
  }
}
