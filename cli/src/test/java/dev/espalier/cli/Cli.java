package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine;

/// Runs commands in this virtual machine.
final class Cli {
  private Cli() {}

  /// @param code what the process would have ended with
  record Result(int code, String out, String err) {
    List<String> errLines() {
      return err.lines().toList();
    }
  }

  /// @param arguments strings, paths and numbers
  static Result run(Object... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] words = Arrays.stream(arguments).map(Object::toString).toArray(String[]::new);
    CommandLine commandLine = Espalier.commandLine(words);
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(err));
    int code = Espalier.run(commandLine, words);
    return new Result(code, out.toString(), err.toString());
  }

  /// Runs a command that is to succeed.
  static Result succeed(Object... arguments) {
    Result result = run(arguments);
    assertEquals(0, result.code, () -> Arrays.toString(arguments) + ": " + result.err);
    return result;
  }

  /// Runs a command, quietly, that is to fail with one line, leaving all files in `folder` as they are.
  ///
  /// @return that line
  static String fail(int code, Path folder, Object... arguments) {
    Result result = failing(code, folder, arguments);
    assertEquals("", result.out);
    return result.errLines().getFirst();
  }

  /// As [#fail], of a command that may print results before.
  static String failed(int code, Path folder, Object... arguments) {
    return failing(code, folder, arguments).errLines().getFirst();
  }

  private static Result failing(int code, Path folder, Object... arguments) {
    List<String> before = contents(folder);
    Object[] quiet = Stream.concat(Arrays.stream(arguments), Stream.of("--quiet")).toArray();
    Result result = run(quiet);
    assertEquals(code, result.code, () -> Arrays.toString(arguments) + ": " + result.err);
    assertEquals(1, result.errLines().size(), result::err);
    assertEquals("espalier: ", result.err.substring(0, "espalier: ".length()));
    assertEquals(before, contents(folder), "files");
    return result;
  }

  private static List<String> contents(Path folder) {
    try (Stream<Path> files = Files.walk(folder)) {
      return files.sorted().map(file -> file + " " + (Files.isRegularFile(file) ? file.toFile().length() : ""))
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
