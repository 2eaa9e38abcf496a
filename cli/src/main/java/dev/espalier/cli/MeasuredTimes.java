package dev.espalier.cli;

import dev.espalier.engine.io.CsvTable;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.report.PredictedTime;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.stream.Collectors;

/// What `espalier time` has measured of layers of some widths whose weights are zero at random.
///
/// @param byBatch of each size of batches
record MeasuredTimes(Map<Integer, Seconds> byBatch) {
  private static final String RANDOM = "random ";
  private static final List<String> COLUMNS = List.of("model", "sparsity", "batch", "variant", "seconds");

  /// Of a batch, in compressed rows and dense, by sparsity.
  record Seconds(NavigableMap<Double, Double> dense, NavigableMap<Double, Double> csr) {}

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
    String model = RANDOM + TimeResults.widths(network);
    Map<Integer, Seconds> byBatch = new TreeMap<>();
    try {
      for (List<String> row : table.rows()) {
        if (row.get(column[0]).equals(model)) {
          Seconds seconds = byBatch.computeIfAbsent(Integer.parseInt(row.get(column[2])),
              _ -> new Seconds(new TreeMap<>(), new TreeMap<>()));
          Optional<NavigableMap<Double, Double>> form = switch (row.get(column[3])) {
            case "dense" -> Optional.of(seconds.dense);
            case "csr" -> Optional.of(seconds.csr);
            default -> Optional.empty();
          };
          double time = Double.parseDouble(row.get(column[4]));
          if (!(time > 0 && Double.isFinite(time))) {
            throw FormatException.of(file, "has the time %s in %s; measure it again".formatted(time, row));
          }
          if (form.isPresent() && form.get().put(Double.parseDouble(row.get(column[1])), time) != null) {
            throw FormatException.of(file, "has two times of %s; give the table of one run".formatted(row));
          }
        }
      }
    } catch (NumberFormatException e) {
      throw FormatException.of(file, "is no table of times (%s); measure them again".formatted(e.getMessage()));
    }
    if (byBatch.isEmpty()) {
      String others = table.rows().stream().map(row -> row.get(column[0])).filter(name -> name.startsWith(RANDOM))
          .map(name -> name.substring(RANDOM.length())).distinct().collect(Collectors.joining(", "));
      throw FormatException.of(file, "has no times of layers of the widths %s%s; measure them with espalier time --csv"
          .formatted(TimeResults.widths(network), others.isEmpty() ? "" : ", but of " + others));
    }
    return new MeasuredTimes(byBatch);
  }

  /// The times of a network of these widths, by interpolation between the sparsities that were measured.
  List<PredictedTime> of(DenseNetwork pruned) {
    return byBatch.entrySet().stream().filter(each -> !each.getValue().dense.isEmpty()).map(each -> {
      double[] dense = each.getValue().dense.values().stream().mapToDouble(Double::doubleValue).sorted().toArray();
      return new PredictedTime(each.getKey(), dense[dense.length / 2], at(pruned.sparsity(), each.getValue().csr));
    }).toList();
  }

  /// Empty outside of what was measured.
  private static OptionalDouble at(double sparsity, NavigableMap<Double, Double> times) {
    Map.Entry<Double, Double> below = times.floorEntry(sparsity);
    Map.Entry<Double, Double> above = times.ceilingEntry(sparsity);
    if (below == null || above == null) {
      return OptionalDouble.empty();
    }
    double share = below.getKey().equals(above.getKey())
        ? 0
        : (sparsity - below.getKey()) / (above.getKey() - below.getKey());
    return OptionalDouble.of(below.getValue() + share * (above.getValue() - below.getValue()));
  }
}
