package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Isolated("sets the default locale")
final class MemoryBudgetTest {
  @ParameterizedTest
  @CsvSource(delimiter = '|', value = {"0|0 KiB", "1|1 KiB", "1024|1 KiB", "1025|2 KiB", "12288|12 KiB",
      "1048575|1024 KiB", "1048576|1.0 MiB", "1572864|1.5 MiB", "1073741824|1,024.0 MiB", "84825604096|80,896.0 MiB"})
  void saysBytesInKibibytesOrMebibytes(long bytes, String text) {
    assertEquals(text, MemoryBudget.text(bytes));
  }

  @Test
  void saysTheSameInEveryLocale() {
    Locale before = Locale.getDefault();
    try {
      Locale.setDefault(Locale.GERMANY);
      assertEquals("1,536.5 MiB", MemoryBudget.text((3 << 29) + (1 << 19)));
    } finally {
      Locale.setDefault(before);
    }
  }
}
