package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.io.ArrayFormat.Role;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// The header of numpy's `.npy` format: a magic number, a version, a length, and a Python dictionary like
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), }`.
final class NpyHeader {
  static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};

  private static final int LONGEST = 1 << 20;
  private static final int MOST_DIMENSIONS = 64;
  private static final Pattern MEMBER = Pattern.compile("""
      \\G\\s*+['"](\\w++)['"]\\s*+:\\s*+(?:['"]([^'"]*+)['"]|(\\w++)|\\(([^()]*+)\\)|(\\[.*\\]))\\s*+(?:,|(?=}))""",
      Pattern.DOTALL);
  private static final Pattern LENGTH = Pattern.compile("\\G\\s*+(\\d{1,19})L?\\s*+(?:,|$)");

  private NpyHeader() {}

  /// Reads a header from the start of `in`.
  ///
  /// @throws FormatException if it is not one, or not of a numeric array
  static ArrayFormat read(InputStream in, String name, Role role) throws IOException {
    byte[] start = in.readNBytes(MAGIC.length + 2);
    if (start.length < MAGIC.length + 2 || !ByteBuffer.wrap(MAGIC).equals(ByteBuffer.wrap(start, 0, MAGIC.length))) {
      throw new FormatException(name, "does not begin as a .npy file does; is it one?");
    }
    int version = start[MAGIC.length];
    if (version < 1 || version > 3) {
      throw new FormatException(name, "version %d of .npy is unknown; save it again".formatted(version));
    }
    byte[] lengthBytes = in.readNBytes(version == 1 ? Short.BYTES : Integer.BYTES);
    long length = 0;
    for (int i = lengthBytes.length - 1; i >= 0; i--) {
      length = length << Byte.SIZE | Byte.toUnsignedInt(lengthBytes[i]);
    }
    if (length > LONGEST) {
      throw new FormatException(name, "a header of %d bytes is too long; is the file damaged?".formatted(length));
    }
    byte[] text = in.readNBytes((int) length);
    if (text.length < length) {
      throw new FormatException(name, "ends within its header; copy or create it again");
    }
    Charset charset = version == 3 ? StandardCharsets.UTF_8 : StandardCharsets.ISO_8859_1;
    long offset = start.length + lengthBytes.length + length;
    return parse(new String(text, charset).strip(), offset, name, role);
  }

  private static ArrayFormat parse(String dictionary, long offset, String name, Role role) throws FormatException {
    String descr = null;
    String fortran = null;
    String shape = null;
    if (!dictionary.startsWith("{") || !dictionary.endsWith("}")) {
      throw damaged(name);
    }
    Matcher member = MEMBER.matcher(dictionary).region(1, dictionary.length());
    int end = 1;
    while (member.find()) {
      switch (member.group(1)) {
        case "descr" -> descr = member.group(5) == null ? member.group(2) : "a structure";
        case "fortran_order" -> fortran = member.group(3);
        case "shape" -> shape = member.group(4);
        default -> throw damaged(name);
      }
      end = member.end();
    }
    boolean known = "True".equals(fortran) || "False".equals(fortran);
    if (descr == null || !known || shape == null || !dictionary.substring(end).strip().equals("}")) {
      throw damaged(name);
    }
    ByteOrder order = descr.startsWith(">") ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    return ArrayFormat.of(name, role, dtype(descr, name), order, offset, fortran.equals("True"), shape(shape, name),
        false);
  }

  private static DType dtype(String descr, String name) throws FormatException {
    return switch (descr.isEmpty() || "<>|=".indexOf(descr.charAt(0)) < 0 ? descr : descr.substring(1)) {
      case "f2" -> DType.F16;
      case "f4" -> DType.F32;
      case "f8" -> DType.F64;
      case "i1" -> DType.I8;
      case "i2" -> DType.I16;
      case "i4" -> DType.I32;
      case "i8" -> DType.I64;
      case "u1" -> DType.U8;
      case "u2" -> DType.U16;
      case "u4" -> DType.U32;
      case "u8" -> DType.U64;
      case "b1" -> DType.BOOL;
      default -> throw new FormatException(name,
          "dtype %s is not one of real numbers; save the array as float32".formatted(quote(descr)));
    };
  }

  private static List<Long> shape(String text, String name) throws FormatException {
    List<Long> shape = new ArrayList<>();
    Matcher length = LENGTH.matcher(text);
    int end = 0;
    while (end < text.length() && shape.size() < MOST_DIMENSIONS && length.find()) {
      try {
        shape.add(Long.parseLong(length.group(1)));
      } catch (NumberFormatException e) {
        throw new FormatException(name, "shape (%s) is too large".formatted(text), e);
      }
      end = length.end();
    }
    if (!text.substring(end).isBlank()) {
      throw damaged(name);
    }
    return shape;
  }

  private static FormatException damaged(String name) {
    return new FormatException(name, "its header is not that of a .npy file; save it again");
  }
}
