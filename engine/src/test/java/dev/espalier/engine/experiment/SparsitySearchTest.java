package dev.espalier.engine.experiment;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.SparsitySearch.Result;
import dev.espalier.engine.experiment.SparsitySearch.Step;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Limits.Amount;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningWork;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.CancellationException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class SparsitySearchTest {
  private static final Loss LOSS = new Loss.CrossEntropy();

  private final Arena arena = Arena.ofConfined();
  private final Backend backend = new CpuBackend();
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(12, 20, 10, 3),
      List.of(Activation.TANH, Activation.RELU, Activation.IDENTITY));
  private final Dataset calibration = Dataset
      .of(TestNetworks.source(TestNetworks.normal(arena, TestNetworks.random(2), 120, 12, 1, 0.5)).samples());
  private final Dataset heldOut = labelled(TestNetworks.normal(arena, TestNetworks.random(3), 60, 12, 1, 0.5));

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /// The class of a sample is the largest output of the dense network, so that its accuracy is 1.
  private Dataset labelled(MatrixView x) {
    TestNetworks.Plain plain = TestNetworks.Plain.of(network);
    MatrixView labels = MatrixView.allocate(arena, x.rows(), 1);
    for (int n = 0; n < x.rows(); n++) {
      double[] y = plain.output(TestNetworks.row(x, n));
      labels.set(n, 0, y[0] > y[1] ? y[0] > y[2] ? 0 : 2 : y[1] > y[2] ? 1 : 2);
    }
    return TestNetworks.source(x, labels);
  }

  private Result search(PruningOptions options, Limits limits) throws IOException {
    return search(options, limits, Optional.of(LOSS));
  }

  private Result search(PruningOptions options, Limits limits, Optional<Loss> loss) throws IOException {
    return new SparsitySearch(backend, network, Optional.of(calibration), heldOut, loss, 16, ProgressListener.NONE)
        .run(options, limits, arena);
  }

  private static PruningOptions options(String schedule, String repair) {
    return PruningOptions.builder().schedule(Schedule.parse(schedule)).repair(Repairs.parse(repair)).build();
  }

  private static Limits loss(String amount) {
    return new Limits(Optional.of(Amount.parse(amount)), OptionalDouble.empty(), Optional.empty());
  }

  private static Limits change(String amount) {
    return new Limits(Optional.empty(), OptionalDouble.empty(), Optional.of(Amount.parse(amount)));
  }

  private static List<float[]> weights(DenseNetwork network) {
    return network.layers().stream().map(layer -> layer.weights().toArray()).toList();
  }

  private static void assertSame(DenseNetwork expected, DenseNetwork found) {
    for (int l = 0; l < expected.layers().size(); l++) {
      assertArrayEquals(weights(expected).get(l), weights(found).get(l));
      assertArrayEquals(expected.layers().get(l).bias().orElseThrow().toArray(),
          found.layers().get(l).bias().orElseThrow().toArray());
    }
  }

  /// The steps rise, those up to the one found hold, the last does not, and the result is what was judged.
  @ParameterizedTest
  @CsvSource({"oneshot, none, 5%", "oneshot, refit, 0.05", "geometric:0.75, none, 3%", "geometric:0.8, refit, 5%",
      "geometric:0.75, refit+distill:epochs=1:last=4, 3%"})
  void findsTheHighestSparsityThatHolds(String schedule, String repair, String amount) throws IOException {
    Result result = search(options(schedule, repair), loss(amount));
    double dense = result.dense().evaluation().orElseThrow().loss();
    Step found = result.found().orElseThrow();
    double limit = loss(amount).highestLoss(dense);
    assertFalse(result.steps().getLast().holds(), () -> result.steps().toString());
    for (int i = 0; i < result.steps().size(); i++) {
      Step step = result.steps().get(i);
      assertTrue(i == 0 || step.sparsity() > result.steps().get(i - 1).sparsity());
      assertEquals(step.judged().evaluation().orElseThrow().loss() <= limit, step.holds());
      assertEquals(step.sparsity() <= found.sparsity(), step.holds(), () -> result.steps().toString());
    }
    DenseNetwork pruned = result.pruned().orElseThrow().network();
    assertEquals(Selector.count(found.sparsity(), network.weights()), pruned.zeros());
    try (DeviceNetwork before = DeviceNetwork.copyOf(backend, network);
        DeviceNetwork after = DeviceNetwork.copyOf(backend, pruned)) {
      assertEquals(found.judged(), EvaluationPass
          .run(backend, List.of(before, after), heldOut, Optional.of(LOSS), 16, ProgressListener.NONE).getLast());
    }
    Result again = search(options(schedule, repair), loss(amount));
    assertEquals(result.steps(), again.steps());
    assertSame(pruned, again.pruned().orElseThrow().network());
  }

  @Test
  void aMethodOfOneRoundFindsWhatPruningToThatSparsityGives() throws IOException {
    Result result = search(options("oneshot", "none"), change("5%"), Optional.empty());
    double sparsity = result.found().orElseThrow().sparsity();
    assertTrue(result.found().get().judged().outputChange() <= 0.05 * result.dense().outputSquare());
    assertEquals(Optional.empty(), result.found().get().judged().evaluation());
    assertSame(new Pruner(backend, options("oneshot", "none").withTarget(Target.sparsity(sparsity)))
        .prune(network, calibration, arena).network(), result.pruned().orElseThrow().network());
  }

  /// The last epochs of distillation are spent where the search ends, and not on the way.
  @Test
  void triesAgainAsAStopWhatBreaksALimitOnTheWay() throws IOException {
    PruningOptions onTheWay = options("geometric:0.75", "distill:mse:epochs=0:last=30");
    double without = search(options("geometric:0.75", "none"), loss("5%")).found().orElseThrow().sparsity();
    double with = search(onTheWay, loss("5%")).found().orElseThrow().sparsity();
    assertTrue(with > without, with + " " + without);
  }

  /// What may be left is bounded from the first attempt on, and each attempt counts once, also with a stop that is tried
  /// again. A search that goes on counts its own attempts.
  @ParameterizedTest
  @CsvSource({"oneshot, none", "oneshot, refit", "geometric:0.8, refit",
      "geometric:0.75, distill:mse:epochs=0:last=30"})
  void boundsTheWorkThatIsLeft(String schedule, String repair, @TempDir Path folder) throws IOException {
    List<Double> shares = new ArrayList<>();
    ProgressListener listener = new ProgressListener() {
      @Override
      public boolean proceed(String task, long done, long total) {
        return true;
      }

      @Override
      public void at(double done) {
        shares.add(done);
      }
    };
    Result result = search(options(schedule, repair), loss("5%"), folder, listener);
    PruningWork work = result.work().orElseThrow();
    int attempts = work.rounds().size();
    assertTrue(attempts >= result.steps().size() && attempts <= 2 * result.steps().size(), work::toString);
    assertEquals(attempts + 1, shares.size(), shares::toString);
    assertEquals(0, shares.getFirst());
    assertEquals(1, shares.getLast());
    for (int i = 1; i < shares.size(); i++) {
      assertTrue(shares.get(i) > shares.get(i - 1), shares::toString);
    }
    long scored = work.rounds().stream().filter(round -> round.get(PruningWork.SCORING) > 0).count();
    assertTrue(schedule.equals("oneshot") ? scored == 1 : scored < attempts && scored > 1, work::toString);
    assertTrue(work.toString().contains(" multiply-adds in %d attempts, scored %s: scoring ".formatted(attempts,
        schedule.equals("oneshot") ? "once" : scored + " times")), work::toString);

    shares.clear();
    assertEquals(Optional.empty(), search(options(schedule, repair), loss("5%"), folder, listener).work());
    assertEquals(List.of(1.0), shares);
  }

  /// Ended at many instants, and gone on with each time.
  @ParameterizedTest
  @CsvSource({"oneshot, refit, 5%", "geometric:0.8, refit+distill:epochs=1:last=2, 5%", "geometric:0.75, none, 0"})
  void goesOnWithTheSameBits(String schedule, String repair, String amount, @TempDir Path folder) throws IOException {
    PruningOptions options = options(schedule, repair);
    AtomicInteger calls = new AtomicInteger();
    Result whole = search(options, loss(amount), folder.resolve("whole"), (_, _, _) -> {
      calls.incrementAndGet();
      return true;
    });
    assertTrue(whole.steps().size() > 6, () -> whole.steps().toString());
    AtomicInteger ends = new AtomicInteger();
    Optional<Result> gone = Optional.empty();
    while (gone.isEmpty()) {
      AtomicInteger left = new AtomicInteger(calls.get() / 3 + ends.get());
      try {
        gone = Optional.of(search(options, loss(amount), folder.resolve("ended"), (_, _, _) -> {
          if (left.getAndDecrement() == 0) {
            throw new CancellationException();
          }
          return true;
        }));
      } catch (CancellationException _) {
        ends.incrementAndGet();
      }
    }
    assertTrue(ends.get() >= 2, ends::toString);
    for (Result result : List.of(gone.get(),
        search(options, loss(amount), folder.resolve("ended"), ProgressListener.NONE))) {
      assertEquals(whole.steps(), result.steps());
      assertEquals(whole.found(), result.found());
      if (whole.pruned().isPresent()) {
        assertSame(whole.pruned().get().network(), result.pruned().orElseThrow().network());
        assertEquals(whole.pruned().get().notes(), result.pruned().get().notes());
      }
    }
  }

  private Result search(PruningOptions options, Limits limits, Path folder, ProgressListener listener)
      throws IOException {
    SparsitySearch search = new SparsitySearch(backend, network, Optional.of(calibration), heldOut, Optional.of(LOSS),
        16, listener);
    return search.run(options, limits, Optional.of(search.checkpoint(folder, options, limits)), arena);
  }

  @Test
  void refusesTheCheckpointOfAnotherSearch(@TempDir Path folder) throws IOException {
    PruningOptions options = options("geometric:0.5", "none");
    search(options, loss("5%"), folder, ProgressListener.NONE);
    assertTrue(refusal(() -> search(options, loss("6%"), folder, ProgressListener.NONE))
        .contains("limit was loss increase 5% and is loss increase 6%"));
    SparsitySearch others = new SparsitySearch(backend, network, Optional.of(calibration), heldOut.first(50),
        Optional.of(LOSS), 16, ProgressListener.NONE);
    assertTrue(refusal(() -> others.checkpoint(folder, options, loss("5%"))).contains("the held-out data changed"));
  }

  /// Two outputs of one width, of which the labels may be either.
  @Test
  void refusesTheCheckpointOfASearchByAnotherOutput(@TempDir Path folder) throws IOException {
    Graph.Builder builder = new Graph.Builder(network.inputs());
    builder.concat(builder.dense("0", 0, 3), builder.dense("1", 0, 3));
    DenseNetwork heads = TestNetworks.network(arena, 1,
        builder.build(List.of(new Graph.Head("a", 3), new Graph.Head("b", 3))));
    Function<String, SparsitySearch> judgedBy = head -> new SparsitySearch(backend, heads,
        Optional.of(Dataset.of(calibration.samples())), heldOut, Optional.of(LOSS), Optional.of(head), 16,
        ProgressListener.NONE);
    PruningOptions options = options("geometric:0.5", "none");
    Result found = judgedBy.apply("a").run(options, loss("5%"),
        Optional.of(judgedBy.apply("a").checkpoint(folder, options, loss("5%"))), arena);
    assertEquals(3, network.outputs());
    assertTrue(found.dense().evaluation().isPresent());
    assertTrue(refusal(() -> judgedBy.apply("b").checkpoint(folder, options, loss("5%")))
        .contains("judging output was a and is b"));
  }

  private static String refusal(Executable work) {
    return assertThrows(MismatchException.class, work).getMessage();
  }

  @Test
  void aLimitThatNothingHoldsFindsNothing() throws IOException {
    Result result = search(options("geometric:0.75", "refit"), change("0"));
    assertEquals(Optional.empty(), result.found());
    assertEquals(Optional.empty(), result.pruned());
    assertFalse(result.steps().isEmpty());
    assertTrue(result.steps().stream().noneMatch(Step::holds));
  }

  @Test
  void aLimitThatEverythingHoldsRemovesAllThatMayGo() throws IOException {
    for (String schedule : List.of("oneshot", "geometric:0.5")) {
      Result result = search(PruningOptions.builder().schedule(Schedule.parse(schedule)).minPerLayer(7).build(),
          change("1e9"));
      long kept = network.weights() - result.pruned().orElseThrow().network().zeros();
      assertTrue(kept >= 21 && kept < 2 * 21, schedule + " " + kept);
      assertTrue(result.steps().stream().allMatch(Step::holds));
    }
  }

  @Test
  void limitsHoldTogether() throws IOException {
    Limits both = new Limits(Optional.of(Amount.parse("50%")), OptionalDouble.of(4), Optional.of(Amount.parse("10%")));
    Result result = search(options("oneshot", "none"), both);
    for (Step step : result.steps()) {
      double loss = step.judged().evaluation().orElseThrow().loss();
      double accuracy = step.judged().evaluation().get().accuracy().orElseThrow();
      assertEquals(loss <= 1.5 * result.dense().evaluation().orElseThrow().loss() && accuracy >= 0.96
          && step.judged().outputChange() <= 0.1 * result.dense().outputSquare(), step.holds());
    }
  }

  @Test
  void refusesWhatItCannotSearch() {
    assertTrue(assertThrows(MismatchException.class, () -> search(options("linear:4", "none"), loss("1%"))).getMessage()
        .contains("schedule linear:4"));
    PruningOptions pattern = PruningOptions.builder().target(Target.parse("2:4")).build();
    assertTrue(assertThrows(MismatchException.class, () -> search(pattern, loss("1%"))).getMessage().contains("2:4"));
    MatrixView values = TestNetworks.normal(arena, TestNetworks.random(4), 60, 3, 1, 0);
    Dataset rows = Dataset.of(heldOut.samples(), TestNetworks.source(values).samples());
    SparsitySearch search = new SparsitySearch(backend, network, Optional.of(calibration), rows,
        Optional.of(new Loss.SquaredError()), 16, ProgressListener.NONE);
    assertTrue(assertThrows(MismatchException.class,
        () -> search.run(options("oneshot", "none"),
            new Limits(Optional.empty(), OptionalDouble.of(1), Optional.empty()), arena))
        .getMessage().contains("no classes"));
  }
}
