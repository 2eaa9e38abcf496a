package dev.espalier.engine.matrix;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// A host matrix: float32, row-major, no gaps, in memory that somebody else owns. The elements may number
/// more than 2³¹; a vector is a matrix of one row.
///
/// @param segment the elements, `rows · columns · 4` bytes in native byte order, at any address
/// @param rows at least 1
/// @param columns at least 1
public record MatrixView(MemorySegment segment, int rows, int columns) {
  /// Elements as they lie in the segment; memory-mapped files need not align them.
  public static final ValueLayout.OfFloat ELEMENT = ValueLayout.JAVA_FLOAT_UNALIGNED;

  // A float's bits without the sign: as an integer, infinity's are above those of all finite numbers and below NaN's.
  private static final int MAGNITUDE = 0x7fffffff;
  private static final int INFINITE = 0x7f800000;

  /// Elements that are scanned at a time.
  private static final int SCANNED = 2048;

  private static final Thread ANOTHER_THREAD = Thread.ofPlatform().unstarted(() -> {});

  /// @throws IllegalArgumentException if a dimension is below 1 or the segment's size is not that of the
  ///                                  matrix
  public MatrixView {
    long expected = bytes(rows, columns);
    if (segment.byteSize() != expected) {
      throw new IllegalArgumentException("rows=%d, columns=%d need %d bytes, the segment has %d".formatted(rows,
          columns, expected, segment.byteSize()));
    }
  }

  /// A matrix of zeros in memory of `arena`, aligned to 64 bytes.
  public static MatrixView allocate(Arena arena, int rows, int columns) {
    return new MatrixView(arena.allocate(bytes(rows, columns), 64), rows, columns);
  }

  /// A copy of `values`, row after row.
  ///
  /// @throws IllegalArgumentException if there are not exactly `rows · columns` values
  public static MatrixView of(Arena arena, int rows, int columns, float... values) {
    if (values.length != (long) rows * columns) {
      throw new IllegalArgumentException("rows=%d, columns=%d, values=%d".formatted(rows, columns, values.length));
    }
    MatrixView matrix = allocate(arena, rows, columns);
    MemorySegment.copy(values, 0, matrix.segment, ELEMENT, 0, values.length);
    return matrix;
  }

  private static long bytes(int rows, int columns) {
    if (rows < 1 || columns < 1) {
      throw new IllegalArgumentException("rows=%d, columns=%d: both must be at least 1".formatted(rows, columns));
    }
    return Math.multiplyExact((long) rows * columns, Float.BYTES);
  }

  /// The number of elements.
  public long elements() {
    return (long) rows * columns;
  }

  /// The element at `row`, `column`.
  public float get(int row, int column) {
    return segment.get(ELEMENT, offset(row, column));
  }

  /// Writes the element at `row`, `column`.
  public void set(int row, int column, float value) {
    segment.set(ELEMENT, offset(row, column), value);
  }

  /// A view of `count` rows from `first` on.
  public MatrixView slice(int first, int count) {
    return new MatrixView(segment.asSlice(offset(first, 0), bytes(count, columns)), count, columns);
  }

  /// A copy in memory of `arena`.
  public MatrixView copy(Arena arena) {
    MatrixView copy = allocate(arena, rows, columns);
    copy.segment.copyFrom(segment);
    return copy;
  }

  /// A copy on the heap, row after row.
  public float[] toArray() {
    return segment.toArray(ELEMENT);
  }

  /// Copies `count` elements from row-major index `first` on to the start of `target`.
  public void load(long first, float[] target, int count) {
    MemorySegment.copy(segment, ELEMENT, first * Float.BYTES, target, 0, count);
  }

  /// Copies the first `count` elements of `source` to row-major index `first` and on.
  public void store(float[] source, int count, long first) {
    MemorySegment.copy(source, 0, segment, ELEMENT, first * Float.BYTES, count);
  }

  /// Whether only one thread may access the memory.
  public boolean isThreadConfined() {
    return isThreadConfined(segment);
  }

  static boolean isThreadConfined(MemorySegment memory) {
    return !memory.isAccessibleBy(ANOTHER_THREAD);
  }

  /// The index of the first element, in row-major order, that is NaN or infinite; −1 if all are finite.
  public long firstNonFinite() {
    int[] bits = new int[(int) Math.min(SCANNED, elements())];
    for (long first = 0; first < elements(); first += bits.length) {
      int count = (int) Math.min(bits.length, elements() - first);
      MemorySegment.copy(segment, ValueLayout.JAVA_INT_UNALIGNED, first * Float.BYTES, bits, 0, count);
      if (largestMagnitude(bits, count) >= INFINITE) {
        for (int i = 0; i < count; i++) {
          if ((bits[i] & MAGNITUDE) >= INFINITE) {
            return first + i;
          }
        }
      }
    }
    return -1;
  }

  /// In integers the largest is found by vector instructions, and tells whether all are finite.
  private static int largestMagnitude(int[] bits, int count) {
    int largest = 0;
    for (int i = 0; i < count; i++) {
      largest = Math.max(largest, bits[i] & MAGNITUDE);
    }
    return largest;
  }

  /// The column of the largest element of a row, the first of equal ones.
  public int largest(int row) {
    int largest = 0;
    for (int k = 1; k < columns; k++) {
      if (get(row, k) > get(row, largest)) {
        largest = k;
      }
    }
    return largest;
  }

  /// Σ (x − y)² over all elements x of this matrix and y of another of the same shape, summed in double.
  public double squaredDistance(MatrixView other) {
    double sum = 0;
    for (long i = 0; i < elements(); i++) {
      double difference = (double) segment.getAtIndex(ELEMENT, i) - other.segment.getAtIndex(ELEMENT, i);
      sum += difference * difference;
    }
    return sum;
  }

  /// Σ x² over all elements, summed in double.
  public double squaredNorm() {
    double sum = 0;
    for (long i = 0; i < elements(); i++) {
      double value = segment.getAtIndex(ELEMENT, i);
      sum += value * value;
    }
    return sum;
  }

  /// The number of elements that are 0 or −0.
  public long zeros() {
    int[] bits = new int[(int) Math.min(SCANNED, elements())];
    long zeros = 0;
    for (long first = 0; first < elements(); first += bits.length) {
      int count = (int) Math.min(bits.length, elements() - first);
      MemorySegment.copy(segment, ValueLayout.JAVA_INT_UNALIGNED, first * Float.BYTES, bits, 0, count);
      zeros += zeros(bits, count);
    }
    return zeros;
  }

  private static int zeros(int[] bits, int count) {
    int zeros = 0;
    for (int i = 0; i < count; i++) {
      zeros += (bits[i] & MAGNITUDE) == 0 ? 1 : 0;
    }
    return zeros;
  }

  private long offset(int row, int column) {
    return ((long) row * columns + column) * Float.BYTES;
  }
}
