package dev.espalier.engine.statistics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.statistics.Provenance.Range;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Isolated("sets the default locale")
final class ProvenanceTest {
  private static final Path FILE = Path.of("sums");
  private static final String X = "1".repeat(64);
  private static final String Y = "2".repeat(64);

  private static Provenance of(Range... ranges) {
    return new Provenance("model", Map.of("sensitivity", "jacobian"), List.of(ranges));
  }

  private static Range x(long first, long end) {
    return new Range(X, first, end, 100, "x 1.npy");
  }

  @Test
  void survivesMetadata() throws FormatException {
    Provenance provenance = of(x(10, 20), x(40, 100), new Range(Y, 0, 5, 5, "größe\n.csv"));
    Map<String, String> metadata = new HashMap<>(provenance.toMetadata());
    metadata.put("samples", "75");
    assertEquals(provenance, Provenance.of(FILE, metadata));
  }

  @Test
  void theLocaleHasNoInfluence() {
    Map<String, String> expected = of(x(10, 20)).toMetadata();
    Locale before = Locale.getDefault();
    Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
    try {
      assertEquals(expected, of(x(10, 20)).toMetadata());
    } finally {
      Locale.setDefault(before);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "x 0 1 1 n", "Z 0 1 1 n", "H 1 1 1 n", "H 0 2 1 n", "H -1 1 1 n", "H 0 1", "H 0 1 1e3 n",
      "H 0 9999999999999999999 1 n"})
  void refusesRangesThatAreNone(String text) {
    Map<String, String> metadata = Map.of("model", "m", "range/0", text.replace("H", X));
    assertTrue(assertThrows(FormatException.class, () -> Provenance.of(FILE, metadata)).getMessage()
        .endsWith("is no range of samples"));
  }

  @Test
  void refusesSumsOfUnknownOrigin() {
    for (Map<String, String> metadata : List.of(Map.<String, String>of(), Map.of("model", "m"),
        Map.of("range/0", X + " 0 1 1 n"))) {
      assertEquals("sums: its metadata do not say of which model and samples its sums are",
          assertThrows(FormatException.class, () -> Provenance.of(FILE, metadata)).getMessage());
    }
  }

  @Test
  void rangesMergeUnlessASampleIsInBoth() {
    Provenance merged = of(x(40, 60)).merge(of(x(0, 10), x(60, 100))).merge(of(new Range(Y, 0, 50, 60, "y")));
    assertEquals(List.of(x(0, 10), x(40, 60), x(60, 100), new Range(Y, 0, 50, 60, "y")), merged.ranges());
    assertEquals(List.of("of the 100 samples of x 1.npy, these are missing: 11 to 40",
        "of the 60 samples of y, these are missing: 51 to 60"), merged.missing());
    assertEquals(List.of(), of(x(0, 50)).merge(of(x(50, 100))).missing());
    refused("samples 60 to 60 of x 1.npy are in both; count each once", of(x(59, 70)));
    refused("they are of 99 samples of x, not of 100", of(new Range(X, 0, 10, 99, "x")));
    refused("they are of another model", new Provenance("other", Map.of(), List.of(x(0, 10))));
    refused("sensitivity is not set in one and jacobian in the other",
        new Provenance("model", Map.of(), List.of(x(0, 10))));
  }

  private static void refused(String message, Provenance other) {
    assertEquals(message, assertThrows(MismatchException.class, () -> of(x(40, 60)).merge(other)).getMessage());
  }
}
