package dev.espalier.engine.repair;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.LayerShape;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Optional;

/// Sums over samples for the least-squares fit of one layer, with a its input and e an error of its pre-activation. They
/// are taken around a pilot mean of a, and then moved to the mean, so that a mean that is far larger than the spread
/// costs no digits.
final class LayerSums implements Resource {
  /// What the fit must know of the inputs.
  ///
  /// @param mean ā, 1 × inputs
  /// @param squares Σ (a − ā)∘(a − ā), 1 × inputs; Σ a∘a of a layer without a bias
  /// @param gram Σ (a − ā)(a − ā)ᵀ of the inputs that a [LayerPart] has; Σ a aᵀ of a layer without a bias
  /// @param samples that were summed, once for each use of the layer
  record Inputs(Matrix mean, Matrix squares, Matrix gram, long samples) {
    /// Memory for sums.
    ///
    /// @param count of the inputs in the Gram matrix
    /// @param memory takes it
    static Inputs allocate(Backend backend, LayerShape layer, int count, long samples, Resources memory) {
      return new Inputs(memory.own(backend.allocate(1, layer.inputs())),
          memory.own(backend.allocate(1, layer.inputs())), memory.own(backend.allocate(count, count)), samples);
    }

    /// Those of a part, from those of all inputs.
    ///
    /// @param memory takes a copy
    Inputs of(LayerPart part, Resources memory) {
      return new Inputs(mean, squares, part.squareOf(gram, memory), samples);
    }
  }

  /// What the fit must know of the errors.
  ///
  /// @param mean ē, 1 × outputs
  /// @param cross Σ e (a − ā)ᵀ of the rows and inputs that a [LayerPart] has; Σ e aᵀ of a layer without a bias
  record Errors(Matrix mean, Matrix cross) {
    /// Memory for sums.
    ///
    /// @param count of the inputs
    /// @param memory takes it
    static Errors allocate(Backend backend, LayerShape layer, int count, Resources memory) {
      return new Errors(memory.own(backend.allocate(1, layer.outputs())),
          memory.own(backend.allocate(layer.outputs(), count)));
    }

    /// Those of a part, from those of all rows and inputs.
    ///
    /// @param memory takes a copy
    Errors of(LayerPart part, Resources memory) {
      return new Errors(mean, part.of(cross, memory));
    }
  }

  private final Backend backend;
  private final LayerPart part;
  private final boolean isCentred;
  private final Matrix pilot;
  private final Matrix shifted;
  private final Optional<Matrix> picked;
  private final Matrix ones;
  private final CarriedSum input;
  /// Empty where the Gram matrix has them on its diagonal.
  private final Optional<CarriedSum> squares;
  private final CarriedSum gram;
  private final Optional<CarriedSum> error;
  private final Optional<CarriedSum> cross;
  private final Resources resources;
  private long samples;

  private LayerSums(Backend backend, LayerShape layer, LayerPart part, boolean isCentred, boolean hasErrors,
      int batchSize, Resources resources) {
    this.backend = backend;
    this.part = part;
    this.isCentred = isCentred;
    this.resources = resources;
    pilot = resources.own(backend.allocate(1, layer.inputs()));
    shifted = resources.own(backend.allocate(batchSize, layer.inputs()));
    picked = part.hasAllColumns()
        ? Optional.empty()
        : Optional.of(resources.own(backend.allocate(batchSize, part.columns())));
    ones = resources.own(ones(backend, batchSize));
    input = sum(1, layer.inputs());
    squares = part.hasAllColumns() ? Optional.empty() : Optional.of(sum(1, layer.inputs()));
    gram = sum(part.columns(), part.columns());
    error = hasErrors ? Optional.of(sum(1, layer.outputs())) : Optional.empty();
    cross = hasErrors ? Optional.of(sum(layer.outputs(), part.columns())) : Optional.empty();
  }

  /// Sums of no samples, closed by the caller.
  ///
  /// @param part whose inputs are multiplied
  /// @param isCentred whether a bias takes up the means
  /// @param hasErrors whether errors are summed
  static LayerSums allocate(Backend backend, LayerShape layer, LayerPart part, boolean isCentred, boolean hasErrors,
      int batchSize) {
    return Resources
        .build(resources -> new LayerSums(backend, layer, part, isCentred, hasErrors, batchSize, resources));
  }

  /// Elements that the sums of a layer take, at most.
  static long elements(int outputs, int inputs, int batchSize) {
    return CarriedSum.elements(inputs + 2, inputs) + CarriedSum.elements(inputs + 1, outputs)
        + (batchSize + 1L) * (inputs + 1L) + (long) batchSize * inputs;
  }

  /// A column of ones, closed by the caller.
  static Matrix ones(Backend backend, int rows) {
    float[] values = new float[rows];
    Arrays.fill(values, 1);
    Matrix ones = backend.allocate(rows, 1);
    try (Arena arena = Arena.ofConfined()) {
      backend.upload(MatrixView.of(arena, rows, 1, values), ones);
    }
    return ones;
  }

  private CarriedSum sum(int rows, int columns) {
    return resources.own(CarriedSum.allocate(backend, rows, columns));
  }

  /// Adds a batch.
  ///
  /// @param a samples × inputs
  /// @param e samples × outputs
  void add(Matrix a, Optional<Matrix> e) {
    if (isCentred && samples == 0) {
      backend.moments().columnMeans(a, pilot);
    }
    samples += a.rows();
    Matrix one = ones.slice(0, a.rows());
    Matrix x = shifted.slice(0, a.rows());
    backend.solving().subtractRow(a, pilot, x);
    input.add(one, x);
    squares.ifPresent(sum -> sum.addSquares(x));
    Matrix read = picked.map(memory -> part.columnsInto(x, memory)).orElse(x);
    gram.add(read, read);
    error.ifPresent(sum -> sum.add(one, e.orElseThrow()));
    cross.ifPresent(sum -> sum.add(e.orElseThrow(), read));
  }

  /// Samples so far; those of a tied layer count once for each use.
  long samples() {
    return samples;
  }

  /// Writes what the sums tell of the inputs and, where they have them, of the errors: of all rows.
  void finish(Inputs inputs, Optional<Errors> errors) {
    try (Resources memory = new Resources()) {
      Matrix sum = memory.own(backend.allocate(1, inputs.mean().columns()));
      input.copyTo(sum);
      Matrix ofPart = part.columnsOf(sum, memory);
      gram.copyTo(inputs.gram());
      centre(ofPart, ofPart, inputs.gram());
      if (squares.isPresent()) {
        squares.get().copyTo(inputs.squares());
        if (isCentred) {
          backend.solving().addProduct(-1.0 / samples, sum, sum, inputs.squares());
        }
      } else {
        backend.solving().diagonal(inputs.gram(), inputs.squares());
      }
      if (errors.isPresent()) {
        try (Matrix total = backend.allocate(1, errors.get().mean().columns())) {
          error.orElseThrow().copyTo(total);
          cross.orElseThrow().copyTo(errors.get().cross());
          centre(total, ofPart, errors.get().cross());
          backend.clear(errors.get().mean());
          backend.network().add(1.0 / samples, total, errors.get().mean());
        }
      }
      backend.clear(inputs.mean());
      backend.network().add(1, pilot, inputs.mean());
      backend.network().add(1.0 / samples, sum, inputs.mean());
    }
  }

  /// Σ (x − x̄)(y − ȳ)ᵀ = Σ x yᵀ − Σx Σyᵀ / n
  private void centre(Matrix x, Matrix y, Matrix products) {
    if (isCentred) {
      backend.network().product(-1.0 / samples, x, true, y, false, 1, products);
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
