package dev.espalier.engine.experiment;

import dev.espalier.engine.io.CsvTable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/// One network of a [Study], as test data judge it.
///
/// @param part the part of the study
/// @param subject the kind of network
/// @param seed of its training, and of what is random in pruning it
/// @param method how it was pruned, [#DENSE] if it was not, [#SMALL] if it was trained in that size
/// @param sparsity as it was asked for; 0 of a dense network
/// @param loss on test data
/// @param accuracy on test data, where samples have classes
/// @param outputChange E‖y − y′‖² on test data, of networks that were pruned
/// @param seconds that the method took for all its sparsities, or the training; empty if the network was there already
public record Trial(String part, String subject, long seed, String method, double sparsity, double loss,
    OptionalDouble accuracy, OptionalDouble outputChange, OptionalDouble seconds) {
  /// The method of networks that were not pruned.
  public static final String DENSE = "dense";
  /// The method of [SmallDense] networks.
  public static final String SMALL = "small dense";
  private static final List<String> HEADER = List.of("part", "network", "seed", "method", "sparsity", "loss",
      "accuracy", "output_change", "seconds");

  /// Trials as a table, with all digits.
  static CsvTable table(List<Trial> trials) {
    return new CsvTable(HEADER,
        trials.stream()
            .map(trial -> List.of(trial.part, trial.subject, String.valueOf(trial.seed), trial.method,
                String.valueOf(trial.sparsity), String.valueOf(trial.loss), text(trial.accuracy),
                text(trial.outputChange), text(trial.seconds)))
            .toList());
  }

  /// The trials of a file that holds such a table.
  ///
  /// @throws IOException if it cannot be read, or holds something else
  static List<Trial> read(Path file) throws IOException {
    CsvTable table = CsvTable.read(file);
    if (!table.header().equals(HEADER)) {
      throw new IOException(file + ": holds no results of an experiment: choose another folder");
    }
    List<Trial> trials = new ArrayList<>();
    for (List<String> row : table.rows()) {
      try {
        trials.add(
            new Trial(row.get(0), row.get(1), Long.parseLong(row.get(2)), row.get(3), Double.parseDouble(row.get(4)),
                Double.parseDouble(row.get(5)), figure(row.get(6)), figure(row.get(7)), figure(row.get(8))));
      } catch (NumberFormatException e) {
        throw new IOException("%s: row %d is damaged; delete it".formatted(file, trials.size() + 2), e);
      }
    }
    return trials;
  }

  private static String text(OptionalDouble figure) {
    return figure.isPresent() ? String.valueOf(figure.getAsDouble()) : "";
  }

  private static OptionalDouble figure(String text) {
    return text.isEmpty() ? OptionalDouble.empty() : OptionalDouble.of(Double.parseDouble(text));
  }
}
