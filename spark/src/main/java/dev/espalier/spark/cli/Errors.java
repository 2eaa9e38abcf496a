package dev.espalier.spark.cli;

import dev.espalier.engine.EspalierException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.io.FileErrors;
import dev.espalier.engine.io.LayerOrderException;
import dev.espalier.engine.io.MissingActivationsException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import org.apache.spark.sql.AnalysisException;
import picocli.CommandLine;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/// Turns whatever went wrong into one line on stderr and an exit code, as `espalier` does.
final class Errors {
  private Errors() {}

  static int usageError(ParameterException e, String... arguments) {
    CommandLine commandLine = e.getCommandLine();
    Optional<String> refusal = e instanceof UnmatchedArgumentException unmatched
        ? OneMachine.refusal(unmatched.getUnmatched())
        : Optional.empty();
    print(commandLine, "%s; see '%s --help'".formatted(refusal.orElseGet(() -> startingSmall(e.getMessage())),
        commandLine.getCommandSpec().qualifiedName()));
    if (Arrays.asList(arguments).contains("--verbose")) {
      e.printStackTrace(commandLine.getErr());
    }
    return ExitCode.USAGE;
  }

  static int failed(Exception e, CommandLine commandLine, ParseResult parsed) {
    print(commandLine, explained(e));
    if (parsed.hasMatchedOption("--verbose")) {
      e.printStackTrace(commandLine.getErr());
    }
    return ExitCode.SOFTWARE;
  }

  private static void print(CommandLine commandLine, String message) {
    commandLine.getErr()
        .println("espalier-spark: " + message.strip().replaceAll("\\s*\\R\\s*", " ").replaceAll("\\p{Cntrl}", "?"));
    commandLine.getErr().flush();
  }

  private static String explained(Throwable e) {
    return switch (e) {
      case UncheckedIOException unchecked -> explained(unchecked.getCause());
      case FileAlreadyExistsException file -> FileErrors.explained(file) + " or add --force";
      case MissingActivationsException _ -> e.getMessage() + ", for example --activations relu";
      case LayerOrderException _ -> e.getMessage() + ", or by --layers";
      case MissingDataException _ -> e.getMessage();
      case IOException io -> FileErrors.explained(io);
      case AnalysisException analysis -> "Spark: " + analysis.getSimpleMessage().lines().findFirst().orElse("");
      case EspalierException _,IllegalArgumentException _,CancellationException _ when e.getMessage() != null ->
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
