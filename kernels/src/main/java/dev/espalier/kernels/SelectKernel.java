package dev.espalier.kernels;

import java.util.List;

/// The k-th smallest score over all layers, by the digits of the floats' bits. Limited by memory: three
/// passes over the scores find it and a fourth counts, 4 bytes a score each, whatever k is.
public final class SelectKernel {
  /// Bytes of the state of a selection: the digits fixed so far, the rank within them, a histogram of 2048 bins.
  public static final int STATE_BYTES = 2 * Integer.BYTES + Long.BYTES + 2048 * Long.BYTES;
  /// Bytes of the counts of a cut: scores below the threshold, scores equal to it.
  public static final int COUNTS_BYTES = 2 * Long.BYTES;

  private static final String FAMILY = "select";
  private static final int TILE_ROWS = 32;
  private static final int PASSES = 3;
  private static final int THREADS = 256;
  private static final int WARP = 32;
  /// Elements that a thread moves at a time where it can.
  private static final int VECTOR = 4;

  private final Gpu gpu;

  /// Launches on `gpu`.
  public SelectKernel(Gpu gpu) {
    this.gpu = gpu;
  }

  /// Gives the weights that are zero the score −1, below every other.
  ///
  /// @param scores of the shape of the weights; −0 becomes 0
  /// @param firstNonFinite a 64-bit word, lowered to the row-major index of every score that is not finite
  public void rankZerosFirst(DeviceMatrix weights, DeviceMatrix scores, DeviceBuffer firstNonFinite) {
    int outputs = weights.rows();
    int inputs = weights.columns();
    Kernels.shape("scores", scores, outputs, inputs);
    Kernels.apart("scores", scores, weights);
    Kernels.room("firstNonFinite", firstNonFinite, Long.BYTES);
    ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, weights, scores);
    launch(
        tile.name("rank_zeros_first"), tile.grid(outputs, inputs), ElementwiseTile.BLOCK, List.of(Argument.of(weights),
            Argument.of(scores), Argument.of(firstNonFinite), Argument.of(outputs), Argument.of(inputs)),
        List.of("weights ", weights));
  }

  /// Finds the `count`-th smallest score of all matrices together; [#threshold] reads it from the state.
  ///
  /// @param scores none of them NaN
  /// @param count 1 up to the number of all scores
  /// @param state of [#STATE_BYTES], written
  public void select(List<DeviceMatrix> scores, long count, DeviceBuffer state) {
    long all = scores.stream().mapToLong(DeviceMatrix::elements).sum();
    if (count < 1 || count > all) {
      throw new IllegalArgumentException("count=%d of %d scores".formatted(count, all));
    }
    Kernels.room("state", state, STATE_BYTES);
    List<?> shapes = List.of(count, " of ", all, " scores");
    launch("select_begin_1024", Dimensions.of(1), Dimensions.of(1024), List.of(Argument.of(state), Argument.of(count)),
        shapes);
    for (int pass = 0; pass < PASSES; pass++) {
      for (DeviceMatrix layer : scores) {
        launch("select_histogram_2048", UpdatesKernel.grid(gpu, layer.elements(), ReductionsKernel.READ_TOGETHER),
            Dimensions.of(THREADS),
            List.of(Argument.of(layer), Argument.of(state), Argument.of(pass), Argument.of(layer.elements())), shapes);
      }
      launch("select_digit_1024", Dimensions.of(1), Dimensions.of(1024), List.of(Argument.of(state), Argument.of(pass)),
          shapes);
    }
  }

  /// The score that a selection found.
  ///
  /// @param prefix the first 32-bit word of its state
  public static float threshold(int prefix) {
    return Float.intBitsToFloat(prefix < 0 ? prefix & Integer.MAX_VALUE : ~prefix);
  }

  /// counts += how many of a layer's scores are below the selected one, and how many are equal to it.
  ///
  /// @param state as [#select] left it
  /// @param counts of [#COUNTS_BYTES]
  public void count(DeviceMatrix scores, DeviceBuffer state, DeviceBuffer counts) {
    Kernels.room("state", state, STATE_BYTES);
    Kernels.room("counts", counts, COUNTS_BYTES);
    launch("select_count_2048", grid(scores), Dimensions.of(THREADS),
        List.of(Argument.of(scores), Argument.of(state), Argument.of(counts), Argument.of(scores.elements())),
        List.of("scores ", scores));
  }

  /// Marks with +∞ the scores that are kept when the least of each group of neighbours in a row are removed, and copies
  /// the scores that are removed. Group g, counted in row-major order, removes round((g+1)·q) − round(g·q) of its
  /// scores with q = `removedPerGroup` (halves up); the last group of a row, if narrower, removes fewer by the missing
  /// columns. Ties break by column.
  ///
  /// @param scores none of them NaN
  /// @param marked of the shape of the scores, written; may be `scores` itself
  /// @param groupWidth 1 up to the columns
  /// @return how many scores are left to remove
  public long keepPerGroup(DeviceMatrix scores, DeviceMatrix marked, int groupWidth, double removedPerGroup) {
    if (groupWidth < 1 || groupWidth > scores.columns() || !(removedPerGroup >= 0 && removedPerGroup <= groupWidth)) {
      throw new IllegalArgumentException(
          "groups of %d in %s, removing %s".formatted(groupWidth, scores, removedPerGroup));
    }
    Kernels.shape("marked", marked, scores.rows(), scores.columns());
    Kernels.apart("marked", marked, scores);
    int groupsPerRow = Math.ceilDiv(scores.columns(), groupWidth);
    List<?> shapes = List.of("scores ", scores, ", groups of ", groupWidth);
    Argument columns = Argument.of(scores.columns());
    Argument removed = Argument.of(removedPerGroup);
    if (groupWidth == VECTOR && ElementwiseTile.vector(scores, marked) == VECTOR) {
      ElementwiseTile tile = ElementwiseTile.of(TILE_ROWS, scores, marked);
      launch(tile.name("keep_per_group_of_4"), tile.grid(scores.rows(), scores.columns()), ElementwiseTile.BLOCK,
          List.of(Argument.of(scores), Argument.of(marked), Argument.of(scores.rows()), columns, removed), shapes);
    } else if (groupWidth <= WARP) {
      Dimensions grid = Dimensions.of(Kernels.blocks(groupsPerRow, WARP / groupWidth),
          Math.min(Launch.MAX_GRID_Y, Kernels.blocks(scores.rows(), TILE_ROWS)));
      launch("keep_per_group_narrow_32x8", grid, ElementwiseTile.BLOCK, List.of(Argument.of(scores),
          Argument.of(marked), Argument.of(scores.rows()), columns, Argument.of(groupWidth), removed), shapes);
    } else {
      long groups = (long) scores.rows() * groupsPerRow;
      int vector = groupWidth % VECTOR == 0 ? ElementwiseTile.vector(scores, marked) : 1;
      RowTile tile = new RowTile(vector, THREADS);
      launch(tile.name("keep_per_group_wide"), Dimensions.of((int) Math.min(groups, 16L * gpu.multiprocessors())),
          tile.block(), List.of(Argument.of(scores), Argument.of(marked), Argument.of(groups), columns,
              Argument.of(groupWidth), removed),
          shapes);
    }
    return leftToRemove(scores.rows(), groupsPerRow, groupWidth, groupsPerRow * groupWidth - scores.columns(),
        removedPerGroup);
  }

  private static long leftToRemove(int rows, int groupsPerRow, int groupWidth, int missing, double perGroup) {
    long removed = 0;
    for (long row = 0; row < rows; row++) {
      long first = row * groupsPerRow;
      long last = first + groupsPerRow - 1;
      long quota = Math.round((last + 1) * perGroup) - Math.round(last * perGroup);
      int width = groupWidth - missing;
      removed += Math.round(last * perGroup) - Math.round(first * perGroup) + width
          - Math.min(width, groupWidth - quota);
    }
    return removed;
  }

  private Dimensions grid(DeviceMatrix scores) {
    return UpdatesKernel.grid(gpu, scores.elements(), THREADS);
  }

  private void launch(String kernel, Dimensions grid, Dimensions block, List<Argument> arguments, List<?> shapes) {
    gpu.launch(new Launch(FAMILY, kernel, grid, block, 0, arguments, shapes));
  }
}
