package dev.espalier.kernels;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// Weights in device memory, at most two of each four neighbours along a row not zero, for [SparseProductKernel]: rounded to
/// bfloat16, two values and four bits for each four. Both dimensions are padded to multiples of 32.
///
/// @param packed what [#pack] writes, owned by somebody else
/// @param outputs rows, at least 1
/// @param inputs columns, at least 1
public record SparseWeights(DeviceBuffer packed, int outputs, int inputs) {
  /// Outputs and inputs of a block (WeightBlock of sparse_product.cu).
  static final int SIDE = 32;
  /// Of a block: two operands of 512 bytes, then 32 words of metadata.
  static final int BLOCK_BYTES = 1152;
  private static final long OPERAND_BYTES = 512;
  private static final int GROUP = 4;
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
  private static final ValueLayout.OfInt WORD = ValueLayout.JAVA_INT_UNALIGNED;

  /// @throws IllegalArgumentException if a dimension is below 1 or the buffer has fewer bytes than [#bytes]
  public SparseWeights {
    Kernels.room("packed", packed, bytes(outputs, inputs));
  }

  /// The bytes of packed weights: 9 bits for each weight.
  ///
  /// @throws IllegalArgumentException if a dimension is below 1
  public static long bytes(int outputs, int inputs) {
    if (outputs < 1 || inputs < 1) {
      throw new IllegalArgumentException("outputs=%d, inputs=%d".formatted(outputs, inputs));
    }
    return (long) Math.ceilDiv(outputs, SIDE) * Math.ceilDiv(inputs, SIDE) * BLOCK_BYTES;
  }

  /// Whether at most two of each four neighbours along each row are not zero, from the first column on.
  ///
  /// @param weights outputs × inputs, float32, row-major
  public static boolean admits(int outputs, int inputs, MemorySegment weights) {
    return firstExcess(outputs, inputs, weights) < 0;
  }

  /// The index of the first element that is the third of its four which is not zero; −1 if there is none.
  private static long firstExcess(int outputs, int inputs, MemorySegment weights) {
    for (int row = 0; row < outputs; row++) {
      int nonzero = 0;
      for (int column = 0; column < inputs; column++) {
        long index = (long) row * inputs + column;
        nonzero = (column % GROUP == 0 ? 0 : nonzero) + (weights.getAtIndex(FLOAT, index) == 0 ? 0 : 1);
        if (nonzero > 2) {
          return index;
        }
      }
    }
    return -1;
  }

  /// Packs weights, rounded to the nearest bfloat16, ties to even.
  ///
  /// @param name of the layer, for the message
  /// @param weights outputs × inputs, float32, row-major
  /// @param packed of [#bytes], written
  /// @throws IllegalArgumentException if three of four neighbours are not zero, with the place
  public static void pack(String name, int outputs, int inputs, MemorySegment weights, MemorySegment packed) {
    long excess = firstExcess(outputs, inputs, weights);
    if (excess >= 0) {
      throw new IllegalArgumentException(
          "%s: row %d, column %d is the third weight of its four that is not zero: 2:4 admits two".formatted(name,
              excess / inputs, excess % inputs));
    }
    long at = 0;
    for (int row = 0; row < outputs; row += SIDE) {
      for (int column = 0; column < inputs; column += SIDE) {
        packBlock(outputs, inputs, weights, row, column, packed.asSlice(at, BLOCK_BYTES));
        at += BLOCK_BYTES;
      }
    }
  }

  /// As sparse_product.cu has it: output 4 g + 2 h + e is row g + 8 e of operand h. Of that row lane 4 g + t has fours t and
  /// t + 4, in words e and e + 2; the metadata of fours 0 to 3 is lane 4 g + 2 h's, that of the others the next lane's.
  private static void packBlock(int outputs, int inputs, MemorySegment weights, int firstRow, int firstColumn,
      MemorySegment block) {
    int[] metadata = new int[SIDE];
    float[] group = new float[GROUP];
    for (int row = 0; row < SIDE; row++) {
      int g = row / 4;
      int h = row % 4 / 2;
      int e = row % 2;
      for (int four = 0; four < SIDE / GROUP; four++) {
        read(outputs, inputs, weights, firstRow + row, firstColumn + four * GROUP, group);
        int first = nonzero(group, 0);
        int second = nonzero(group, first + 1);
        if (second >= GROUP) { // values of places that have none are zero
          second = GROUP - 1;
          first = first < second ? first : 0;
        }
        block.set(WORD, h * OPERAND_BYTES + (4L * g + four % 4) * 16 + (e + four / 4 * 2L) * 4,
            bfloat16(group[first]) | bfloat16(group[second]) << 16);
        metadata[4 * g + 2 * h + four / 4] |= (first | second << 2) << (16 * e + four % 4 * 4);
      }
    }
    MemorySegment.copy(metadata, 0, block, WORD, 2 * OPERAND_BYTES, SIDE);
  }

  private static void read(int outputs, int inputs, MemorySegment weights, int row, int column, float[] group) {
    for (int k = 0; k < GROUP; k++) {
      group[k] = row < outputs && column + k < inputs ? weights.getAtIndex(FLOAT, (long) row * inputs + column + k) : 0;
    }
  }

  private static int nonzero(float[] group, int from) {
    int k = from;
    while (k < GROUP && group[k] == 0) {
      k++;
    }
    return k;
  }

  private static int bfloat16(float value) {
    int bits = Float.floatToIntBits(value);
    return Float.isNaN(value) ? 0x7fff : (bits + 0x7fff + (bits >>> 16 & 1)) >>> 16;
  }
}
