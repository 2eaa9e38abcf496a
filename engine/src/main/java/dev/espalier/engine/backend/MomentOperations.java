package dev.espalier.engine.backend;

import dev.espalier.engine.CounterRandom;

/// The operations of statistics, which are sums over samples, and of the scores that follow from them
/// (docs/method.md).
public interface MomentOperations {
  /// The mean over the rows of x, into a 1 × columns matrix.
  void columnMeans(Matrix x, Matrix means);

  /// Adds a batch to sums over samples of (s, a − c): M0 += Σ s, M1 += Σ s (a − c)ᵀ, M2 += Σ s ((a − c)∘(a − c))ᵀ.
  ///
  /// @param sensitivity s, samples × outputs
  /// @param activation a, samples × inputs
  /// @param pilotMean c, 1 × inputs
  /// @param m0 1 × outputs
  /// @param m1 outputs × inputs
  /// @param m2 outputs × inputs
  void addMoments(Matrix sensitivity, Matrix activation, Matrix pilotMean, Matrix m0, Matrix m1, Matrix m2);

  /// The unit roundoff of the terms that [#addMoments] adds up.
  double roundoff();

  /// Finds the inputs whose variance M2 − M1²/M0 has cancelled at some neuron: by input j, the largest Wᵢⱼ² M2ᵢⱼ over
  /// the neurons i with M2ᵢⱼ − M1ᵢⱼ²/M0ᵢ < `fraction` · M2ᵢⱼ; 0 where there is none.
  ///
  /// @param weights W, outputs × inputs
  /// @param largest 1 × inputs, written
  void cancelled(Matrix weights, Matrix m0, Matrix m1, Matrix m2, double fraction, Matrix largest);

  /// Adds the sum over the rows of x of x∘x to a 1 × columns matrix.
  void addColumnSquares(Matrix x, Matrix squares);

  /// Importance over M2 and compensation over M1, in place, from sums over `samples` samples: I = W² (M2 − M1²/M0) /
  /// samples, clamped at 0, and Δb = W (c + M1/M0); 0 in the row of a dead neuron (M0 = 0).
  ///
  /// @param weights W, outputs × inputs
  /// @param pilotMean c, 1 × inputs
  void eliminationScores(Matrix weights, Matrix m0, Matrix m1, Matrix m2, Matrix pilotMean, long samples);

  /// |W ∘ αF|, where F has the shape of W or is one row for all.
  ///
  /// @param scale α
  /// @param scores of the shape of W, written; may be F
  void absoluteProduct(double scale, Matrix weights, Matrix factor, Matrix scores);

  /// S = κS + αuvᵀ.
  ///
  /// @param kept κ
  /// @param sums S, outputs × inputs
  /// @param scale α
  /// @param column u, as 1 × outputs
  /// @param row v, 1 × inputs
  void addOuterProduct(double kept, Matrix sums, double scale, Matrix column, Matrix row);

  /// Element i in row-major order becomes [CounterRandom#uniform] of `seed`, `stream` and i.
  void uniform(Matrix matrix, long seed, long stream);
}
