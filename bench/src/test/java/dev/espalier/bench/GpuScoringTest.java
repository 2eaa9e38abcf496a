package dev.espalier.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class GpuScoringTest {
  /// On the CPU: that it runs is all that its figures say.
  @Test
  void measuresEveryNetwork() throws IOException {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    try (Backend cpu = Device.CPU.open()) {
      new GpuScoring(cpu, new PrintStream(text, true, StandardCharsets.UTF_8)).run(List.of("20-16-4:100", "10-4:30"),
          64, 3, 0);
    }
    List<String> lines = text.toString(StandardCharsets.UTF_8).lines().toList();
    for (String row : List.of("| 20-16-4, 100 | from the host | jacobian | 100 | ",
        "| 10-4, 30 | on the GPU | probes:1 | 30 | ")) {
      assertEquals(1, lines.stream().filter(line -> line.startsWith(row)).count(), row);
    }
    assertTrue(lines.stream().noneMatch(line -> line.contains("NaN")));
  }
}
