package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import scala.Tuple2;

final class ReductionTest {
  /// In double within a group, and rounded once at its end. Whatever order the parts arrive in: most wait in files.
  @ParameterizedTest
  @ValueSource(ints = {1, 32, 33, 1024})
  void addsInTheOrderOfTheParts(int count) {
    try (Arena arena = Arena.ofConfined()) {
      DenseNetwork network = Fixture.network(arena);
      Tiles tiles = Tiles.ofParameters(network, List.of(0), 8);
      List<Tuple2<Long, byte[]>> parts = new ArrayList<>();
      Random random = new Random(count);
      float[][][] values = new float[tiles.count()][count][];
      for (int tile = 0; tile < values.length; tile++) {
        for (int part = 0; part < count; part++) {
          values[tile][part] = new float[(int) (tiles.bytes(tile) - Long.BYTES) / Float.BYTES];
          for (int i = 0; i < values[tile][part].length; i++) {
            values[tile][part][i] = (float) (random.nextGaussian() * Math.exp(8 * random.nextGaussian()));
          }
          parts.add(new Tuple2<>(TileKey.of(tile, part), bytes(1, values[tile][part])));
        }
      }
      for (int run = 0; run < 2; run++) {
        Collections.shuffle(parts, random);
        List<byte[]> found = Reduction.totals(tiles, Fixture.context().parallelize(parts, 3 + run), count).collect();
        assertEquals(values.length, found.size());
        for (int tile = 0; tile < values.length; tile++) {
          assertArrayEquals(bytes(count, total(values[tile])), found.get(tile), "run %d, tile %d".formatted(run, tile));
        }
      }
    }
  }

  private static float[] total(float[]... parts) {
    int together = Reduction.together(parts.length);
    float[][] sums = new float[Math.ceilDiv(parts.length, together)][parts[0].length];
    for (int group = 0; group < sums.length; group++) {
      for (int i = 0; i < sums[group].length; i++) {
        double sum = 0;
        for (int part = group * together; part < Math.min(parts.length, (group + 1) * together); part++) {
          sum += parts[part][i];
        }
        sums[group][i] = (float) sum;
      }
    }
    return sums.length == 1 ? sums[0] : total(sums);
  }

  private static byte[] bytes(long samples, float... values) {
    ByteBuffer buffer = ByteBuffer.allocate(Long.BYTES + values.length * Float.BYTES).order(ByteOrder.nativeOrder());
    buffer.putLong(samples).asFloatBuffer().put(values);
    return buffer.array();
  }

  @Test
  void earlyPartsWait() throws IOException {
    Fixture.spark(); // whose folders have the files
    try (EarlyParts parts = new EarlyParts()) {
      for (int number = 9; number >= 0; number--) {
        assertTrue(parts.take(0).isEmpty());
        parts.put(number, new byte[]{(byte) number, 1});
      }
      for (int number = 0; number < 9; number++) {
        assertArrayEquals(new byte[]{(byte) number, 1}, parts.take(number).orElseThrow());
      }
      assertEquals("parts have not arrived before [] and [9]",
          assertThrows(IllegalStateException.class, parts::requireNone).getMessage());
    }
  }

  /// Launched one after the other, on cores that are never idle while a task waits: no longer than the work divided
  /// among all, and the longest task.
  @ParameterizedTest
  @ValueSource(ints = {8, 64, 1024})
  void simulatesWhatTheScalesTell(int executors) throws IOException {
    double weights = 1e9;
    ReductionSimulation cluster = ReductionSimulation.of(executors);
    ReductionSimulation.Result result = cluster.simulate(weights);
    int groups = Reduction.sent(executors) - executors;
    double sent = 2 * Float.BYTES * weights;
    assertEquals(sent * (executors + groups), result.added(), 1e-3 * result.added());
    assertEquals(groups == 0 ? 1 : 2, result.levels().size());
    double least = sent * executors / executors / Math.min(cluster.disk(), cluster.cores() * cluster.adding());
    double tile = 2.0 * Float.BYTES * Tiles.SIDE * Tiles.SIDE;
    double longest = tile * Reduction.together(executors)
        / Math.min(0.9 * cluster.adding(), cluster.disk() / cluster.cores());
    double first = result.levels().getFirst();
    assertTrue(first >= least && first <= 1.2 * least + longest + cluster.launch() * result.tasks(),
        "%s from %s, %s".formatted(result, least, longest));
    String row = ReductionSimulation.row(weights, executors);
    assertTrue(Files.readString(Path.of("../docs/scale.md")).contains(row), () -> "docs/scale.md lacks: " + row);
  }
}
