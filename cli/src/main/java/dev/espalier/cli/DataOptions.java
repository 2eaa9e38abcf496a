package dev.espalier.cli;

import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.CsvOptions;
import dev.espalier.engine.io.ModelInput;
import dev.espalier.engine.io.SampleReading;
import dev.espalier.engine.io.Scale;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import picocli.CommandLine.Option;

/// The data that a command works with, and how it reads data files.
class DataOptions {
  @Option(names = "--data", paramLabel = "FILE", order = 1)
  Path data;

  @Option(names = "--labels", paramLabel = "FILE", order = 2)
  private Path labels;

  @Option(names = "--label-column", paramLabel = "COLUMN", order = 3)
  private String labelColumn;

  @Option(names = "--columns", paramLabel = "NAMES", order = 3, split = ",")
  private List<String> columns = List.of();

  @Option(names = "--max-samples", paramLabel = "N", order = 4, converter = Values.AtLeastOneLong.class)
  private Long maxSamples;

  @Option(names = "--scale", paramLabel = "FACTOR", order = 5)
  private Scale scale;

  @Option(names = "--csv-separator", paramLabel = "SEPARATOR", order = 6, converter = Values.Separator.class)
  private Character separator;

  @Option(names = "--csv-decimal", paramLabel = "MARK", order = 7, converter = Values.DecimalMark.class)
  private Character decimal;

  @Option(names = "--csv-header", paramLabel = "YES|NO", order = 8, converter = Values.YesOrNo.class)
  private Values.Answer header;

  private List<ModelInput> inputs = List.of();

  /// Whether the data have labels.
  boolean hasLabels() {
    return labels != null || labelColumn != null;
  }

  /// Refuses labels that are given twice, or without data, and standard input for two things.
  void check(GlobalOptions global) {
    global.require(data != null || labels == null, "--labels needs --data: give both, or neither");
    global.require(labelColumn == null || data != null, "--label-column needs --data: give both, or neither");
    global.require(labelColumn == null || labels == null, "--labels and --label-column both name labels: give one");
    global.require(data != null || columns.isEmpty(), "--columns needs --data: give both, or neither");
    global.require(separator == null || !separator.equals(decimal),
        "--csv-separator and --csv-decimal are both '%s': give two characters".formatted(decimal));
    global.require(!StandardInput.is(data) || !StandardInput.is(labels),
        "--data and --labels are both standard input: give a file for one");
  }

  /// Takes the inputs of the model that the data are for, after which files may name arrays.
  void expect(List<ModelInput> modelInputs) {
    inputs = modelInputs;
  }

  /// Opens the data, and says what was found out about their files.
  Dataset open(GlobalOptions global) throws IOException {
    return Samples.open(data, labels, labelColumn, reading(), maxSamples(), global);
  }

  /// Opens other data, in which labels without a file of their own are in the column of that name.
  Dataset open(Path otherData, Path otherLabels, GlobalOptions global) throws IOException {
    return Samples.open(otherData, otherLabels, otherLabels == null ? labelColumn : null, reading(),
        OptionalLong.empty(), global);
  }

  /// The most samples to use, if that is limited.
  OptionalLong maxSamples() {
    return maxSamples == null ? OptionalLong.empty() : OptionalLong.of(maxSamples);
  }

  /// The files that are given; may be null.
  Path[] files() {
    return new Path[]{data, labels};
  }

  /// Whether labels are in a column of the data.
  boolean hasLabelColumn() {
    return labelColumn != null;
  }

  /// How samples are read, where that changes them.
  Map<String, String> readingText() {
    return scale == null ? Map.of() : Map.of("scale", scale.toString());
  }

  private SampleReading reading() {
    return new SampleReading(
        new CsvOptions(Optional.ofNullable(separator), Optional.ofNullable(decimal),
            Optional.ofNullable(header).map(answer -> answer == Values.Answer.YES)),
        Optional.ofNullable(scale), columns, inputs);
  }
}
