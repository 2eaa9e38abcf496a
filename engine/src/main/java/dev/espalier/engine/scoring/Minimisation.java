package dev.espalier.engine.scoring;

import java.util.Arrays;

/// The minimum of a function of one variable whose values are found elsewhere, those of many functions at a time: it
/// names a trial and takes the value there, until it is done.
///
/// The first trials are 0, a start, and a third one that tells the curvature; then follow vertices of parabolas through
/// the least value and its neighbours, and golden sections where these do not help, as in Brent's method [1973, chapter
/// 5]. A function that deviates from the parabola with its vertex at the start may have several minima: then come trials
/// that are spread over the interval, its ends among them.
///
/// It ends at a minimum whose value is at most that at 0 and at the start, once a parabola has predicted the last value
/// and predicts no lower one, or once the values of both neighbours are no higher, each up to a hundredth of
/// [#TOLERANCE], which leaves room for kinks; or once the neighbours are so close that what is left is rounding.
final class Minimisation {
  /// Of a value, as a fraction of the least one.
  static final double TOLERANCE = 1e-3;

  private static final int MOST_TRIALS = 50;
  private static final int FIRST_TRIALS = 4;
  /// Trials that are spread over the interval if the first ones deviate by more than this fraction from the parabola
  /// that has its vertex at the start and the function's width.
  private static final int SPREAD_TRIALS = 8;
  private static final double DEVIATION = 0.1;
  private static final double GOLDEN = (3 - Math.sqrt(5)) / 2;
  /// Steps as fractions of the width: the shortest one, and one that tells the curvature.
  private static final double SHORTEST = 1e-4;
  private static final double TELLING = 0.5;

  private final double lower;
  private final double upper;
  private final double start;
  private final double width;
  /// The trials so far, by argument.
  private double[] arguments = new double[6];
  private double[] values = new double[6];
  private int trials;
  private int best;
  private double trial;
  private double predicted = Double.NaN;
  private double step = Double.POSITIVE_INFINITY;
  private double stepBefore = Double.POSITIVE_INFINITY;
  /// Trials to come that are spread.
  private int spread;
  private boolean isDone;

  /// @param lower end of the interval in which the minimum is sought, together with 0 and the start
  /// @param upper end of it
  /// @param start a guess
  /// @param width how far from its minimum the function has about twice its least value; 0 if that is not known
  Minimisation(double lower, double upper, double start, double width) {
    this.lower = Math.min(Math.min(lower, start), 0);
    this.upper = Math.max(Math.max(upper, start), 0);
    this.start = start + 0.0; // not −0
    this.width = width > 0 ? width : (this.upper - this.lower) / 4;
    spread = width > 0 ? 0 : SPREAD_TRIALS;
  }

  boolean isDone() {
    return isDone;
  }

  /// Where the value is wanted next.
  double trial() {
    return trial;
  }

  /// The argument of the least value so far; of equal ones the first that was tried.
  double argument() {
    return arguments[best];
  }

  /// The least value so far.
  double value() {
    return values[best];
  }

  /// Takes the value at the trial; what is not a number counts as infinite.
  void take(double value) {
    double found = Double.isNaN(value) ? Double.POSITIVE_INFINITY : value;
    insert(found);
    double misfit = Math.abs(found - predicted);
    if (trials == FIRST_TRIALS && spread == 0 && !isParabolic()) {
      spread = SPREAD_TRIALS;
    }
    Parabola parabola = parabola();
    double tolerated = TOLERANCE / 100 * value();
    boolean isSettled = (misfit <= tolerated && parabola.gain() <= tolerated) || rise() <= tolerated
        || Math.max(above(), below()) <= 2 * shortest();
    isDone = value() == 0 || upper == lower || trials == MOST_TRIALS
        || (trials >= FIRST_TRIALS && spread == 0 && isSettled);
    if (!isDone) {
      choose(parabola);
    }
  }

  private boolean isParabolic() {
    double vertex = values[Arrays.binarySearch(arguments, 0, trials, start)];
    for (int k = 0; k < trials; k++) {
      double expected = vertex * (1 + Math.pow((arguments[k] - start) / width, 2));
      if (!(Math.abs(values[k] - expected) <= DEVIATION * expected)) {
        return false;
      }
    }
    return true;
  }

  private void insert(double found) {
    int place = -1 - Arrays.binarySearch(arguments, 0, trials, trial);
    if (trials == arguments.length) {
      arguments = Arrays.copyOf(arguments, 2 * trials);
      values = Arrays.copyOf(values, 2 * trials);
    }
    System.arraycopy(arguments, place, arguments, place + 1, trials - place);
    System.arraycopy(values, place, values, place + 1, trials - place);
    arguments[place] = trial;
    values[place] = found;
    best += trials > 0 && place <= best ? 1 : 0;
    trials++;
    best = found < value() ? place : best;
  }

  /// How far the interval or the next trial reaches above the best one.
  private double above() {
    return (best + 1 < trials ? arguments[best + 1] : upper) - argument();
  }

  private double below() {
    return argument() - (best > 0 ? arguments[best - 1] : lower);
  }

  /// By how much the value rises towards the neighbours, and at most; infinite on a side without one.
  private double rise() {
    double up = best + 1 < trials ? values[best + 1] : argument() == upper ? value() : Double.POSITIVE_INFINITY;
    double down = best > 0 ? values[best - 1] : argument() == lower ? value() : Double.POSITIVE_INFINITY;
    return Math.max(up, down) - value();
  }

  private double shortest() {
    return Math.max(SHORTEST * width, 2 * Math.ulp((float) argument()));
  }

  private void choose(Parabola parabola) {
    if (trials == 1 && start != 0) {
      trial = start;
    } else if (spread > 0) {
      trial = lower + (SPREAD_TRIALS - spread) * (upper - lower) / (SPREAD_TRIALS - 1);
      predicted = Double.NaN;
      spread--;
      if (Arrays.binarySearch(arguments, 0, trials, trial) >= 0) {
        choose(parabola);
      }
    } else {
      move(parabola);
      predicted = trials > 2 ? parabola.of(trial) : Double.NaN;
    }
  }

  private void move(Parabola parabola) {
    double next = trials == 1 ? TELLING * width : parabola.vertex() - argument();
    if (trials < 3) {
      next = Math.copySign(Math.max(Math.abs(next), TELLING * width), next);
    }
    boolean isInside = next < above() && -next < below();
    if (isInside && Math.abs(next) < Math.abs(stepBefore) / 2 && parabola.curvature > 0) {
      stepBefore = step;
    } else {
      stepBefore = above() > below() ? above() : -below();
      next = GOLDEN * stepBefore;
    }
    double room = next > 0 ? above() : below();
    double length = Math.max(Math.abs(next), shortest());
    step = Math.copySign(length > room - shortest() ? room / 2 : length, next);
    trial = argument() + step;
  }

  /// `value + slope (x − at) + curvature (x − at)²`
  private record Parabola(double at, double value, double slope, double curvature) {
    double of(double x) {
      return value + (x - at) * (slope + curvature * (x - at));
    }

    double vertex() {
      return at - slope / (2 * curvature);
    }

    /// How much lower the vertex is; not a number if there is none.
    double gain() {
      return curvature > 0 ? slope * slope / (4 * curvature) : Double.NaN;
    }
  }

  /// Through the best trial and its neighbours; with the curvature that follows from the width while there are no two.
  private Parabola parabola() {
    double wide = value() / (width * width);
    if (trials == 1) {
      return new Parabola(argument(), value(), 0, wide);
    }
    int second = best > 0 ? best - 1 : 1;
    double toSecond = slope(best, second);
    if (trials == 2) {
      return new Parabola(argument(), value(), toSecond - wide * (arguments[second] - argument()), wide);
    }
    int third = best == 0 ? 2 : best + 1 < trials ? best + 1 : best - 2;
    double curvature = (slope(best, third) - toSecond) / (arguments[third] - arguments[second]);
    return new Parabola(argument(), value(), toSecond - curvature * (arguments[second] - argument()), curvature);
  }

  private double slope(int i, int j) {
    return (values[j] - values[i]) / (arguments[j] - arguments[i]);
  }
}
