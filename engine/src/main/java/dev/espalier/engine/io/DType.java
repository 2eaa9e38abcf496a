package dev.espalier.engine.io;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Optional;

/// The element types of safetensors files. All are copied unchanged; numbers can be read from types with [#isNumeric()]
/// and written to types with [#isWritable()], and to BOOL.
public enum DType {
  BOOL(8), F4(4), F6_E2M3(6), F6_E3M2(6), U8(8), I8(8), F8_E5M2(8), F8_E4M3(8), F8_E8M0(8), F8_E4M3FNUZ(8),
  F8_E5M2FNUZ(8), I16(16), U16(16), F16(16), BF16(16), I32(32), U32(32), F32(32), C64(64), F64(64), I64(64), U64(64);

  /// Those that are [writable][#isWritable()], for messages.
  static final String WRITABLE = "F32, F16, BF16, F64, F8_E4M3, F8_E5M2 or one of these with FNUZ";

  private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

  private final int bits;

  DType(int bits) {
    this.bits = bits;
  }

  static Optional<DType> named(String name) {
    for (DType dtype : values()) {
      if (dtype.name().equals(name)) {
        return Optional.of(dtype);
      }
    }
    return Optional.empty();
  }

  /// Bits of one element; not a multiple of 8 for the packed types.
  public int bits() {
    return bits;
  }

  /// Bytes of one element of a numeric type.
  int bytes() {
    return bits / Byte.SIZE;
  }

  /// Whether [#read] knows the type.
  public boolean isNumeric() {
    return switch (this) {
      case BOOL, U8, I8, F8_E5M2, F8_E4M3, F8_E5M2FNUZ, F8_E4M3FNUZ, I16, U16, F16, BF16, I32, U32, F32, F64, I64,
          U64 ->
        true;
      case F4, F6_E2M3, F6_E3M2, F8_E8M0, C64 -> false;
    };
  }

  /// Whether [#write] rounds numbers to the type: floats of eight bits, F16, BF16, F32 and F64.
  public boolean isWritable() {
    return isEightBitFloat() || this == F16 || this == BF16 || this == F32 || this == F64;
  }

  /// Whether [#write] rounds numbers to two or three bits behind the first: F8_E5M2, F8_E4M3, and those whose names then
  /// have FNUZ, which are finite, have one zero, and NaN in the place of −0.
  public boolean isEightBitFloat() {
    return this == F8_E5M2 || this == F8_E4M3 || this == F8_E5M2FNUZ || this == F8_E4M3FNUZ;
  }

  boolean isInteger() {
    return isNumeric() && this != BOOL && !isWritable();
  }

  /// Element `index` of little-endian `data`, rounded to the nearest float32; true is 1.
  ///
  /// @throws UnsupportedOperationException if the type is not numeric
  public float read(MemorySegment data, long index) {
    return this == F32
        ? Float.intBitsToFloat(int32(data, index, LITTLE_ENDIAN))
        : (float) value(data, index, LITTLE_ENDIAN);
  }

  /// Sets element `index` of little-endian `data` to `value`, rounded to the nearest number of the type, ties
  /// to even; beyond the range of the type that is an infinity, and NaN in types that have none. BOOL is true where
  /// the value is not 0.
  ///
  /// @throws UnsupportedOperationException if the type is not writable
  public void write(MemorySegment data, long index, float value) {
    switch (this) {
      case BOOL -> data.set(JAVA_BYTE, index, (byte) (value == 0 ? 0 : 1));
      case F8_E5M2 -> data.set(JAVA_BYTE, index, (byte) eightBits(value, 2, -14, 0x7c));
      case F8_E4M3 -> data.set(JAVA_BYTE, index, (byte) eightBits(value, 3, -6, 0x7f));
      case F8_E5M2FNUZ -> data.set(JAVA_BYTE, index, (byte) finiteEightBits(value, 2, -15));
      case F8_E4M3FNUZ -> data.set(JAVA_BYTE, index, (byte) finiteEightBits(value, 3, -7));
      case F16 -> data.set(SHORT, index * Short.BYTES, Float.floatToFloat16(value));
      case BF16 -> data.set(SHORT, index * Short.BYTES, bfloat16(value));
      case F32 -> data.set(INT, index * Integer.BYTES, Float.floatToRawIntBits(value));
      case F64 -> data.set(LONG, index * Long.BYTES, Double.doubleToRawLongBits(value));
      default -> throw new UnsupportedOperationException(this + " is not written");
    }
  }

  /// Sets element `index` of little-endian `data` to a number that I32 or I64 holds.
  void writeInteger(MemorySegment data, long index, long value) {
    switch (this) {
      case I32 -> data.set(INT, index * Integer.BYTES, Math.toIntExact(value));
      case I64 -> data.set(LONG, index * Long.BYTES, value);
      default -> throw new UnsupportedOperationException(this + " is not written as an integer");
    }
  }

  /// Element `index` of `data` in the given byte order, exactly but for integers beyond 2⁵³.
  double value(MemorySegment data, long index, ByteOrder order) {
    return switch (this) {
      case BOOL -> data.get(JAVA_BYTE, index) == 0 ? 0 : 1;
      case U8 -> Byte.toUnsignedInt(data.get(JAVA_BYTE, index));
      case I8 -> data.get(JAVA_BYTE, index);
      case F8_E5M2 -> Float.float16ToFloat((short) (data.get(JAVA_BYTE, index) << Byte.SIZE)); // its upper byte
      case F8_E4M3 ->
        (data.get(JAVA_BYTE, index) & 0x7f) == 0x7f ? Double.NaN : eightBitFloat(data.get(JAVA_BYTE, index), 3, -6);
      case F8_E5M2FNUZ -> finiteEightBitFloat(data.get(JAVA_BYTE, index), 2, -15);
      case F8_E4M3FNUZ -> finiteEightBitFloat(data.get(JAVA_BYTE, index), 3, -7);
      case I16 -> int16(data, index, order);
      case U16 -> Short.toUnsignedInt(int16(data, index, order));
      case F16 -> Float.float16ToFloat(int16(data, index, order));
      case BF16 -> Float.intBitsToFloat(int16(data, index, order) << 16);
      case I32 -> int32(data, index, order);
      case U32 -> Integer.toUnsignedLong(int32(data, index, order));
      case F32 -> Float.intBitsToFloat(int32(data, index, order));
      case I64 -> int64(data, index, order);
      case U64 -> unsigned(int64(data, index, order));
      case F64 -> Double.longBitsToDouble(int64(data, index, order));
      case F4, F6_E2M3, F6_E3M2, F8_E8M0, C64 -> throw new UnsupportedOperationException(this + " is not read");
    };
  }

  /// A finite float of eight bits; F8_E4M3 has no infinities, and NaN where all bits are set [Micikevicius et al. 2022, FP8
  /// Formats for Deep Learning].
  ///
  /// @param fraction bits behind the first of a number
  /// @param least    exponent of the least number that has all of them
  private static double eightBitFloat(byte code, int fraction, int least) {
    int magnitude = code & 0x7f;
    int first = 1 << fraction;
    double value = (magnitude & (first - 1)) + (magnitude < first ? 0 : first);
    return Math.copySign(Math.scalb(value, Math.max(1, magnitude >> fraction) - 1 + least - fraction), code);
  }

  /// A float of eight bits without infinities and −0, whose code is that of NaN [Noune et al. 2022, 8-bit Numerical Formats
  /// for Deep Neural Networks].
  private static double finiteEightBitFloat(byte code, int fraction, int least) {
    return code == Byte.MIN_VALUE ? Double.NaN : eightBitFloat(code, fraction, least);
  }

  private static int finiteEightBits(float value, int fraction, int least) {
    int code = Float.isNaN(value) ? 0x80 : eightBits(value, fraction, least, 0x80);
    return code == 0x80 && Math.abs(value) < 1 ? 0 : code;
  }

  /// The code of a float of eight bits: its sign, and how many numbers of the type lie between it and zero.
  ///
  /// @param fraction bits behind the first of a number
  /// @param least    exponent of the least number that has all of them
  /// @param overflow the code of what is beyond the range
  private static int eightBits(float value, int fraction, int least, int overflow) {
    int sign = Float.floatToRawIntBits(value) >>> 24 & 0x80;
    if (Float.isNaN(value)) {
      return sign | 0x7f;
    }
    int exponent = Math.max(Math.getExponent(value), least);
    double code = (exponent - least) * (1 << fraction)
        + Math.rint(Math.scalb(Math.abs((double) value), fraction - exponent));
    return sign | (int) Math.min(code, overflow);
  }

  private static short int16(MemorySegment data, long index, ByteOrder order) {
    short bits = data.get(SHORT, index * Short.BYTES);
    return order == LITTLE_ENDIAN ? bits : Short.reverseBytes(bits);
  }

  private static int int32(MemorySegment data, long index, ByteOrder order) {
    int bits = data.get(INT, index * Integer.BYTES);
    return order == LITTLE_ENDIAN ? bits : Integer.reverseBytes(bits);
  }

  private static long int64(MemorySegment data, long index, ByteOrder order) {
    long bits = data.get(LONG, index * Long.BYTES);
    return order == LITTLE_ENDIAN ? bits : Long.reverseBytes(bits);
  }

  private static double unsigned(long bits) {
    return bits >= 0 ? bits : ((bits >>> 1) | (bits & 1)) * 2.0;
  }

  /// The upper half of the float32, after adding just less than half a unit of it, or exactly half if it
  /// is odd.
  private static short bfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >>> 16) | 0x40); // quiet: the payload's upper half alone could read as infinity
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }
}
