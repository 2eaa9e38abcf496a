package dev.espalier.engine.backend;

import dev.espalier.engine.CounterRandom;

import dev.espalier.engine.network.Activation;
import java.util.Optional;

/// The operations of forward and backward passes.
///
/// Matrices of a batch are samples × width. Where rows are **stacked copies**, row `c · samples + n` belongs to sample
/// `n` of copy `c`: the backward passes of several outputs or probes make one tall matrix.
public interface NetworkOperations {
  /// c = α op(a)·op(b) + β c, where op transposes or not; c is written without being read when β is 0.
  void product(double alpha, Matrix a, boolean transposeA, Matrix b, boolean transposeB, double beta, Matrix c);

  /// z = x·Wᵀ + b.
  ///
  /// @param input x, samples × inputs
  /// @param weights W, outputs × inputs
  /// @param bias b, 1 × outputs
  /// @param preActivation z, samples × outputs, written
  void denseForward(Matrix input, Matrix weights, Matrix bias, Matrix preActivation);

  /// a = φ(z); softmax and its logarithm by rows.
  ///
  /// @param preActivation z, samples × outputs
  /// @param activated a, as `preActivation`, written
  void activate(Activation activation, Matrix preActivation, Matrix activated);

  /// [#denseForward(Matrix, Matrix, Matrix, Matrix)] and [#activate] in one.
  default void denseForward(Matrix input, Matrix weights, Matrix bias, Activation activation, Matrix preActivation,
      Matrix activated) {
    denseForward(input, weights, bias, preActivation);
    activate(activation, preActivation, activated);
  }

  /// g = Jφ(z)ᵀ u, an upstream gradient through an activation: u ∘ φ′(z) for an elementwise one, a ∘ (u − aᵀu) by rows
  /// for softmax, u − exp(a) 1ᵀu for its logarithm.
  ///
  /// @param preActivation z, samples × outputs
  /// @param activated a = φ(z), samples × outputs
  /// @param upstream u, stacked copies (copies · samples) × outputs
  /// @param gradient g, as `upstream`, written; may be `upstream` itself
  void activationBackward(Activation activation, Matrix preActivation, Matrix activated, Matrix upstream,
      Matrix gradient);

  /// Jφ(z) u, a tangent through an activation: as [#activationBackward], but u − 1 exp(a)ᵀu by rows for the logarithm of
  /// softmax, whose Jacobian alone is not symmetric.
  ///
  /// @param tangent as `activated`
  /// @param result as `activated`, written; may be `tangent` itself
  void activationTangent(Activation activation, Matrix preActivation, Matrix activated, Matrix tangent, Matrix result);

  /// g = (h·V) ∘ φ′(z), the gradient at a layer's pre-activation from the gradient at the layer above, and its squares
  /// where they are wanted.
  ///
  /// @param gradientAbove h, stacked copies (copies · samples) × outputs of the layer above
  /// @param weightsAbove V, outputs of the layer above × outputs
  /// @param activation φ of this layer, elementwise
  /// @param preActivation z, samples × outputs
  /// @param gradient g, stacked copies (copies · samples) × outputs, written; scratch memory if the squares are wanted
  ///                 [alone][Squares#alone]
  void denseBackward(Matrix gradientAbove, Matrix weightsAbove, Activation activation, Matrix preActivation,
      Matrix gradient, Optional<Squares> squares);

  /// s += scale · Σ over copies of g².
  ///
  /// @param gradient g, stacked copies (copies · samples) × outputs
  /// @param sensitivity s, samples × outputs, added to
  void addSquares(double scale, Matrix gradient, Matrix sensitivity);

  /// y += α x, of one shape.
  void add(double alpha, Matrix x, Matrix y);

  /// z = x∘y, where row r of x is multiplied by row r modulo the rows of y: by that of its sample for stacked copies, or
  /// by the same row for all.
  ///
  /// @param x copies · rows of y × columns
  /// @param product z, as `x`, written
  void multiply(Matrix x, Matrix factor, Matrix product);

  /// z += x∘y; as [#multiply].
  void addMultiplied(Matrix x, Matrix factor, Matrix sum);

  /// y = (x − m) / √(v + ε) by rows, with m the mean of a row and v the mean of (x − m)².
  ///
  /// @param centred whether m is the mean; otherwise it is 0
  /// @param epsilon ε, above 0
  /// @param x samples × width
  /// @param normalized y, as `x`, written
  void normalize(boolean centred, double epsilon, Matrix x, Matrix normalized);

  /// g = Jᵀu with the Jacobian J of [#normalize], which is symmetric: (u − mean(u) − y mean(y∘u)) / √(v + ε) by rows,
  /// without mean(u) if it is not centred.
  ///
  /// @param x samples × width
  /// @param normalized y of x
  /// @param upstream u, stacked copies (copies · samples) × width
  /// @param gradient g, as `upstream`, written; may be `upstream` itself
  void normalizeBackward(boolean centred, double epsilon, Matrix x, Matrix normalized, Matrix upstream,
      Matrix gradient);

  /// Copies `count` columns of `from` to columns of `to`, which has as many rows.
  void copyColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count);

  /// Adds `count` columns of `from` to columns of `to`, which has as many rows.
  void addColumns(Matrix from, int firstFrom, Matrix to, int firstTo, int count);

  /// to[i, :] = from[numbers[first + i], :] for all rows i of `to`.
  ///
  /// @param numbers 1 × count, those of rows of `from`, each in 32 bits as an integer and not as a float32, which is
  ///                exact up to 2²⁴ only; all below 2³¹ − 2²³, above which the bits can be those of a NaN
  /// @param to as wide as `from`, of at most count − `first` rows, written; shares no memory with the others
  void gatherRows(Matrix from, Matrix numbers, int first, Matrix to);

  /// `to[:, j] = from[:, numbers[j]]` for all columns j of `to`, which has as many rows as `from`.
  ///
  /// @param numbers 1 × columns of `to`, those of columns of `from`, as for [#gatherRows]
  /// @param to written; shares no memory with the others
  void gatherColumns(Matrix from, Matrix numbers, Matrix to);

  /// Row `c · samples + n` becomes the unit vector of output `firstOutput + c`.
  ///
  /// @param upstream stacked copies (copies · samples) × outputs
  void unitVectors(Matrix upstream, int samples, int firstOutput);

  /// An origin of this backend, closed by the caller.
  default RandomOrigin randomOrigin() {
    return RandomOrigin.onHost();
  }

  /// Row `c · samples + n` becomes the Rademacher vector of probe `firstProbe + c` and the n-th sample from the origin's on:
  /// element k is [CounterRandom#sign].
  ///
  /// @param upstream stacked copies (copies · samples) × outputs
  /// @param origin of [#randomOrigin]
  void rademacherVectors(Matrix upstream, int samples, int firstProbe, RandomOrigin origin);

  /// Row `c · samples + n` becomes scale · √p_k (e_k − p), with k = `firstClass` + c and p row n of `probabilities`:
  /// scale times the gradient of log p_k by the logits, weighted by the root of its probability.
  ///
  /// @param probabilities samples × outputs, each row adding up to 1
  /// @param upstream stacked copies (copies · samples) × outputs, written
  void fisherVectors(Matrix probabilities, Matrix upstream, int firstClass, double scale);

  /// Row `c · samples + n` becomes scale · (e_k − p), with p row n of `probabilities` and the class k drawn from p: the
  /// first one at which the sum of p up to it exceeds [CounterRandom#uniform] of stream `firstDraw` + c at the n-th sample
  /// from the origin's on, or else the last.
  ///
  /// @param probabilities samples × outputs, each row adding up to 1
  /// @param upstream stacked copies (copies · samples) × outputs, written
  /// @param origin of [#randomOrigin]
  void drawnFisherVectors(Matrix probabilities, Matrix upstream, int firstDraw, RandomOrigin origin, double scale);
}
