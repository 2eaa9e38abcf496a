package dev.espalier.engine.report;

import java.util.Locale;

/// Numbers as the page shows them; a narrow no-break space stands between groups and before units.
final class Numbers {
  private static final String SPACE = "\u202f";
  private static final String SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

  private Numbers() {}

  static String count(long value) {
    return String.format(Locale.ROOT, "%,d", value).replace(",", SPACE);
  }

  /// At least two decimals, and as many as it takes not to call nearly nothing 0 or nearly all 100 %.
  static String percent(double fraction) {
    double percent = 100 * fraction;
    int decimals = 2;
    while (decimals < 12 && percent > 0 && percent < 100
        && (percent < 0.5 * Math.pow(10, -decimals) || 100 - percent <= 0.5 * Math.pow(10, -decimals))) {
      decimals++;
    }
    return percent(fraction, decimals);
  }

  static String percent(double fraction, int decimals) {
    return fixed(100 * fraction, decimals) + SPACE + "%";
  }

  /// A fraction that a user chose, without trailing zeros: 90 %, 97.5 %.
  static String shortPercent(double fraction) {
    String digits = fixed(100 * fraction, 3);
    return digits.replaceFirst("\\.?0+$", "") + SPACE + "%";
  }

  /// Four significant digits.
  static String value(double value) {
    if (value == 0) {
      return "0";
    }
    double magnitude = Math.abs(value);
    if (magnitude >= 1e-3 && magnitude < 1e5) {
      int decimals = Math.clamp(3 - (int) Math.floor(Math.log10(magnitude)), 0, 6);
      return fixed(value, decimals);
    }
    String digits = String.format(Locale.ROOT, "%.2e", value);
    int e = digits.indexOf('e');
    return digits.substring(0, e).replace('-', '−') + SPACE + "×" + SPACE + "10"
        + superscript(Integer.parseInt(digits.substring(e + 1)));
  }

  static String seconds(double seconds) {
    if (seconds < 0.9995) {
      return fixed(1000 * seconds, seconds < 0.00995 ? 1 : 0) + SPACE + "ms";
    }
    if (seconds < 99.95) {
      return fixed(seconds, seconds < 9.995 ? 2 : 1) + SPACE + "s";
    }
    long whole = Math.round(seconds);
    if (whole < 3600) {
      return String.format(Locale.ROOT, "%d%smin %02d%ss", whole / 60, SPACE, whole % 60, SPACE);
    }
    return String.format(Locale.ROOT, "%d%sh %02d%smin", whole / 3600, SPACE, whole / 60 % 60, SPACE);
  }

  /// Percentage points, with a sign.
  static String points(double difference) {
    String digits = fixed(100 * difference, 2);
    return (digits.startsWith("−") ? digits : "+" + digits) + SPACE + "points";
  }

  private static String fixed(double value, int decimals) {
    String digits = String.format(Locale.ROOT, "%." + decimals + "f", value);
    return digits.matches("-0\\.?0*") ? digits.substring(1) : digits.replace('-', '−');
  }

  private static String superscript(int exponent) {
    StringBuilder text = new StringBuilder(exponent < 0 ? "⁻" : "");
    String.valueOf(Math.abs(exponent)).chars().forEach(digit -> text.append(SUPERSCRIPTS.charAt(digit - '0')));
    return text.toString();
  }
}
