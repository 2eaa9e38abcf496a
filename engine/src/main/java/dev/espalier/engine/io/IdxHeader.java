package dev.espalier.engine.io;

import dev.espalier.engine.io.ArrayFormat.Role;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// The header of the IDX format of MNIST: two zero bytes, an element type, the number of dimensions, and the
/// dimensions, all big-endian. Samples of bytes in two or more dimensions are images, which are scaled from 255 to 1.
final class IdxHeader {
  private IdxHeader() {}

  /// Whether a file that begins so is IDX.
  static boolean matches(byte[] start) {
    return start.length >= 4 && start[0] == 0 && start[1] == 0 && dtype(start[2]) != null && start[3] > 0;
  }

  /// Reads a header from the start of `in`.
  ///
  /// @param scales whether bytes of images are scaled
  /// @throws FormatException if it is not one
  static ArrayFormat read(InputStream in, String name, Role role, boolean scales) throws IOException {
    byte[] start = in.readNBytes(4);
    if (!matches(start)) {
      throw new FormatException(name, "does not begin as an IDX file does; is it one?");
    }
    int dimensions = start[3];
    ByteBuffer lengths = ByteBuffer.wrap(in.readNBytes(dimensions * Integer.BYTES));
    if (lengths.remaining() < dimensions * Integer.BYTES) {
      throw new FormatException(name, "ends within its header; copy it again");
    }
    List<Long> shape = new ArrayList<>();
    while (lengths.hasRemaining()) {
      shape.add(Integer.toUnsignedLong(lengths.getInt()));
    }
    DType dtype = dtype(start[2]);
    boolean image = scales && role == Role.SAMPLES && dtype == DType.U8 && dimensions >= 2;
    int offset = start.length + lengths.capacity();
    return ArrayFormat.of(name, role, dtype, ByteOrder.BIG_ENDIAN, offset, false, shape, image);
  }

  private static DType dtype(byte code) {
    return switch (code) {
      case 0x08 -> DType.U8;
      case 0x09 -> DType.I8;
      case 0x0b -> DType.I16;
      case 0x0c -> DType.I32;
      case 0x0d -> DType.F32;
      case 0x0e -> DType.F64;
      default -> null;
    };
  }
}
