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

  /// The formula of the formats: (−1)ˢ 2^(E − bias) (1 + M / 2ᶠ), and without the 1 and with E = 1 where E is 0.
  private static double eightBits(DType dtype, int code) {
    boolean isFinite = dtype.name().endsWith("FNUZ");
    int fraction = dtype.name().startsWith("F8_E4M3") ? 3 : 2;
    int bias = (fraction == 3 ? 7 : 15) + (isFinite ? 1 : 0);
    if (isFinite && code == 0x80) {
      return Double.NaN;
    }
    int exponent = (code & 0x7f) / (1 << fraction);
    int mantissa = code % (1 << fraction);
    boolean isLast = exponent == (0x7f >> fraction);
    if (isLast && !isFinite && (dtype == DType.F8_E5M2 || mantissa == 7)) {
      return dtype == DType.F8_E5M2 && mantissa == 0
          ? (code < 128 ? Double.POSITIVE_INFINITY : Double.NEGATIVE_INFINITY)
          : Double.NaN;
    }
    double magnitude = exponent == 0
        ? Math.pow(2, 1 - bias) * mantissa / (1 << fraction)
        : Math.pow(2, exponent - bias) * (1 + (double) mantissa / (1 << fraction));
    return code < 128 ? magnitude : -magnitude;
  }

  @ParameterizedTest
  @EnumSource(names = {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})
  void everyEightBitFloatIsReadAndSurvives(DType dtype) {
    for (int code = 0; code < 256; code++) {
      MemorySegment original = MemorySegment.ofArray(new byte[]{(byte) code});
      double value = dtype.value(original, 0, ByteOrder.LITTLE_ENDIAN);
      assertEquals(eightBits(dtype, code), value, "code " + code);
      assertEquals((float) value, dtype.read(original, 0), "code " + code);
      dtype.write(BUFFER, 3, (float) value);
      if (Double.isNaN(value)) {
        assertTrue(Double.isNaN(dtype.value(BUFFER, 3, ByteOrder.LITTLE_ENDIAN)), "code " + code);
      } else {
        assertEquals(code, (int) DType.U8.read(BUFFER, 3));
      }
    }
    double largest = IntStream.range(0, 256).mapToDouble(code -> eightBits(dtype, code)).filter(Double::isFinite).max()
        .orElseThrow();
    assertEquals(dtype == DType.F8_E4M3 ? 448 : dtype == DType.F8_E4M3FNUZ ? 240 : 57344, largest);
  }

  static Stream<Arguments> smallFloats() {
    return Stream.of(DType.F8_E4M3, DType.F8_E5M2, DType.F8_E4M3FNUZ, DType.F8_E5M2FNUZ).flatMap(dtype -> Stream
        .concat(RandomCases.of(300, RandomCases.ints()).map(bits -> bits.get()[0]),
            // half way between two numbers, and just beside: of all exponents that the types have, and below
            IntStream.rangeClosed(-18, 16).boxed()
                .flatMap(exponent -> IntStream.range(0, 16).boxed()
                    .flatMap(eighth -> Stream.of(-1, 0, 1)
                        .map(beside -> Float.floatToIntBits(Math.scalb(1 + eighth / 16f, exponent)) + beside))))
        .map(bits -> Arguments.of(dtype, bits)));
  }

  /// Of all 256 codes none is nearer, and of two equally near ones the even is chosen. What is nearer to the number that
  /// would follow the largest is beyond the range.
  @ParameterizedTest
  @MethodSource("smallFloats")
  void eightBitFloatsAreTheNearest(DType dtype, int bits) {
    float value = Float.intBitsToFloat(bits);
    dtype.write(BUFFER, 0, value);
    double written = dtype.value(BUFFER, 0, ByteOrder.LITTLE_ENDIAN);
    // half way to 480, 256 and 65536
    double beyond = dtype == DType.F8_E4M3 ? 464 : dtype == DType.F8_E4M3FNUZ ? 248 : 61440;
    if (Float.isNaN(value) || Math.abs(value) > beyond || (Math.abs(value) == beyond && dtype != DType.F8_E4M3)) {
      assertTrue(!Double.isFinite(written), value + " became " + written);
      return;
    }
    double nearest = Double.NaN;
    for (int even = 0; even < 2; even++) { // the odd codes first
      for (int code = 1 - even; code < 256; code += 2) {
        double candidate = eightBits(dtype, code);
        if (Double.isFinite(candidate) && !(Math.abs(candidate - value) > Math.abs(nearest - value))) {
          nearest = candidate;
        }
      }
    }
    double expected = nearest;
    assertTrue(expected == written, () -> "bits=%x: %s".formatted(bits, written)); // of either sign, if zero
  }

  @Test
  void otherTypesAreRefused() {
    assertThrows(UnsupportedOperationException.class, () -> DType.F8_E8M0.read(BUFFER, 0));
    assertThrows(UnsupportedOperationException.class, () -> DType.I32.write(BUFFER, 0, 1));
  }
}
