package dev.espalier.cli;

import dev.espalier.engine.io.AtomicOutput;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/// The file that a command writes.
class OutputOptions {
  @Option(names = {"-o", "--output"}, paramLabel = "FILE", order = 80)
  Path output;

  @Option(names = {"-f", "--force"}, order = 83)
  boolean force;

  /// Refuses before the work what could not be written after it, and what would replace a file that is read.
  ///
  /// @param read may be null
  void check(GlobalOptions global, Path... read) throws IOException {
    for (Path path : read) {
      global.require(path == null || !Files.exists(output) || !Files.exists(path) || !Files.isSameFile(path, output),
          "--output %s is read by this command: give another file".formatted(output));
    }
    AtomicOutput.check(output, force);
  }
}
