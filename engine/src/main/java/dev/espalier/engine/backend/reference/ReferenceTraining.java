package dev.espalier.engine.backend.reference;

import static dev.espalier.engine.backend.reference.ReferenceMatrix.entries;

import dev.espalier.engine.backend.Adam;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.TrainingOperations;

/// Losses and optimiser steps by plain loops.
final class ReferenceTraining implements TrainingOperations {
  @Override
  public void crossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix losses) {
    ReferenceMatrix z = entries(logits);
    ReferenceMatrix t = entries(targets);
    ReferenceMatrix g = entries(gradient);
    for (int n = 0; n < z.rows(); n++) {
      double logSum = ReferenceNetwork.softmax(z, g, n);
      double loss = 0;
      double mass = 0;
      for (int k = 0; k < z.columns(); k++) {
        loss += t.get(n, k) * (logSum - z.get(n, k));
        mass += t.get(n, k);
      }
      for (int k = 0; k < z.columns(); k++) {
        g.set(n, k, g.get(n, k) * mass - t.get(n, k));
      }
      entries(losses).set(n, 0, loss);
    }
  }

  @Override
  public void binaryCrossEntropy(Matrix logits, Matrix targets, Matrix gradient, Matrix losses) {
    ReferenceMatrix z = entries(logits);
    for (int n = 0; n < z.rows(); n++) {
      double loss = 0;
      for (int k = 0; k < z.columns(); k++) {
        double value = z.get(n, k);
        double target = entries(targets).get(n, k);
        // −t ln σ(z) − (1 − t) ln(1 − σ(z)) = ln(1 + eᶻ) − t z, in a form that does not overflow
        loss += (Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value))) - target * value) / z.columns();
        entries(gradient).set(n, k, (1 / (1 + Math.exp(-value)) - target) / z.columns());
      }
      entries(losses).set(n, 0, loss);
    }
  }

  @Override
  public void squaredError(Matrix output, Matrix targets, Matrix gradient, Matrix losses) {
    ReferenceMatrix y = entries(output);
    for (int n = 0; n < y.rows(); n++) {
      double loss = 0;
      for (int k = 0; k < y.columns(); k++) {
        double difference = y.get(n, k) - entries(targets).get(n, k);
        loss += difference * difference / y.columns();
        entries(gradient).set(n, k, 2 * difference / y.columns());
      }
      entries(losses).set(n, 0, loss);
    }
  }

  @Override
  public void adamStep(Matrix parameter, Matrix gradient, Matrix firstMoment, Matrix secondMoment, Adam adam, long step,
      boolean keepZeros) {
    ReferenceMatrix p = entries(parameter);
    ReferenceMatrix m = entries(firstMoment);
    ReferenceMatrix v = entries(secondMoment);
    double correction1 = 1 - Math.pow(adam.beta1(), (double) step);
    double correction2 = 1 - Math.pow(adam.beta2(), (double) step);
    for (int i = 0; i < p.elements(); i++) {
      double g = entries(gradient).get(i);
      m.set(i, adam.beta1() * m.get(i) + (1 - adam.beta1()) * g);
      v.set(i, adam.beta2() * v.get(i) + (1 - adam.beta2()) * g * g);
      if (!keepZeros || p.get(i) != 0) {
        double mean = m.get(i) / correction1;
        double root = Math.sqrt(v.get(i) / correction2);
        p.set(i, p.get(i) - adam.learningRate() * mean / (root + adam.epsilon()));
      }
    }
  }
}
