package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/// Matrices of more than 2³¹ elements, of which only the last blocks run, in memory that is touched
/// there alone.
class LargeOffsetsTest {
  private static final int COLUMNS = 32;
  /// Just above 2³¹ elements, and so many tiles of 32 rows that the last one falls to the last block.
  private static final int ROWS = 33 * 32 * Launch.MAX_GRID_Y;
  static final List<ProductKernel.Tile> PRODUCTS = ProductKernel.TILES;
  static final List<SparseProductKernel.Tile> SPARSE_PRODUCTS = SparseProductKernel.TILES;
  private EmulatedGpu gpu;

  @BeforeEach
  void open() {
    gpu = EmulatedGpu.open();
    gpu.runLastBlocks(1);
  }

  @AfterEach
  void close() {
    if (gpu != null) {
      gpu.close();
    }
  }

  private static DeviceMatrix last(DeviceMatrix matrix) {
    return matrix.slice(matrix.rows() - 1, 1);
  }

  private float lastElement(DeviceMatrix matrix) {
    return gpu.read(last(matrix))[matrix.columns() - 1];
  }

  private DeviceMatrix withLastRow(float value) {
    DeviceMatrix matrix = gpu.sparse(ROWS, COLUMNS);
    gpu.write(last(matrix), row(value));
    return matrix;
  }

  private DeviceMatrix withLastElement(int rows, int columns, float value) {
    DeviceMatrix matrix = gpu.sparse(rows, columns);
    gpu.write(lastOf(matrix), value);
    return matrix;
  }

  private static DeviceMatrix lastOf(DeviceMatrix matrix) {
    return new DeviceMatrix(matrix.address() + (matrix.elements() - 1) * Float.BYTES, 1, 1);
  }

  private static float[] row(float value) {
    float[] row = new float[COLUMNS];
    java.util.Arrays.fill(row, value);
    return row;
  }

  @Test
  void denseForward() {
    DeviceMatrix z = withLastRow(3);
    DeviceMatrix a = gpu.sparse(ROWS, COLUMNS);
    new DenseForwardKernel(gpu).forward(Nonlinearity.RELU, z, gpu.matrix(1, COLUMNS, row(1)), a);
    assertEquals(4, lastElement(a));
  }

  @Test
  void denseBackward() {
    int samples = ROWS / 2;
    DeviceMatrix u = gpu.sparse(2 * samples, COLUMNS);
    gpu.write(last(u), row(3));
    DeviceMatrix z = gpu.sparse(samples, COLUMNS);
    gpu.write(last(z), row(1));
    DeviceMatrix g = gpu.sparse(2 * samples, COLUMNS);
    new DenseForwardKernel(gpu).backward(Nonlinearity.RELU, z, u, g);
    assertEquals(3, lastElement(g));
  }

  @Test
  void softmaxBackward() {
    int samples = ROWS / 2;
    DeviceMatrix u = gpu.sparse(2 * samples, COLUMNS);
    gpu.write(last(u), row(3));
    DeviceMatrix a = gpu.sparse(samples, COLUMNS);
    gpu.write(last(a), row(1));
    DeviceMatrix g = gpu.sparse(2 * samples, COLUMNS);
    new DenseForwardKernel(gpu).softmaxBackward(a, u, g);
    assertEquals(3 - 3 * COLUMNS, lastElement(g));
  }

  @Test
  void eliminationScores() {
    DeviceMatrix w = withLastRow(2);
    DeviceMatrix m1 = withLastRow(3);
    DeviceMatrix m2 = withLastRow(13);
    DeviceMatrix m0 = withLastElement(1, ROWS, 1);
    new EliminationScoresKernel(gpu).scores(w, m0, m1, m2, gpu.matrix(1, COLUMNS, row(1)), 1);
    assertEquals(16, lastElement(m2));
    assertEquals(8, lastElement(m1));
  }

  /// Its blocks visit all rows, so the matrix is wide.
  @Test
  void cancelled() {
    int rows = 129;
    int columns = (1 << 24) + 4;
    DeviceMatrix largest = gpu.sparse(1, columns);
    new EliminationScoresKernel(gpu).cancelled(withLastElement(rows, columns, 2), withLastElement(1, rows, 1),
        withLastElement(rows, columns, 3), withLastElement(rows, columns, 13), 0.5, largest);
    assertEquals(52, gpu.read(lastOf(largest))[0]);
  }

  @Test
  void columns() {
    DeviceMatrix to = gpu.sparse(ROWS, COLUMNS);
    UpdatesKernel kernel = new UpdatesKernel(gpu);
    kernel.copyColumns(MatrixBlock.of(withLastRow(3)), MatrixBlock.of(to));
    kernel.addColumns(MatrixBlock.of(withLastRow(2)), MatrixBlock.of(to));
    assertEquals(5, lastElement(to));
  }

  @Test
  void gatherRows() {
    DeviceMatrix to = gpu.matrix(1, COLUMNS);
    DeviceMatrix numbers = gpu.matrix(1, 1);
    gpu.copyIn(MemorySegment.ofArray(new int[]{ROWS - 1}), numbers.address());
    new UpdatesKernel(gpu).gatherRows(withLastRow(3), numbers, 0, to);
    assertEquals(3, lastElement(to));
  }

  @Test
  void gatherColumns() {
    DeviceMatrix to = gpu.sparse(ROWS, COLUMNS);
    DeviceMatrix numbers = gpu.matrix(1, COLUMNS);
    int[] last = new int[COLUMNS];
    java.util.Arrays.fill(last, COLUMNS - 1);
    gpu.copyIn(MemorySegment.ofArray(last), numbers.address());
    new UpdatesKernel(gpu).gatherColumns(withLastRow(3), numbers, to);
    assertEquals(3, lastElement(to));
  }

  @Test
  void apply() {
    int outputs = (1 << 19) + 8; // few rows: one block counts their ties
    int inputs = 4096;
    DeviceMatrix w = gpu.sparse(outputs, inputs);
    DeviceMatrix s = gpu.sparse(outputs, inputs);
    float[] ones = new float[inputs];
    java.util.Arrays.fill(ones, 1);
    gpu.write(last(w), ones);
    gpu.write(last(s), ones);
    DeviceBuffer removed = gpu.buffer(ApplyKernel.REMOVED_BYTES, 0);
    DeviceBuffer workspace = gpu.buffer(ApplyKernel.workspace(outputs), 0);
    new ApplyKernel(gpu).remove(new ApplyKernel.Cut(s, 1, inputs - 1, workspace), w, removed);
    assertEquals(1, lastElement(w)); // the one tie too many
    assertEquals(8L * inputs - 1, gpu.readLong(removed, 0)); // the rows of the last block
  }

  @Test
  void dualMoments() {
    DeviceMatrix a = withLastRow(3);
    DeviceMatrix s = gpu.sparse(ROWS, 4);
    gpu.write(last(s), 2, 2, 2, 2);
    DualMomentsKernel kernel = new DualMomentsKernel(gpu);
    int parts = Launch.MAX_GRID_Y;
    for (DualMomentsKernel.Tile tile : DualMomentsKernel.TILES) {
      DeviceMatrix workspace = gpu.sparse((int) Math.ceilDiv(kernel.workspace(tile, parts, ROWS, 4, COLUMNS), 1024),
          256);
      DeviceBuffer buffer = new DeviceBuffer(workspace.address(), workspace.bytes());
      kernel.addMoments(tile, parts, s, a, gpu.matrix(1, COLUMNS, row(0)), gpu.matrix(1, 4, new float[4]),
          gpu.matrix(4, COLUMNS, new float[4 * COLUMNS]), gpu.matrix(4, COLUMNS, new float[4 * COLUMNS]), buffer);
      assertEquals(18, lastPartial(kernel, tile, parts, buffer), tile.name());
    }
  }

  /// Rows of a and of c.
  @ParameterizedTest
  @FieldSource("PRODUCTS")
  void tallProduct(ProductKernel.Tile tile) {
    DeviceMatrix c = gpu.sparse(ROWS, COLUMNS);
    multiply(tile, 1, withLastRow(3), false, withAllRows(COLUMNS, 2), false, c);
    assertEquals(6 * COLUMNS, lastElement(c));
  }

  /// Rows of b, and columns of c that are far apart.
  @ParameterizedTest
  @FieldSource("PRODUCTS")
  void wideProduct(ProductKernel.Tile tile) {
    DeviceMatrix c = gpu.sparse(33, ROWS);
    multiply(tile, 1, withAllRows(33, 2), false, withLastRow(3), true, c);
    assertEquals(6 * COLUMNS, gpu.read(new DeviceMatrix(c.address() + c.bytes() - Float.BYTES, 1, 1))[0]);
  }

  /// Rows of a and b along the inner dimension, and a partial result at the end of them all.
  @ParameterizedTest
  @FieldSource("PRODUCTS")
  void deepProduct(ProductKernel.Tile tile) {
    int parts = 2048;
    int rows = 1056;
    int inner = 1024 * parts;
    DeviceMatrix a = gpu.sparse(inner, rows);
    float[] ones = new float[rows];
    java.util.Arrays.fill(ones, 1);
    gpu.write(last(a), ones);
    DeviceMatrix b = gpu.sparse(inner, rows);
    gpu.write(last(b), ones);
    DeviceMatrix workspace = multiply(tile, parts, a, true, b, false, gpu.sparse(rows, rows));
    assertEquals(1, lastElement(workspace));
  }

  private DeviceMatrix withAllRows(int rows, float value) {
    float[] values = new float[rows * COLUMNS];
    java.util.Arrays.fill(values, value);
    return gpu.matrix(rows, COLUMNS, values);
  }

  /// The workspace, which ends with the last part's last row.
  private DeviceMatrix multiply(ProductKernel.Tile tile, int parts, DeviceMatrix a, boolean transposeA, DeviceMatrix b,
      boolean transposeB, DeviceMatrix c) {
    DeviceMatrix workspace = gpu.sparse(Math.multiplyExact(parts, c.rows()), c.columns());
    new ProductKernel(gpu).multiply(tile, parts, 1, MatrixBlock.of(a), transposeA, MatrixBlock.of(b), transposeB, 0,
        MatrixBlock.of(c), new DeviceBuffer(workspace.address(), workspace.bytes()));
    return workspace;
  }

  /// The last element of the last part's second moment, which lies at the end of the workspace.
  private float lastPartial(DualMomentsKernel kernel, DualMomentsKernel.Tile tile, int parts, DeviceBuffer workspace) {
    long partial = (long) parts * 4 * COLUMNS * Float.BYTES;
    long end = workspace.address() + kernel.workspace(tile, parts, ROWS, 4, COLUMNS) - Math.ceilDiv(partial, 256) * 256
        + partial;
    return gpu.read(new DeviceMatrix(end - Float.BYTES, 1, 1))[0];
  }

  @ParameterizedTest
  @FieldSource("SPARSE_PRODUCTS")
  void sparseProduct(SparseProductKernel.Tile tile) {
    DeviceMatrix x = gpu.sparse(ROWS, 4);
    gpu.write(last(x), 0, 2, 0, 0);
    float[] weights = new float[4 * COLUMNS];
    weights[4 * (COLUMNS - 1) + 1] = 3;
    byte[] packed = new byte[SparseWeights.BLOCK_BYTES];
    SparseWeights.pack("layer", COLUMNS, 4, MemorySegment.ofArray(weights), MemorySegment.ofArray(packed));
    DeviceBuffer buffer = gpu.buffer(packed.length, 0);
    gpu.copyIn(MemorySegment.ofArray(packed), buffer.address());
    DeviceMatrix workspace = gpu.sparse(ROWS, 17); // 64 bytes for each sample, and a little
    DeviceMatrix c = gpu.sparse(ROWS, COLUMNS);
    new SparseProductKernel(gpu).multiply(tile, 1, x, new SparseWeights(buffer, COLUMNS, 4), c,
        new DeviceBuffer(workspace.address(), workspace.bytes()));
    assertEquals(6, lastElement(c));
  }
}
