package dev.espalier.engine.matrix;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HostCopyTest {
  /// Around the bounds of one, two and three parts, to memory that others may reach and memory that they may not.
  @ParameterizedTest
  @CsvSource({"0, 3", "1, 3", "4194303, 3", "8388607, 3", "8388608, 3", "12582917, 3", "20000003, 3", "20000003, 1"})
  void copiesEveryByteAndNoMore(long bytes, int threads) {
    try (Arena shared = Arena.ofShared(); Arena confined = Arena.ofConfined()) {
      MemorySegment from = shared.allocate(bytes + 8).asSlice(0, bytes);
      for (long i = 0; i < bytes; i++) {
        from.set(ValueLayout.JAVA_BYTE, i, (byte) (i * 31 + i / 251));
      }
      for (Arena arena : new Arena[]{shared, confined}) {
        MemorySegment to = arena.allocate(bytes + 1);
        to.set(ValueLayout.JAVA_BYTE, bytes, (byte) 7);
        HostCopy.copy(from, to, threads);
        assertEquals(-1, from.mismatch(to.asSlice(0, bytes)));
        assertEquals(7, to.get(ValueLayout.JAVA_BYTE, bytes));
      }
    }
  }
}
