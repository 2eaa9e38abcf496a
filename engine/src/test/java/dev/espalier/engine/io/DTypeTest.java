package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.RandomCases;
import java.lang.foreign.MemorySegment;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

class DTypeTest {
  private static final MemorySegment BUFFER = MemorySegment.ofArray(new byte[16]);

  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16"})
  void everySixteenBitNumberSurvives(DType dtype) {
    for (int bits = 0; bits <= 0xffff; bits++) {
      byte[] original = {(byte) bits, (byte) (bits >>> 8)};
      float value = dtype.read(MemorySegment.ofArray(original), 0);
      dtype.write(BUFFER, 0, value);
      int written = (int) DType.U16.read(BUFFER, 0);
      if (Float.isNaN(value)) {
        assertTrue(Float.isNaN(dtype.read(BUFFER, 0)), Integer.toHexString(bits));
      } else {
        assertEquals(Integer.toHexString(bits), Integer.toHexString(written));
      }
    }
  }

  /// Bits of floats; the first ones lie half way between two bfloat16, beyond the largest, and around infinity.
  static Stream<Arguments> floats() {
    IntStream halves = IntStream.of(0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x7f7f8000, 0x7f7fffff, 0x7f800000,
        0x7f800001, 0x7fc00000, 0x8000, 0x80800000);
    return Stream.concat(halves.flatMap(bits -> IntStream.of(bits, bits | Integer.MIN_VALUE)).mapToObj(Arguments::of),
        RandomCases.of(300, RandomCases.ints()));
  }

  /// No bfloat16 is nearer, and of two equally near ones the even is chosen.
  @ParameterizedTest
  @MethodSource("floats")
  void bfloat16IsTheNearest(int bits) {
    float value = Float.intBitsToFloat(bits);
    DType.BF16.write(BUFFER, 0, value);
    float rounded = DType.BF16.read(BUFFER, 0);
    if (Float.isNaN(value)) {
      assertTrue(Float.isNaN(rounded));
      return;
    }
    int down = bits & 0xffff0000;
    int up = down + 0x10000;
    long toDown = Integer.toUnsignedLong(bits) - Integer.toUnsignedLong(down);
    boolean downIsEven = (down & 0x10000) == 0;
    int expected = toDown < 0x8000 || (toDown == 0x8000 && downIsEven) ? down : up;
    assertEquals(Float.intBitsToFloat(expected), rounded, () -> "bits=" + Integer.toHexString(bits));
  }

  @ParameterizedTest
  @MethodSource("floats")
  void float32AndFloat64KeepEveryFloat(int bits) {
    float value = Float.intBitsToFloat(bits);
    for (DType dtype : new DType[]{DType.F32, DType.F64}) {
      dtype.write(BUFFER, 1, value);
      assertEquals(value, dtype.read(BUFFER, 1));
    }
  }

  @Test
  void numbersAreReadInEitherByteOrder() {
    byte[] bytes = {(byte) 0xff, (byte) 0xfe, (byte) 0xfd, (byte) 0xfc, (byte) 0xfb, (byte) 0xfa, (byte) 0xf9, 2};
    MemorySegment segment = MemorySegment.ofArray(bytes);
    for (ByteOrder order : new ByteOrder[]{ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN}) {
      ByteBuffer buffer = ByteBuffer.wrap(bytes).order(order);
      assertEquals(1, DType.BOOL.value(segment, 0, order));
      assertEquals(255, DType.U8.value(segment, 0, order));
      assertEquals(-1, DType.I8.value(segment, 0, order));
      assertEquals(buffer.getShort(0), DType.I16.value(segment, 0, order));
      assertEquals(buffer.getShort(0) & 0xffff, DType.U16.value(segment, 0, order));
      assertEquals(buffer.getInt(0), DType.I32.value(segment, 0, order));
      assertEquals((double) Integer.toUnsignedLong(buffer.getInt(0)), DType.U32.value(segment, 0, order));
      assertEquals((double) buffer.getLong(0), DType.I64.value(segment, 0, order));
      double unsigned = new BigInteger(Long.toUnsignedString(buffer.getLong(0))).doubleValue();
      assertEquals(unsigned, DType.U64.value(segment, 0, order));
      assertEquals(buffer.getDouble(0), DType.F64.value(segment, 0, order));
      assertEquals(buffer.getFloat(4), DType.F32.value(segment, 1, order));
    }
  }

  @Test
  void otherTypesAreRefused() {
    assertThrows(UnsupportedOperationException.class, () -> DType.F8_E4M3.read(BUFFER, 0));
    assertThrows(UnsupportedOperationException.class, () -> DType.I32.write(BUFFER, 0, 1));
  }
}
