package dev.espalier.engine.experiment;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/// Times pieces of work in turns, so that what else the machine does meanwhile strikes all alike.
public final class Stopwatch {
  /// Rounds, in each of which every piece is timed once; fewer if they take long.
  private static final int ROUNDS = 25;
  private static final int LEAST_ROUNDS = 5;
  private static final double LONG = 3;
  /// Seconds that each runs before, so that Java has compiled it.
  private static final double WARM_UP = 0.25;
  /// Seconds for which it is called again and again, to time it once.
  private static final double SAMPLE = 2e-3;

  private Stopwatch() {}

  /// Seconds of a call, over the rounds.
  ///
  /// @param seconds in the order of the rounds
  public record Times(List<Double> seconds) {
    /// Copies the list.
    public Times {
      seconds = List.copyOf(seconds);
    }

    /// The median.
    public double median() {
      return quantile(seconds, 0.5);
    }

    /// A quarter of the rounds took no longer.
    public double lowerQuartile() {
      return quantile(seconds, 0.25);
    }

    /// Three quarters of the rounds took no longer.
    public double upperQuartile() {
      return quantile(seconds, 0.75);
    }

    /// The ratios to the times of another piece within each round: how many times as long this one takes. A machine that
    /// is slower for a while changes both.
    public Times relativeTo(Times other) {
      return new Times(
          IntStream.range(0, seconds.size()).mapToObj(i -> seconds.get(i) / other.seconds.get(i)).toList());
    }

    private static double quantile(List<Double> values, double share) {
      double[] sorted = values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
      double place = share * (sorted.length - 1);
      int below = (int) place;
      double above = sorted[Math.min(below + 1, sorted.length - 1)];
      return sorted[below] + (place - below) * (above - sorted[below]);
    }
  }

  /// Runs each piece until Java has compiled it, then all in turns, in changing order.
  ///
  /// @return the times of each
  public static List<Times> inTurns(List<Runnable> work) {
    return inTurns(work, () -> {
      // They are done when they return.
    });
  }

  /// As [#inTurns(List)], of work that goes on when a call has returned. Several calls are started one after another before
  /// they are waited for, so that what starting takes is counted only where it takes longer than the work.
  ///
  /// @param await waits until all is done
  public static List<Times> inTurns(List<Runnable> work, Runnable await) {
    int[] calls = work.stream().mapToInt(piece -> warmUp(piece, await)).toArray();
    List<List<Double>> seconds = new ArrayList<>();
    work.forEach(_ -> seconds.add(new ArrayList<>()));
    List<Integer> order = new ArrayList<>(IntStream.range(0, work.size()).boxed().toList());
    double start = now();
    for (int round = 0; round < ROUNDS && (round < LEAST_ROUNDS || now() - start < LONG * work.size()); round++) {
      for (int i : order) {
        seconds.get(i).add(run(work.get(i), calls[i], await));
      }
      Collections.reverse(order);
    }
    return seconds.stream().map(Times::new).toList();
  }

  /// @return how many calls take long enough to be timed
  private static int warmUp(Runnable work, Runnable await) {
    int calls = 1;
    double spent = 0;
    double last = 0;
    while (spent < WARM_UP) {
      last = run(work, calls, await);
      spent += last * calls;
      if (last * calls < SAMPLE) {
        calls = 2 * calls;
      }
    }
    return (int) Math.clamp(Math.ceil(SAMPLE / last), 1, 1 << 20);
  }

  /// @return seconds of a call
  private static double run(Runnable work, int calls, Runnable await) {
    double start = now();
    for (int i = 0; i < calls; i++) {
      work.run();
    }
    await.run();
    return (now() - start) / calls;
  }

  private static double now() {
    return System.nanoTime() * 1e-9;
  }
}
