package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.Verification;
import java.io.IOException;
import java.util.Optional;
import picocli.CommandLine.Option;

/// Where a command computes, and whether the scores are checked by the reference.
class VerifyOptions extends DeviceOptions {
  @Option(names = "--verify", order = 66)
  private boolean verify;

  boolean isVerifying() {
    return verify;
  }

  /// The deviations of the backend's default scores from the reference's, if they are asked for.
  Optional<Verification> verification(Backend backend, DenseNetwork network, Dataset data) throws IOException {
    return verification(backend, network, PruningOptions.builder().build(), Optional.of(data));
  }

  /// The deviations of the backend's scores, as the options ask for them, if they are to be compared.
  Optional<Verification> verification(Backend backend, DenseNetwork network, PruningOptions options,
      Optional<Dataset> data) throws IOException {
    return verify
        ? Optional.of(Verification.of(backend, network, PruningPlan.of(options, network, data, backend), data))
        : Optional.empty();
  }

  static void print(GlobalOptions global, Verification verification) {
    Table table = new Table(1, "deviation from the reference", "importance", "compensation", "removed otherwise");
    verification.layers()
        .forEach(layer -> table.row(layer.name(), PLAIN.value(layer.importance()), PLAIN.value(layer.compensation()),
            "%s of %s".formatted(PLAIN.count(layer.differing()), PLAIN.count(layer.selected()))));
    global.out().println();
    table.lines().forEach(global.out()::println);
    global.out()
        .println(("Each deviation is the largest over %s, relative to the layer's largest value. "
            + "Removed otherwise: by one of the two alone, when %s of these layers goes.").formatted(
                PLAIN.counted(verification.samples(), "sample"), PLAIN.exactPercent(verification.target().sparsity())));
  }
}
