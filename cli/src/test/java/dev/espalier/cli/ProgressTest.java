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

  @Test
  void estimatesTheWholeFromWhatWasDoneSinceItIsKnown() {
    long second = Duration.ofSeconds(1).toNanos();
    Progress.Whole whole = Progress.Whole.UNKNOWN.at(0.2, 100 * second); // goes on from a checkpoint
    assertEquals(Optional.empty(), whole.left(120 * second), "nothing is done since");
    whole = whole.at(0.4, 110 * second);
    assertEquals(Optional.of(Duration.ofSeconds(30)), whole.left(110 * second));
    assertEquals(Optional.of(Duration.ofSeconds(18)), whole.left(122 * second), "the part that runs counts");
    assertEquals(Optional.of(Duration.ofSeconds(1)), whole.left(200 * second), "it takes longer than expected");
    assertEquals(Optional.empty(), whole.at(1, 150 * second).left(151 * second), "done");
    assertEquals(Optional.empty(), whole.at(0, 150 * second).left(170 * second), "another run begins");
  }
}
