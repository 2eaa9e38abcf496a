package dev.espalier.cli;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.scoring.LayerScores;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.ScoringOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/// `espalier score`.
@Command(name = "score", sortOptions = false, synopsisHeading = "%nUsage: ",
    customSynopsis = "espalier score MODEL --data FILE -o FILE [OPTION]...",
    header = "Write how important each weight is, and prune nothing.",
    description = "%nWrites a safetensors file with, for each weight matrix: NAME.importance and NAME.compensation"
        + " (as large as the weights: what the removal of a weight costs, and what its bias gains then) and"
        + " NAME.sensitivity (the mean sensitivity of the output to each neuron).%n",
    footerHeading = "%nExamples:%n",
    footer = {"    espalier score model.safetensors --data samples.npy -o scores.safetensors",
        "    espalier score model.safetensors --criterion wanda --data x.npy -o scores.safetensors"})
final class ScoreCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL", description = "A safetensors file.")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @ArgGroup(validate = false, order = 1, heading = "%nData:%n")
  private DataOptions data = new DataOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nHow weights are scored:%n")
  private CriterionOptions scoring = new CriterionOptions();

  @ArgGroup(validate = false, order = 4, heading = "%nComputation:%n")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 5, heading = "%nOutput:%n")
  private OutputOptions output = new OutputOptions();

  @Override
  public Integer call() throws IOException {
    global.require(output.output != null, "an output is missing: give -o FILE");
    scoring.check(data, global);
    output.check();
    try (Backend backend = run.open(global); Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      ModelFile file = reading.load(model, arena);
      DenseNetwork network = file.network();
      scoring.check(network, global);
      Optional<Dataset> calibration = data.data == null ? Optional.empty() : Optional.of(data.open());
      PruningOptions pruning = scoring.builder(run).build();
      ScoringOptions options = new Pruner(backend, pruning).scoringOptions(network);
      List<NewTensor> tensors = score(backend, file, calibration, options, progress, arena);
      progress.clear();
      SafetensorsWriter.write(output.output, output.force, tensors, metadata(options, calibration));
      tensors.forEach(tensor -> global.out().println("%s %s".formatted(tensor.name(), tensor.shape())));
      global.say("scores: " + output.output);
      run.verify(global, backend, network, l -> !scoring.isExcluded(network.layers().get(l).name()), calibration,
          pruning);
    }
    return 0;
  }

  private List<NewTensor> score(Backend backend, ModelFile file, Optional<Dataset> calibration, ScoringOptions options,
      Progress progress, Arena arena) throws IOException {
    List<NewTensor> tensors = new ArrayList<>();
    DenseNetwork network = file.network();
    try (DeviceNetwork device = new DeviceNetwork(backend, network)) {
      List<LayerScores> scores = Scorer.score(backend, device, l -> !scoring.isExcluded(network.layers().get(l).name()),
          calibration, options, progress);
      try {
        for (LayerScores layer : scores) {
          add(backend, file.weightTensor(layer.number()).name(), layer, tensors, arena);
        }
      } finally {
        scores.forEach(LayerScores::close);
      }
    }
    return tensors;
  }

  private static void add(Backend backend, String weight, LayerScores scores, List<NewTensor> tensors, Arena arena) {
    tensors.add(NewTensor.matrix(weight + ".importance", download(backend, scores.importance(), arena)));
    scores.compensation().ifPresent(compensation -> tensors
        .add(NewTensor.matrix(weight + ".compensation", download(backend, compensation, arena))));
    scores.meanSensitivity().ifPresent(sensitivity -> tensors
        .add(NewTensor.vector(weight + ".sensitivity", MatrixView.of(arena, 1, sensitivity.length, sensitivity))));
  }

  private static MatrixView download(Backend backend, Matrix matrix, Arena arena) {
    MatrixView view = MatrixView.allocate(arena, matrix.rows(), matrix.columns());
    backend.download(matrix, view);
    return view;
  }

  private static Map<String, String> metadata(ScoringOptions options, Optional<Dataset> calibration) {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("espalier", Espalier.version());
    metadata.put("criterion", options.criterion().toString());
    if (options.needsMoments()) {
      metadata.put("sensitivity", options.sensitivity().toString());
    }
    calibration.ifPresent(source -> metadata.put("samples", String.valueOf(source.samples().samples())));
    return metadata;
  }
}
