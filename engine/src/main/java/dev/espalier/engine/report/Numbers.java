package dev.espalier.engine.report;

import dev.espalier.engine.Nouns;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Locale;
import java.util.OptionalDouble;

/// Formats the numbers that people read, on the page and in the terminal. Both styles round by the same rules and
/// differ only in the signs around the digits. The default locale has no influence.
public enum Numbers {
  /// For `report.html`: `1 234 567`, `−0.1250`, `2.400 × 10⁻⁵`, with narrow no-break spaces.
  TYPOGRAPHIC("\u202f", "\u202f", "−", "×", "–"),
  /// For terminals: `1234567`, `-0.1250`, `2.400e-05`, in ASCII.
  PLAIN(" ", "", "-", "x", "-");

  private static final String SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

  private final String space;
  private final String group;
  private final String minus;
  private final String times;
  private final String absent;

  Numbers(String space, String group, String minus, String times, String absent) {
    this.space = space;
    this.group = group;
    this.minus = minus;
    this.times = times;
    this.absent = absent;
  }

  /// All digits.
  public String count(long value) {
    return signed(String.format(Locale.ROOT, "%,d", value).replace(",", group));
  }

  /// All digits, and a noun behind them: `1 sample`, `12 samples`.
  ///
  /// @param noun of one, whose plural ends in s
  public String counted(long value, String noun) {
    return count(value) + " " + Nouns.of(value, noun);
  }

  /// Outputs × inputs.
  public String shape(int outputs, int inputs) {
    return count(outputs) + " " + times + " " + count(inputs);
  }

  /// Four significant digits, and all digits of the whole part. Scientific notation from 100 000 on and below 0.001,
  /// after rounding. NaN and infinities by their Java names.
  public String value(double value) {
    if (value == 0) {
      return "0";
    }
    if (!Double.isFinite(value)) {
      return signed(String.valueOf(value));
    }
    String scientific = String.format(Locale.ROOT, "%.3e", value);
    int e = scientific.indexOf('e');
    int exponent = Integer.parseInt(scientific.substring(e + 1));
    if (exponent >= -3 && exponent < 5) {
      return fixed(value, Math.max(0, 3 - exponent));
    }
    return switch (this) {
      case TYPOGRAPHIC -> signed(scientific.substring(0, e)) + space + times + space + "10" + superscript(exponent);
      case PLAIN -> scientific;
    };
  }

  /// As [#value(double)], or a dash.
  public String value(OptionalDouble value) {
    return value.isPresent() ? value(value.getAsDouble()) : absent;
  }

  /// A fraction with two decimals of a percent: 0.9 as `90.00 %`. More decimals where two would round a positive
  /// fraction to 0 % or one below 1 to 100 %.
  public String percent(double fraction) {
    double percent = 100 * fraction;
    int decimals = 2;
    while (decimals < 12 && percent > 0 && percent < 100
        && (percent < 0.5 * Math.pow(10, -decimals) || 100 - percent <= 0.5 * Math.pow(10, -decimals))) {
      decimals++;
    }
    return fixed(percent, decimals) + space + "%";
  }

  /// As [#percent(double)], or a dash.
  public String percent(OptionalDouble fraction) {
    return fraction.isPresent() ? percent(fraction.getAsDouble()) : absent;
  }

  /// A fraction that a user chose, with the digits it has and no trailing zeros: 0.9 as `90 %`.
  public String exactPercent(double fraction) {
    return signed(BigDecimal.valueOf(fraction).movePointRight(2).stripTrailingZeros().toPlainString()) + space + "%";
  }

  /// A sparsity that a search came to: what is left of the weights has three significant digits.
  public String found(double sparsity) {
    return exactPercent(BigDecimal.ONE
        .subtract(BigDecimal.valueOf(1 - sparsity).round(new MathContext(3, RoundingMode.HALF_EVEN))).doubleValue());
  }

  /// A part of a whole with one decimal of a percent; `< 0.1 %` for a positive fraction that rounds to 0.
  public String share(double fraction) {
    return (fraction > 0 && fraction < 0.0005 ? "<" + space + "0.1" : fixed(100 * fraction, 1)) + space + "%";
  }

  /// The difference of two fractions in percentage points, always with a sign.
  public String points(double difference) {
    String digits = fixed(100 * difference, 2);
    return (digits.startsWith(minus) ? digits : "+" + digits) + space + "points";
  }

  /// A duration of at least 0 seconds, in the unit that suits it: `8.1 ms`, `412 ms`, `3.87 s`, `2 min 05 s`, `1 h 01
  /// min`.
  public String seconds(double seconds) {
    if (seconds < 0.9995) {
      return fixed(1000 * seconds, seconds < 0.00995 ? 1 : 0) + space + "ms";
    }
    if (seconds < 99.95) {
      return fixed(seconds, seconds < 9.995 ? 2 : 1) + space + "s";
    }
    long whole = Math.round(seconds);
    return whole < 3600
        ? String.format(Locale.ROOT, "%d%smin %02d%ss", whole / 60, space, whole % 60, space)
        : String.format(Locale.ROOT, "%d%sh %02d%smin", whole / 3600, space, whole / 60 % 60, space);
  }

  /// A fixed number of decimals, where the caller knows how many a measurement is worth.
  public String fixed(double value, int decimals) {
    String digits = String.format(Locale.ROOT, "%,." + decimals + "f", value).replace(",", group);
    return digits.matches("-0\\.?0*") ? digits.substring(1) : signed(digits);
  }

  private String signed(String digits) {
    return digits.replace("-", minus);
  }

  private static String superscript(int exponent) {
    StringBuilder text = new StringBuilder(exponent < 0 ? "⁻" : "");
    String.valueOf(Math.abs(exponent)).chars().forEach(digit -> text.append(SUPERSCRIPTS.charAt(digit - '0')));
    return text.toString();
  }
}
