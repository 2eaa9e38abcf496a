package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.kernels.DeviceMatrix;
import dev.espalier.kernels.MatrixBlock;

/// A matrix that a GPU computes with, or rows of one.
final class CudaMatrix implements Matrix {
  private final DeviceMatrix device;
  private final CudaMemory.Block block;
  private final long offset;
  /// Null for a view and for memory of the caller.
  private final CudaMemory owner;
  private boolean closed;

  /// Takes over `block`.
  CudaMatrix(CudaMemory owner, CudaMemory.Block block, int rows, int columns) {
    this(owner, block, 0, new DeviceMatrix(block.address(), rows, columns));
  }

  /// Memory of the caller, who keeps it until work that uses it is done.
  CudaMatrix(DeviceMatrix device) {
    this(null, new CudaMemory.Block(device.address(), device.bytes(), null), 0, device);
  }

  private CudaMatrix(CudaMemory owner, CudaMemory.Block block, long offset, DeviceMatrix device) {
    this.owner = owner;
    this.block = block;
    this.offset = offset;
    this.device = device;
  }

  /// A matrix of this backend as what it is.
  static CudaMatrix of(Matrix matrix) {
    return (CudaMatrix) matrix;
  }

  /// A matrix of this backend as kernels take it.
  static DeviceMatrix device(Matrix matrix) {
    return of(matrix).device();
  }

  /// A matrix of this backend as products take it.
  static MatrixBlock block(Matrix matrix) {
    return of(matrix).asBlock();
  }

  @Override
  public Matrix slice(int first, int count) {
    return new CudaMatrix(null, block, offset + (long) first * columns() * Float.BYTES, device.slice(first, count));
  }

  DeviceMatrix device() {
    return device;
  }

  MatrixBlock asBlock() {
    return MatrixBlock.of(device);
  }

  long bytes() {
    return device.bytes();
  }

  CudaMemory.Block memory() {
    return block;
  }

  /// Bytes from the start of the memory to the first element.
  long offset() {
    return offset;
  }

  @Override
  public int rows() {
    return device.rows();
  }

  @Override
  public int columns() {
    return device.columns();
  }

  @Override
  public void close() {
    if (owner != null && !closed) {
      closed = true;
      owner.free(block);
    }
  }
}
