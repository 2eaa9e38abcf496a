package dev.espalier.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/// Standard input as a file, which can be read more than once.
final class StandardInput {
  private static final String NAME = "-";

  private StandardInput() {}

  /// Whether a path on the command line stands for standard input.
  static boolean is(Path path) {
    return path != null && path.toString().equals(NAME);
  }

  /// The path itself; of standard input, that of a copy, which is deleted when the virtual machine ends.
  static Path file(Path path) throws IOException {
    if (!is(path)) {
      return path;
    }
    Path folder = Files.createTempDirectory("espalier-");
    folder.toFile().deleteOnExit();
    Path copy = folder.resolve("stdin");
    copy.toFile().deleteOnExit(); // before its folder: the last that is registered is the first
    Files.copy(System.in, copy, StandardCopyOption.REPLACE_EXISTING);
    return copy;
  }
}
