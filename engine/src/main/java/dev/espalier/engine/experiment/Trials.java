package dev.espalier.engine.experiment;

import dev.espalier.engine.experiment.Study.Part;
import dev.espalier.engine.io.AtomicOutput;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/// The results of a [Study] so far, in a file that is replaced whenever some are added.
public final class Trials {
  private final Path file;
  private final List<Trial> all;

  private Trials(Path file, List<Trial> all) {
    this.file = file;
    this.all = all;
  }

  /// The results that a file holds; none if it is absent.
  ///
  /// @throws IOException if it cannot be read, or holds something else
  public static Trials of(Path file) throws IOException {
    return new Trials(file, new ArrayList<>(Files.exists(file) ? Trial.read(file) : List.of()));
  }

  /// The results, in the order in which they came.
  public List<Trial> all() {
    return Collections.unmodifiableList(all);
  }

  /// What training and pruning have taken together, as far as it is known.
  public double seconds() {
    Map<List<Object>, Double> runs = new HashMap<>();
    for (Trial trial : all) {
      Object sparsity = trial.method().equals(Trial.SMALL) ? trial.sparsity() : "all";
      runs.put(List.of(trial.part(), trial.subject(), trial.seed(), trial.method(), sparsity),
          trial.seconds().orElse(0));
    }
    return runs.values().stream().mapToDouble(Double::doubleValue).sum();
  }

  void add(List<Trial> more) throws IOException {
    all.addAll(more);
    AtomicOutput.writeText(file, true, Trial.table(all).toString());
  }

  boolean has(Part part, Subject subject, long seed, String method, List<Double> sparsities) {
    return sparsities.stream()
        .allMatch(sparsity -> of(part, subject, method, sparsity).stream().anyMatch(trial -> trial.seed() == seed));
  }

  /// The trials of all seeds.
  public List<Trial> of(Part part, Subject subject, String method, double sparsity) {
    return all.stream().filter(trial -> trial.part().equals(part.name()) && trial.subject().equals(subject.name())
        && trial.method().equals(method) && trial.sparsity() == sparsity).toList();
  }

  /// A figure of the trials of all seeds; empty if there are none.
  public Optional<Spread> spread(Part part, Subject subject, String method, double sparsity,
      ToDoubleFunction<Trial> figure) {
    double[] figures = of(part, subject, method, sparsity).stream().mapToDouble(figure).toArray();
    return figures.length == 0 ? Optional.empty() : Optional.of(Spread.of(figures));
  }
}
