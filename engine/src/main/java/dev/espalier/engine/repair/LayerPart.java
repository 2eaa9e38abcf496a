package dev.espalier.engine.repair;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.LayerShape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// The rows and columns of a layer's weights that have a weight left, or the first one where none has: a fit of what is
/// left needs no others.
final class LayerPart implements Resource {
  /// Some rows or columns of many.
  ///
  /// @param numbers ascending
  /// @param there `numbers`, as [dev.espalier.engine.backend.NetworkOperations#gatherRows] takes them
  /// @param places where each of the many is in `numbers`: behind their last where it is not
  private record Some(List<Integer> numbers, Matrix there, Matrix places) {}

  /// What makes the least float32 so large that no product takes it for 0.
  private static final double RAISED = 0x1p100;

  private final Backend backend;
  private final int outputs;
  private final int inputs;
  /// Empty: all.
  private final Optional<Some> rows;
  private final Optional<Some> columns;
  private final Resources resources;

  private LayerPart(Backend backend, LayerShape layer) {
    this.backend = backend;
    outputs = layer.outputs();
    inputs = layer.inputs();
    rows = Optional.empty();
    columns = Optional.empty();
    resources = new Resources();
  }

  private LayerPart(Backend backend, Matrix weights, Resources resources) {
    this.backend = backend;
    this.resources = resources;
    outputs = weights.rows();
    inputs = weights.columns();
    try (Matrix sizes = backend.allocate(outputs, inputs);
        Matrix ofRows = backend.allocate(1, outputs);
        Matrix ofColumns = backend.allocate(1, inputs);
        Matrix ones = ones(inputs);
        Matrix onesOfRows = ones(outputs)) {
      backend.moments().absoluteProduct(RAISED, weights, ones, sizes);
      backend.network().product(1, ones, false, sizes, true, 0, ofRows);
      backend.network().product(1, onesOfRows, false, sizes, false, 0, ofColumns);
      rows = some(ofRows);
      columns = some(ofColumns);
    }
  }

  /// The part of some weights as they are now, closed by the caller.
  ///
  /// @param weights outputs × inputs
  static LayerPart of(Backend backend, Matrix weights) {
    return Resources.build(resources -> new LayerPart(backend, weights, resources));
  }

  /// All of a layer, whatever its weights are; owns no memory.
  static LayerPart all(Backend backend, LayerShape layer) {
    return new LayerPart(backend, layer);
  }

  private Matrix ones(int columns) {
    float[] values = new float[columns];
    Arrays.fill(values, 1);
    Matrix ones = backend.allocate(1, columns);
    try (Arena arena = Arena.ofConfined()) {
      backend.upload(MatrixView.of(arena, 1, columns, values), ones);
    }
    return ones;
  }

  /// Those whose sums of sizes are not 0.
  private Optional<Some> some(Matrix sums) {
    try (Arena arena = Arena.ofConfined()) {
      float[] sizes = backend.download(sums, arena).toArray();
      int[] left = IntStream.range(0, sizes.length).filter(i -> sizes[i] != 0).toArray();
      if (left.length == sizes.length) {
        return Optional.empty();
      }
      int[] numbers = left.length == 0 ? new int[1] : left;
      int[] places = new int[sizes.length];
      Arrays.fill(places, numbers.length);
      for (int i = 0; i < numbers.length; i++) {
        places[numbers[i]] = i;
      }
      return Optional
          .of(new Some(Arrays.stream(numbers).boxed().toList(), words(numbers, arena), words(places, arena)));
    }
  }

  private Matrix words(int[] numbers, Arena arena) {
    MatrixView words = MatrixView.allocate(arena, 1, numbers.length);
    MemorySegment.copy(numbers, 0, words.segment(), ValueLayout.JAVA_INT, 0, numbers.length);
    Matrix held = resources.own(backend.allocate(1, numbers.length));
    backend.upload(words, held);
    return held;
  }

  int rows() {
    return rows.map(some -> some.numbers().size()).orElse(outputs);
  }

  int columns() {
    return columns.map(some -> some.numbers().size()).orElse(inputs);
  }

  boolean hasAllColumns() {
    return columns.isEmpty();
  }

  /// The values of its inputs.
  ///
  /// @param values of all inputs
  float[] ofColumns(float... values) {
    float[] picked = new float[columns()];
    for (int j = 0; j < picked.length; j++) {
      picked[j] = values[columns.isPresent() ? columns.get().numbers().get(j) : j];
    }
    return picked;
  }

  /// The rows of a matrix that it has: the matrix itself where it has all.
  ///
  /// @param matrix of one row for each output
  /// @param memory takes a copy
  Matrix rowsOf(Matrix matrix, Resources memory) {
    return pickRows(rows, matrix, memory);
  }

  /// The columns of a matrix that it has: the matrix itself where it has all.
  ///
  /// @param matrix of one column for each input
  /// @param memory takes a copy
  Matrix columnsOf(Matrix matrix, Resources memory) {
    if (columns.isEmpty()) {
      return matrix;
    }
    Matrix picked = memory.own(backend.allocate(matrix.rows(), columns()));
    gatherColumns(matrix, picked);
    return picked;
  }

  /// As [#columnsOf], into the first rows of a matrix of as many columns as this has.
  ///
  /// @return those rows, or `matrix` itself
  Matrix columnsInto(Matrix matrix, Matrix target) {
    if (columns.isEmpty()) {
      return matrix;
    }
    Matrix picked = target.slice(0, matrix.rows());
    gatherColumns(matrix, picked);
    return picked;
  }

  private void gatherColumns(Matrix matrix, Matrix target) {
    backend.network().gatherColumns(matrix, columns.orElseThrow().there(), target);
  }

  /// The rows and columns of a matrix that it has: the matrix itself where it has all.
  ///
  /// @param matrix outputs × inputs
  /// @param memory takes copies
  Matrix of(Matrix matrix, Resources memory) {
    return columnsOf(rowsOf(matrix, memory), memory);
  }

  /// The rows and columns of a symmetric matrix that belong to its columns.
  ///
  /// @param square inputs × inputs
  Matrix squareOf(Matrix square, Resources memory) {
    return pickRows(columns, columnsOf(square, memory), memory);
  }

  private Matrix pickRows(Optional<Some> some, Matrix matrix, Resources memory) {
    if (some.isEmpty()) {
      return matrix;
    }
    Matrix picked = memory.own(backend.allocate(some.get().numbers().size(), matrix.columns()));
    backend.network().gatherRows(matrix, some.get().there(), 0, picked);
    return picked;
  }

  /// Its elements at their places among zeros: `part` itself where it has all.
  ///
  /// @param part rows × columns
  /// @return outputs × inputs
  Matrix whole(Matrix part, Resources memory) {
    Matrix tall = part;
    if (rows.isPresent()) {
      tall = memory.own(backend.allocate(outputs, columns()));
      try (Matrix bordered = backend.allocate(rows() + 1, columns())) {
        backend.network().copyColumns(part, 0, bordered.slice(0, rows()), 0, columns());
        backend.network().gatherRows(bordered, rows.get().places(), 0, tall);
      }
    }
    if (columns.isEmpty()) {
      return tall;
    }
    Matrix whole = memory.own(backend.allocate(outputs, inputs));
    try (Matrix bordered = backend.allocate(outputs, columns() + 1)) {
      backend.network().copyColumns(tall, 0, bordered, 0, columns());
      backend.network().gatherColumns(bordered, columns.get().places(), whole);
    }
    return whole;
  }

  @Override
  public void close() {
    resources.close();
  }
}
