package dev.espalier.cli.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class DiffusionSorptionTest {
  private static final double DIFFUSIVITY = 5e-4;

  /// With n = 1 retardation is constant, and as long as nothing reaches the outlet u = erfc(x / √(4 D t / R)).
  @Test
  void linearSorptionFollowsTheErrorFunctionToSecondOrder() {
    double coarse = errorOfLinear(32);
    double fine = errorOfLinear(64);
    assertTrue(fine < 1e-3, "error " + fine);
    assertEquals(4, coarse / fine, 0.5, "twice the cells, a quarter of the error");
  }

  @Test
  void refinementConvergesToSecondOrderAlsoWithNonlinearSorption() {
    double[] places = averages(DiffusionSorption.ofColumn(32).solve(0.1, 300)[0], 32);
    double[] finer = averages(DiffusionSorption.ofColumn(64).solve(0.1, 300)[0], 32);
    double[] finest = averages(DiffusionSorption.ofColumn(128).solve(0.1, 300)[0], 32);
    double order = Math.log(distance(places, finer) / distance(finer, finest)) / Math.log(2);
    assertEquals(2, order, 0.3, "order");
  }

  /// What flows in through the inlet is what is found in the column, dissolved and sorbed: the integral of R(u) du.
  @Test
  void massIsConserved() {
    int cells = 64;
    DiffusionSorption column = DiffusionSorption.ofColumn(cells);
    double[] times = IntStream.rangeClosed(0, 2000).mapToDouble(i -> 100 + 0.1 * i).toArray();
    double[][] u = column.solve(0.05, times);
    double inflow = 0;
    for (int i = 1; i < times.length; i++) {
      double before = netFlux(u[i - 1], cells);
      double after = netFlux(u[i], cells);
      inflow += 0.5 * (before + after) * (times[i] - times[i - 1]);
    }
    double gained = mass(column, u[times.length - 1]) - mass(column, u[0]);
    assertEquals(gained, inflow, 1e-4 * gained);
  }

  @Test
  void concentrationStaysWithinItsBounds() {
    for (double[] u : DiffusionSorption.ofColumn(32).solve(0, 1, 10, 100, 500)) {
      assertTrue(Arrays.stream(u).allMatch(value -> value >= 0 && value <= 1), Arrays.toString(u));
      for (int c = 1; c < u.length; c++) {
        assertTrue(u[c] <= u[c - 1], Arrays.toString(u));
      }
    }
  }

  private static double errorOfLinear(int cells) {
    DiffusionSorption column = new DiffusionSorption(cells, DIFFUSIVITY, 0.29, 2880, 3.5e-4, 1);
    double time = 100;
    double length = Math.sqrt(4 * DIFFUSIVITY * time / column.retardation(0.5));
    double[] u = column.solve(0, time)[0];
    double worst = 0;
    for (int c = 0; c < cells; c++) {
      worst = Math.max(worst, Math.abs(u[c] - complementaryErrorFunction((c + 0.5) / cells / length)));
    }
    return worst;
  }

  /// 1 − 2/√π ∫₀ˣ exp(−s²) ds by Simpson's rule.
  private static double complementaryErrorFunction(double x) {
    int steps = 2000;
    double h = x / steps;
    double sum = 1 + Math.exp(-x * x);
    for (int i = 1; i < steps; i++) {
      sum += (i % 2 == 1 ? 4 : 2) * Math.exp(-(i * h) * (i * h));
    }
    return 1 - 2 / Math.sqrt(Math.PI) * sum * h / 3;
  }

  private static double netFlux(double[] u, int cells) {
    double conductance = DIFFUSIVITY * 2 * cells;
    return conductance * (1 - u[0]) - conductance / (1 + conductance) * u[cells - 1];
  }

  private static double mass(DiffusionSorption column, double[] u) {
    double sorbed = (1 - column.porosity()) / column.porosity() * column.density() * column.coefficient();
    return Arrays.stream(u).map(value -> value + sorbed * Math.pow(value + 1e-6, column.exponent())).average()
        .orElseThrow();
  }

  private static double[] averages(double[] u, int places) {
    int each = u.length / places;
    return IntStream.range(0, places)
        .mapToDouble(p -> IntStream.range(0, each).mapToDouble(c -> u[p * each + c]).average().orElseThrow()).toArray();
  }

  private static double distance(double[] a, double[] b) {
    return Math.sqrt(IntStream.range(0, a.length).mapToDouble(i -> (a[i] - b[i]) * (a[i] - b[i])).sum());
  }
}
