package dev.espalier.cli;

import dev.espalier.engine.io.AtomicOutput;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/// The file that a command writes.
class OutputOptions {
  @Option(names = {"-o", "--output"}, paramLabel = "FILE", order = 80,
      description = {"The safetensors file to write. It appears whole or not at all."})
  Path output;

  @Option(names = {"-f", "--force"}, order = 83, description = "Overwrite files that exist.")
  boolean force;

  /// Refuses before the work what could not be written after it.
  void check() throws IOException {
    if (Files.exists(output) && !force) {
      throw new FileAlreadyExistsException(output.toString());
    }
    AtomicOutput.check(output, force);
  }
}
