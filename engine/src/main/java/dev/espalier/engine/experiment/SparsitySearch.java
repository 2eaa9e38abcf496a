package dev.espalier.engine.experiment;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Checkpoint;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningProgress;
import dev.espalier.engine.pruning.PruningResult;
import dev.espalier.engine.pruning.PruningRounds;
import dev.espalier.engine.pruning.PruningWork;
import dev.espalier.engine.scoring.Selector;
import dev.espalier.engine.training.Evaluation;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import tools.jackson.databind.json.JsonMapper;

/// Finds the highest sparsity at which a pruned network holds limits on held-out samples: goes along one path of rounds
/// until a round breaks a limit, and bisects from the round before it. A method of one round scores once and cuts at each
/// sparsity. The same inputs give the same result.
///
/// @param network stays as it is
/// @param calibration samples to prune with, where the method needs some
/// @param heldOut other samples, to judge by; labelled where there is a loss
/// @param loss empty: only output changes are judged
/// @param head the output of several that the labels are of; empty if they are of all
public record SparsitySearch(Backend backend, DenseNetwork network, Optional<Dataset> calibration, Dataset heldOut,
    Optional<Loss> loss, Optional<String> head, int batchSize, ProgressListener listener) {
  /// One of so many samples is held out to judge by, where there are no others.
  public static final int HELD_OUT = 5;
  /// The part of the weights that a step keeps, where the schedule names none.
  private static final double KEPT = 0.75;
  /// Bisections: the last step is divided by 2 to the power of this.
  private static final int BISECTIONS = 6;
  private static final JsonMapper JSON = new JsonMapper();
  /// Digits of the part of the weights that a round keeps, and of that at a sparsity between two rounds, for people who
  /// read them.
  private static final MathContext ROUND = new MathContext(6);
  private static final MathContext BETWEEN = new MathContext(3);

  /// The passes of a search, where its samples are elsewhere, such as on the machines of a cluster. The search then
  /// knows of its samples how many there are, and their names.
  public interface Passes {
    /// Before the first round, of a network in the memory of the search's backend; closed by the search.
    PruningRounds start(PruningPlan plan, DeviceNetwork network) throws IOException;

    /// The last of one or two networks, judged on the held-out samples.
    ///
    /// @param networks the dense one first
    EvaluationPass.Result judge(List<DeviceNetwork> networks) throws IOException;
  }

  /// One network of the search.
  ///
  /// @param judged on the held-out samples
  /// @param holds whether it holds the limits
  public record Step(double sparsity, EvaluationPass.Result judged, boolean holds) {}

  /// By labels of all outputs.
  public SparsitySearch(Backend backend, DenseNetwork network, Optional<Dataset> calibration, Dataset heldOut,
      Optional<Loss> loss, int batchSize, ProgressListener listener) {
    this(backend, network, calibration, heldOut, loss, Optional.empty(), batchSize, listener);
  }

  /// What a search found.
  ///
  /// @param dense the network before, judged on the same samples
  /// @param steps ascending in sparsity, each sparsity once
  /// @param found the last step that holds the limits; empty if none does
  /// @param pruned its network
  /// @param work of the attempts that this run has made, without those of a checkpoint; empty without samples to prune
  ///             with, or if it made none
  public record Result(EvaluationPass.Result dense, List<Step> steps, Optional<Step> found,
      Optional<PruningResult> pruned, Optional<PruningWork> work) {}

  /// Searches.
  ///
  /// @param options of the pruning; the target counts for nothing but its scope
  /// @param arena takes the memory of the pruned network
  /// @throws MismatchException if the options name a pattern, or a schedule whose rounds depend on the target, or the
  ///                           labels have no accuracy to limit
  /// @throws IOException if a sample cannot be read or is not finite
  public Result run(PruningOptions options, Limits limits, Arena arena) throws IOException {
    return run(options, limits, Optional.empty(), arena);
  }

  /// As the other, and each attempt is kept in a checkpoint, from which the search goes on if it has ended early. The
  /// result has the same bits then.
  ///
  /// @param checkpoint of the same options and limits
  public Result run(PruningOptions options, Limits limits, Optional<Checkpoint> checkpoint, Arena arena)
      throws IOException {
    return run(options, limits, checkpoint, new Passes() {
      @Override
      public PruningRounds start(PruningPlan plan, DeviceNetwork device) throws IOException {
        return PruningRounds.start(backend, plan, device, calibration, listener);
      }

      @Override
      public EvaluationPass.Result judge(List<DeviceNetwork> networks) throws IOException {
        return EvaluationPass.run(backend, networks, heldOut, loss, head, batchSize, listener).getLast();
      }
    }, arena);
  }

  /// As the other, by passes over samples that are elsewhere.
  public Result run(PruningOptions options, Limits limits, Optional<Checkpoint> checkpoint, Passes passes, Arena arena)
      throws IOException {
    if (!(options.target() instanceof Target.Fraction(double _, Scope scope))) {
      throw new MismatchException(
          "the pattern %s sets the sparsity: nothing is left to search".formatted(options.target()));
    }
    double kept = kept(options.schedule());
    PruningPlan plan = PruningPlan.of(options, network, calibration, backend);
    try (Resources resources = new Resources()) {
      Walk walk = new Walk(plan, limits, scope, checkpoint, passes, resources);
      walk.run(kept);
      listener.at(1);
      return walk.result(arena);
    }
  }

  /// The checkpoint of a search, which is made if there is none.
  ///
  /// @throws MismatchException if the folder has the checkpoint of another pruning or search; the message says which
  /// @throws IOException if the folder cannot be made or read, or a file in it is damaged
  public Checkpoint checkpoint(Path folder, PruningOptions options, Limits limits) throws IOException {
    return Checkpoint.open(folder, PruningPlan.of(options, network, calibration, backend), backend, network,
        calibration, heldOut, limits, loss, head);
  }

  private static double kept(Schedule schedule) {
    return switch (schedule) {
      case Schedule.OneShot _ -> KEPT;
      case Schedule.Keeping(double kept) -> kept;
      case Schedule.Linear _,Schedule.Geometric _,Schedule.Cubic _ -> throw new MismatchException(
          "schedule %s divides the way to a known sparsity: a search needs oneshot or geometric:0.75"
              .formatted(schedule));
    };
  }

  /// An attempt as a checkpoint has it.
  private record Attempt(double sparsity, OptionalDouble loss, OptionalDouble accuracy, double outputChange,
      double outputSquare, boolean holds) {
    static Attempt of(Step step) {
      Optional<Evaluation> evaluation = step.judged.evaluation();
      return new Attempt(step.sparsity, evaluation.map(e -> OptionalDouble.of(e.loss())).orElse(OptionalDouble.empty()),
          SparsitySearch.accuracy(step.judged), step.judged.outputChange(), step.judged.outputSquare(), step.holds);
    }

    /// @param dense judged on the same samples
    Step step(EvaluationPass.Result dense) {
      Optional<Evaluation> evaluation = dense.evaluation()
          .map(e -> new Evaluation(e.samples(), e.lossName(), loss.orElseThrow(), accuracy));
      return new Step(sparsity, new EvaluationPass.Result(evaluation, outputChange, outputSquare), holds);
    }
  }

  /// The networks of a search, and where it is. Attempts that a checkpoint has are taken from there: only their results
  /// count until the first one that it has not.
  private final class Walk {
    private final PruningPlan plan;
    private final Limits limits;
    private final Scope scope;
    private final Optional<Checkpoint> checkpoint;
    private final Passes passes;
    private final DeviceNetwork dense;
    private final DeviceNetwork device;
    private final DeviceNetwork baseNetwork;
    private final DeviceNetwork bestNetwork;
    private final EvaluationPass.Result before;
    private final PruningRounds rounds;
    private final Map<Double, Step> steps = new TreeMap<>();
    private final List<Attempt> attempts = new ArrayList<>();
    /// Attempts that an earlier run has made.
    private final List<Attempt> known;
    /// Where rounds begin: the network that was scored last, and the attempt that found it.
    private final PruningProgress start;
    private PruningProgress base;
    private int baseAttempt;
    private boolean isScored;
    private final List<Map<String, Double>> work = new ArrayList<>();
    private double workDone;
    private PruningProgress bestProgress;
    private Optional<Step> best = Optional.empty();

    Walk(PruningPlan plan, Limits limits, Scope scope, Optional<Checkpoint> checkpoint, Passes passes,
        Resources resources) throws IOException {
      this.plan = plan;
      this.limits = limits;
      this.scope = scope;
      this.checkpoint = checkpoint;
      this.passes = passes;
      dense = resources.own(DeviceNetwork.copyOf(backend, network));
      device = resources.own(DeviceNetwork.copyOf(backend, network));
      baseNetwork = resources.own(DeviceNetwork.copyOf(backend, network));
      bestNetwork = resources.own(DeviceNetwork.copyOf(backend, network));
      before = passes.judge(List.of(dense));
      if (limits.accuracyDrop().isPresent() && accuracy(before).isEmpty()) {
        throw new MismatchException(
            "the labels of %s are no classes: they have no accuracy to limit".formatted(heldOut.samples().name()));
      }
      rounds = resources.own(passes.start(plan, device));
      start = rounds.progress();
      base = start;
      bestProgress = start;
      known = checkpoint.isPresent() ? loadBest(checkpoint.get().rounds()) : List.of();
    }

    /// @param kept part of the weights that a step keeps
    void run(double kept) throws IOException {
      boolean isStop = plan.repair().steps().stream().noneMatch(Repair::doesMoreAtStops);
      List<Double> path = path(kept);
      double[] left = mostWork(path, isStop);
      double good = (double) zeros() / plan.prunableWeights();
      for (int r = 0; r < path.size(); r++) {
        double next = path.get(r);
        // What is done only where a network is wanted may make it hold.
        if (!holds(next, isStop, left[r])) {
          if (isStop || !holds(next, true, left[r])) {
            bisect(good, next);
            return;
          }
          isStop = true;
          left = mostWork(path, true);
        }
        good = next;
        if (!isOneShot()) {
          baseAttempt = attempts.size();
          isScored = false;
        }
      }
    }

    private void bisect(double from, double to) throws IOException {
      double good = from;
      double broken = to;
      for (int i = 0; i < BISECTIONS; i++) {
        double middle = rounded((good + broken) / 2, BETWEEN);
        long removed = Selector.count(middle, plan.prunableWeights());
        if (removed <= count(good) || removed >= count(broken)) {
          return;
        }
        if (holds(middle, true, (BISECTIONS - i) * work(parts(middle, true, false, false)))) {
          good = middle;
        } else {
          broken = middle;
        }
      }
    }

    private long count(double sparsity) {
      return Selector.count(sparsity, plan.prunableWeights());
    }

    /// The sparsities of all rounds until no more can be removed.
    private List<Double> path(double kept) {
      long weights = plan.prunableWeights();
      long least = Math.max(1, plan.options().minPerLayer() * plan.scoring().layers().size());
      List<Double> path = new ArrayList<>();
      double last = (double) zeros() / weights;
      while (true) {
        double next = rounded(1 - kept * (1 - last), ROUND);
        if (weights - count(next) < least || count(next) == count(last)) {
          return path;
        }
        path.add(next);
        last = next;
      }
    }

    /// The most work that each round and what may follow take: all rounds, one of them again as a stop, and bisections.
    private double[] mostWork(List<Double> path, boolean isStop) {
      double[] left = new double[path.size()];
      double following = path.isEmpty() ? 0 : (BISECTIONS + 1) * work(parts(path.getLast(), true, false, false));
      for (int r = path.size() - 1; r >= 0; r--) {
        following += work(parts(path.get(r), isStop, r == 0 || !isOneShot(), r == 0));
        left[r] = following;
      }
      return left;
    }

    private boolean isOneShot() {
      return plan.options().schedule() instanceof Schedule.OneShot;
    }

    /// The multiply-adds of an attempt's parts and of judging it.
    private double work(Map<String, Double> parts) {
      return parts.values().stream().mapToDouble(Double::doubleValue).sum()
          + 2.0 * network.weights() * heldOut.samples().samples();
    }

    private Map<String, Double> parts(double sparsity, boolean isStop, boolean scores, boolean isFirst) {
      if (calibration.isEmpty()) {
        return Map.of();
      }
      Map<String, Double> parts = new LinkedHashMap<>(plan.work(network.graph(), new Target.Fraction(sparsity, scope),
          isStop, isFirst, calibration.get().samples().samples()));
      if (!scores) {
        parts.put(PruningWork.SCORING, 0.0);
      }
      return parts;
    }

    private long zeros() {
      return plan.scoring().layers().stream().mapToLong(layer -> network.layers().get(layer.number()).weights().zeros())
          .sum();
    }

    /// Goes from the base to a sparsity in one round, and keeps the network if it holds the limits.
    ///
    /// @param left the most work that this and all that may follow take
    private boolean holds(double sparsity, boolean isStop, double left) throws IOException {
      int done = attempts.size();
      Step step;
      if (done < known.size()) {
        step = known.get(done).step(before);
      } else {
        listener.atLeast(workDone / (workDone + left));
        Map<String, Double> parts = parts(sparsity, isStop, !isScored, work.isEmpty());
        workDone += work(parts);
        work.add(parts);
        step = attempt(sparsity, isStop);
      }
      if (step.sparsity != sparsity) {
        throw new MismatchException("the checkpoint is of another search: its attempt %s has sparsity %s, not %s; %s"
            .formatted(done + 1, step.sparsity, sparsity, "use another folder, or delete it"));
      }
      attempts.add(Attempt.of(step));
      steps.put(step.sparsity, step);
      if (step.holds) {
        best = Optional.of(step);
      }
      if (checkpoint.isPresent() && done >= known.size()) {
        save(checkpoint.get());
      }
      return step.holds;
    }

    private Step attempt(double sparsity, boolean isStop) throws IOException {
      if (!isScored) {
        score(named(sparsity));
      }
      rounds.restore(base, baseNetwork);
      rounds.remove(new Target.Fraction(sparsity, scope));
      rounds.repair(isStop, named(sparsity));
      EvaluationPass.Result judged = passes.judge(List.of(dense, device));
      Step step = new Step(sparsity, judged, holds(judged));
      if (step.holds) {
        bestProgress = rounds.progress();
        bestNetwork.load(device);
      }
      return step;
    }

    /// Scores the network of the attempt at which rounds begin: the best one, unless an earlier run went on from there.
    private void score(ProgressListener named) throws IOException {
      int last = attempts.size();
      if (baseAttempt < last) {
        loadBest(baseAttempt);
      }
      rounds.restore(bestProgress, bestNetwork);
      rounds.score(named);
      baseNetwork.load(device); // as it was scored
      base = rounds.progress();
      isScored = true;
      if (baseAttempt < last) {
        loadBest(last);
      }
    }

    /// Takes the best network of an attempt that the checkpoint has; 0 is the dense network.
    ///
    /// @return all attempts up to it
    private List<Attempt> loadBest(int attempt) throws IOException {
      if (attempt == 0) {
        bestNetwork.load(dense);
        bestProgress = start;
        return List.of();
      }
      try (Arena arena = Arena.ofConfined()) {
        Checkpoint.Round round = checkpoint.orElseThrow().load(attempt, arena);
        bestNetwork.load(round.network());
        bestProgress = round.progress();
        return List.of(JSON.readValue(round.log(), Attempt[].class));
      }
    }

    /// Also takes the network as the file has it, so that a search that goes on from there is the same.
    private void save(Checkpoint to) throws IOException {
      try (Arena arena = Arena.ofConfined()) {
        DenseNetwork now = bestNetwork.download(arena);
        to.save(attempts.size(), new Checkpoint.Round(bestProgress, now, JSON.writeValueAsString(attempts)),
            number -> number == baseAttempt);
        bestNetwork.load(now);
      }
    }

    private boolean holds(EvaluationPass.Result now) {
      if (now.outputChange() > limits.largestChange(before.outputSquare())) {
        return false;
      }
      if (now.evaluation().isEmpty()) {
        return true;
      }
      boolean isAccurate = accuracy(now).isEmpty()
          || accuracy(now).getAsDouble() >= limits.lowestAccuracy(accuracy(before).orElseThrow());
      return isAccurate
          && now.evaluation().get().loss() <= limits.highestLoss(before.evaluation().orElseThrow().loss());
    }

    private ProgressListener named(double sparsity) {
      String at = String.format(Locale.ROOT, ", at %.2f %%", 100 * sparsity);
      return (task, done, total) -> listener.proceed(task + at, done, total);
    }

    private Optional<PruningWork> work() {
      return calibration.isEmpty() || work.isEmpty() ? Optional.empty() : Optional.of(new PruningWork(work, true));
    }

    Result result(Arena arena) throws IOException {
      List<Step> all = List.copyOf(steps.values());
      if (best.isEmpty()) {
        return new Result(before, all, best, Optional.empty(), work());
      }
      rounds.restore(bestProgress, bestNetwork);
      return new Result(before, all, best, Optional.of(rounds.result(network, listener, arena)), work());
    }
  }

  private static double rounded(double sparsity, MathContext digits) {
    return BigDecimal.ONE.subtract(BigDecimal.valueOf(1 - sparsity).round(digits)).doubleValue();
  }

  private static OptionalDouble accuracy(EvaluationPass.Result result) {
    return result.evaluation().map(Evaluation::accuracy).orElse(OptionalDouble.empty());
  }
}
