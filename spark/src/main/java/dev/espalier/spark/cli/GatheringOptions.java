package dev.espalier.spark.cli;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.AtomicOutput;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.ModelReading;
import dev.espalier.engine.io.Scale;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.spark.SampleColumns;
import dev.espalier.spark.SparkSamples;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.apache.spark.sql.SparkSession;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// What a gathering is of, and what the command says and writes.
final class GatheringOptions {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec command;

  @Parameters(paramLabel = "MODEL",
      description = "A safetensors file, the state dict of torch.save, or an ONNX model, " + "on the driver's machine.")
  Path model;

  @Option(names = "--activations", paramLabel = "NAMES",
      description = "Activation functions, where the model's file " + "does not name them, for example relu.")
  private Activations activations;

  @Option(names = "--layers", paramLabel = "NAMES", split = ",",
      description = "Names of the layers in order, or of a " + "part of them.")
  private List<String> layers = List.of();

  @Option(names = "--from", paramLabel = "TENSOR",
      description = "The tensor of an ONNX model that the network begins at, "
          + "instead of the model's inputs: the data are then this tensor.")
  private String from;

  @Option(names = "--data", paramLabel = "PARQUET", description = "Parquet files, or folders of them, at any address "
      + "that Spark reads; a sample is a row. Each partition sends sums as large as the network, so one or two for each "
      + "core are best: spark.sql.files.maxPartitionBytes makes them larger.")
  private String data;

  @Option(names = "--columns", paramLabel = "NAMES", split = ",",
      description = "The column of arrays of numbers, or of Spark ML's vectors, or the "
          + "columns of numbers in the order of the network's inputs, separated by commas; default: all columns.")
  private List<String> columns = List.of();

  @Option(names = "--scale", paramLabel = "FACTOR",
      description = "Multiply all samples by a number, for example 1/255.")
  private Scale scale;

  @Option(names = "--criterion", paramLabel = "NAME", defaultValue = "ec",
      description = "How the importance of a weight "
          + "is defined: ec or wanda, or, with --compensation bias, magnitude or random (default: ${DEFAULT-VALUE}).")
  private Criterion criterion;

  @Option(names = "--compensation", paramLabel = "KIND",
      description = "bias or none; default: bias for ec, otherwise " + "none.")
  private Compensation compensation;

  @Option(names = "--sensitivity", paramLabel = "KIND", description = "jacobian, probes:R, or, for classifiers, fisher "
      + "or fisher:R; default: jacobian for up to 64 outputs, otherwise probes:16.")
  private Sensitivity sensitivity;

  @Option(names = "--exclude", paramLabel = "PATTERN",
      description = "Leave the layers whose name matches PATTERN as they " + "are. May be repeated.")
  private List<String> exclude = new ArrayList<>();

  @Option(names = "--new-bias", description = "Add a bias to layers that have none.")
  private boolean newBias;

  @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "auto",
      description = "Where each task computes: auto "
          + "(the GPUs that Spark gives it, else the CPU, on spark.task.cpus threads), cuda, cpu or reference (default: "
          + "${DEFAULT-VALUE}).")
  Device device;

  @Option(names = "--batch-size", paramLabel = "N", description = "Samples per batch, the same in all tasks; "
      + "default: 8192 where they compute on GPUs (cuda, or auto with spark.task.resource.gpu.amount), less where that "
      + "takes more than 16 GiB; else 512.")
  private Integer batchSize;

  @Option(names = "--seed", paramLabel = "N", defaultValue = "0",
      description = "Seed of all random numbers (default: " + "${DEFAULT-VALUE}).")
  private long seed;

  @Option(names = {"-o", "--output"}, paramLabel = "FILE", description = "File to write, on the driver's machine.")
  Path output;

  @Option(names = {"-f", "--force"}, description = "Overwrite existing files.")
  boolean force;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Print this help and exit.")
  boolean help;

  @Option(names = {"-v", "--verbose"}, description = "Print Spark's log, and the stack trace of an error.")
  boolean verbose;

  @Option(names = {"-q", "--quiet"}, description = "Print results and errors only.")
  private boolean quiet;

  /// @throws ParameterException unless the command was used rightly
  void require(boolean rightUse, String message) {
    if (!rightUse) {
      throw new ParameterException(command.commandLine(), message);
    }
  }

  /// Refuses before the work what could not be written after it.
  void check() throws IOException {
    require(data != null, "--data is missing: give --data PARQUET");
    require(batchSize == null || batchSize > 0, "--batch-size %s: use at least 1".formatted(batchSize));
    if (output != null) {
      require(!Files.exists(output) || !Files.exists(model) || !Files.isSameFile(model, output),
          "--output %s is read by this command: give another file".formatted(output));
      AtomicOutput.check(output, force);
    }
  }

  /// The options of a pruning that a gathering depends on.
  PruningOptions.Builder builder() {
    PruningOptions.Builder builder = PruningOptions.builder().criterion(criterion).newBias(newBias)
        .exclude(exclude.toArray(String[]::new)).seed(seed);
    Optional.ofNullable(batchSize).ifPresent(builder::batchSize);
    Optional.ofNullable(compensation).ifPresent(builder::compensation);
    Optional.ofNullable(sensitivity).ifPresent(builder::sensitivity);
    return builder;
  }

  ModelFile load(Arena arena) throws IOException {
    ModelFile file = ModelFile.load(model,
        new ModelReading(Optional.ofNullable(activations), layers, Optional.ofNullable(from), OptionalInt.empty()),
        arena);
    file.notes().forEach(this::note);
    return file;
  }

  SparkSamples samples(SparkSession session) {
    return samples(session, Optional.empty());
  }

  SparkSamples samples(SparkSession session, Optional<String> labels) {
    return samples(session, data, labels);
  }

  /// @param files read as the samples are
  SparkSamples samples(SparkSession session, String files, Optional<String> labels) {
    return new SparkSamples(session.read().parquet(files.split(",")),
        new SampleColumns(columns, Optional.ofNullable(scale)), files, labels);
  }

  void say(String message) {
    if (!quiet) {
      command.commandLine().getErr().println(message);
      command.commandLine().getErr().flush();
    }
  }

  void note(String note) {
    say("note: " + note);
  }

  /// A result.
  void print(String line) {
    command.commandLine().getOut().println(line);
  }
}
