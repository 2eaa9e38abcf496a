package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import java.util.Arrays;

/// The weights of a layer without their zeros.
///
/// @param first   the number of the first value of each row, and that of all
/// @param columns of the values, ascending within a row
@SuppressWarnings("ArrayRecordComponent") // not compared
record CpuCompressedRows(int[] first, int[] columns, float[] values) {
  static CpuCompressedRows of(DenseLayer layer) {
    return of(layer, false);
  }

  /// With the bias as one more column, for inputs that have one more feature, which is 1.
  static CpuCompressedRows withBias(DenseLayer layer) {
    return of(layer, true);
  }

  private static CpuCompressedRows of(DenseLayer layer, boolean addsBias) {
    MatrixView weights = layer.weights();
    int most = Math.toIntExact(weights.elements() - weights.zeros() + layer.outputs() + 1);
    int[] first = new int[layer.outputs() + 1];
    int[] columns = new int[most];
    float[] values = new float[most];
    int count = 0;
    float[] row = new float[layer.inputs()];
    for (int i = 0; i < layer.outputs(); i++) {
      weights.load((long) i * row.length, row, row.length);
      for (int j = 0; j < row.length; j++) {
        if (row[j] != 0) {
          columns[count] = j;
          values[count++] = row[j];
        }
      }
      if (addsBias && layer.bias().isPresent()) {
        columns[count] = row.length;
        values[count++] = layer.bias().get().get(0, i);
      }
      first[i + 1] = count;
    }
    if (count == 0) { // a zero that oneDNN multiplies: it takes no matrix without values
      Arrays.fill(first, 1, first.length, ++count);
    }
    return new CpuCompressedRows(first, Arrays.copyOf(columns, count), Arrays.copyOf(values, count));
  }
}
