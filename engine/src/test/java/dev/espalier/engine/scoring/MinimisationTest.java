package dev.espalier.engine.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import java.util.function.DoubleUnaryOperator;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

final class MinimisationTest {
  /// How often the function was evaluated.
  private int trials;

  private Minimisation run(Minimisation minimum, DoubleUnaryOperator f) {
    for (trials = 0; !minimum.isDone(); trials++) {
      minimum.take(f.applyAsDouble(minimum.trial()));
    }
    return minimum;
  }

  @Test
  void findsTheVertexOfAParabola() {
    RandomGenerator random = TestNetworks.random(1);
    for (int i = 0; i < 1000; i++) {
      double vertex = random.nextGaussian();
      double least = Math.exp(6 * random.nextGaussian());
      double curvature = Math.exp(6 * random.nextGaussian());
      double width = Math.sqrt(least / curvature);
      double start = vertex + (i % 2 == 0 ? 0.01 : 0.3) * width * random.nextGaussian();
      Minimisation found = run(new Minimisation(vertex - 9 * width, vertex + 9 * width, start, width),
          x -> least + curvature * (x - vertex) * (x - vertex));
      assertEquals(least, found.value(), Minimisation.TOLERANCE * least);
      assertEquals(vertex, found.argument(), 2 * Math.sqrt(Minimisation.TOLERANCE) * width);
      assertTrue(trials <= (i % 2 == 0 ? 6 : 14), () -> "%s trials".formatted(trials));
    }
  }

  /// Curved unevenly, with a kink, flat on one side: the least value on a fine grid is met.
  @Test
  void findsTheMinimumOfOtherFunctions() {
    RandomGenerator random = TestNetworks.random(2);
    for (int i = 0; i < 1000; i++) {
      double skew = random.nextDouble(-1, 1);
      double kink = random.nextDouble(-1, 1);
      double centre = random.nextDouble(-1, 1);
      DoubleUnaryOperator f = switch (i % 4) {
        case 0 -> x -> 0.1 + Math.pow(x - centre, 2) * Math.exp(skew * (x - centre));
        case 1 -> x -> 0.1 + Math.abs(x - kink) + Math.pow(x - centre, 2);
        case 2 -> x -> 0.1 + Math.pow(Math.max(0, x - centre), 2) + 0.2 * Math.pow(Math.min(0, x - kink), 4);
        default -> x -> 0.1 + Math.pow(Math.tanh(2 * (x - centre)), 2);
      };
      double least = Double.POSITIVE_INFINITY;
      for (double x = -2; x <= 2; x += 1e-3) {
        least = Math.min(least, f.applyAsDouble(x));
      }
      double start = centre + 0.2 * random.nextGaussian();
      Minimisation found = run(new Minimisation(-2, 2, start, 0.3), f);
      int function = i;
      assertTrue(found.value() <= (1 + Minimisation.TOLERANCE) * least,
          () -> "function %s, skew %s, kink %s, centre %s: found %s at %s after %s trials".formatted(function, skew,
              kink, centre, found.value(), found.argument(), trials));
      assertTrue(found.value() <= Math.min(f.applyAsDouble(0), f.applyAsDouble(start)));
      assertEquals(f.applyAsDouble(found.argument()), found.value());
    }
  }

  /// A few values in a million are rounded away.
  @Test
  void endsWhereValuesAreNoisy() {
    RandomGenerator random = TestNetworks.random(3);
    for (double noise : new double[]{1e-6, 1e-3, 0.1, 1}) {
      for (int i = 0; i < 200; i++) {
        Minimisation found = run(new Minimisation(-3, 5, 1, 0.5),
            x -> (1 + (x - 1) * (x - 1) / 0.25) * (1 + noise * random.nextDouble()));
        assertTrue(found.value() <= 1 + noise && trials <= 40, () -> "%s trials".formatted(trials));
      }
    }
  }

  @Test
  void nothingIsBelowZero() {
    assertEquals(0, run(new Minimisation(-1, 1, 0.5, 0.1), _ -> 0).argument());
    assertEquals(1, trials);
    assertEquals(0.5, run(new Minimisation(-1, 1, 0.5, 0.1), x -> Math.abs(x - 0.5)).argument());
    assertEquals(2, trials);
  }

  /// Of a neuron that the removal wakes unless its bias falls: 0 only at one end.
  @Test
  void anUnknownWidthTriesTheEnds() {
    for (double end : new double[]{-2, 3}) {
      Minimisation found = run(new Minimisation(-2, 3, 0, 0), x -> Math.pow(x - end, 2));
      assertEquals(end, found.argument());
      assertEquals(0, found.value());
    }
  }

  @Test
  void anIntervalWithoutLengthIsDone() {
    assertEquals(7, run(new Minimisation(0, 0, 0, 0), _ -> 7).value());
    assertEquals(1, trials);
  }

  @Test
  void whatIsNotFiniteIsNoMinimum() {
    for (double value : new double[]{Double.NaN, Double.POSITIVE_INFINITY}) {
      Minimisation found = run(new Minimisation(-1, 1, 0.25, 0.1), x -> x < 0.2 ? value : 1 + Math.pow(x - 0.3, 2));
      assertEquals(1, found.value(), Minimisation.TOLERANCE);
      assertEquals(Double.POSITIVE_INFINITY, run(new Minimisation(-1, 1, 0.25, 0.1), _ -> value).value());
      assertTrue(trials <= 40);
    }
  }
}
