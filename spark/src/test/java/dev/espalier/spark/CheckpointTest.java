package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.PruningResult;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
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
      DenseNetwork network = Fixture.network(arena);
      PruningResult expected = KilledDriver.prune(KilledDriver.rows(), folder.resolve("other"), network, arena);
      PruningResult found = KilledDriver.prune(KilledDriver.rows(), killed, network, arena);
      assertTrue(found.notes().contains("went on after round 2 of 3, which the checkpoint had"),
          found.notes()::toString);
      assertSame(expected, found);
      // And from its end.
      PruningResult again = KilledDriver.prune(KilledDriver.rows(), killed, network, arena);
      assertSame(expected, again);
      assertEquals(
          "the checkpoint in %s is of another pruning: partitions was 3 and is 2; use another folder, or delete it"
              .formatted(killed),
          assertThrows(MismatchException.class, () -> KilledDriver.prune(Fixture.arrayRows(2), killed, network, arena))
              .getMessage());
    }
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
