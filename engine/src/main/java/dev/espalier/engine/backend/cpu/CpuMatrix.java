package dev.espalier.engine.backend.cpu;

import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.matrix.MatrixView;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;

/// A float32 matrix, or some rows of one, outside Java's heap. It takes memory when it is first used, and as long as it
/// only holds what a read-only memory-mapped file holds, the file's pages are its memory.
final class CpuMatrix implements Matrix {
  private final int rows;
  private final int columns;
  private final CpuMatrix owner;
  private final long firstElement;
  private CpuMemory memory;
  private volatile MemorySegment segment;
  private Prepared prepared;

  /// Made of some rows of a matrix, to be multiplied with: the columns of tiles that lie side by side.
  private record Prepared(long firstElement, int rows, int columnStep, List<CpuProducts.SecondFactor> tiles,
      CpuMemory memory) {}

  /// A matrix of zeros.
  CpuMatrix(int rows, int columns) {
    this.rows = rows;
    this.columns = columns;
    this.owner = this;
    this.firstElement = 0;
  }

  /// `rows` rows of `owner` from `first` on.
  private CpuMatrix(CpuMatrix owner, int first, int rows) {
    this.rows = rows;
    this.columns = owner.columns;
    this.owner = owner.owner;
    this.firstElement = owner.firstElement + (long) first * columns;
  }

  /// The elements of a matrix of this backend, not to be written.
  static MemorySegment read(Matrix matrix) {
    return ((CpuMatrix) matrix).read();
  }

  /// The elements of a matrix of this backend, to be written.
  static MemorySegment write(Matrix matrix) {
    return ((CpuMatrix) matrix).write();
  }

  @Override
  public Matrix slice(int first, int count) {
    return new CpuMatrix(this, first, count);
  }

  @Override
  public int rows() {
    return rows;
  }

  @Override
  public int columns() {
    return columns;
  }

  /// The elements, not to be written.
  MemorySegment read() {
    return part(owner.segment == null ? owner.own() : owner.segment);
  }

  /// The elements, to be written.
  MemorySegment write() {
    owner.forget();
    return part(owner.memory == null ? owner.own() : owner.segment);
  }

  /// What [#prepare] was given last, if it is of these rows and such tiles and the matrix has not been written since.
  Optional<List<CpuProducts.SecondFactor>> prepared(int columnStep) {
    return Optional.ofNullable(owner.prepared)
        .filter(p -> p.firstElement == firstElement && p.rows == rows && p.columnStep == columnStep)
        .map(Prepared::tiles);
  }

  /// Keeps what was made of these rows until the matrix is written or closed.
  ///
  /// @param tiles  for [#prepared]
  /// @param memory theirs, closed with it
  List<CpuProducts.SecondFactor> prepare(int columnStep, List<CpuProducts.SecondFactor> tiles, CpuMemory memory) {
    owner.forget();
    owner.prepared = new Prepared(firstElement, rows, columnStep, tiles, memory);
    return tiles;
  }

  private void forget() {
    if (prepared != null) {
      prepared.memory.close();
      prepared = null;
    }
  }

  private MemorySegment part(MemorySegment whole) {
    return owner == this ? whole : whole.asSlice(firstElement * Float.BYTES, elements() * Float.BYTES);
  }

  /// Memory of its own with what it holds now.
  private synchronized MemorySegment own() {
    if (memory == null) {
      CpuMemory allocated = new CpuMemory(elements());
      if (segment != null) {
        allocated.segment().copyFrom(segment);
      }
      segment = allocated.segment();
      memory = allocated;
    }
    return segment;
  }

  /// Takes the content of `source`: read-only mapped memory that all threads may read is used as it is until the matrix
  /// is written, other memory is copied unless it is the matrix's own.
  void fill(MatrixView source) {
    MemorySegment elements = source.segment();
    if (owner == this && memory == null && elements.isMapped() && elements.isReadOnly() && !source.isThreadConfined()) {
      forget();
      segment = elements;
    } else if (elements.address() != write().address()) {
      write().copyFrom(elements);
    }
  }

  @Override
  public void close() {
    if (owner == this) {
      forget();
      if (memory != null) {
        memory.close();
      }
    }
  }
}
