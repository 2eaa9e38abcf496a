package dev.espalier.cli;

import dev.espalier.engine.io.AtomicOutput;
import dev.espalier.engine.io.AtomicOutputs;
import dev.espalier.engine.io.CsvTable;
import dev.espalier.engine.report.Report;
import dev.espalier.engine.report.ReportWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.function.Supplier;
import picocli.CommandLine.Option;

/// The report and the table of a command that writes nothing else.
final class TableOptions extends ReportOptions {
  @Option(names = "--csv", paramLabel = "FILE", order = 81)
  private Path csv;

  /// @param read by the command; may be null
  void check(GlobalOptions global, Path... read) throws IOException {
    check();
    if (csv != null) {
      OutputOptions.check(global, "--csv", csv, force, read);
    }
  }

  /// Writes what was asked for, which appears together or not at all.
  void write(Supplier<Report> report, CsvTable table, GlobalOptions global) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      if (csv != null) {
        outputs.write(csv, force, AtomicOutput.text(table.toString()));
      }
      if (folder != null) {
        ReportWriter.write(outputs, report.get(), folder, force);
      }
      outputs.commit();
    }
    if (folder != null) {
      Reports.say(folder, global);
    }
  }
}
