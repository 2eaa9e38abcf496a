package dev.espalier.engine.report;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.espalier.engine.io.AtomicOutput;
import java.io.IOException;
import java.nio.file.Files;
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

  /// Writes both files. Each appears whole or not at all.
  ///
  /// @param directory created with its parents if missing
  /// @param overwrite whether to replace files of an earlier report
  /// @throws IOException if a file exists and is not to be replaced, in which case nothing is written, or the directory
  ///                     or a file cannot be written
  public static void write(Report report, Path directory, boolean overwrite) throws IOException {
    Path json = directory.resolve("report.json");
    Path html = directory.resolve("report.html");
    String data = json(report);
    String page = new HtmlPage(report, data).render();
    Files.createDirectories(directory);
    AtomicOutput.check(json, overwrite);
    AtomicOutput.check(html, overwrite);
    AtomicOutput.writeText(json, overwrite, data);
    AtomicOutput.writeText(html, overwrite, page);
  }

  static String json(Report report) {
    return JSON.writeValueAsString(report) + "\n";
  }

  private static JsonInclude.Value absentIsOmitted() {
    return JsonInclude.Value.construct(JsonInclude.Include.NON_EMPTY, JsonInclude.Include.ALWAYS);
  }
}
