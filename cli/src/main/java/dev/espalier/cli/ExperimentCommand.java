package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.cli.experiment.Experiment;
import dev.espalier.cli.experiment.Experiment.Comparing;
import dev.espalier.cli.experiment.Experiment.Design;
import dev.espalier.cli.experiment.Experiment.Measurement;
import dev.espalier.cli.experiment.Experiment.Measuring;
import dev.espalier.cli.experiment.Experiment.Need;
import dev.espalier.cli.experiment.Experiments;
import dev.espalier.cli.experiment.Inputs;
import dev.espalier.cli.experiment.Page;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.experiment.Study;
import dev.espalier.engine.experiment.Study.Part;
import dev.espalier.engine.experiment.Trials;
import dev.espalier.engine.io.AtomicOutput;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.CsvTable;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `espalier experiment`.
@Command(name = "experiment", sortOptions = false)
final class ExperimentCommand implements Callable<Integer> {
  private static final String RESULTS = "results.csv";
  private static final String SETTINGS = "settings.csv";
  private static final Map<Need, String> OPTIONS = Map.of(Need.MNIST, "--mnist", Need.CHECKPOINT, "--checkpoint-file");

  @Mixin
  private GlobalOptions global;

  @Parameters(paramLabel = "NAME", arity = "0..1")
  private Experiment experiment;

  @Option(names = "--mnist", paramLabel = "DIR", order = 1)
  private Path mnist;

  @Option(names = "--checkpoint-file", paramLabel = "FILE", order = 2)
  private Path checkpoint;

  @Option(names = "--seeds", paramLabel = "N", split = ",", order = 3, converter = Values.AtLeastZeroLong.class)
  private List<Long> seeds = List.of(0L, 1L, 2L, 3L, 4L);

  @Option(names = "--small", order = 4)
  private boolean small;

  @Option(names = "--page-only", order = 5)
  private boolean pageOnly;

  @Option(names = {"-o", "--output"}, paramLabel = "DIR", order = 6)
  private Path output;

  @ArgGroup(validate = false, order = 1, headingKey = "computation.heading")
  private DeviceOptions run = new DeviceOptions();

  @Override
  public Integer call() throws IOException {
    if (experiment == null) {
      list();
      return 0;
    }
    global.require(mnist != null || !experiment.needs().contains(Need.MNIST),
        "--mnist is missing: give the folder with the four files of MNIST");
    global.require(checkpoint != null || !experiment.needs().contains(Need.CHECKPOINT),
        "--checkpoint-file is missing: give the model file of the 784-40-20-10 network");
    global.require(seeds.stream().distinct().count() == seeds.size(),
        "--seeds %s: give each seed once".formatted(text(seeds)));
    global.require(!pageOnly || experiment.work() instanceof Comparing,
        "--page-only: the page of %s is all that it has; leave it out".formatted(experiment.name()));
    Path folder = output == null ? Path.of("espalier-" + experiment.name()) : output;
    try (Arena arena = Arena.ofShared(); Progress progress = global.progress()) {
      Inputs inputs = new Inputs(Optional.ofNullable(mnist), Optional.ofNullable(checkpoint), small, arena);
      CsvTable settings = settings(inputs);
      check(folder, settings);
      Map<String, String> files;
      try (Backend backend = run.open(global)) {
        files = switch (experiment.work()) {
          case Comparing(Design design, boolean isTimed) -> {
            List<Part> parts = design.parts(inputs);
            begin(folder, settings);
            Trials trials = Trials.of(folder.resolve(RESULTS));
            Study study = new Study(backend, folder, backend.batchSize(),
                small ? Augmentation.NONE : Augmentation.DEFAULT, progress, global::say);
            for (Part part : pageOnly ? List.<Part>of() : parts) {
              study.run(part, seeds, trials);
            }
            yield new Page(experiment, isTimed, parts, trials, provenance(backend, trials.seconds())).files();
          }
          case Measuring(Measurement measurement) -> {
            begin(folder, settings);
            long start = System.nanoTime();
            String body = measurement.run(backend, small, progress);
            yield Map.of(Page.NAME,
                Page.head(experiment, provenance(backend, (System.nanoTime() - start) * 1e-9)) + "\n" + body);
          }
        };
      }
      progress.clear();
      write(folder, files);
      global.out().println("open %s".formatted(folder.resolve(Page.NAME)));
    }
    return 0;
  }

  private void list() {
    for (Experiment each : Experiments.ALL) {
      global.out().println("%s: %s".formatted(each.name(), each.title()));
      global.out().println("    %s".formatted(each.question()));
      global.out().println("    %s%s".formatted(each.cost(),
          each.needs().stream().map(need -> ", needs " + OPTIONS.get(need)).collect(Collectors.joining())));
    }
  }

  /// What all results of a folder have in common.
  private CsvTable settings(Inputs inputs) throws IOException {
    return new CsvTable(List.of("experiment", "size", "files"),
        List.of(List.of(experiment.name(), small ? "small" : "whole", inputs.hash())));
  }

  /// Makes sure that a folder that exists holds results of the same settings, or nothing.
  private void check(Path folder, CsvTable settings) throws IOException {
    Path file = folder.resolve(SETTINGS);
    if (Files.exists(file)) {
      CsvTable other = CsvTable.read(file);
      if (!other.equals(settings)) {
        throw new IOException("%s: holds results of another experiment, size or data (%s); choose another folder by -o"
            .formatted(folder, other.rows().stream().flatMap(List::stream).collect(Collectors.joining(", "))));
      }
      global.note("%s: goes on with the results that are there".formatted(folder));
    } else if (Files.exists(folder)) {
      AtomicOutput.check(file, false);
    }
  }

  private static void begin(Path folder, CsvTable settings) throws IOException {
    Files.createDirectories(folder);
    AtomicOutput.writeText(folder.resolve(SETTINGS), true, settings.toString());
  }

  private List<String> provenance(Backend backend, double seconds) {
    String command = "espalier experiment %s%s%s%s%s".formatted(experiment.name(), small ? " --small" : "",
        mnist == null ? "" : " --mnist DIR", checkpoint == null ? "" : " --checkpoint-file FILE",
        experiment.work() instanceof Comparing ? " --seeds " + text(seeds) : "");
    List<String> lines = new ArrayList<>();
    lines.add("Command: `%s`".formatted(command));
    lines.add("Espalier %s, %s".formatted(Espalier.version(), LocalDate.now(ZoneOffset.UTC)));
    lines.add("Machine: %s; %s".formatted(Machine.cpu(), backend.description()));
    lines.add("Time: %s".formatted(PLAIN.seconds(seconds)));
    Machine.peakMemory().filter(_ -> !pageOnly)
        .ifPresent(memory -> lines.add("Peak memory of the last run: " + memory));
    return lines;
  }

  private static void write(Path folder, Map<String, String> files) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      for (Map.Entry<String, String> file : files.entrySet()) {
        outputs.write(folder.resolve(file.getKey()), true, AtomicOutput.text(file.getValue()));
      }
      outputs.commit();
    }
  }

  private static String text(List<Long> numbers) {
    return numbers.stream().map(String::valueOf).collect(Collectors.joining(","));
  }
}
