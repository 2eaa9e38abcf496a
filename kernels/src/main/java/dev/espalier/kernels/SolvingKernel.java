package dev.espalier.kernels;

import java.util.List;

/// Steps of conjugate gradients, and sums that keep what rounding drops. Limited by memory: per element `subtractRow`
/// moves 8 bytes, `addCarrying` 20, `addWhereNonzero` 12, a start of conjugate gradients 16, a step at most 32, `dot` 8,
/// `addProduct` and `divide` 16.
public final class SolvingKernel {
  private static final String FAMILY = "solving";
  private static final int TILE_ROWS = 32;
  private static final int THREADS = 256;

  private final Gpu gpu;

  /// Launches on `gpu`.
  public SolvingKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// d = x − 1cᵀ.
  ///
  /// @param row c, 1 × columns
  /// @param difference d, as `x`, written; may be `x` itself
  public void subtractRow(DeviceMatrix x, DeviceMatrix row, DeviceMatrix difference) {
    Kernels.shape("row", row, 1, x.columns());
    Kernels.shape("difference", difference, x.rows(), x.columns());
    Kernels.apart("difference", difference, x);
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, x, row, difference);
    launch(tile.name("subtract_row"), tile.grid(x.rows(), x.columns()), ElementwiseTile.BLOCK, x, List.of(
        Argument.of(x), Argument.of(row), Argument.of(difference), Argument.of(x.rows()), Argument.of(x.columns())));
  }

  /// sum + carry += x, of one shape: the sum is rounded, and the carry is what rounding drops.
  public void addCarrying(DeviceMatrix x, DeviceMatrix sum, DeviceMatrix carry) {
    Kernels.shape("sum", sum, x.rows(), x.columns());
    Kernels.shape("carry", carry, x.rows(), x.columns());
    int run = UpdatesKernel.run(x, sum, carry);
    launch(UpdatesKernel.name("add_carrying", run), UpdatesKernel.grid(gpu, x.elements(), run), Dimensions.of(THREADS),
        x, List.of(Argument.of(x), Argument.of(sum), Argument.of(carry), Argument.of(x.elements())));
  }

  /// y += x where y is not 0, and y stays other than 0 there; of one shape.
  public void addWhereNonzero(DeviceMatrix x, DeviceMatrix y) {
    Kernels.shape("x", x, y.rows(), y.columns());
    int run = UpdatesKernel.run(x, y);
    launch(UpdatesKernel.name("add_where_nonzero", run), UpdatesKernel.grid(gpu, y.elements(), run),
        Dimensions.of(THREADS), y, List.of(Argument.of(x), Argument.of(y), Argument.of(y.elements())));
  }

  /// The diagonal of a square matrix.
  ///
  /// @param diagonal 1 × columns, written
  public void diagonal(DeviceMatrix square, DeviceMatrix diagonal) {
    Kernels.shape("square", square, square.columns(), square.columns());
    Kernels.shape("diagonal", diagonal, 1, square.columns());
    launch("diagonal_" + THREADS, UpdatesKernel.grid(gpu, square.columns(), THREADS), Dimensions.of(THREADS), square,
        List.of(Argument.of(square), Argument.of(diagonal), Argument.of(square.columns())));
  }

  /// Starts conjugate gradients for (H + λI) y = r, each row by itself, among the elements where `weights` are not 0:
  /// r = 0 elsewhere, p = r / (d + λ), n = r·p.
  ///
  /// @param weights rows × columns
  /// @param diagonal d of H, 1 × columns
  /// @param damping λ, at least 0; above 0 where an element of d is 0
  /// @param residual r, as `weights`
  /// @param direction p, as `weights`, written
  /// @param norms n and n₀, rows × 2, written
  public void startConjugateGradients(DeviceMatrix weights, DeviceMatrix diagonal, double damping,
      DeviceMatrix residual, DeviceMatrix direction, DeviceMatrix norms) {
    check(weights, diagonal, residual, direction, norms);
    launchRows("start_conjugate_gradients", RowTile.of(weights, diagonal, residual, direction), weights,
        List.of(Argument.of(weights), Argument.of(diagonal), Argument.of((float) damping), Argument.of(residual),
            Argument.of(direction), Argument.of(norms), Argument.of(weights.rows()), Argument.of(weights.columns())));
  }

  /// A step of conjugate gradients that [#startConjugateGradients] has started. A row that is solved stays as it is.
  ///
  /// @param product q = p·H, as `weights`
  /// @param solution y, as `weights`; 0 at the start
  public void conjugateGradientStep(DeviceMatrix weights, DeviceMatrix diagonal, double damping, DeviceMatrix product,
      DeviceMatrix residual, DeviceMatrix direction, DeviceMatrix solution, DeviceMatrix norms) {
    check(weights, diagonal, residual, direction, norms);
    Kernels.shape("product", product, weights.rows(), weights.columns());
    Kernels.shape("solution", solution, weights.rows(), weights.columns());
    RowTile tile = RowTile.of(weights, diagonal, product, residual, direction, solution);
    launchRows("conjugate_gradient_step", tile, weights,
        List.of(Argument.of(weights), Argument.of(diagonal), Argument.of((float) damping), Argument.of(product),
            Argument.of(residual), Argument.of(direction), Argument.of(solution), Argument.of(norms),
            Argument.of(weights.rows()), Argument.of(weights.columns())));
  }

  /// z += α x∘y, of one shape.
  public void addProduct(double alpha, DeviceMatrix x, DeviceMatrix y, DeviceMatrix z) {
    Kernels.shape("x", x, z.rows(), z.columns());
    Kernels.shape("y", y, z.rows(), z.columns());
    int run = UpdatesKernel.run(x, y, z);
    launch(UpdatesKernel.name("add_product", run), UpdatesKernel.grid(gpu, z.elements(), run), Dimensions.of(THREADS),
        z,
        List.of(Argument.of((float) alpha), Argument.of(x), Argument.of(y), Argument.of(z), Argument.of(z.elements())));
  }

  /// z = r / (α d + β) where w is not 0, 0 elsewhere, of one shape.
  ///
  /// @param weights w
  /// @param residual r
  /// @param diagonal d, not negative
  /// @param quotient z, written
  public void divide(DeviceMatrix weights, DeviceMatrix residual, DeviceMatrix diagonal, double scale, double shift,
      DeviceMatrix quotient) {
    Kernels.shape("weights", weights, quotient.rows(), quotient.columns());
    Kernels.shape("residual", residual, quotient.rows(), quotient.columns());
    Kernels.shape("diagonal", diagonal, quotient.rows(), quotient.columns());
    int run = UpdatesKernel.run(weights, residual, diagonal, quotient);
    launch(UpdatesKernel.name("divide", run), UpdatesKernel.grid(gpu, quotient.elements(), run), Dimensions.of(THREADS),
        quotient,
        List.of(Argument.of(weights), Argument.of(residual), Argument.of(diagonal), Argument.of((float) scale),
            Argument.of((float) shift), Argument.of(quotient), Argument.of(quotient.elements())));
  }

  /// The bytes of workspace for a dot product of such matrices.
  public long dotWorkspace(long elements) {
    return (long) UpdatesKernel.grid(gpu, elements, THREADS).x() * Double.BYTES;
  }

  /// total = Σ x∘y in double, of one shape.
  ///
  /// @param workspace of [#dotWorkspace] bytes
  /// @param total 8 bytes, written
  public void dot(DeviceMatrix x, DeviceMatrix y, DeviceBuffer workspace, DeviceBuffer total) {
    Kernels.shape("y", y, x.rows(), x.columns());
    Kernels.room("workspace", workspace, dotWorkspace(x.elements()));
    Dimensions grid = UpdatesKernel.grid(gpu, x.elements(), THREADS);
    launch("dot_" + THREADS, grid, Dimensions.of(THREADS), x,
        List.of(Argument.of(x), Argument.of(y), Argument.of(workspace), Argument.of(x.elements())));
    new ReductionsKernel(gpu).sum(workspace, grid.x(), total);
  }

  private static void check(DeviceMatrix weights, DeviceMatrix diagonal, DeviceMatrix residual, DeviceMatrix direction,
      DeviceMatrix norms) {
    Kernels.shape("diagonal", diagonal, 1, weights.columns());
    Kernels.shape("residual", residual, weights.rows(), weights.columns());
    Kernels.shape("direction", direction, weights.rows(), weights.columns());
    Kernels.shape("norms", norms, weights.rows(), 2);
  }

  private void launchRows(String kernel, RowTile tile, DeviceMatrix weights, List<Argument> arguments) {
    launch(tile.name(kernel), tile.grid(weights.rows()), tile.block(), weights, arguments);
  }

  private void launch(String kernel, Dimensions grid, Dimensions block, DeviceMatrix of, List<Argument> arguments) {
    gpu.launch(new Launch(FAMILY, kernel, grid, block, 0, arguments, List.of(of)));
  }
}
