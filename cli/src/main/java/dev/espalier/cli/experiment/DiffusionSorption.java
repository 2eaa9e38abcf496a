package dev.espalier.cli.experiment;

import java.util.Arrays;

/// Diffusion of a dissolved substance through a porous column that sorbs it, in one dimension [Nowak & Guthke 2016;
/// PDEBench, Takamoto et al. 2022]:
///
///     R(u) ∂u/∂t = D ∂²u/∂x²,   R(u) = 1 + (1 − φ)/φ · ρ k n (u + 1e-6)ⁿ⁻¹
///
/// with u(x, t) the concentration relative to that at the inlet (no unit), x in (0, 1) m, t in s; u(0, t) = 1,
/// u(1, t) = −D ∂u/∂x (what diffuses out), and u(x, 0) constant.
///
/// Discretisation: finite volumes of equal width h with u at their centres. The boundaries are faces, half a cell from
/// the next centre, with u = 1 at the inlet; at the outlet u = D (uₙ − u)/(h/2), solved for u, with uₙ that of the last
/// cell. Second order in h. In time Heun's explicit method, second order, in steps of at most 0.4 h² R(1) / D, which
/// keeps it stable and u within its bounds, for R falls with u.
///
/// @param cells       at least 2
/// @param diffusivity D, m²/s
/// @param porosity    φ, the fraction of pores in the volume, no unit
/// @param density     ρ of the solid, kg/m³
/// @param coefficient k of Freundlich's isotherm, with u and n as here m³/kg
/// @param exponent    n of Freundlich's isotherm, 0 < n ≤ 1; at n = 1 the equation is linear
record DiffusionSorption(int cells, double diffusivity, double porosity, double density, double coefficient,
    double exponent) {
  private static final double REGULARISATION = 1e-6;
  private static final double COURANT = 0.4;

  /// The column of PDEBench.
  static DiffusionSorption ofColumn(int cells) {
    return new DiffusionSorption(cells, 5e-4, 0.29, 2880, 3.5e-4, 0.874);
  }

  /// How much slower the substance spreads for being sorbed, R(u) ≥ 1.
  double retardation(double u) {
    return 1
        + (1 - porosity) / porosity * density * coefficient * exponent * Math.pow(u + REGULARISATION, exponent - 1);
  }

  /// The solution at some times.
  ///
  /// @param initial u(x, 0), 0..1
  /// @param times   ascending, s
  /// @return u at the cells' centres, a row for each time
  double[][] solve(double initial, double... times) {
    double[][] solution = new double[times.length][];
    double[] u = new double[cells];
    Arrays.fill(u, initial);
    double[] rate = new double[cells];
    double[] predicted = new double[cells];
    double[] predictedRate = new double[cells];
    double longest = COURANT * retardation(1) / diffusivity / ((double) cells * cells);
    double t = 0;
    for (int i = 0; i < times.length; i++) {
      long steps = (long) Math.ceil((times[i] - t) / longest);
      double dt = (times[i] - t) / Math.max(1, steps);
      for (long step = 0; step < steps; step++) {
        rate(u, rate);
        for (int c = 0; c < cells; c++) {
          predicted[c] = u[c] + dt * rate[c];
        }
        rate(predicted, predictedRate);
        for (int c = 0; c < cells; c++) {
          u[c] += 0.5 * dt * (rate[c] + predictedRate[c]);
        }
      }
      t = times[i];
      solution[i] = u.clone();
    }
    return solution;
  }

  /// ∂u/∂t of every cell.
  private void rate(double[] u, double[] rate) {
    double width = 1.0 / cells;
    double inflow = diffusivity * (1 - u[0]) / (0.5 * width);
    for (int c = 0; c < cells; c++) {
      double outflow = c + 1 < cells ? diffusivity * (u[c] - u[c + 1]) / width : outlet(u[c], width);
      rate[c] = (inflow - outflow) / (width * retardation(u[c]));
      inflow = outflow;
    }
  }

  /// What diffuses out of the last cell, which is also u at the outlet.
  private double outlet(double last, double width) {
    double conductance = diffusivity / (0.5 * width);
    return conductance * last / (1 + conductance);
  }
}
