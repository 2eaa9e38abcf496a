package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Isolated("sets the default locale")
final class CheckpointTest {
  @TempDir
  private Path temporary;
  private final Arena arena = Arena.ofShared();
  private final DenseNetwork network = network(1);
  private final Dataset data = Dataset
      .of(TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 90, 12, 1, 0.5)).samples());

  @AfterEach
  void close() {
    arena.close();
  }

  /// Without a bias in the second layer.
  private DenseNetwork network(long seed) {
    List<DenseLayer> layers = new ArrayList<>(TestNetworks
        .network(arena, seed, List.of(12, 10, 8, 4), List.of(Activation.RELU, Activation.TANH, Activation.IDENTITY))
        .layers());
    layers.set(1, new DenseLayer(layers.get(1).name(), layers.get(1).weights(), Optional.empty(), Activation.TANH));
    return new DenseNetwork(layers);
  }

  private static PruningOptions.Builder builder() {
    return PruningOptions.builder().sparsity(0.8).stops(List.of(Target.sparsity(0.4), Target.sparsity(0.6)))
        .schedule(new Schedule.Keeping(0.75)).sensitivity(Sensitivity.parse("probes:2")).newBias(true)
        .repair(Repairs.parse("refit+distill:mse:epochs=1:last=2")).histogramBins(5).batchSize(16).seed(7);
  }

  private List<PruningResult> path(Backend backend, PruningOptions options, Path folder, ProgressListener listener)
      throws IOException {
    return path(backend, options, network, data, folder, listener);
  }

  private List<PruningResult> path(Backend backend, PruningOptions options, DenseNetwork pruned, Dataset samples,
      Path folder, ProgressListener listener) throws IOException {
    PruningPlan plan = PruningPlan.of(options, pruned, Optional.of(samples), backend);
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, pruned)) {
      return new Pruner(backend, options).path(plan, pruned, device, Optional.of(samples),
          Optional.of(Checkpoint.open(folder, plan, backend, pruned, Optional.of(samples))), listener, arena);
    }
  }

  private static void assertSame(List<PruningResult> expected, List<PruningResult> found) {
    assertEquals(expected.size(), found.size());
    for (int i = 0; i < expected.size(); i++) {
      assertEquals(expected.get(i).layers(), found.get(i).layers());
      assertEquals(expected.get(i).measuredChange(), found.get(i).measuredChange());
      assertEquals(expected.get(i).notes(), found.get(i).notes());
      for (int l = 0; l < expected.get(i).network().layers().size(); l++) {
        DenseLayer right = expected.get(i).network().layers().get(l);
        DenseLayer layer = found.get(i).network().layers().get(l);
        assertArrayEquals(right.weights().toArray(), layer.weights().toArray());
        assertArrayEquals(right.bias().orElseThrow().toArray(), layer.bias().orElseThrow().toArray());
      }
    }
  }

  private List<String> files(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void keepsWhatAMaskRemoved() throws IOException {
    MatrixView mask = MatrixView.of(arena, 8, 10, new float[80]);
    mask.set(3, 4, 1);
    PruningOptions options = builder().stops(List.of()).schedule(new Schedule.OneShot())
        .target(new Target.Mask(Map.of("layer1", mask))).build();
    try (Backend backend = new ReferenceBackend()) {
      List<PruningResult> expected = path(backend, options, temporary, ProgressListener.NONE);
      assertEquals(79, expected.getFirst().removed());
      assertSame(expected, path(backend, options, temporary, ProgressListener.NONE));
      mask.set(3, 4, 0);
      mask.set(3, 5, 1);
      assertEquals(
          "the checkpoint in %s is of another pruning: the mask changed; use another folder, or delete it"
              .formatted(temporary),
          assertThrows(MismatchException.class, () -> path(backend, options, temporary, ProgressListener.NONE))
              .getMessage());
    }
  }

  /// Ends the run at one report after the other, in every phase of every round, and goes on.
  @ParameterizedTest
  @ValueSource(strings = {"cpu", "reference"})
  void goesOnAfterAnyEndWithTheSameBits(String machine) throws IOException {
    try (Backend backend = machine.equals("cpu") ? new CpuBackend() : new ReferenceBackend()) {
      PruningOptions options = builder().build();
      int[] reports = {0};
      List<PruningResult> expected = path(backend, options, temporary.resolve("whole"), (_, _, _) -> {
        reports[0]++;
        return true;
      });
      assertEquals(List.of("round-2.safetensors", "round-4.safetensors", "round-7.safetensors"),
          files(temporary.resolve("whole")));
      assertTrue(reports[0] > 50, reports[0] + " reports");
      for (int end = 1; end < reports[0]; end += machine.equals("cpu") ? 2 : 9) {
        Path folder = temporary.resolve("ended-" + end);
        int last = end;
        int[] left = {end};
        assertThrows(CancellationException.class, () -> path(backend, options, folder, (_, _, _) -> --left[0] > 0),
            () -> "at report " + last);
        assertSame(expected, path(backend, options, folder, ProgressListener.NONE));
        assertEquals(files(temporary.resolve("whole")), files(folder));
      }
    }
  }

  /// The order of the samples in a training depends on the round.
  @Test
  void trainingsGoOnInTheirRound() throws IOException {
    MatrixView labels = MatrixView.allocate(arena, 90, 1);
    for (int n = 0; n < 90; n++) {
      labels.set(n, 0, n % 4);
    }
    Dataset labelled = Dataset.of(data.samples(), TestNetworks.source(labels).samples());
    PruningOptions options = builder().repair(Repairs.parse("fine-tune:epochs=2:rate=0.01")).build();
    try (Backend backend = new ReferenceBackend()) {
      List<PruningResult> expected = path(backend, options, network, labelled, temporary.resolve("whole"),
          ProgressListener.NONE);
      Path folder = temporary.resolve("ended");
      assertThrows(CancellationException.class,
          () -> path(backend, options, network, labelled, folder, (task, _, _) -> !task.endsWith("round 4 of 7")));
      assertSame(expected, path(backend, options, network, labelled, folder, ProgressListener.NONE));
    }
  }

  /// On backends of float32, rounds in a file change nothing.
  @Test
  void isWhatAPruningWithoutItIs() throws IOException {
    try (Backend backend = new CpuBackend()) {
      PruningOptions options = builder().build();
      PruningPlan plan = PruningPlan.of(options, network, Optional.of(data), backend);
      try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
        assertSame(
            new Pruner(backend, options).path(plan, network, device, Optional.of(data), ProgressListener.NONE, arena),
            path(backend, options, temporary, ProgressListener.NONE));
      }
    }
  }

  @Test
  void aFinishedRunIsReadAndNotRepeated() throws IOException {
    try (Backend backend = new ReferenceBackend()) {
      PruningOptions options = builder().build();
      List<PruningResult> expected = path(backend, options, temporary, ProgressListener.NONE);
      List<String> tasks = new ArrayList<>();
      assertSame(expected, path(backend, options, temporary, (task, _, _) -> tasks.add(task)));
      assertTrue(tasks.stream().noneMatch(task -> task.contains("round")), tasks::toString);
    }
  }

  /// Files and hashes are the same where digits are others.
  @Test
  void theLocaleHasNoInfluence() throws IOException {
    Locale before = Locale.getDefault();
    try (Backend backend = new ReferenceBackend()) {
      PruningOptions options = builder().build();
      Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
      List<PruningResult> expected = path(backend, options, temporary, ProgressListener.NONE);
      Locale.setDefault(Locale.ROOT);
      List<String> tasks = new ArrayList<>();
      assertSame(expected, path(backend, options, temporary, (task, _, _) -> tasks.add(task)));
      assertTrue(tasks.stream().noneMatch(task -> task.contains("round")), tasks::toString);
    } finally {
      Locale.setDefault(before);
    }
  }

  @Test
  void patternsAndMethodsWithoutDataResumeToo() throws IOException {
    try (Backend backend = new ReferenceBackend()) {
      PruningOptions options = PruningOptions.builder().target(Target.parse("2:4")).criterion(new Criterion.Magnitude())
          .build();
      PruningPlan plan = PruningPlan.of(options, network, Optional.empty(), backend);
      List<List<PruningResult>> both = new ArrayList<>();
      for (int i = 0; i < 2; i++) {
        try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
          Checkpoint checkpoint = Checkpoint.open(temporary, plan, backend, network, Optional.empty());
          assertEquals(i, checkpoint.rounds());
          both.add(new Pruner(backend, options).path(plan, network, device, Optional.empty(), Optional.of(checkpoint),
              ProgressListener.NONE, arena));
        }
      }
      assertEquals(both.get(0).getFirst().layers(), both.get(1).getFirst().layers());
    }
  }

  @Test
  void refusesTheRoundsOfAnotherPruningByName() throws IOException {
    try (Backend backend = new ReferenceBackend(); Backend cpu = new CpuBackend()) {
      PruningOptions options = builder().build();
      path(backend, options, temporary, ProgressListener.NONE);
      assertRefused("the model changed",
          () -> path(backend, options, network(2), data, temporary, ProgressListener.NONE));
      MatrixView other = TestNetworks.normal(arena, TestNetworks.random(2), 90, 12, 1, 0.5);
      other.set(89, 11, other.get(89, 11) + 1e-3f);
      assertRefused("the data changed",
          () -> path(backend, options, network, TestNetworks.source(other), temporary, ProgressListener.NONE));
      assertRefused("the data changed", () -> path(backend, options, network, TestNetworks.source(other.slice(0, 89)),
          temporary, ProgressListener.NONE));
      assertRefused("device was reference", () -> path(cpu, options, temporary, ProgressListener.NONE));
      assertRefused("seed was 7 and is 8", changed(backend, b -> b.seed(8)));
      assertRefused("schedule was geometric:0.75 and is geometric:0.8",
          changed(backend, b -> b.schedule(new Schedule.Keeping(0.8))));
      assertRefused("sparsity was 0.4,0.6,0.8 and is 0.4,0.6,0.9", changed(backend, b -> b.sparsity(0.9)));
      assertRefused("sparsity was 0.4,0.6,0.8 and is 0.8", changed(backend, b -> b.stops(List.of())));
      assertRefused("repair was refit+distill", changed(backend, b -> b.repair(Repairs.parse("refit"))));
      assertRefused("criterion was ec and is wanda", changed(backend, b -> b.criterion(new Criterion.Wanda())));
      assertRefused("sensitivity was probes:2 and is jacobian",
          changed(backend, b -> b.sensitivity(new Sensitivity.Jacobian())));
      assertRefused("exclude was none and is layer0", changed(backend, b -> b.exclude("layer0")));
      assertRefused("new-bias was true and is false", changed(backend, b -> b.newBias(false)));
      assertRefused("min-per-layer was 1 and is 2", changed(backend, b -> b.minPerLayer(2)));
      assertRefused("batch-size was", changed(backend, b -> b.batchSize(5)));
      path(backend, builder().measureOutputChange(false).build(), temporary, ProgressListener.NONE);
    }
  }

  private interface Run {
    void run() throws IOException;
  }

  private Run changed(Backend backend, UnaryOperator<PruningOptions.Builder> change) {
    return () -> path(backend, change.apply(builder()).build(), temporary, ProgressListener.NONE);
  }

  private void assertRefused(String message, Run run) {
    String found = assertThrows(MismatchException.class, run::run).getMessage();
    assertTrue(found.contains(message), found);
    assertTrue(found.contains(temporary.toString()), found);
  }

  @Test
  void refusesDamagedFiles() throws IOException {
    try (Backend backend = new ReferenceBackend()) {
      PruningOptions options = builder().build();
      List<PruningResult> expected = path(backend, options, temporary, ProgressListener.NONE);
      Path last = temporary.resolve("round-7.safetensors");
      byte[] whole = Files.readAllBytes(last);
      for (int bytes : new int[]{0, 7, 100, whole.length / 2, whole.length - 1}) {
        Files.write(last, java.util.Arrays.copyOf(whole, bytes));
        assertThrows(IOException.class, () -> path(backend, options, temporary, ProgressListener.NONE),
            "cut at " + bytes);
      }
      byte[] flipped = whole.clone();
      flipped[whole.length - 5] ^= 1;
      Files.write(last, flipped);
      assertTrue(assertThrows(FormatException.class, () -> path(backend, options, temporary, ProgressListener.NONE))
          .getMessage().contains("is damaged; delete it to repeat its round"));
      String text = new String(whole, java.nio.charset.StandardCharsets.ISO_8859_1);
      Files.writeString(last, text.replaceFirst("predicted\\\\\":", "predicted\\\\\":1"),
          java.nio.charset.StandardCharsets.ISO_8859_1);
      assertThrows(IOException.class, () -> path(backend, options, temporary, ProgressListener.NONE));
      // As the message says.
      Files.delete(last);
      assertSame(expected, path(backend, options, temporary, ProgressListener.NONE));
      assertArrayEquals(whole, Files.readAllBytes(last));
    }
  }

  @Test
  void refusesAFileInPlaceOfTheFolderAndForeignFiles() throws IOException {
    Path file = Files.writeString(temporary.resolve("file"), "x");
    try (Backend backend = new ReferenceBackend()) {
      assertTrue(assertThrows(IOException.class, () -> path(backend, builder().build(), file, ProgressListener.NONE))
          .getMessage().contains("is no folder"));
    }
  }
}
