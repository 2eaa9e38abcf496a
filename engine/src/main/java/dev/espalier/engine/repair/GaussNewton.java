package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SolvingOperations;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.pass.ParameterVector;
import java.io.IOException;
import java.lang.foreign.Arena;

/// Gauss-Newton steps: each solves (JᵀFJ + λD) δ = −∇ by preconditioned conjugate gradients, with J the Jacobian by the
/// parameters that are left, F the second derivative of the objective by the outputs, ∇ its gradient by the parameters,
/// and D the diagonal of JᵀFJ, and moves along δ as far as that lowers the objective [Levenberg 1944, Marquardt 1963].
final class GaussNewton implements Resource {
  /// Vectors of parameters that it takes.
  static final int VECTORS = 6;

  /// The parts of δ that are tried, one after the other, until one lowers the objective.
  private static final double[] STEPS = {1, 0.5, 0.25, 0.1};
  /// What λ is multiplied by after a full step, a shorter one, and none.
  private static final double AFTER_FULL = 1.0 / 3;
  private static final double AFTER_SHORTER = 3;
  private static final double AFTER_NONE = 10;
  /// What the preconditioner adds to the diagonal, relative to its mean.
  private static final double SHIFT = 1e-6;

  private final Backend backend;
  private final ParameterVector parameters;
  private final JointPasses sums;
  private final Repair.Joint method;
  private final ParameterVector diagonal;
  private final ParameterVector residual;
  private final ParameterVector product;
  private final ParameterVector solution;
  private ParameterVector direction;
  private ParameterVector scaled;
  private final Resources resources;
  /// What `diagonal` is to be multiplied by to be D, and the shift of the preconditioner.
  private double curvature;
  private double shift;

  private GaussNewton(Backend backend, ParameterVector parameters, JointPasses sums, Repair.Joint method,
      Resources resources) {
    this.backend = backend;
    this.parameters = parameters;
    this.sums = sums;
    this.method = method;
    this.resources = resources;
    diagonal = zeros();
    residual = zeros();
    product = zeros();
    solution = zeros();
    direction = zeros();
    scaled = zeros();
  }

  /// @param parameters that may change; weights that are 0 stay 0
  /// @param sums of the network that has them
  static GaussNewton allocate(Backend backend, ParameterVector parameters, JointPasses sums, Repair.Joint method) {
    return Resources.build(resources -> new GaussNewton(backend, parameters, sums, method, resources));
  }

  private ParameterVector zeros() {
    return resources.own(ParameterVector.zeros(backend, parameters));
  }

  /// Takes steps until one gains too little.
  ///
  /// @param steps most of them
  /// @param iterations of conjugate gradients in each
  /// @param least what the objective cannot be below
  /// @return whether the objective is lower afterwards; otherwise the parameters are as they were
  boolean run(int steps, int iterations, double least, long seed, ProgressListener listener) throws IOException {
    double start = sums.loss();
    curvature = sums.diagonal(diagonal, seed);
    shift = SHIFT * curvature * mean(diagonal);
    if (!(shift > 0 && Double.isFinite(shift))) {
      return false; // no parameter has an influence, or the values are too large for their squares
    }
    double before = start;
    double damping = method.damping().orElse(Repair.Joint.DAMPING);
    for (int step = 1; step <= steps; step++) {
      solve(damping, iterations, "repairing jointly, step %d of %d".formatted(step, steps), listener);
      product.load(parameters);
      int tried = 0;
      double after = before;
      while (tried < STEPS.length && !(after < before)) {
        move(STEPS[tried++]);
        after = sums.loss();
      }
      if (after < before) {
        double gain = (before - after) / (before - least);
        before = after;
        if (gain < method.tolerance().orElse(Repair.Joint.TOLERANCE)) {
          break;
        }
        damping *= tried == 1 ? AFTER_FULL : AFTER_SHORTER;
      } else {
        parameters.load(product);
        sums.changed();
        damping *= AFTER_NONE;
      }
    }
    return before < start;
  }

  private double mean(ParameterVector vector) {
    double sum = 0;
    long count = 0;
    for (Matrix matrix : vector.matrices()) {
      try (Arena arena = Arena.ofConfined()) {
        for (float value : backend.onHost(matrix, arena).toArray()) {
          sum += value;
        }
      }
      count += matrix.elements();
    }
    return sum / count;
  }

  /// δ, into `solution`.
  private void solve(double damping, int iterations, String task, ProgressListener listener) throws IOException {
    sums.gradient(product);
    residual.clear();
    residual.add(-1, product);
    solution.clear();
    precondition(damping, direction);
    double norm = residual.dot(direction);
    double first = norm;
    for (int i = 1; i <= iterations && norm > SolvingOperations.CONVERGED * first; i++) {
      sums.curve(direction, product);
      product.addProduct(damping * curvature, diagonal, direction);
      double bend = direction.dot(product);
      if (!(bend > 0)) {
        return; // rounding has left nothing
      }
      solution.add(norm / bend, direction);
      residual.add(-norm / bend, product);
      precondition(damping, scaled);
      double next = residual.dot(scaled);
      scaled.add(next / norm, direction);
      ParameterVector swapped = direction;
      direction = scaled;
      scaled = swapped;
      norm = next;
      listener.report(task, i, iterations);
    }
  }

  /// Moves the parameters from where `product` has them by a part of the solution.
  private void move(double part) {
    parameters.load(product);
    scaled.clear();
    scaled.add(part, solution);
    for (int i = 0; i < parameters.parts().size(); i++) {
      ParameterVector.Part to = parameters.parts().get(i);
      backend.solving().addWhereNonzero(scaled.parts().get(i).weights(), to.weights());
      if (to.bias().isPresent()) {
        backend.network().add(1, scaled.parts().get(i).bias().orElseThrow(), to.bias().get());
      }
    }
    sums.changed();
  }

  /// residual / ((1 + λ) D + shift), 0 where no weight is left.
  private void precondition(double damping, ParameterVector quotient) {
    double scale = (1 + damping) * curvature;
    for (int i = 0; i < parameters.parts().size(); i++) {
      ParameterVector.Part r = residual.parts().get(i);
      ParameterVector.Part d = diagonal.parts().get(i);
      ParameterVector.Part z = quotient.parts().get(i);
      Matrix weights = parameters.parts().get(i).weights();
      backend.solving().dividedByDiagonal(weights, r.weights(), d.weights(), scale, shift, z.weights());
      if (r.bias().isPresent()) { // where it is 0 the quotient is 0 as well
        backend.solving().dividedByDiagonal(r.bias().get(), r.bias().get(), d.bias().orElseThrow(), scale, shift,
            z.bias().orElseThrow());
      }
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
