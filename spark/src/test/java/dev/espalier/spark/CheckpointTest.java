package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class CheckpointTest {
  @Test
  void aDriverThatIsKilledGoesOnToTheSameBits(@TempDir Path folder) throws Exception {
    Path killed = folder.resolve("killed");
    Path log = folder.resolve("log");
    int code = run(killed, log);
    assertEquals(KilledDriver.CODE, code, Files.readString(log));
    assertTrue(Files.exists(killed.resolve("round-2.safetensors")));
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = KilledDriver.network(arena);
      PruningResult expected = KilledDriver.prune(KilledDriver.rows(), folder.resolve("other"), network, arena);
      PruningResult found = KilledDriver.prune(KilledDriver.rows(), killed, network, arena);
      assertTrue(found.notes().contains("went on after round 2 of 3, which the checkpoint had"),
          found.notes()::toString);
      assertSame(expected, found);
      // And from its end.
      PruningResult again = KilledDriver.prune(KilledDriver.rows(), killed, network, arena);
      assertSame(expected, again);
      assertSameNotes(expected, found);
      assertSameNotes(expected, again);
      for (float[][] other : List.of(changed(), swapped())) {
        assertEquals(
            "the checkpoint in %s is of another pruning: the data changed; use another folder, or delete it"
                .formatted(killed),
            assertThrows(MismatchException.class,
                () -> KilledDriver.prune(Fixture.arrayRows(3, other), killed, network, arena)).getMessage());
      }
      assertEquals(
          "the checkpoint in %s is of another pruning: partitions was 3 and is 2; use another folder, or delete it"
              .formatted(killed),
          assertThrows(MismatchException.class, () -> KilledDriver.prune(Fixture.arrayRows(2), killed, network, arena))
              .getMessage());
    }
  }

  /// In their order and partitions, whatever their types.
  @Test
  void dataAreToldApartByAllValues() throws IOException {
    String expected = hash(Fixture.columns(2), "e");
    assertEquals(expected, hash(Fixture.columns(2), "cast(e as float)"));
    for (String other : List.of("if(a > 0 and b > 3, null, e)", "if(a > 0, e, 0)", "if(a > 0, double('NaN'), e)",
        "d")) {
      assertNotEquals(expected, hash(Fixture.columns(2), other), other);
    }
    assertNotEquals(expected, hash(Fixture.columns(3), "e"));
  }

  private static String hash(Dataset<Row> rows, String last) throws IOException {
    try (Arena arena = Arena.ofShared()) {
      return PartitionedSamples
          .of(Fixture.network(arena),
              SparkSamples.of(rows.selectExpr("a", "b", "c", "d", last + " as e"), SampleColumns.of()))
          .identity().get("data");
    }
  }

  /// The least change of the last value.
  private static float[][] changed() {
    float[][] rows = Fixture.samples();
    rows[Fixture.SAMPLES - 1][Fixture.INPUTS - 1] = Math.nextUp(rows[Fixture.SAMPLES - 1][Fixture.INPUTS - 1]);
    return rows;
  }

  private static float[][] swapped() {
    float[][] rows = Fixture.samples();
    float[] row = rows[150];
    rows[150] = rows[151];
    rows[151] = row;
    return rows;
  }

  private static void assertSameNotes(PruningResult expected, PruningResult found) {
    assertTrue(expected.notes().contains("layer layer2 had no bias and has gained one"), expected.notes()::toString);
    assertEquals(expected.notes(), found.notes().stream().filter(note -> !note.startsWith("went on")).toList());
  }

  private static void assertSame(PruningResult expected, PruningResult found) {
    for (int l = 0; l < expected.layers().size(); l++) {
      DenseLayer one = expected.network().layers().get(l);
      DenseLayer other = found.network().layers().get(l);
      assertArrayEquals(one.weights().toArray(), other.weights().toArray());
      assertArrayEquals(one.bias().orElseThrow().toArray(), other.bias().orElseThrow().toArray());
      LayerResult before = expected.layers().get(l);
      LayerResult after = found.layers().get(l);
      assertEquals(before.removed(), after.removed());
      assertEquals(before.threshold(), after.threshold());
      assertEquals(before.predictedChange().orElseThrow(), after.predictedChange().orElseThrow(),
          1e-12 * before.predictedChange().orElseThrow());
    }
  }

  private static int run(Path checkpoint, Path log) throws Exception {
    List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
    command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
    command.addAll(
        List.of("-cp", System.getProperty("java.class.path"), KilledDriver.class.getName(), checkpoint.toString()));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    assertTrue(process.waitFor(5, TimeUnit.MINUTES), "it hangs");
    return process.exitValue();
  }
}
