package dev.espalier.kernels;

import java.util.List;

/// Updates that go over matrices element by element. Limited by memory: per element `add` and `addColumns` move 12
/// bytes, `copyColumns`, `transpose` and gathering 8, `multiply` 12 at most, `addMultiplied` 16, an Adam step 28.
public final class UpdatesKernel {
  private static final String FAMILY = "updates";
  private static final int THREADS = 256;
  private static final int TILE_ROWS = 32;
  /// A thread gathers one row's elements: it waits for the row's number, and then for them.
  private static final int GATHERED_ROWS = 8;
  private static final TileNames<Integer> NAMES = new TileNames<>(run -> "_" + run);

  private final Gpu gpu;

  /// Launches on `gpu`.
  public UpdatesKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// y += α x, of one shape.
  public void add(double alpha, DeviceMatrix x, DeviceMatrix y) {
    Kernels.shape("x", x, y.rows(), y.columns());
    Kernels.apart("y", y, x);
    int run = run(x, y);
    launch("axpy", run, y,
        List.of(Argument.of((float) alpha), Argument.of(x), Argument.of(y), Argument.of(y.elements())));
  }

  /// One step of Adam [Kingma & Ba 2015]; all matrices have one shape.
  ///
  /// @param step 1 for the first, for the correction of the moments' bias
  /// @param keepZeros whether elements of the parameter that are 0 stay 0
  public void adamStep(DeviceMatrix parameter, DeviceMatrix gradient, DeviceMatrix firstMoment,
      DeviceMatrix secondMoment, double learningRate, double beta1, double beta2, double epsilon, long step,
      boolean keepZeros) {
    Kernels.shape("gradient", gradient, parameter.rows(), parameter.columns());
    Kernels.shape("firstMoment", firstMoment, parameter.rows(), parameter.columns());
    Kernels.shape("secondMoment", secondMoment, parameter.rows(), parameter.columns());
    if (step < 1) {
      throw new IllegalArgumentException("step=" + step);
    }
    double correction1 = 1 - Math.pow(beta1, (double) step);
    double correction2 = 1 - Math.pow(beta2, (double) step);
    int run = run(parameter, gradient, firstMoment, secondMoment);
    launch("adam", run, parameter,
        List.of(Argument.of(parameter), Argument.of(gradient), Argument.of(firstMoment), Argument.of(secondMoment),
            Argument.of((float) learningRate), Argument.of((float) beta1), Argument.of((float) (1 - beta1)),
            Argument.of((float) beta2), Argument.of((float) (1 - beta2)), Argument.of((float) epsilon),
            Argument.of((float) correction1), Argument.of((float) correction2), Argument.of(keepZeros ? 1 : 0),
            Argument.of(parameter.elements())));
  }

  /// z = x∘y, where row r of x is multiplied by row r modulo the rows of y.
  ///
  /// @param product z, as `x`, written; may be `x` itself
  public void multiply(DeviceMatrix x, DeviceMatrix factor, DeviceMatrix product) {
    multiply("multiply", x, factor, product);
  }

  /// z += x∘y; as [#multiply].
  public void addMultiplied(DeviceMatrix x, DeviceMatrix factor, DeviceMatrix sum) {
    multiply("add_multiplied", x, factor, sum);
  }

  private void multiply(String kernel, DeviceMatrix x, DeviceMatrix factor, DeviceMatrix to) {
    Kernels.copies(x, factor.rows());
    Kernels.shape("factor", factor, factor.rows(), x.columns());
    Kernels.shape("to", to, x.rows(), x.columns());
    Kernels.apart("to", to, x, factor);
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, x, factor, to);
    gpu.launch(new Launch(FAMILY, tile.name(kernel), tile.grid(x.rows(), x.columns()), ElementwiseTile.BLOCK, 0,
        List.of(Argument.of(x), Argument.of(factor), Argument.of(to), Argument.of(factor.rows()), Argument.of(x.rows()),
            Argument.of(x.columns())),
        List.of("x ", x, ", factor ", factor)));
  }

  /// to = from, for blocks of one shape.
  ///
  /// @throws IllegalArgumentException if the shapes differ or the blocks overlap
  public void copyColumns(MatrixBlock from, MatrixBlock to) {
    moveColumns("copy_columns", from, to);
  }

  /// to += from; as [#copyColumns].
  public void addColumns(MatrixBlock from, MatrixBlock to) {
    moveColumns("add_columns", from, to);
  }

  /// to = fromᵀ.
  ///
  /// @throws IllegalArgumentException if the shapes do not fit or they overlap
  public void transpose(MatrixBlock from, DeviceMatrix to) {
    Kernels.shape("to", to, from.columns(), from.rows());
    if (MatrixBlock.of(to).overlaps(from)) {
      throw new IllegalArgumentException("to overlaps from");
    }
    long tiles = (long) Kernels.blocks(from.rows(), TILE_ROWS) * Kernels.blocks(from.columns(), TILE_ROWS);
    gpu.launch(new Launch(FAMILY, "transpose_32x32", Dimensions.of(Math.toIntExact(tiles)), Kernels.WARP_A_ROW, 0,
        List.of(Argument.of(from), Argument.of(to), Argument.of(from.rows()), Argument.of(from.columns()),
            Argument.of(from.stride())),
        List.of("from ", from)));
  }

  private void moveColumns(String kernel, MatrixBlock from, MatrixBlock to) {
    if (from.rows() != to.rows() || from.columns() != to.columns()) {
      throw new IllegalArgumentException("from is %s, to %s".formatted(from, to));
    }
    if (to.overlaps(from)) {
      throw new IllegalArgumentException("to overlaps from");
    }
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, from, to);
    gpu.launch(new Launch(FAMILY, tile.name(kernel), tile.grid(to.rows(), to.columns()), ElementwiseTile.BLOCK, 0,
        List.of(Argument.of(from), Argument.of(to), Argument.of(to.rows()), Argument.of(to.columns()),
            Argument.of(from.stride()), Argument.of(to.stride())),
        List.of("from ", from, ", to ", to)));
  }

  /// to[i, :] = from[numbers[first + i], :] for all rows i of `to`.
  ///
  /// @param numbers 1 × count, of rows of `from`: 32-bit integers; those of other rows are not noticed
  /// @param to as wide as `from`, written
  /// @throws IllegalArgumentException if the shapes do not fit or `to` shares memory with the others
  /// @throws IndexOutOfBoundsException if there are not as many numbers from `first` on as rows
  public void gatherRows(DeviceMatrix from, DeviceMatrix numbers, int first, DeviceMatrix to) {
    Kernels.shape("numbers", numbers, 1, numbers.columns());
    Kernels.shape("to", to, to.rows(), from.columns());
    MatrixBlock.of(numbers).columns(first, to.rows());
    if (to.overlaps(from) || to.overlaps(numbers)) {
      throw new IllegalArgumentException("to overlaps another matrix");
    }
    ElementwiseTile tile = ElementwiseTile.of(GATHERED_ROWS, from, to);
    gpu.launch(new Launch(FAMILY, tile.name("gather_rows"), tile.grid(to.rows(), to.columns()), ElementwiseTile.BLOCK,
        0, List.of(Argument.of(from), Argument.of(numbers), Argument.of(to), Argument.of(first), Argument.of(to.rows()),
            Argument.of(to.columns())),
        List.of("from ", from, ", to ", to)));
  }

  /// `to[:, j] = from[:, numbers[j]]` for all columns j of `to`.
  ///
  /// @param numbers 1 × columns of `to`, of columns of `from`: 32-bit integers; those of other columns are not noticed
  /// @param to as tall as `from`, written
  /// @throws IllegalArgumentException if the shapes do not fit or `to` shares memory with the others
  public void gatherColumns(DeviceMatrix from, DeviceMatrix numbers, DeviceMatrix to) {
    Kernels.shape("numbers", numbers, 1, to.columns());
    Kernels.shape("to", to, from.rows(), to.columns());
    if (to.overlaps(from) || to.overlaps(numbers)) {
      throw new IllegalArgumentException("to overlaps another matrix");
    }
    ElementwiseTile tile = ElementwiseTile.of(GATHERED_ROWS, to);
    gpu.launch(new Launch(FAMILY, tile.name("gather_columns"), tile.grid(to.rows(), to.columns()),
        ElementwiseTile.BLOCK, 0, List.of(Argument.of(from), Argument.of(numbers), Argument.of(to),
            Argument.of(from.columns()), Argument.of(to.rows()), Argument.of(to.columns())),
        List.of("from ", from, ", to ", to)));
  }

  /// Elements of a block: 4 a thread where all matrices are aligned for it.
  static int run(DeviceMatrix... matrices) {
    for (DeviceMatrix matrix : matrices) {
      if (!matrix.startsAt(4)) {
        return THREADS;
      }
    }
    return 4 * THREADS;
  }

  /// The exported name of a kernel that goes over matrices in runs.
  static String name(String kernel, int run) {
    return NAMES.of(kernel, run);
  }

  private void launch(String kernel, int run, DeviceMatrix matrix, List<Argument> arguments) {
    gpu.launch(new Launch(FAMILY, name(kernel, run), grid(gpu, matrix.elements(), run), Dimensions.of(THREADS), 0,
        arguments, List.of(matrix)));
  }

  /// Blocks for `elements` in runs: enough to fill the device, which then go on by strides.
  static Dimensions grid(Gpu gpu, long elements, int run) {
    return Dimensions.of((int) Math.min(Math.ceilDiv(elements, run), 16L * gpu.multiprocessors()));
  }
}
