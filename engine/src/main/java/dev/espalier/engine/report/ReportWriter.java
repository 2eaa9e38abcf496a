package dev.espalier.engine.report;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.UUID;
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
  /// @param directory
  ///          created with its parents if missing
  /// @param overwrite
  ///          whether to replace files of an earlier report
  /// @throws FileAlreadyExistsException
  ///           if one of the files exists and is not to be replaced; nothing is written then
  /// @throws IOException
  ///           if the directory or a file cannot be written
  public static void write(Report report, Path directory, boolean overwrite) throws IOException {
    Path json = directory.resolve("report.json");
    Path html = directory.resolve("report.html");
    for (Path file : List.of(json, html)) {
      if (Files.exists(file) && !(overwrite && Files.isRegularFile(file))) {
        throw new FileAlreadyExistsException(file.toString());
      }
    }
    String data = json(report);
    String page = new HtmlPage(report, data).render();
    Files.createDirectories(directory);
    writeWhole(json, data);
    writeWhole(html, page);
  }

  static String json(Report report) {
    return JSON.writeValueAsString(report) + "\n";
  }

  /// Writes to a new file beside the target and then renames it.
  static void writeWhole(Path target, String content) throws IOException {
    Path part = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID());
    try {
      try (OutputStream out = Files.newOutputStream(part, StandardOpenOption.CREATE_NEW,
          StandardOpenOption.WRITE)) {
        out.write(content.getBytes(StandardCharsets.UTF_8));
      }
      Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(part);
    }
  }

  private static JsonInclude.Value absentIsOmitted() {
    return JsonInclude.Value.construct(JsonInclude.Include.NON_EMPTY, JsonInclude.Include.ALWAYS);
  }
}
