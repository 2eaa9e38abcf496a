package dev.espalier.cli;

import dev.espalier.engine.EspalierException;
import dev.espalier.engine.ExcessiveTimeException;
import dev.espalier.engine.MissingDataException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.UnsupportedPrecisionException;
import dev.espalier.engine.io.CsvHeaderException;
import dev.espalier.engine.io.FileErrors;
import dev.espalier.engine.io.LayerOrderException;
import dev.espalier.engine.io.MissingActivationsException;
import dev.espalier.engine.io.Names;
import dev.espalier.engine.io.UnreadNodeException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.FileAlreadyExistsException;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.ExecutionException;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/// Turns whatever went wrong into one line on stderr and an exit code.
final class Errors {
  private static final String LARGER_HEAP = "ESPALIER_JAVA_OPTIONS=-Xmx16g, for example";

  private Errors() {}

  /// A usage error: one line, which ends with the place of help; exit code 2.
  static int usageError(ParameterException e, String... arguments) {
    CommandLine commandLine = e.getCommandLine();
    String message = e instanceof UnmatchedArgumentException unmatched
        ? unknown(unmatched)
        : startingSmall(e.getMessage());
    print(commandLine.getErr(), "%s%s '%s --help'".formatted(message, message.endsWith("?") ? " See" : "; see",
        commandLine.getCommandSpec().qualifiedName()));
    if (GlobalOptions.isVerbose(arguments)) {
      e.printStackTrace(commandLine.getErr());
    }
    return ExitCode.USAGE;
  }

  /// Names the first argument that was not understood; those behind an unknown option may be its values.
  private static String unknown(UnmatchedArgumentException e) {
    CommandLine commandLine = e.getCommandLine();
    String typed = e.getUnmatched().getFirst();
    if (e.isUnknownOption()) {
      String option = typed.replaceFirst("=.*", "");
      return "unknown option '%s'".formatted(option)
          + meant(Names.closest(option, commandLine.getCommandSpec().optionsMap().keySet()));
    }
    Set<String> commands = commandLine.getSubcommands().keySet();
    if (commands.isEmpty()) {
      return startingSmall(e.getMessage());
    }
    return "unknown command '%s'".formatted(typed) + meant(
        Names.closest(typed, commands).or(() -> commands.stream().filter(name -> name.startsWith(typed)).findFirst()));
  }

  private static String meant(Optional<String> name) {
    return name.map("; did you mean '%s'?"::formatted).orElse("");
  }

  /// A command that threw; exit code 1.
  static int failed(Exception e, CommandLine commandLine, ParseResult parsed) {
    return report(e, commandLine,
        parsed.hasMatchedOption("--verbose") || commandLine.getParseResult().hasMatchedOption("--verbose"));
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

  /// What went wrong, and by which options it can be helped.
  static String explained(Throwable e) {
    return switch (e) {
      case ExecutionException execution when execution.getCause() != null -> explained(execution.getCause());
      case UncheckedIOException unchecked -> explained(unchecked.getCause());
      case FileAlreadyExistsException file -> FileErrors.explained(file) + " or add --force";
      case MissingActivationsException _ -> e.getMessage() + ", for example --activations relu";
      case UnreadNodeException _ -> e.getMessage() + "; --from names a tensor behind it at which the network begins";
      case CsvHeaderException _ -> e.getMessage() + "; give --csv-header yes or no";
      case LayerOrderException order -> order.getMessage() + ", or by --layers"
          + (order.example().isEmpty() ? "" : ", for example --layers " + String.join(",", order.example()));
      case IOException io -> FileErrors.explained(io);
      case OutOfBackendMemoryException memory -> memory.getMessage() + remedies(memory);
      case MissingDataException missing -> missing.getMessage() + switch (missing.part()) {
        case SAMPLES -> ": give --data";
        case LABELS -> ": give --labels";
      };
      case ExcessiveTimeException _ -> e.getMessage() + "; lower --max-samples, --exclude layers, or give --allow-slow";
      case UnsupportedPrecisionException _ -> e.getMessage() + "; use --precision fp32, or another --device";
      case OutOfMemoryError _ ->
        "out of memory with a heap of %d MiB; lower --batch-size or --max-samples, or start with %s"
            .formatted(Runtime.getRuntime().maxMemory() >> 20, LARGER_HEAP);
      case EspalierException _,IllegalArgumentException _,CancellationException _ when e.getMessage() != null ->
        e.getMessage();
      default -> "internal error: %s; please report it with what --verbose prints".formatted(e);
    };
  }

  private static String remedies(OutOfBackendMemoryException e) {
    return e.remedies().isEmpty()
        ? ""
        : "; use " + Stream.of(Remedy.values()).filter(e.remedies()::contains).map(Errors::option)
            .collect(Collectors.joining(", or "));
  }

  private static String option(Remedy remedy) {
    return switch (remedy) {
      case SMALLER_BATCH -> "a smaller --batch-size";
      case MORE_DEVICE_MEMORY -> "a larger --device-memory if the GPU has it";
      case LARGER_HEAP -> LARGER_HEAP;
      case OTHER_DEVICE -> "another --device";
    };
  }

  /// picocli begins its sentences with capitals.
  private static String startingSmall(String message) {
    return message.length() > 1 && Character.isLowerCase(message.charAt(1))
        ? Character.toLowerCase(message.charAt(0)) + message.substring(1)
        : message;
  }
}
