package dev.espalier.kernels;

import java.util.List;

/// Sums in an order that depends on the shape alone, so that every run gives the same bits. Limited by
/// memory: each element is read once.
public final class ReductionsKernel {
  private static final String FAMILY = "reductions";
  private static final int COLUMNS = 32;
  private static final int RUN = 256;
  /// Elements of a block that only reads: each thread four vectors of four.
  static final int READ_TOGETHER = 16 * RUN;
  private static final int SMALLEST_PART = 64;
  private static final int MOST_PARTS = 64;

  private final Gpu gpu;

  /// Launches on `gpu`.
  public ReductionsKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// Into how many parts the rows of such a matrix are split: enough blocks for every multiprocessor.
  ///
  /// The device takes part in it: another one may give other last bits.
  int parts(int rows, int columns) {
    int blocks = Kernels.blocks(columns, COLUMNS);
    int wanted = Kernels.blocks(4L * gpu.multiprocessors(), blocks);
    return Math.clamp(Math.min(wanted, Kernels.blocks(rows, SMALLEST_PART)), 1, MOST_PARTS);
  }

  /// The bytes of workspace for column sums of such a matrix.
  public long columnSumsWorkspace(int rows, int columns) {
    return (long) parts(rows, columns) * columns * Float.BYTES;
  }

  /// y = α Σ over the rows of x + β y.
  ///
  /// @param x rows × columns
  /// @param y 1 × columns; not read when β is 0
  /// @param workspace of [#columnSumsWorkspace] bytes
  public void columnSums(double alpha, DeviceMatrix x, double beta, DeviceMatrix y, DeviceBuffer workspace) {
    columnSums("column_sums_" + COLUMNS + "x8", alpha, x, beta, y, workspace);
  }

  /// y = α Σ over the rows of x∘x + β y; as [#columnSums].
  public void columnSquareSums(double alpha, DeviceMatrix x, double beta, DeviceMatrix y, DeviceBuffer workspace) {
    columnSums("column_square_sums_" + COLUMNS + "x8", alpha, x, beta, y, workspace);
  }

  private void columnSums(String kernel, double alpha, DeviceMatrix x, double beta, DeviceMatrix y,
      DeviceBuffer workspace) {
    Kernels.shape("sums", y, 1, x.columns());
    addPartials(alpha, workspace, partialSums(kernel, x, workspace), beta, MatrixBlock.of(y));
  }

  /// Sums of the parts of the rows alone, of the elements as they are, or rounded to TF32 as tensor cores see
  /// them.
  ///
  /// @return the parts
  int partialSums(boolean tf32, DeviceMatrix x, DeviceBuffer workspace) {
    return partialSums(tf32 ? "column_sums_tf32_" + COLUMNS + "x8" : "column_sums_" + COLUMNS + "x8", x, workspace);
  }

  private int partialSums(String kernel, DeviceMatrix x, DeviceBuffer workspace) {
    Kernels.room("workspace", workspace, columnSumsWorkspace(x.rows(), x.columns()));
    int parts = parts(x.rows(), x.columns());
    gpu.launch(
        new Launch(FAMILY, kernel, new Dimensions(Kernels.blocks(x.columns(), COLUMNS), 1, parts), Kernels.WARP_A_ROW,
            0, List.of(Argument.of(x), Argument.of(workspace), Argument.of(x.rows()), Argument.of(x.columns())),
            List.of("x ", x)));
    return parts;
  }

  /// y = α Σ over parts of partials + β y.
  ///
  /// @param partials `parts` times the elements of y, one after another
  void addPartials(double alpha, DeviceBuffer partials, int parts, double beta, MatrixBlock y) {
    Kernels.room("partials", partials, parts * y.elements() * Float.BYTES);
    gpu.launch(
        new Launch(FAMILY, "add_partials_" + RUN, UpdatesKernel.grid(gpu, y.elements(), RUN), Dimensions.of(RUN), 0,
            List.of(Argument.of(partials), Argument.of(y), Argument.of((float) alpha), Argument.of((float) beta),
                Argument.of(parts), Argument.of(y.elements()), Argument.of(y.columns()), Argument.of(y.stride())),
            List.of(parts, " × y ", y)));
  }

  /// Lowers a word to the row-major index of each element that is NaN or infinite.
  ///
  /// @param first a 64-bit word
  public void firstNonFinite(DeviceMatrix x, DeviceBuffer first) {
    Kernels.room("first", first, Long.BYTES);
    gpu.launch(new Launch(FAMILY, "first_non_finite_" + RUN, UpdatesKernel.grid(gpu, x.elements(), READ_TOGETHER),
        Dimensions.of(RUN), 0, List.of(Argument.of(x), Argument.of(first), Argument.of(x.elements())),
        List.of("x ", x)));
  }

  /// total = Σ of `elements` float64 numbers.
  ///
  /// @param total 8 bytes, written
  public void sum(DeviceBuffer numbers, long elements, DeviceBuffer total) {
    Kernels.room("total", total, Double.BYTES);
    sum(numbers, elements, Argument.of(total));
  }

  /// As [#sum(DeviceBuffer, long, DeviceBuffer)], with a total inside a buffer.
  ///
  /// @param total the address of a float64
  void sum(DeviceBuffer numbers, long elements, Argument total) {
    Kernels.room("numbers", numbers, elements * Double.BYTES);
    gpu.launch(new Launch(FAMILY, "sum_1024", Dimensions.of(1), Dimensions.of(1024), 0,
        List.of(Argument.of(numbers), total, Argument.of(elements)), List.of(elements, " numbers")));
  }
}
