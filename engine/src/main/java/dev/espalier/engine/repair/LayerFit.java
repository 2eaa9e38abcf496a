package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.repair.LayerSums.Errors;
import dev.espalier.engine.repair.LayerSums.Inputs;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.Statistic.Covariance;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The fit of one layer in two steps, for samples in parts: each part gives sums, and the fit follows from their
/// [total][dev.espalier.engine.statistics.SumsTotal] (docs/method.md, refit).
public final class LayerFit {
  private LayerFit() {}

  /// The covariances of the layer's inputs, and those of its errors with its inputs. Where no bias takes up the means,
  /// they are those of vectors around 0, with means of 0.
  ///
  /// @param dense the network to follow
  /// @param pruned of the same graph and shapes, with all layers below this one fitted
  /// @param samples read once
  /// @param arena takes the memory of the sums
  /// @throws IOException if a sample cannot be read or is not finite
  public static List<Sums> sums(Backend backend, DeviceNetwork dense, DeviceNetwork pruned, ScoringPlan.Layer layer,
      SampleSource samples, int batchSize, ProgressListener listener, Arena arena) throws IOException {
    int rows = (int) Math.min(batchSize, samples.samples());
    try (LayerValues values = LayerValues.streaming(backend, dense, samples, rows);
        SampleBatches batches = SampleBatches.open(backend, Dataset.of(samples), rows)) {
      return sums(backend, values, batches, rows, pruned, layer, true, listener, arena);
    }
  }

  /// As the other, over a worker's part of a pass.
  ///
  /// @param rows most samples of a batch
  /// @param hasErrors whether the errors are wanted
  static List<Sums> sums(Backend backend, LayerValues values, SampleBatches batches, int rows, DeviceNetwork pruned,
      ScoringPlan.Layer layer, boolean hasErrors, ProgressListener listener, Arena arena) throws IOException {
    DeviceNetwork.Layer shape = pruned.layers().get(layer.number());
    try (Resources memory = new Resources()) {
      LayerSums sums = memory
          .own(LayerSums.allocate(backend, shape, LayerPart.all(backend, shape), layer.compensable(), hasErrors, rows));
      values.forEachBatch(batches, layer.number(), pruned, hasErrors, (input, error, end) -> {
        sums.add(input, error);
        listener.report("refitting " + shape.name(), end, batches.total());
      });
      Inputs inputs = Inputs.allocate(backend, shape, shape.inputs(), sums.samples(), memory);
      Optional<Errors> errors = hasErrors
          ? Optional.of(Errors.allocate(backend, shape, shape.inputs(), memory))
          : Optional.empty();
      sums.finish(inputs, errors);
      if (!layer.compensable()) {
        backend.clear(inputs.mean());
        errors.ifPresent(each -> backend.clear(each.mean()));
      }
      MatrixView inputMean = backend.download(inputs.mean(), arena);
      List<Sums> found = new ArrayList<>();
      found.add(
          sums(Covariance.Pair.INPUTS, inputs.samples(), inputMean, inputMean, backend.download(inputs.gram(), arena)));
      errors.ifPresent(each -> found.add(sums(Covariance.Pair.ERRORS, inputs.samples(),
          backend.download(each.mean(), arena), inputMean, backend.download(each.cross(), arena))));
      return found;
    }
  }

  private static Sums sums(Covariance.Pair pair, long samples, MatrixView rowMean, MatrixView columnMean,
      MatrixView products) {
    return new Sums(new Covariance(pair), products.rows(), products.columns(), samples,
        Map.of("row_mean", rowMean, "column_mean", columnMean, "products", products));
  }

  /// Fits the weights that are left, and the bias.
  ///
  /// @param layer of the pruned network, changed
  /// @param compensable whether its bias may move
  /// @param sums over all samples, as the other method gives them
  /// @throws dev.espalier.engine.NonFiniteException if values are too large
  public static void fit(Backend backend, DeviceNetwork.Layer layer, boolean compensable, List<Sums> sums,
      Repair.Refit method) {
    Sums inputs = sums.getFirst();
    Sums errors = sums.getLast();
    backend.enter(Phase.REFIT);
    try (Resources memory = new Resources()) {
      LayerPart part = memory.own(LayerPart.of(backend, layer.weights()));
      Matrix gram = upload(backend, inputs.array("products"), memory);
      Matrix squares = memory.own(backend.allocate(1, layer.inputs()));
      backend.solving().diagonal(gram, squares);
      Inputs known = new Inputs(upload(backend, inputs.array("column_mean"), memory), squares, gram, inputs.samples());
      Errors wrong = new Errors(upload(backend, errors.array("row_mean"), memory),
          upload(backend, errors.array("products"), memory));
      apply(backend, layer, compensable, part, known.of(part, memory), wrong.of(part, memory), method, memory);
    }
  }

  private static Matrix upload(Backend backend, MatrixView values, Resources memory) {
    Matrix matrix = memory.own(backend.allocate(values.rows(), values.columns()));
    backend.upload(values, matrix);
    return matrix;
  }

  /// Changes a layer by what follows from the sums over all samples.
  ///
  /// @param part of the layer's weights
  /// @param inputs of the part
  /// @param errors of the part; overwritten
  /// @param memory takes what the change needs
  static void apply(Backend backend, DeviceNetwork.Layer layer, boolean compensable, LayerPart part, Inputs inputs,
      Errors errors, Repair.Refit method, Resources memory) {
    Matrix fitted = memory.own(backend.allocate(part.rows(), part.columns()));
    LeastSquares.solve(backend, layer.name(), part, part.of(layer.weights(), memory), inputs, errors.cross(),
        method.damping(inputs.samples()), method.iterations().orElse(Repair.Refit.ITERATIONS), fitted);
    Matrix change = part.whole(fitted, memory);
    backend.solving().addWhereNonzero(change, layer.weights());
    if (compensable) {
      backend.network().product(-1, inputs.mean(), false, change, true, 1, errors.mean());
      backend.network().add(1, errors.mean(), layer.bias());
    }
  }
}
