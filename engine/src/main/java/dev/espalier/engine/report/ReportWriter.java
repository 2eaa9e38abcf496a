package dev.espalier.engine.report;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.espalier.engine.io.AtomicOutput;
import dev.espalier.engine.io.AtomicOutputs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalDouble;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/// Writes `report.json` and `report.html`, a page that needs no network.
public final class ReportWriter {
  private static final JsonMapper JSON = JsonMapper.builder()
      .withConfigOverride(Optional.class, type -> type.setInclude(absentIsOmitted()))
      .withConfigOverride(OptionalDouble.class, type -> type.setInclude(absentIsOmitted()))
      .enable(SerializationFeature.INDENT_OUTPUT).build();

  private ReportWriter() {}

  /// Writes both files, which appear together or not at all.
  ///
  /// @param directory created with its parents if missing
  /// @param overwrite whether to replace files of an earlier report
  /// @throws IOException if a file exists and is not to be replaced, or the directory or a file cannot be written; then
  ///                     nothing is left of them
  public static void write(Report report, Path directory, boolean overwrite) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      write(outputs, report, directory, overwrite);
      outputs.commit();
    }
  }

  /// As the other; the files appear when `outputs` are committed.
  public static void write(AtomicOutputs outputs, Report report, Path directory, boolean overwrite) throws IOException {
    String data = json(report);
    String page = HtmlPage.render(report, data, labels(report));
    outputs.createFolder(directory);
    outputs.write(directory.resolve("report.json"), overwrite, AtomicOutput.text(data));
    outputs.write(directory.resolve("report.html"), overwrite, AtomicOutput.text(page));
  }

  static String json(Report report) {
    return JSON.writeValueAsString(report) + "\n";
  }

  static String labels(Report report) {
    return JSON.writer().without(SerializationFeature.INDENT_OUTPUT).writeValueAsString(ChartLabels.of(report)) + "\n";
  }

  private static JsonInclude.Value absentIsOmitted() {
    return JsonInclude.Value.construct(JsonInclude.Include.NON_EMPTY, JsonInclude.Include.ALWAYS);
  }
}
