package dev.espalier.engine.report;

import static dev.espalier.engine.report.Numbers.TYPOGRAPHIC;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Formatter;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/// A chart of lines with bands of error, as the text of an SVG file that stands alone and follows the reader's light or
/// dark colours.
///
/// @param title above the chart
/// @param x the horizontal axis
/// @param y the vertical axis
/// @param lines at most eighteen, each with at least one point
public record LineChart(String title, Axis x, Axis y, List<Line> lines) {
  private static final int PLOT = 570;
  private static final int HEIGHT = 420;
  private static final int LEFT = 72;
  /// Of a letter in the legend.
  private static final int LETTER = 7;
  private static final int TOP = 40;
  private static final int BOTTOM = 52;
  private static final int ROW = 20;
  private static final int COLOURS = 6;
  private static final List<String> STYLES = List.of("", " dashed", " dotted");
  private static final int MOST_LINES = STYLES.size() * COLOURS;
  /// Ticks of fractions by what they leave.
  private static final double[] RESTS = {0, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999};

  /// The scale of an axis.
  public enum Scale {
    /// Equal steps are equal differences.
    LINEAR,
    /// Equal steps are equal ratios; for values above 0.
    LOGARITHMIC,
    /// Equal steps are equal ratios of what a fraction leaves of 1; for values from 0 on, below 1.
    REST
  }

  /// An axis.
  ///
  /// @param isFraction whether values are fractions, which are shown in percent
  public record Axis(String title, Scale scale, boolean isFraction) {
    /// Numbers outside of these have an exponent.
    private static final double SMALLEST = 1e-3;
    private static final double LARGEST = 1e5;

    double position(double value) {
      return switch (scale) {
        case LINEAR -> value;
        case LOGARITHMIC -> Math.log10(value);
        case REST -> -Math.log10(1 - value);
      };
    }

    boolean hasPlaceFor(double value) {
      return Double.isFinite(position(value)) && (scale != Scale.REST || value >= 0);
    }

    String label(double value) {
      if (isFraction) {
        return TYPOGRAPHIC.exactPercent(value);
      }
      double size = Math.abs(value);
      return size == 0 || (size >= SMALLEST && size < LARGEST)
          ? BigDecimal.valueOf(value).stripTrailingZeros().toPlainString()
          : TYPOGRAPHIC.value(value).replace(".000", "");
    }
  }

  /// A line through points of rising x.
  ///
  /// @param name in the legend
  public record Line(String name, List<Mark> marks) {
    /// @throws IllegalArgumentException if there are no points
    public Line {
      marks = List.copyOf(marks);
      if (marks.isEmpty()) {
        throw new IllegalArgumentException(name + " has no points");
      }
    }
  }

  /// A point with the band of its error.
  ///
  /// @param deviation on both sides of y, at least 0
  public record Mark(double x, double y, double deviation) {}

  /// The range of an axis and its ticks, in values.
  private record Range(Axis axis, double low, double high, List<Double> ticks) {
    /// 0..1 from the low end to the high one.
    double share(double value) {
      double position = axis.position(Math.clamp(value, low, high));
      return (position - axis.position(low)) / (axis.position(high) - axis.position(low));
    }
  }

  /// @throws IllegalArgumentException if there are no lines or too many, or a value does not suit its axis
  public LineChart {
    lines = List.copyOf(lines);
    if (lines.isEmpty() || lines.size() > MOST_LINES) {
      throw new IllegalArgumentException("%d lines: use 1 to %d".formatted(lines.size(), MOST_LINES));
    }
    requireFits(x, lines.stream().flatMap(line -> line.marks().stream()).mapToDouble(Mark::x));
    requireFits(y, lines.stream().flatMap(line -> line.marks().stream()).mapToDouble(Mark::y));
  }

  private static void requireFits(Axis axis, DoubleStream values) {
    values.forEach(value -> {
      if (!axis.hasPlaceFor(value)) {
        throw new IllegalArgumentException("%s: %s has no place on the axis".formatted(axis.title(), value));
      }
    });
  }

  /// The SVG file's text.
  public String toSvg() {
    Range across = range(x, lines.stream().flatMap(line -> line.marks().stream()).mapToDouble(Mark::x).toArray());
    Range up = range(y, lines.stream().flatMap(line -> line.marks().stream())
        .flatMapToDouble(mark -> DoubleStream.of(mark.y(), band(mark).high())).toArray());
    int longest = lines.stream().mapToInt(line -> line.name().length()).max().orElseThrow();
    Formatter svg = new Formatter(Locale.ROOT);
    svg.format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">\n",
        PLOT + 54 + LETTER * longest, HEIGHT);
    svg.format("%s", STYLE);
    svg.format("<text class=\"title\" x=\"%d\" y=\"22\">%s</text>\n", LEFT, escaped(title));
    for (double tick : across.ticks()) {
      svg.format("<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", place(across, tick),
          HEIGHT - BOTTOM + 18, x.label(tick));
    }
    for (double tick : up.ticks()) {
      svg.format("<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", LEFT, height(up, tick), PLOT);
      svg.format("<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 8, height(up, tick) + 4,
          y.label(tick));
    }
    svg.format("<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (LEFT + PLOT) / 2, HEIGHT - 12,
        escaped(x.title()));
    svg.format("<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
        (TOP + HEIGHT - BOTTOM) / 2, escaped(y.title()));
    for (int i = 0; i < lines.size(); i++) {
      draw(svg, i, across, up);
    }
    return svg.format("</svg>\n").toString();
  }

  private void draw(Formatter svg, int i, Range across, Range up) {
    Line line = lines.get(i);
    int colour = i % COLOURS;
    String style = "c" + colour + STYLES.get(i / COLOURS);
    if (line.marks().stream().anyMatch(mark -> mark.deviation() > 0)) {
      List<String> edge = new ArrayList<>();
      line.marks().forEach(mark -> edge.add(point(across, up, mark.x(), band(mark).high())));
      line.marks().reversed().forEach(mark -> edge.add(point(across, up, mark.x(), band(mark).low())));
      svg.format("<path class=\"band c%d\" d=\"M%sZ\"/>\n", colour, String.join("L", edge));
    }
    svg.format("<path class=\"line %s\" d=\"M%s\"/>\n", style,
        line.marks().stream().map(mark -> point(across, up, mark.x(), mark.y())).collect(Collectors.joining("L")));
    line.marks().forEach(mark -> svg.format("<circle class=\"c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", colour,
        place(across, mark.x()), height(up, mark.y())));
    int row = TOP + 10 + i * ROW;
    svg.format("<path class=\"line %s\" d=\"M%d %dh24\"/>\n", style, PLOT + 14, row);
    svg.format("<text x=\"%d\" y=\"%d\">%s</text>\n", PLOT + 44, row + 4, escaped(line.name()));
  }

  private Band band(Mark mark) {
    return Band.of(mark.y(), mark.deviation(), y.isFraction());
  }

  private static String point(Range across, Range up, double x, double y) {
    return String.format(Locale.ROOT, "%.1f %.1f", place(across, x), height(up, y));
  }

  private static double place(Range across, double value) {
    return LEFT + across.share(value) * (PLOT - LEFT);
  }

  private static double height(Range up, double value) {
    return HEIGHT - BOTTOM - up.share(value) * (HEIGHT - TOP - BOTTOM);
  }

  private static Range range(Axis axis, double... values) {
    double low = DoubleStream.of(values).min().orElseThrow();
    double high = DoubleStream.of(values).max().orElseThrow();
    return switch (axis.scale()) {
      case LINEAR -> steps(axis, low, high);
      case LOGARITHMIC -> decades(axis, low, high);
      case REST -> rests(axis, low, high);
    };
  }

  private static Range rests(Axis axis, double low, double high) {
    double last = high > low ? high : low + (1 - low) / 2;
    return new Range(axis, low, last,
        DoubleStream.of(RESTS).filter(tick -> tick >= low && tick <= last).boxed().toList());
  }

  private static Range decades(Axis axis, double low, double high) {
    int first = (int) Math.floor(Math.log10(low));
    int last = Math.max(first + 1, (int) Math.ceil(Math.log10(high)));
    int apart = Math.ceilDiv(last - first, 8);
    return new Range(axis, Math.pow(10, first), Math.pow(10, last),
        decimals(first, last, apart, exponent -> Double.parseDouble("1e" + (int) exponent)));
  }

  private static Range steps(Axis axis, double low, double high) {
    double span = high > low ? high - low : Math.max(1, Math.abs(high));
    double unit = Math.pow(10, Math.floor(Math.log10(span / 5)));
    double step = DoubleStream.of(1, 2, 5, 10).map(factor -> factor * unit).filter(size -> span / size <= 7).findFirst()
        .orElseThrow();
    int first = (int) Math.floor(low / step);
    int last = Math.max(first + 1, (int) Math.ceil(high / step - 1e-9));
    return new Range(axis, first * step, last * step,
        decimals(first, last, 1, multiple -> Math.round(multiple * step / unit) * unit));
  }

  private static List<Double> decimals(int first, int last, int apart, DoubleFunction<Double> tick) {
    return IntStream.rangeClosed(0, (last - first) / apart)
        .mapToObj(i -> Double.parseDouble(String.format(Locale.ROOT, "%.6e", tick.apply(first + i * apart)))).toList();
  }

  private static String escaped(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
  }

  private static final String STYLE = """
      <style>
        text { font: 12px sans-serif; fill: #57606a; }
        .title { font-size: 15px; font-weight: 600; fill: #1f2328; }
        .grid { stroke: #d0d7de; stroke-width: .7; }
        .line { fill: none; stroke-width: 1.8; }
        .dashed { stroke-dasharray: 5 3; }
        .dotted { stroke-dasharray: 1.5 3; }
        .band { stroke: none; opacity: .15; }
        .c0 { stroke: #0a6cc4; fill: #0a6cc4; } .c1 { stroke: #c2500a; fill: #c2500a; }
        .c2 { stroke: #1a7f37; fill: #1a7f37; } .c3 { stroke: #8250df; fill: #8250df; }
        .c4 { stroke: #9a6700; fill: #9a6700; } .c5 { stroke: #57606a; fill: #57606a; }
        .line.c0, .line.c1, .line.c2, .line.c3, .line.c4, .line.c5 { fill: none; }
        @media (prefers-color-scheme: dark) {
          text { fill: #9198a1; } .title { fill: #f0f6fc; } .grid { stroke: #3d444d; }
          .c0 { stroke: #58a6ff; fill: #58a6ff; } .c1 { stroke: #ff9248; fill: #ff9248; }
          .c2 { stroke: #3fb950; fill: #3fb950; } .c3 { stroke: #bc8cff; fill: #bc8cff; }
          .c4 { stroke: #d4a72c; fill: #d4a72c; } .c5 { stroke: #b1bac4; fill: #b1bac4; }
        }
      </style>
      """;
}
