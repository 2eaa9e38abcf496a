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
    check(global, output, read);
  }

  /// As [#check(GlobalOptions, Path...)], of a command that writes safetensors alone.
  void checkSafetensors(GlobalOptions global, Path... read) throws IOException {
    global.require(!output.toString().matches(".*\\.(onnx|index\\.json)"),
        "--output %s: this command writes safetensors; give a name that ends in .safetensors".formatted(output));
    check(global, read);
  }

  /// As [#check(GlobalOptions, Path...)], of a file whose name follows from `--output`.
  void check(GlobalOptions global, Path written, Path... read) throws IOException {
    global.require(!written.toString().matches("(?i).*\\.(pt|pth|ckpt|bin)"),
        "--output %s: files of PyTorch are read and not written; give a name that ends in .safetensors"
            .formatted(written));
    check(global, "--output", written, force, read);
  }

  /// As the others, of the file that an option names.
  static void check(GlobalOptions global, String option, Path written, boolean force, Path... read) throws IOException {
    for (Path path : read) {
      global.require(path == null || !Files.exists(written) || !Files.exists(path) || !Files.isSameFile(path, written),
          "%s %s is read by this command: give another file".formatted(option, written));
    }
    AtomicOutput.check(written, force);
  }
}
