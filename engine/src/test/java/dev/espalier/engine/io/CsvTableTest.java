package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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

  @Test
  void readsWhatItWrites(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("table.csv");
    CsvTable table = new CsvTable(List.of("layer", "loss"), List.of(List.of("a,b", "0.5"), List.of("say \"x\"", "")));
    Files.writeString(file, table.toString());
    assertEquals(table, CsvTable.read(file));
    Files.writeString(file, "a,b\n1\n");
    assertEquals(file + ": line 2 has 1 field, the first one has 2",
        assertThrows(IOException.class, () -> CsvTable.read(file)).getMessage());
  }
}
