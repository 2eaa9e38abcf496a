package dev.espalier.cli;

import dev.espalier.engine.experiment.InferenceTimes;
import dev.espalier.engine.io.CsvTable;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.report.PredictedTime;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// What `espalier time` has measured of networks of one shape: with weights that are zero at random, or dense where it has
/// no times of compressed rows.
///
/// @param byBatch of each size of batches
record MeasuredTimes(Map<Integer, Measured> byBatch) {
  private static final List<String> COLUMNS = List.of("model", "sparsity", "batch", "variant", "seconds", "speed");

  /// Of a batch, by sparsity.
  ///
  /// @param dense seconds of dense weights
  /// @param speed of compressed rows in relation to dense weights, which were measured in turns with them
  record Measured(NavigableMap<Double, Double> dense, NavigableMap<Double, Double> speed) {}

  /// Reads the table that `time --csv` writes.
  ///
  /// @param network whose widths are looked for
  /// @throws FormatException if it is no such table, or has no times of these widths
  static MeasuredTimes read(Path file, DenseNetwork network) throws IOException {
    CsvTable table = CsvTable.read(file);
    if (!table.header().containsAll(COLUMNS)) {
      throw FormatException.of(file, "is no table of times; give what espalier time --csv has written");
    }
    int[] column = COLUMNS.stream().mapToInt(table.header()::indexOf).toArray();
    Set<String> models = Set.of(TimeResults.RANDOM + TimeResults.widths(network),
        TimeResults.DENSE + TimeResults.widths(network));
    Map<Integer, Measured> byBatch = new TreeMap<>();
    try {
      for (List<String> row : table.rows()) {
        if (models.contains(row.get(column[0]))) {
          Measured measured = byBatch.computeIfAbsent(Integer.parseInt(row.get(column[2])),
              _ -> new Measured(new TreeMap<>(), new TreeMap<>()));
          boolean isDense = row.get(column[3]).equals("dense");
          boolean isCsr = row.get(column[3]).equals("csr");
          double number = Double.parseDouble(row.get(column[isDense ? 4 : 5]));
          if (!(number > 0 && Double.isFinite(number))) {
            throw FormatException.of(file,
                "has the %s %s in %s; measure it again".formatted(isDense ? "time" : "speed", number, row));
          }
          NavigableMap<Double, Double> known = isDense ? measured.dense : measured.speed;
          if ((isDense || isCsr) && known.put(Double.parseDouble(row.get(column[1])), number) != null) {
            throw FormatException.of(file, "has two times of %s; give the table of one run".formatted(row));
          }
        }
      }
    } catch (NumberFormatException e) {
      throw FormatException.of(file, "is no table of times (%s); measure them again".formatted(e.getMessage()));
    }
    if (byBatch.isEmpty()) {
      String others = table.rows().stream().map(row -> row.get(column[0]))
          .flatMap(name -> Stream.of(TimeResults.RANDOM, TimeResults.DENSE).filter(name::startsWith)
              .map(kind -> name.substring(kind.length())))
          .distinct().collect(Collectors.joining(", "));
      throw FormatException.of(file, "has no times of layers of the widths %s%s; measure them with espalier time --csv"
          .formatted(TimeResults.widths(network), others.isEmpty() ? "" : ", but of " + others));
    }
    return new MeasuredTimes(byBatch);
  }

  /// The times of a network of these widths: of dense weights, the median of all; of compressed rows, that by their speed,
  /// which is interpolated between the sparsities that were measured. It is 1 where `espalier time` says that they begin
  /// to be faster.
  List<PredictedTime> of(DenseNetwork pruned) {
    return byBatch.entrySet().stream().filter(each -> !each.getValue().dense.isEmpty()).map(each -> {
      double[] dense = each.getValue().dense.values().stream().mapToDouble(Double::doubleValue).sorted().toArray();
      double median = dense[dense.length / 2];
      OptionalDouble speed = speed(pruned.sparsity(), each.getValue().speed);
      return new PredictedTime(each.getKey(), median,
          speed.isPresent() ? OptionalDouble.of(median / speed.getAsDouble()) : OptionalDouble.empty());
    }).toList();
  }

  /// Interpolated as [InferenceTimes#breakEven] does: the logarithm of the speed over that of the weights that are left.
  ///
  /// @return empty outside of what was measured
  private static OptionalDouble speed(double sparsity, NavigableMap<Double, Double> measured) {
    Map.Entry<Double, Double> below = measured.floorEntry(sparsity);
    Map.Entry<Double, Double> above = measured.ceilingEntry(sparsity);
    if (below == null || above == null) {
      return OptionalDouble.empty();
    }
    double left = Math.log(1 - below.getKey());
    double share = below.getKey().equals(above.getKey())
        ? 0
        : (Math.log(1 - sparsity) - left) / (Math.log(1 - above.getKey()) - left);
    return OptionalDouble.of(below.getValue() * Math.pow(above.getValue() / below.getValue(), share));
  }
}
