package dev.espalier.engine.method;

import dev.espalier.engine.MismatchException;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.DoubleUnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// A pruning schedule: the rounds that a pruning is split into. Every round scores the network as it is and removes
/// weights down to its target; weights that are removed stay removed.
public sealed interface Schedule {
  /// One round.
  record OneShot() implements Schedule {
    @Override
    public List<Target> rounds(Target last) {
      return List.of(last);
    }

    @Override
    public List<Target> path(List<Target> stops) {
      if (stops.size() > 1) {
        throw new MismatchException(
            "schedule oneshot has one round, and so one target: use one in rounds, such as geometric:0.75");
      }
      return stops;
    }

    @Override
    public String toString() {
      return "oneshot";
    }
  }

  /// Each round removes as many weights as the others.
  ///
  /// @param count of rounds, at least 1
  record Linear(int count) implements Schedule {
    /// @throws IllegalArgumentException if the count is below 1
    public Linear {
      requireRounds("linear", count);
    }

    @Override
    public List<Target> rounds(Target last) {
      return Schedule.rounds(this, count, last, t -> t * last.sparsity());
    }

    @Override
    public String toString() {
      return "linear:" + count;
    }
  }

  /// Each round removes the same fraction of the weights that are left, so that the last one reaches the target.
  ///
  /// @param count of rounds, at least 1
  record Geometric(int count) implements Schedule {
    /// @throws IllegalArgumentException if the count is below 1
    public Geometric {
      requireRounds("geometric", count);
    }

    @Override
    public List<Target> rounds(Target last) {
      return Schedule.rounds(this, count, last, t -> 1 - Math.pow(1 - last.sparsity(), t));
    }

    @Override
    public String toString() {
      return "geometric:" + count;
    }
  }

  /// Each round keeps this fraction of the weights that are left; the last one stops at the target.
  ///
  /// @param kept above 0 and below 1
  record Keeping(double kept) implements Schedule {
    /// More rounds would each remove next to nothing.
    private static final int MOST_ROUNDS = 1000;

    /// @throws IllegalArgumentException if the fraction is not between 0 and 1
    public Keeping {
      if (!(kept > 0 && kept < 1)) {
        throw new IllegalArgumentException(
            "schedule geometric:%s: use a fraction between 0 and 1 that each round keeps, or a number of rounds"
                .formatted(kept));
      }
    }

    /// @throws MismatchException if the target removes all weights, or takes more than 1000 rounds
    @Override
    public List<Target> rounds(Target last) {
      return path(List.of(last));
    }

    /// Each stop is the end of a round, and the next one keeps its fraction of what is left there.
    @Override
    public List<Target> path(List<Target> stops) {
      List<Target> path = new ArrayList<>();
      double from = 0;
      for (Target stop : stops) {
        requireReached(stop);
        double first = from;
        path.addAll(Schedule.rounds(this,
            DoubleStream.iterate(1 - kept * (1 - first), s -> s < stop.sparsity(), s -> 1 - kept * (1 - s)), stop));
        from = stop.sparsity();
      }
      return path;
    }

    private void requireReached(Target last) {
      double count = Math.log(1 - last.sparsity()) / Math.log(kept);
      if (!(count <= MOST_ROUNDS)) {
        throw new MismatchException(
            "schedule %s does not reach a sparsity of %s within %s rounds: use linear:10, or a lower sparsity"
                .formatted(this, Target.sparsity(last.sparsity()), MOST_ROUNDS));
      }
    }

    @Override
    public String toString() {
      return "geometric:" + BigDecimal.valueOf(kept).toPlainString();
    }
  }

  /// Removes much in the first rounds and little in the last: the sparsity after the fraction t of the rounds is
  /// s (1 − (1 − t)³) [Zhu and Gupta 2017].
  ///
  /// @param count of rounds, at least 1
  record Cubic(int count) implements Schedule {
    /// @throws IllegalArgumentException if the count is below 1
    public Cubic {
      requireRounds("cubic", count);
    }

    @Override
    public List<Target> rounds(Target last) {
      return Schedule.rounds(this, count, last, t -> last.sparsity() * (1 - Math.pow(1 - t, 3)));
    }

    @Override
    public String toString() {
      return "cubic:" + count;
    }
  }

  /// The target of each round, ascending.
  ///
  /// @param last the target of the last round
  /// @throws MismatchException if the target cannot be reached in such rounds
  List<Target> rounds(Target last);

  /// The target of each round of a path that stops at several targets.
  ///
  /// @param stops of one scope, ascending
  /// @throws MismatchException if there are several and the schedule has one round, or a target cannot be reached
  default List<Target> path(List<Target> stops) {
    Stream<Target> between = rounds(stops.getLast()).stream();
    return Stream.concat(between, stops.stream()).distinct().sorted(Comparator.comparingDouble(Target::sparsity))
        .toList();
  }

  private static void requireRounds(String name, int count) {
    if (count < 1) {
      throw new IllegalArgumentException("schedule %s:%d: use at least one round".formatted(name, count));
    }
  }

  /// @param sparsity after the fraction t of the rounds
  private static List<Target> rounds(Schedule schedule, int count, Target last, DoubleUnaryOperator sparsity) {
    return rounds(schedule,
        IntStream.range(1, count).mapToDouble(round -> sparsity.applyAsDouble((double) round / count)), last);
  }

  /// @param before the sparsities of the rounds before the last
  private static List<Target> rounds(Schedule schedule, DoubleStream before, Target last) {
    List<Target> targets = before.<Target>mapToObj(sparsity -> switch (last) {
      case Target.Fraction(double _, Scope scope) -> new Target.Fraction(sparsity, scope);
      case Target.Neurons(double _, Scope scope) -> new Target.Neurons(sparsity, scope);
      case Target.Pattern pattern -> throw new MismatchException(
          "schedule %s: the pattern %s is reached in one round; use oneshot".formatted(schedule, pattern));
      case Target.Mask _ ->
        throw new MismatchException("schedule %s: a mask is applied in one round; use oneshot".formatted(schedule));
    }).toList();
    return Stream.concat(targets.stream(), Stream.of(last)).distinct().toList();
  }

  /// `oneshot`, `linear:K`, `geometric:K`, `geometric:Q` with the fraction Q that each round keeps, or `cubic:K`.
  ///
  /// @throws IllegalArgumentException for anything else
  static Schedule parse(String text) {
    Matcher rounds = Pattern.compile("(linear|geometric|cubic):(\\d{1,4})").matcher(text);
    Matcher keeping = Pattern.compile("geometric:(0?\\.\\d{1,9})").matcher(text);
    if (text.equals("oneshot")) {
      return new OneShot();
    }
    if (keeping.matches()) {
      return new Keeping(Double.parseDouble(keeping.group(1)));
    }
    if (!rounds.matches()) {
      throw new IllegalArgumentException(
          "unknown schedule '%s': use oneshot, linear:K, geometric:K or cubic:K with K rounds, or geometric:0.75 to keep "
              .formatted(text) + "75 % of the weights in each round");
    }
    int count = Integer.parseInt(rounds.group(2));
    return switch (rounds.group(1)) {
      case "linear" -> new Linear(count);
      case "geometric" -> new Geometric(count);
      default -> new Cubic(count);
    };
  }

  /// As [#parse] reads it.
  @Override
  String toString();
}
