package dev.espalier.cli;

import dev.espalier.engine.io.AtomicOutput;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/// The file that a command writes.
class OutputOptions {
  private static final String SAFETENSORS = "(?i).*\\.safetensors";
  private static final String MODEL = "(?i:.*\\.(safetensors|onnx))|.*\\.index\\.json";
  private static final String TORCH = "(?i).*\\.(pt|pth|ckpt|bin)";

  @Option(names = {"-o", "--output"}, paramLabel = "FILE", order = 80)
  Path output;

  @Option(names = {"-f", "--force"}, order = 83)
  boolean force;

  /// Refuses before the work what could not be written after it, what would replace a file that is read, and a name that
  /// ends as no model file does.
  ///
  /// @param read may be null
  void check(GlobalOptions global, Path... read) throws IOException {
    checkModel(global, "--output", output, force, read);
  }

  /// As [#check(GlobalOptions, Path...)], of a command that writes safetensors alone.
  void checkSafetensors(GlobalOptions global, Path... read) throws IOException {
    requireUnread(global, "--output", output, read);
    requireSafetensors(global, "--output", output);
    AtomicOutput.check(output, force);
  }

  /// As [#check(GlobalOptions, Path...)], of a model that an option or a parameter names.
  static void checkModel(GlobalOptions global, String option, Path written, boolean force, Path... read)
      throws IOException {
    requireUnread(global, option, written, read);
    String name = written.toString();
    global.require(!name.matches(TORCH),
        "%s %s: files of PyTorch are read and not written; give a name that ends in .safetensors".formatted(option,
            name));
    global.require(name.matches(MODEL),
        "%s %s: models are written as safetensors or ONNX; give a name that ends in .safetensors or .onnx"
            .formatted(option, name));
    AtomicOutput.check(written, force);
  }

  /// As the others, of any file.
  static void check(GlobalOptions global, String option, Path written, boolean force, Path... read) throws IOException {
    requireUnread(global, option, written, read);
    AtomicOutput.check(written, force);
  }

  static void requireSafetensors(GlobalOptions global, String option, Path written) {
    global.require(written.toString().matches(SAFETENSORS),
        "%s %s: this is written as safetensors; give a name that ends in .safetensors".formatted(option, written));
  }

  private static void requireUnread(GlobalOptions global, String option, Path written, Path... read)
      throws IOException {
    for (Path path : read) {
      global.require(path == null || !Files.exists(written) || !Files.exists(path) || !Files.isSameFile(path, written),
          "%s %s is read by this command: give another file".formatted(option, written));
    }
  }
}
