package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class TableTest {
  @Test
  void wordsStandToTheLeftAndNumbersToTheRight() {
    Table table = new Table(2, "layer", "shape", "kept");
    table.row("0", "8 x 4", "32");
    table.rule();
    table.row("total", "", "132");
    assertEquals(List.of("layer  shape  kept", "0      8 x 4    32", "------------------", "total          132"),
        table.lines());
  }

  @Test
  void columnsWithoutAnyValueAreLeftOut() {
    Table table = new Table(2, "on test data", "remark", "accuracy", "loss");
    table.row("dense", "", "-", "-");
    table.row("pruned", "", "-", "0.5");
    assertEquals(List.of("on test data  loss", "dense            -", "pruned         0.5"), table.lines());
  }

  @Test
  void aTableWithoutRowsIsItsHeader() {
    assertEquals(List.of("layer  shape"), new Table(2, "layer", "shape").lines());
  }
}
