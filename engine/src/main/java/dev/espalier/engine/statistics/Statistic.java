package dev.espalier.engine.statistics;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.network.LayerShape;
import java.io.Serializable;
import java.util.List;
import java.util.Locale;

/// A quantity that is summed over the samples of a pass, for one dense layer, and over all uses of the layer if it is
/// tied. An [Accumulator] sums it batch by batch in the memory of a backend; its [Sums] are plain host matrices, which
/// merge with the sums of other batches, threads, processes and machines. Criteria and compensations are functions of
/// weights and sums (docs/method.md).
public sealed interface Statistic extends Serializable {
  /// M0 = Σ s, M1 = Σ s (a − c)ᵀ and M2 = Σ s ((a − c)∘(a − c))ᵀ, with s the sensitivity of the layer's neurons, a the
  /// layer's input and c a pilot mean of a.
  record WeightedMoments() implements Statistic {
    @Override
    public boolean needsSensitivity() {
      return true;
    }

    @Override
    public List<Array> arrays(int outputs, int inputs) {
      return List.of(new Array("pilot_mean", Extent.INPUTS, outputs, inputs, false),
          new Array("m0", Extent.OUTPUTS, outputs, inputs, true),
          new Array("m1", Extent.WEIGHTS, outputs, inputs, false),
          new Array("m2", Extent.WEIGHTS, outputs, inputs, true));
    }

    @Override
    public Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted) {
      return MomentsAccumulator.allocate(backend, layer, shifted);
    }

    @Override
    public String toString() {
      return "moments";
    }
  }

  /// Σ a∘a, with a the layer's input.
  record InputSquares() implements Statistic {
    @Override
    public List<Array> arrays(int outputs, int inputs) {
      return List.of(new Array("squares", Extent.INPUTS, outputs, inputs, true));
    }

    @Override
    public Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted) {
      return InputSquaresAccumulator.allocate(backend, layer);
    }

    @Override
    public String toString() {
      return "input_squares";
    }
  }

  /// Σ (a − c) and Σ (a − c)∘(a − c), with a the layer's input and c a pilot mean of a: the moments of a neuron whose
  /// sensitivity is 1. Of a tied layer they are the means of those of its uses, not the sums.
  record InputMoments() implements Statistic {
    @Override
    public List<Array> arrays(int outputs, int inputs) {
      return List.of(new Array("pilot_mean", Extent.INPUTS, outputs, inputs, false),
          new Array("m1", Extent.INPUTS, outputs, inputs, false),
          new Array("m2", Extent.INPUTS, outputs, inputs, true));
    }

    @Override
    public Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted) {
      return InputMomentsAccumulator.allocate(backend, layer);
    }

    @Override
    public String toString() {
      return "input_moments";
    }
  }

  /// Σ ∂L/∂W, with L the loss of a labelled sample.
  record LossGradient() implements Statistic {
    @Override
    public boolean needsLabels() {
      return true;
    }

    @Override
    public List<Array> arrays(int outputs, int inputs) {
      return List.of(new Array("gradient", Extent.WEIGHTS, outputs, inputs, false));
    }

    @Override
    public Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted) {
      return LossGradientAccumulator.allocate(backend, layer);
    }

    @Override
    public String toString() {
      return "loss_gradient";
    }
  }

  /// The means x̄ and ȳ, and Σ (x − x̄)(y − ȳ)ᵀ, of two vectors: of a layer's inputs twice, or of the errors of its
  /// pre-activations and its inputs. Repairs sum them, by no [Accumulator], and only [SumsTotal] adds them.
  record Covariance(Pair pair) implements Statistic {
    /// Whose covariances.
    public enum Pair {
      /// Inputs × inputs.
      INPUTS,
      /// Outputs × inputs.
      ERRORS
    }

    @Override
    public List<Array> arrays(int outputs, int inputs) {
      return List.of(new Array("row_mean", Extent.OUTPUTS, outputs, inputs, false),
          new Array("column_mean", Extent.INPUTS, outputs, inputs, false),
          new Array("products", Extent.WEIGHTS, outputs, inputs, false));
    }

    @Override
    public Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted) {
      throw new UnsupportedOperationException("a repair sums covariances");
    }

    @Override
    public String toString() {
      return "covariance_of_" + pair.name().toLowerCase(Locale.ROOT);
    }
  }

  /// Of some inputs, for each neuron, with s its sensitivity and a an input: ā = Σ s a / Σ s, and Σ s (a − ā)². Unlike
  /// [WeightedMoments] they have nothing to cancel. Only [SumsTotal] adds them. A mean is in two parts, because the spread
  /// may be far below it.
  record Variances() implements Statistic {
    @Override
    public boolean needsSensitivity() {
      return true;
    }

    /// @param inputs how many of the layer's
    @Override
    public List<Array> arrays(int outputs, int inputs) {
      return List.of(new Array("input", Extent.INPUTS, outputs, inputs, true),
          new Array("m0", Extent.OUTPUTS, outputs, inputs, true),
          new Array("mean", Extent.WEIGHTS, outputs, inputs, false),
          new Array("mean_rest", Extent.WEIGHTS, outputs, inputs, false),
          new Array("variance", Extent.WEIGHTS, outputs, inputs, true));
    }

    @Override
    public Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted) {
      throw new UnsupportedOperationException("a second pass sums variances");
    }

    @Override
    public String toString() {
      return "variances";
    }
  }

  /// The sum of a number for each weight and each bias, such as a gradient. Repairs sum them, by no [Accumulator].
  record Parameters() implements Statistic {
    @Override
    public List<Array> arrays(int outputs, int inputs) {
      return List.of(new Array("weights", Extent.WEIGHTS, outputs, inputs, false),
          new Array("bias", Extent.OUTPUTS, outputs, inputs, false));
    }

    @Override
    public Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted) {
      throw new UnsupportedOperationException("a repair sums parameters");
    }

    @Override
    public String toString() {
      return "parameters";
    }
  }

  /// The statistics that scores follow from, in the order in which they are listed and written.
  static List<Statistic> all() {
    return List.of(new WeightedMoments(), new InputSquares(), new InputMoments(), new LossGradient());
  }

  /// What an array has an element for.
  enum Extent {
    /// Each input: 1 × inputs.
    INPUTS,
    /// Each neuron: 1 × outputs.
    OUTPUTS,
    /// Each weight: outputs × inputs.
    WEIGHTS
  }

  /// An array of a statistic's sums.
  ///
  /// @param name in files
  /// @param outputs of the layer
  /// @param inputs of the layer
  /// @param isNonNegative whether no element can be negative
  record Array(String name, Extent extent, int outputs, int inputs, boolean isNonNegative) {
    /// Of the array.
    public int rows() {
      return extent == Extent.WEIGHTS ? outputs : 1;
    }

    /// Of the array.
    public int columns() {
      return extent == Extent.OUTPUTS ? outputs : inputs;
    }
  }

  /// Whether it needs the sensitivity of the layer's neurons.
  default boolean needsSensitivity() {
    return false;
  }

  /// Whether it needs the gradient of a labelled loss.
  default boolean needsLabels() {
    return false;
  }

  /// The arrays of its sums for a layer.
  List<Array> arrays(int outputs, int inputs);

  /// Elements that the sums of a layer take.
  default long elements(LayerShape layer) {
    return arrays(layer.outputs(), layer.inputs()).stream().mapToLong(array -> (long) array.rows() * array.columns())
        .sum();
  }

  /// Sums of no samples, closed by the caller.
  ///
  /// @param shifted whether moments are taken around a pilot mean; otherwise they are raw
  Accumulator accumulator(Backend backend, LayerShape layer, boolean shifted);

  /// `moments`, `input_squares`, `input_moments`, `loss_gradient`, `variances`, `parameters` or that of a covariance: the name in files.
  @Override
  String toString();
}
