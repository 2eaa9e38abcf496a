package dev.espalier.cli;

import dev.espalier.engine.report.Report;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/// The report of a command that writes nothing else.
class ReportOptions {
  @Option(names = "--report", paramLabel = "DIR", order = 82)
  Path folder;

  @Option(names = {"-f", "--force"}, order = 83)
  boolean force;

  void check() throws IOException {
    Reports.check(folder, force, "--report");
  }

  void write(Report report, GlobalOptions global) throws IOException {
    Reports.write(report, folder, force, global);
  }
}
