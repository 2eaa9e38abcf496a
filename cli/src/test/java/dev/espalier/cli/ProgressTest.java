package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class ProgressTest {
  @Test
  void estimatesOnlyWhatCanBeTold() {
    assertEquals(Optional.empty(), Progress.left(Duration.ofSeconds(1), 50, 100), "too early");
    assertEquals(Optional.empty(), Progress.left(Duration.ofSeconds(10), 4, 100), "too little");
    assertEquals(Optional.empty(), Progress.left(Duration.ofSeconds(10), 4, -1), "of unknown length");
    assertEquals(Optional.empty(), Progress.left(Duration.ofSeconds(10), 0, 0), "of nothing");
    assertEquals(Optional.of(Duration.ofSeconds(30)), Progress.left(Duration.ofSeconds(10), 25, 100));
  }
}
