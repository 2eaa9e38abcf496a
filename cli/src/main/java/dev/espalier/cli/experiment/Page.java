package dev.espalier.cli.experiment;

import static dev.espalier.engine.report.Numbers.TYPOGRAPHIC;

import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.experiment.Spread;
import dev.espalier.engine.experiment.Study.Part;
import dev.espalier.engine.experiment.Subject;
import dev.espalier.engine.experiment.Trial;
import dev.espalier.engine.experiment.Trials;
import dev.espalier.engine.report.LineChart;
import dev.espalier.engine.report.LineChart.Axis;
import dev.espalier.engine.report.LineChart.Line;
import dev.espalier.engine.report.LineChart.Mark;
import dev.espalier.engine.report.LineChart.Scale;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;

/// The page of an experiment: a Markdown file, and charts beside it.
///
/// @param isTimed whether it shows times: a column in the tables, and a chart of time against quality
/// @param trials all results
/// @param provenance how the results came about, a line each
public record Page(Experiment experiment, boolean isTimed, List<Part> parts, Trials trials, List<String> provenance) {
  /// The name of the page's file.
  public static final String NAME = "README.md";
  /// Losses above this multiple of the dense network's are left out of charts.
  private static final double MOST_LOSS_RATIO = 1e6;

  /// A figure that a table and a chart show.
  private enum Figure {
    ACCURACY("Test accuracy", "accuracy"), LOSS("Test loss", "loss"), SECONDS("Seconds", "seconds");

    /// Digits of a loss.
    private static final int DIGITS = 3;

    private final String title;
    private final String file;

    Figure(String title, String file) {
      this.title = title;
      this.file = file;
    }

    double of(Trial trial) {
      return switch (this) {
        case ACCURACY -> trial.accuracy().orElse(Double.NaN);
        case LOSS -> trial.loss();
        case SECONDS -> trial.seconds().orElse(Double.NaN);
      };
    }

    String text(Spread spread) {
      return switch (this) {
        case ACCURACY -> text(spread, 100, 2);
        case SECONDS -> text(spread, 1, 1);
        case LOSS -> {
          int exponent = spread.mean() == 0 ? 0 : (int) Math.floor(Math.log10(Math.abs(spread.mean())));
          yield exponent >= -3 && exponent < 5
              ? text(spread, 1, Math.max(0, DIGITS - 1 - exponent))
              : "(%s) × 10<sup>%d</sup>".formatted(text(spread, Math.pow(10, -exponent), DIGITS - 1), exponent);
        }
      };
    }

    private static String text(Spread spread, double unit, int decimals) {
      String mean = TYPOGRAPHIC.fixed(unit * spread.mean(), decimals);
      return spread.runs() == 1 ? mean : mean + " ± " + TYPOGRAPHIC.fixed(unit * spread.deviation(), decimals);
    }

    boolean isBetter(double a, double b) {
      return this == ACCURACY ? a > b : a < b;
    }
  }

  /// The head of a page.
  public static String head(Experiment experiment, List<String> provenance) {
    return "# %s\n\n%s\n\n%s".formatted(experiment.title(), experiment.question(),
        provenance.stream().map("* %s\n"::formatted).collect(Collectors.joining()));
  }

  /// The files by name, each as text.
  public Map<String, String> files() {
    Map<String, String> files = new LinkedHashMap<>();
    StringBuilder page = new StringBuilder(head(experiment, provenance));
    for (Part part : parts) {
      StringBuilder subjects = new StringBuilder();
      for (Subject subject : part.subjects()) {
        addSubject(subjects, files, part, subject);
      }
      if (!subjects.isEmpty()) {
        page.append("\n## %s\n".formatted(part.title())).append(subjects);
      }
    }
    files.put(NAME, page.toString());
    return files;
  }

  private void addSubject(StringBuilder page, Map<String, String> files, Part part, Subject subject) {
    Optional<Spread> loss = spread(part, subject, Trial.DENSE, 0, Figure.LOSS);
    if (loss.isEmpty()) {
      return;
    }
    boolean hasAccuracy = trials.of(part, subject, Trial.DENSE, 0).getFirst().accuracy().isPresent();
    Figure main = hasAccuracy ? Figure.ACCURACY : Figure.LOSS;
    page.append("\n### %s\n\nDense: %s%s. ".formatted(subject.name(),
        hasAccuracy
            ? "accuracy %s %%, "
                .formatted(Figure.ACCURACY.text(spread(part, subject, Trial.DENSE, 0, Figure.ACCURACY).orElseThrow()))
            : "",
        "loss " + Figure.LOSS.text(loss.get())));
    String run = subject.origin() instanceof Subject.Trained ? "training" : "seed";
    page.append("Mean ± standard deviation of %s.\n".formatted(TYPOGRAPHIC.counted(loss.get().runs(), run)));
    for (Figure figure : hasAccuracy ? List.of(Figure.ACCURACY, Figure.LOSS) : List.of(Figure.LOSS)) {
      String name = "%s-%s-%s.svg".formatted(part.name(), fileName(subject), figure.file);
      if (part.sparsities().size() > 2) {
        files.put(name, curves(part, subject, figure).toSvg());
        page.append("\n![%s of %s over the weights removed](%s)\n".formatted(figure.title, subject.name(), name));
      }
    }
    if (isTimed) {
      double sparsity = part.sparsities().getLast();
      String name = "%s-%s-time.svg".formatted(part.name(), fileName(subject));
      files.put(name, times(part, subject, main, sparsity).toSvg());
      page.append("\n![%s over seconds](%s)\n".formatted(main.title, name));
    }
    page.append('\n').append(table(part, subject, main));
    if (hasAccuracy) {
      page.append(
          "\n<details><summary>Test loss</summary>\n\n%s\n</details>\n".formatted(table(part, subject, Figure.LOSS)));
    }
  }

  private static String fileName(Subject subject) {
    return subject.name().replaceAll("[^\\w.]+", "-").replaceFirst("-$", "");
  }

  private Optional<Spread> spread(Part part, Subject subject, String method, double sparsity, Figure figure) {
    return trials.spread(part, subject, method, sparsity, figure::of);
  }

  private static List<String> names(Part part) {
    return Stream.concat(part.methods().stream().map(Method::toString),
        part.smallDense() ? Stream.of(Trial.SMALL) : Stream.empty()).toList();
  }

  /// A row for each method, a column for each sparsity, the best of a column in bold.
  private String table(Part part, Subject subject, Figure figure) {
    List<Double> sparsities = part.sparsities();
    StringBuilder table = new StringBuilder("| %s | %s |%s\n|---|%s%s\n".formatted(
        figure == Figure.ACCURACY ? "removed, test accuracy in %" : "removed, test loss",
        sparsities.stream().map(TYPOGRAPHIC::exactPercent).collect(Collectors.joining(" | ")),
        isTimed ? " seconds |" : "", "---|".repeat(sparsities.size()), isTimed ? "---|" : ""));
    for (String method : names(part)) {
      List<String> cells = new ArrayList<>();
      for (double sparsity : sparsities) {
        Optional<Spread> spread = spread(part, subject, method, sparsity, figure);
        boolean isBest = spread.isPresent()
            && names(part).stream().flatMap(other -> spread(part, subject, other, sparsity, figure).stream())
                .noneMatch(other -> figure.isBetter(other.mean(), spread.get().mean()));
        cells.add(spread.map(figure::text).map(text -> isBest ? "**%s**".formatted(text) : text).orElse(""));
      }
      if (isTimed) {
        cells.add(seconds(part, subject, method));
      }
      table.append("| `%s` | %s |\n".formatted(method, String.join(" | ", cells)));
    }
    return table.toString();
  }

  /// Of pruning to all sparsities.
  private String seconds(Part part, Subject subject, String method) {
    return method.equals(Trial.SMALL)
        ? ""
        : spread(part, subject, method, part.sparsities().getFirst(), Figure.SECONDS).map(Figure.SECONDS::text)
            .orElse("");
  }

  private LineChart curves(Part part, Subject subject, Figure figure) {
    List<Line> lines = new ArrayList<>();
    double least = spread(part, subject, Trial.DENSE, 0, figure).orElseThrow().mean();
    boolean isLogarithmic = figure == Figure.LOSS && least > 0;
    for (String method : names(part)) {
      List<Mark> marks = part.sparsities().stream()
          .flatMap(sparsity -> spread(part, subject, method, sparsity, figure).stream()
              .filter(spread -> !isLogarithmic || spread.mean() < MOST_LOSS_RATIO * least)
              .map(spread -> new Mark(sparsity, spread.mean(), spread.deviation())))
          .toList();
      if (!marks.isEmpty()) {
        lines.add(new Line(method, marks));
      }
    }
    double last = part.sparsities().getLast();
    lines.add(new Line(Trial.DENSE, DoubleStream.of(part.sparsities().getFirst(), last)
        .mapToObj(sparsity -> new Mark(sparsity, least, 0)).toList()));
    return new LineChart(subject.name(), new Axis("weights removed", Scale.REST, true),
        new Axis(figure.title, isLogarithmic ? Scale.LOGARITHMIC : Scale.LINEAR, figure == Figure.ACCURACY), lines);
  }

  private LineChart times(Part part, Subject subject, Figure figure, double sparsity) {
    ToDoubleFunction<String> seconds = method -> spread(part, subject, method, sparsity, Figure.SECONDS).orElseThrow()
        .mean();
    List<Line> lines = part.methods().stream().map(Method::toString)
        .flatMap(method -> spread(part, subject, method, sparsity, figure).stream().map(spread -> new Line(method,
            List.of(new Mark(seconds.applyAsDouble(method), spread.mean(), spread.deviation())))))
        .toList();
    return new LineChart("%s, %s removed".formatted(subject.name(), TYPOGRAPHIC.exactPercent(sparsity)),
        new Axis("seconds of pruning to all sparsities", Scale.LOGARITHMIC, false),
        new Axis(figure.title, Scale.LINEAR, figure == Figure.ACCURACY), lines);
  }
}
