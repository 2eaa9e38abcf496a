package dev.espalier.cli;

import dev.espalier.engine.method.LayerSparsity;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// Numbers with a range, checked while the command line is read.
final class Values {
  private Values() {}

  /// A sparsity, 0..1.
  static final class Fraction implements ITypeConverter<Double> {
    @Override
    public Double convert(String text) {
      double value = number(text);
      if (!(value >= 0 && value <= 1)) {
        throw new TypeConversionException(
            "'%s' is not a fraction from 0 to 1, for example 0.9 to remove 90 %% of the weights".formatted(text));
      }
      return value;
    }
  }

  /// Sparsities of one path.
  ///
  /// @param values ascending, at least one
  /// @param own    those of single layers
  record Sparsities(List<Double> values, List<LayerSparsity> own) {
    Sparsities {
      values = List.copyOf(values);
      own = List.copyOf(own);
    }

    boolean isOne() {
      return values.size() == 1;
    }

    /// As it is given.
    @Override
    public String toString() {
      return Stream.concat(values.stream().map(String::valueOf), own.stream().map(LayerSparsity::toString))
          .collect(Collectors.joining(","));
    }
  }

  /// Sparsities with commas between them, in ascending order, and those of single layers, such as `fc2=0.5`.
  static final class RisingFractions implements ITypeConverter<Sparsities> {
    @Override
    public Sparsities convert(String text) {
      List<String> parts = List.of(text.split(",", -1));
      List<Double> values = parts.stream().filter(part -> !part.contains("=")).map(new Fraction()::convert).toList();
      if (!values.stream().sorted().distinct().toList().equals(values)) {
        throw new TypeConversionException(
            "'%s' does not rise: give each value once, in ascending order".formatted(text));
      }
      if (values.isEmpty()) {
        throw new TypeConversionException(
            "'%s' names no sparsity of the other layers: put it first, as in 0.9,%s".formatted(text, parts.getFirst()));
      }
      try {
        return new Sparsities(values,
            parts.stream().filter(part -> part.contains("=")).map(LayerSparsity::parse).toList());
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException(e.getMessage());
      }
    }
  }

  /// Rows and columns of a picture.
  record Shape(int rows, int columns) {
    @Override
    public String toString() {
      return rows + "x" + columns;
    }
  }

  /// A shape, such as `28x28`.
  static final class ShapeConverter implements ITypeConverter<Shape> {
    @Override
    public Shape convert(String text) {
      String[] sides = text.split("x", -1);
      if (sides.length != 2) {
        throw new TypeConversionException("'%s' is not a shape, for example 28x28".formatted(text));
      }
      return new Shape(new AtLeastOne().convert(sides[0]), new AtLeastOne().convert(sides[1]));
    }
  }

  /// One of several equal parts.
  ///
  /// @param number from 1
  record Part(int number, int count) {
    @Override
    public String toString() {
      return "%d/%d".formatted(number, count);
    }
  }

  /// A part such as `2/8`.
  static final class PartConverter implements ITypeConverter<Part> {
    private static final Pattern TEXT = Pattern.compile("(\\d{1,9})/(\\d{1,9})");

    @Override
    public Part convert(String text) {
      Matcher matcher = TEXT.matcher(text);
      if (matcher.matches()) {
        Part part = new Part(Integer.parseInt(matcher.group(1)), Integer.parseInt(matcher.group(2)));
        if (part.number >= 1 && part.number <= part.count) {
          return part;
        }
      }
      throw new TypeConversionException("'%s' is not a part, for example 2/8 for the second of eight".formatted(text));
    }
  }

  /// A number above 0.
  static final class Positive implements ITypeConverter<Double> {
    @Override
    public Double convert(String text) {
      double value = number(text);
      if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
        throw new TypeConversionException("'%s' is not a number above 0".formatted(text));
      }
      return value;
    }
  }

  /// Percentage points, 0..100.
  static final class Points implements ITypeConverter<Double> {
    @Override
    public Double convert(String text) {
      double value = number(text);
      if (!(value >= 0 && value <= 100)) {
        throw new TypeConversionException("'%s' is not a number of percentage points, from 0 to 100".formatted(text));
      }
      return value;
    }
  }

  /// A count of 1 and more.
  static final class AtLeastOne implements ITypeConverter<Integer> {
    @Override
    public Integer convert(String text) {
      return (int) integer(text, 1, Integer.MAX_VALUE);
    }
  }

  /// How long to train with labels.
  ///
  /// @param count epochs
  /// @param eachRound in each round of pruning, and not after the last alone
  record Epochs(int count, boolean eachRound) {
    @Override
    public String toString() {
      return eachRound ? count + ":each-round" : String.valueOf(count);
    }
  }

  /// Epochs, and `:each-round` behind them.
  static final class FineTune implements ITypeConverter<Epochs> {
    private static final String EACH_ROUND = ":each-round";

    @Override
    public Epochs convert(String text) {
      boolean eachRound = text.endsWith(EACH_ROUND);
      return new Epochs(
          new AtLeastOne().convert(eachRound ? text.substring(0, text.length() - EACH_ROUND.length()) : text),
          eachRound);
    }
  }

  /// A size in memory: a number of bytes, or of KiB, MiB, GiB or TiB with K, M, G or T behind it.
  static final class Bytes implements ITypeConverter<Long> {
    private static final String UNITS = "KMGT";

    @Override
    public Long convert(String text) {
      int unit = text.isEmpty() ? -1 : UNITS.indexOf(Character.toUpperCase(text.charAt(text.length() - 1)));
      String number = unit < 0 ? text : text.substring(0, text.length() - 1);
      try {
        double bytes = Double.parseDouble(number) * Math.pow(1024, unit + 1.0);
        if (bytes >= 1 && bytes < Long.MAX_VALUE) {
          return (long) bytes;
        }
      } catch (NumberFormatException e) {
        // Refused below.
      }
      throw new TypeConversionException("'%s' is not a size, for example 512M or 20G".formatted(text));
    }
  }

  /// A character between the fields of a CSV file, or its name.
  static final class Separator implements ITypeConverter<Character> {
    @Override
    public Character convert(String text) {
      return switch (text) {
        case "comma" -> ',';
        case "semicolon" -> ';';
        case "tab", "\\t" -> '\t';
        case "space" -> ' ';
        default -> {
          if (text.length() != 1 || !";,:|\t ".contains(text)) {
            throw new TypeConversionException(
                "'%s' is not a separator: use comma, semicolon, tab, space, ':' or '|'".formatted(text));
          }
          yield text.charAt(0);
        }
      };
    }
  }

  /// The decimal mark of numbers.
  static final class DecimalMark implements ITypeConverter<Character> {
    @Override
    public Character convert(String text) {
      return switch (text) {
        case "point", "." -> '.';
        case "comma", "," -> ',';
        default -> throw new TypeConversionException("'%s' is not a decimal mark: use point or comma".formatted(text));
      };
    }
  }

  /// Whether something is so. For picocli, a [Boolean] is a flag, whatever its arity.
  enum Answer {
    YES, NO;

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /// `yes` or `no`.
  static final class YesOrNo implements ITypeConverter<Answer> {
    @Override
    public Answer convert(String text) {
      return Stream.of(Answer.values()).filter(answer -> answer.toString().equals(text)).findFirst()
          .orElseThrow(() -> new TypeConversionException("'%s' is neither yes nor no".formatted(text)));
    }
  }

  /// A count of 1 and more.
  static final class AtLeastOneLong implements ITypeConverter<Long> {
    @Override
    public Long convert(String text) {
      return integer(text, 1, Long.MAX_VALUE);
    }
  }

  /// A count of 0 and more.
  static final class AtLeastZeroLong implements ITypeConverter<Long> {
    @Override
    public Long convert(String text) {
      return integer(text, 0, Long.MAX_VALUE);
    }
  }

  private static double number(String text) {
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException e) {
      return Double.NaN;
    }
  }

  private static long integer(String text, long least, long most) {
    try {
      long value = Long.parseLong(text);
      if (value >= least && value <= most) {
        return value;
      }
    } catch (NumberFormatException e) {
      // Said below.
    }
    throw new TypeConversionException("'%s' is not an integer from %d to %d".formatted(text, least, most));
  }
}
