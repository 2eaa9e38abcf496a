package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import org.junit.jupiter.api.Test;

final class CsvTableTest {
  @Test
  void quotesWhatNeedsIt() {
    assertEquals("layer,loss\n\"a,b\",0.5\n\"say \"\"x\"\"\",\n",
        new CsvTable(List.of("layer", "loss"), List.of(List.of("a,b", "0.5"), List.of("say \"x\"", ""))).toString());
  }

  @Test
  void refusesRowsOfAnotherWidth() {
    assertThrows(IllegalArgumentException.class, () -> new CsvTable(List.of("layer", "loss"), List.of(List.of("a"))));
  }
}
