package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.Gathering;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.GatheredSums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/// `espalier score`.
@Command(name = "score", sortOptions = false)
final class ScoreCommand implements Callable<Integer> {
  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "MODEL")
  private Path model;

  @Mixin
  private ModelOptions reading;

  @ArgGroup(validate = false, order = 1, headingKey = "data.heading")
  private PartOptions data = new PartOptions();

  @ArgGroup(validate = false, order = 2, headingKey = "scoring.heading")
  private CriterionOptions scoring = new CriterionOptions();

  @ArgGroup(validate = false, order = 4, headingKey = "computation.heading")
  private RunOptions run = new RunOptions();

  @ArgGroup(validate = false, order = 5, headingKey = "output.heading")
  private OutputOptions output = new OutputOptions();

  @Override
  public Integer call() throws IOException {
    global.require(output.output != null, "--output is missing: give -o FILE");
    scoring.check(data, global);
    global.require(data.part == null || scoring.needs().samples(),
        "--part is a part of the samples, and criterion %s needs none: leave it out".formatted(scoring.criterion));
    global.require(data.part == null || !global.isGiven("--verify"),
        "--verify compares scores, and --part gathers statistics: give one of them");
    output.checkSafetensors(global, Stream.concat(Stream.of(model), Stream.of(data.files())).toArray(Path[]::new));
    try (Arena arena = Arena.ofConfined(); Progress progress = global.progress()) {
      data.expect(reading.inputs(model));
      Optional<Dataset> calibration = data.data == null ? Optional.empty() : Optional.of(data.open(global));
      ModelFile file = reading.load(model, calibration, global, arena);
      DenseNetwork network = file.network();
      scoring.check(network, global);
      PruningOptions options = scoring.builder(run).build();
      try (Backend backend = run.open(global)) {
        PruningPlan plan = PruningPlan.of(options, network, calibration, backend);
        if (plan.scoring().loss().isPresent()) {
          Losses.note(scoring.loss, network.graph(), calibration.orElseThrow()).ifPresent(global::note);
        }
        ScoringChoices.uncompensated(plan).ifPresent(global::note);
        if (data.part != null) {
          gather(backend, network, plan, calibration.orElseThrow(), progress, arena);
          return 0;
        }
        List<NewTensor> tensors = score(backend, file, plan.scoring(), calibration, progress, arena);
        progress.clear();
        SafetensorsWriter.write(output.output, output.force, tensors, metadata(plan.scoring(), calibration));
        tensors.forEach(tensor -> global.out().println("%s %s".formatted(tensor.name(), tensor.shape())));
        global.say("scores: " + output.output);
        run.verification(backend, network, options, calibration).ifPresent(it -> VerifyOptions.print(global, it));
      }
    }
    return 0;
  }

  private void gather(Backend backend, DenseNetwork network, PruningPlan plan, Dataset calibration, Progress progress,
      Arena arena) throws IOException {
    GatheredSums sums = Gathering.gather(backend, network, plan, calibration, data.part.number(), data.part.count(),
        data.readingText(), progress, arena);
    progress.clear();
    sums.write(output.output, output.force);
    global.out().println("part %s: %s of %s".formatted(data.part, PLAIN.count(sums.sums().samples()),
        PLAIN.counted(calibration.samples().samples(), "sample")));
    global.say("statistics: " + output.output);
  }

  private static List<NewTensor> score(Backend backend, ModelFile file, ScoringPlan plan, Optional<Dataset> data,
      Progress progress, Arena arena) throws IOException {
    List<NewTensor> tensors = new ArrayList<>();
    try (DeviceNetwork device = DeviceNetwork.copyOf(backend, file.network());
        Scores scores = Scorer.score(backend, device, plan, data, progress)) {
      for (int i = 0; i < scores.size(); i++) {
        String weight = file.weightTensor(scores.layer(i)).name();
        tensors.add(NewTensor.matrix(weight + ".importance", backend.download(scores.importance(i), arena)));
        scores.compensation(i).ifPresent(compensation -> tensors
            .add(NewTensor.matrix(weight + ".compensation", backend.download(compensation, arena))));
        scores.meanSensitivity(i).ifPresent(sensitivity -> tensors
            .add(NewTensor.vector(weight + ".sensitivity", MatrixView.of(arena, 1, sensitivity.length, sensitivity))));
      }
    }
    return tensors;
  }

  private static Map<String, String> metadata(ScoringPlan plan, Optional<Dataset> calibration) {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("espalier", Espalier.version());
    metadata.put("criterion", plan.criterion().toString());
    plan.loss().ifPresent(loss -> metadata.put("loss", loss.toString()));
    if (plan.needs().sensitivities()) {
      metadata.put("sensitivity", plan.sensitivity().toString());
    }
    calibration.ifPresent(source -> metadata.put("samples", String.valueOf(source.samples().samples())));
    return metadata;
  }
}
