package dev.espalier.cli;

import dev.espalier.bindings.NativeLibraryException;
import dev.espalier.engine.backend.OutOfBackendMemoryException;
import dev.espalier.engine.device.DeviceUnavailableException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.concurrent.CancellationException;
import picocli.CommandLine;
import picocli.CommandLine.ExecutionException;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/// Turns whatever went wrong into one line on stderr and an exit code.
final class Errors {
  private Errors() {}

  /// Wrong use: a line that ends in where the right use is explained; exit code 2.
  static int wrongUse(ParameterException e, String... arguments) {
    CommandLine commandLine = e.getCommandLine();
    print(commandLine.getErr(),
        "%s; see '%s --help'".formatted(startingSmall(e.getMessage()), commandLine.getCommandSpec().qualifiedName()));
    if (GlobalOptions.isVerbose(arguments)) {
      e.printStackTrace(commandLine.getErr());
    }
    return ExitCode.USAGE;
  }

  /// A command that threw; exit code 1.
  static int failed(Exception e, CommandLine commandLine, ParseResult parsed) {
    return report(e, commandLine, commandLine.getParseResult().hasMatchedOption("--verbose"));
  }

  static int report(Throwable e, CommandLine commandLine, boolean verbose) {
    print(commandLine.getErr(), explained(e));
    if (verbose) {
      e.printStackTrace(commandLine.getErr());
    }
    return ExitCode.SOFTWARE;
  }

  private static void print(PrintWriter err, String message) {
    err.println("espalier: " + message.strip().replaceAll("\\s*\\R\\s*", " ").replaceAll("\\p{Cntrl}", "?"));
    err.flush();
  }

  private static String explained(Throwable e) {
    return switch (e) {
      case ExecutionException execution when execution.getCause() != null -> explained(execution.getCause());
      case UncheckedIOException unchecked -> explained(unchecked.getCause());
      case NoSuchFileException file -> file.getFile() + ": no such file; check the path";
      case AccessDeniedException file -> file.getFile() + ": no permission; change it or choose another path";
      case FileAlreadyExistsException file -> file.getFile() + ": already exists; choose another path or add --force";
      case FileSystemException file when file.getReason() != null -> file.getFile() + ": " + file.getReason();
      case OutOfMemoryError _ ->
        "out of memory with a heap of %d MiB; lower --batch-size or --max-samples, or start with %s"
            .formatted(Runtime.getRuntime().maxMemory() >> 20, "ESPALIER_JAVA_OPTIONS=-Xmx16g, for example");
      case IOException _,IllegalArgumentException _,ArithmeticException _,CancellationException _,OutOfBackendMemoryException _,DeviceUnavailableException _,NativeLibraryException _ when e
          .getMessage() != null ->
        e.getMessage();
      default -> "internal error: %s; please report it with what --verbose prints".formatted(e);
    };
  }

  /// picocli begins its sentences with capitals.
  private static String startingSmall(String message) {
    return message.length() > 1 && Character.isLowerCase(message.charAt(1))
        ? Character.toLowerCase(message.charAt(0)) + message.substring(1)
        : message;
  }
}
