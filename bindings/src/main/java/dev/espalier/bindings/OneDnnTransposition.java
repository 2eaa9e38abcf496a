package dev.espalier.bindings;

import static dev.espalier.bindings.onednn.onednn_h.dnnl_f32;

import java.lang.foreign.MemorySegment;

/// Transposes float32 matrices of one shape, row-major. Many threads may use one at a time.
public final class OneDnnTransposition implements AutoCloseable {
  private final Primitive primitive;

  /// @param rows    of what is transposed
  /// @param columns likewise
  public OneDnnTransposition(long rows, long columns) {
    long[] dimensions = {rows, columns};
    primitive = OneDnnPacking.reorder(Primitive.descriptor(dnnl_f32(), dimensions, new long[]{columns, 1}),
        Primitive.descriptor(dnnl_f32(), dimensions, new long[]{1, rows}));
  }

  /// Transposes.
  ///
  /// @param from rows × columns
  /// @param to   columns × rows
  public void transpose(MemorySegment from, MemorySegment to) {
    primitive.execute(from, to);
  }

  @Override
  public void close() {
    primitive.close();
  }
}
