package dev.espalier.cli;

import dev.espalier.engine.io.AtomicOutput;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/// The file that a command writes.
class OutputOptions {
  @Option(names = {"-o", "--output"}, paramLabel = "FILE", order = 80)
  Path output;

  @Option(names = {"-f", "--force"}, order = 83)
  boolean force;

  /// Refuses before the work what could not be written after it.
  void check() throws IOException {
    AtomicOutput.check(output, force);
  }
}
