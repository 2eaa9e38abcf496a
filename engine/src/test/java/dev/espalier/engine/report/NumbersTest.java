package dev.espalier.engine.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;

@Isolated("sets the default locale")
class NumbersTest {
  @Test
  void counts() {
    reads("1 234 567", "1234567", numbers -> numbers.count(1_234_567));
    reads("−1 234", "-1234", numbers -> numbers.count(-1234));
    reads("1 000 × 64", "1000 x 64", numbers -> numbers.shape(1000, 64));
  }

  @Test
  void valuesHaveFourDigits() {
    reads("0", "0", numbers -> numbers.value(0));
    reads("0", "0", numbers -> numbers.value(-0.0));
    reads("0.07420", "0.07420", numbers -> numbers.value(0.0742));
    reads("426.1", "426.1", numbers -> numbers.value(426.13));
    reads("4 261", "4261", numbers -> numbers.value(4261.3));
    reads("−1.500", "-1.500", numbers -> numbers.value(-1.5));
    reads("2.400 × 10⁻⁵", "2.400e-05", numbers -> numbers.value(2.4e-5));
    reads("−1.000 × 10¹²", "-1.000e+12", numbers -> numbers.value(-1e12));
    reads("4.900 × 10⁻³²⁴", "4.900e-324", numbers -> numbers.value(Double.MIN_VALUE));
  }

  @Test
  void valuesAreRoundedBeforeTheNotationIsChosen() {
    reads("10.00", "10.00", numbers -> numbers.value(9.99996));
    reads("0.001000", "0.001000", numbers -> numbers.value(0.000999996));
    reads("9.999 × 10⁻⁴", "9.999e-04", numbers -> numbers.value(0.0009999));
    reads("12 346", "12346", numbers -> numbers.value(12345.6));
    reads("99 949", "99949", numbers -> numbers.value(99949.4));
    reads("1.000 × 10⁵", "1.000e+05", numbers -> numbers.value(99999.9));
    reads("1.000 × 10⁵", "1.000e+05", numbers -> numbers.value(1e5));
  }

  /// A terminal's value is a number that programs can read, within half a unit of the fourth digit.
  @Test
  void plainValuesAreNumbers() {
    Random random = new Random(3);
    for (int i = 0; i < 10_000; i++) {
      double value = random.nextGaussian() * Math.pow(10, random.nextInt(-12, 12));
      double read = Double.parseDouble(Numbers.PLAIN.value(value));
      assertTrue(Math.abs(read - value) <= 5.01e-4 * Math.abs(value), () -> "seed 3: " + value + " reads " + read);
    }
  }

  @Test
  void valuesThatAreAbsentOrNoNumber() {
    reads("–", "-", numbers -> numbers.value(OptionalDouble.empty()));
    reads("–", "-", numbers -> numbers.percent(OptionalDouble.empty()));
    reads("1.000", "1.000", numbers -> numbers.value(OptionalDouble.of(1)));
    reads("90.00 %", "90.00 %", numbers -> numbers.percent(OptionalDouble.of(0.9)));
    reads("NaN", "NaN", numbers -> numbers.value(Double.NaN));
    reads("−Infinity", "-Infinity", numbers -> numbers.value(Double.NEGATIVE_INFINITY));
  }

  @Test
  void fixedDecimals() {
    reads("1.55", "1.55", numbers -> numbers.fixed(1.5499, 2));
    reads("−33", "-33", numbers -> numbers.fixed(-32.67, 0));
    reads("0.0", "0.0", numbers -> numbers.fixed(-0.04, 1));
  }

  @Test
  void percentages() {
    reads("90.00 %", "90.00 %", numbers -> numbers.percent(0.9));
    reads("99.9996 %", "99.9996 %", numbers -> numbers.percent(0.999996));
    reads("0.0003 %", "0.0003 %", numbers -> numbers.percent(0.000003));
    reads("0.00 %", "0.00 %", numbers -> numbers.percent(0));
    reads("100.00 %", "100.00 %", numbers -> numbers.percent(1));

    reads("97.5 %", "97.5 %", numbers -> numbers.exactPercent(0.975));
    reads("99.99995 %", "99.99995 %", numbers -> numbers.exactPercent(0.9999995));
    reads("0 %", "0 %", numbers -> numbers.exactPercent(0));
    reads("100 %", "100 %", numbers -> numbers.exactPercent(1));

    reads("61.5 %", "61.5 %", numbers -> numbers.share(0.6149));
    reads("0.1 %", "0.1 %", numbers -> numbers.share(0.0005));
    reads("< 0.1 %", "< 0.1 %", numbers -> numbers.share(0.0004));
    reads("0.0 %", "0.0 %", numbers -> numbers.share(0));

    reads("−0.20 points", "-0.20 points", numbers -> numbers.points(-0.002));
    reads("+0.00 points", "+0.00 points", numbers -> numbers.points(-1e-9));
  }

  @Test
  void sparsitiesThatASearchFound() {
    reads("94.37 %", "94.37 %", numbers -> numbers.found(0.9436865));
    reads("43.8 %", "43.8 %", numbers -> numbers.found(0.4375));
    reads("99.9877 %", "99.9877 %", numbers -> numbers.found(0.9998765432));
    reads("0 %", "0 %", numbers -> numbers.found(0));
    reads("100 %", "100 %", numbers -> numbers.found(1));
  }

  @Test
  void durations() {
    reads("0.0 ms", "0.0 ms", numbers -> numbers.seconds(0));
    reads("8.1 ms", "8.1 ms", numbers -> numbers.seconds(0.0081));
    reads("412 ms", "412 ms", numbers -> numbers.seconds(0.412));
    reads("1.00 s", "1.00 s", numbers -> numbers.seconds(0.9999));
    reads("10.0 s", "10.0 s", numbers -> numbers.seconds(9.999));
    reads("2 min 05 s", "2 min 05 s", numbers -> numbers.seconds(125));
    reads("1 h 01 min", "1 h 01 min", numbers -> numbers.seconds(3661));
  }

  /// In every locale, because the default one has no influence.
  ///
  /// @param typographic with spaces in place of narrow no-break spaces
  private static void reads(String typographic, String plain, Function<Numbers, String> format) {
    Locale before = Locale.getDefault();
    try {
      for (String tag : List.of("en", "de-DE", "ar-EG", "hi-IN-u-nu-deva")) {
        Locale.setDefault(Locale.forLanguageTag(tag));
        assertEquals(typographic, format.apply(Numbers.TYPOGRAPHIC).replace('\u202f', ' '), tag);
        assertEquals(plain, format.apply(Numbers.PLAIN), tag);
      }
    } finally {
      Locale.setDefault(before);
    }
  }
}
