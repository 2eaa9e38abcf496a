package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;

/// Moments of one layer: sums over samples of s, s (a − c)ᵀ and s ((a − c)∘(a − c))ᵀ, with s the sensitivity
/// of the layer's neurons, a the layer's input and c a pilot mean of a. The shift by c keeps Var_s(a) from
/// cancelling where the mean of a is far larger than its spread. Sums merge: over batches, threads
/// and machines.
public final class Moments implements Resource {
  private final Backend backend;
  private final Resources resources = new Resources();
  private final Matrix pilotMean;
  private final Matrix m0;
  private final Matrix m1;
  private final Matrix m2;
  private final boolean shifted;
  private long samples;

  /// Moments of no samples.
  ///
  /// @param shifted whether the pilot mean is taken from the first batch; otherwise it is 0 and the moments
  ///                are raw
  public Moments(Backend backend, int outputs, int inputs, boolean shifted) {
    this.backend = backend;
    this.shifted = shifted;
    try {
      pilotMean = resources.own(backend.allocate(1, inputs));
      m0 = resources.own(backend.allocate(1, outputs));
      m1 = resources.own(backend.allocateWeights(outputs, inputs));
      m2 = resources.own(backend.allocateWeights(outputs, inputs));
    } catch (RuntimeException e) {
      resources.close();
      throw e;
    }
  }

  /// Elements that the moments of a layer take.
  public static long elements(int outputs, int inputs) {
    return inputs + outputs + 2L * outputs * inputs;
  }

  /// Adds a batch: [#begin] and [#accumulate].
  ///
  /// @param sensitivity samples × outputs
  /// @param activation samples × inputs
  public void add(Matrix sensitivity, Matrix activation) {
    begin(backend, activation);
    accumulate(backend, sensitivity, activation);
  }

  /// Counts a batch, and takes the pilot mean from it if it is the first.
  ///
  /// @param on         the backend that has the moments, or one of its workers
  /// @param activation samples × inputs; the values of the first batch are read
  public void begin(Backend on, Matrix activation) {
    if (samples == 0 && shifted) {
      on.columnMeans(activation, pilotMean);
    }
    samples += activation.rows();
  }

  /// Adds a batch that was counted: work that [Backend#repeat] may repeat.
  ///
  /// @param on          the backend that has the moments, or one of its workers
  /// @param sensitivity samples × outputs
  /// @param activation  samples × inputs
  public void accumulate(Backend on, Matrix sensitivity, Matrix activation) {
    on.addMoments(sensitivity, activation, pilotMean, m0, m1, m2);
  }

  /// Adds the samples of `other`, moments of the same layer on the same backend. `other` is re-expressed
  /// around this pilot mean and must not be used again but to close it.
  ///
  /// @throws IllegalArgumentException if the shapes differ
  public void merge(Moments other) {
    if (other.m1.rows() != m1.rows() || other.m1.columns() != m1.columns()) {
      throw new IllegalArgumentException("moments of a %d × %d layer do not merge with those of a %d × %d layer"
          .formatted(other.m1.rows(), other.m1.columns(), m1.rows(), m1.columns()));
    }
    if (samples == 0 && shifted) {
      backend.add(1, other.pilotMean, pilotMean);
    }
    backend.shiftMoments(other.m0, other.m1, other.m2, other.pilotMean, pilotMean);
    backend.add(1, other.m0, m0);
    backend.add(1, other.m1, m1);
    backend.add(1, other.m2, m2);
    samples += other.samples;
  }

  /// Turns the moments into importance and compensation (METHOD.md), which take the memory of M2 and M1.
  /// After it nothing can be added.
  ///
  /// @param weights W, outputs × inputs
  /// @param compensable whether the layer's bias may move; if not, I = W² M2 / samples of raw moments and Δb
  ///                    = 0
  public void toScores(Matrix weights, boolean compensable) {
    if (!compensable) {
      backend.clear(m1);
    }
    backend.eliminationScores(weights, m0, m1, m2, pilotMean, samples);
  }

  /// I, outputs × inputs, in squared units of y; after [#toScores].
  public Matrix importance() {
    return m2;
  }

  /// Δb, outputs × inputs, in units of the bias; after [#toScores].
  public Matrix compensation() {
    return m1;
  }

  /// Σ s ((a − c)∘(a − c))ᵀ over the samples, outputs × inputs; before [#toScores].
  public Matrix secondMoment() {
    return m2;
  }

  /// Σ s over the samples, 1 × outputs.
  public Matrix sensitivity() {
    return m0;
  }

  /// Samples added.
  public long samples() {
    return samples;
  }

  @Override
  public void close() {
    resources.close();
  }
}
