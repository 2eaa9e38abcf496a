package dev.espalier.engine.statistics;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.io.FormatException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// What sums were gathered from. Sums of one model, by the same options, merge if no sample is in both.
///
/// @param model a hash of the network
/// @param options that the sums depend on, by name
/// @param ranges of the samples
public record Provenance(String model, Map<String, String> options, List<Range> ranges) {
  private static final String MODEL = "model";
  private static final String OPTION = "option/";
  private static final String RANGE = "range/";
  private static final Pattern RANGE_TEXT = Pattern.compile("([0-9a-f]{64}) (\\d{1,18}) (\\d{1,18}) (\\d{1,18}) (.*)",
      Pattern.DOTALL);

  /// Neighbouring samples.
  ///
  /// @param data a hash that tells the data they are from: of their width and first samples
  /// @param first position of the first of them
  /// @param end position behind the last
  /// @param total samples of the data
  /// @param name of the data, for messages
  public record Range(String data, long first, long end, long total, String name) {
    /// @throws IllegalArgumentException if the range is empty, or not one of the data
    public Range {
      if (first < 0 || end <= first || total < end) {
        throw new IllegalArgumentException("samples %d to %d of %d".formatted(first, end, total));
      }
    }

    private String text() {
      return "%s %s %s %s %s".formatted(data, first, end, total, name); // %d would write digits of the locale
    }
  }

  /// Copies map and list; ranges are in the order of their data and positions.
  public Provenance {
    options = Collections.unmodifiableMap(new LinkedHashMap<>(options));
    ranges = ranges.stream().sorted(Comparator.comparing(Range::data).thenComparingLong(Range::first)).toList();
  }

  /// That of the sums of both.
  ///
  /// @throws MismatchException if they are of other models or options, or a sample is in both
  Provenance merge(Provenance other) {
    if (!model.equals(other.model)) {
      throw new MismatchException("they are of another model");
    }
    Set<String> names = new LinkedHashSet<>(options.keySet());
    names.addAll(other.options.keySet());
    for (String name : names) {
      String mine = options.getOrDefault(name, "not set");
      String others = other.options.getOrDefault(name, "not set");
      if (!mine.equals(others)) {
        throw new MismatchException("%s is %s in one and %s in the other".formatted(name, others, mine));
      }
    }
    for (Range mine : ranges) {
      for (Range others : other.ranges) {
        requireApart(mine, others);
      }
    }
    List<Range> all = new ArrayList<>(ranges);
    all.addAll(other.ranges);
    return new Provenance(model, options, all);
  }

  private static void requireApart(Range mine, Range others) {
    if (!mine.data.equals(others.data)) {
      return;
    }
    if (mine.total != others.total) {
      throw new MismatchException(
          "they are of %s of %s, not of %d".formatted(Nouns.counted(others.total, "sample"), others.name, mine.total));
    }
    long first = Math.max(mine.first, others.first);
    long end = Math.min(mine.end, others.end);
    if (first < end) {
      throw new MismatchException(
          "samples %d to %d of %s are in both; count each once".formatted(first + 1, end, others.name));
    }
  }

  /// Samples of the data that are in no range, one sentence for each of the data, counted from 1.
  public List<String> missing() {
    List<String> sentences = new ArrayList<>();
    Map<String, List<Range>> byData = ranges.stream()
        .collect(Collectors.groupingBy(Range::data, LinkedHashMap::new, Collectors.toList()));
    byData.values().forEach(own -> {
      List<String> gaps = new ArrayList<>();
      long covered = 0;
      for (Range range : own) {
        gap(gaps, covered, range.first);
        covered = range.end;
      }
      gap(gaps, covered, own.getFirst().total);
      if (!gaps.isEmpty()) {
        sentences.add("of the %s of %s, these are missing: %s".formatted(Nouns.counted(own.getFirst().total, "sample"),
            own.getFirst().name, String.join(", ", gaps)));
      }
    });
    return sentences;
  }

  private static void gap(List<String> gaps, long covered, long next) {
    if (covered < next) {
      gaps.add("%d to %d".formatted(covered + 1, next));
    }
  }

  /// As metadata of a file.
  Map<String, String> toMetadata() {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put(MODEL, model);
    options.forEach((name, value) -> metadata.put(OPTION + name, value));
    for (int i = 0; i < ranges.size(); i++) {
      metadata.put(RANGE + i, ranges.get(i).text());
    }
    return metadata;
  }

  /// @param metadata as [#toMetadata] makes them, among others
  /// @throws FormatException if they are not that
  static Provenance of(Path path, Map<String, String> metadata) throws FormatException {
    Map<String, String> options = new LinkedHashMap<>();
    List<Range> ranges = new ArrayList<>();
    for (Map.Entry<String, String> entry : metadata.entrySet()) {
      if (entry.getKey().startsWith(OPTION)) {
        options.put(entry.getKey().substring(OPTION.length()), entry.getValue());
      } else if (entry.getKey().startsWith(RANGE)) {
        ranges.add(range(path, entry.getValue()));
      }
    }
    if (!metadata.containsKey(MODEL) || ranges.isEmpty()) {
      throw FormatException.of(path, "its metadata do not say of which model and samples its sums are");
    }
    return new Provenance(metadata.get(MODEL), options, ranges);
  }

  private static Range range(Path path, String text) throws FormatException {
    Matcher matcher = RANGE_TEXT.matcher(text);
    if (matcher.matches()) {
      try {
        return new Range(matcher.group(1), Long.parseLong(matcher.group(2)), Long.parseLong(matcher.group(3)),
            Long.parseLong(matcher.group(4)), matcher.group(5));
      } catch (IllegalArgumentException _) {
        // Refused below.
      }
    }
    throw FormatException.of(path, "'%s' is no range of samples".formatted(text));
  }
}
