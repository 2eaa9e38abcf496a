package dev.espalier.cli;

import java.io.PrintWriter;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// What every command has: help, how much it says, and where. `espalier` itself has them too, so that they may also stand
/// before the command.
final class GlobalOptions {
  private static final Set<String> NOT_REPORTED = Set.of("help", "verbose", "quiet", "force", "report", "checkpoint");

  @Spec(Spec.Target.MIXEE)
  private CommandSpec command;

  @Option(names = {"-h", "--help"}, usageHelp = true, order = 100)
  boolean help;

  @Option(names = {"-v", "--verbose"}, order = 101)
  boolean verbose;

  @Option(names = {"-q", "--quiet"}, order = 102)
  private boolean quiet;

  /// Whether arguments that were not yet understood, or not as a whole, ask for it; also where `-v` is one of several
  /// letters.
  static boolean isVerbose(String... arguments) {
    return Arrays.stream(arguments).anyMatch(argument -> argument.matches("--verbose|-[hqVf]*v.*"));
  }

  private Progress progress = Progress.silent();

  private boolean isQuiet() {
    return command.root().findOption("--quiet").<Boolean>getValue() || quiet;
  }

  /// For results.
  PrintWriter out() {
    return command.commandLine().getOut();
  }

  /// Tells what happens meanwhile.
  void say(String message) {
    if (!isQuiet()) {
      progress.say(command.commandLine().getErr(), message);
    }
  }

  void note(String note) {
    say("note: " + note);
  }

  Progress progress() {
    progress = isQuiet() ? Progress.silent() : Progress.on(command.commandLine().getErr());
    return progress;
  }

  /// Whether an option stands on the command line.
  boolean isGiven(String option) {
    return command.commandLine().getParseResult().hasMatchedOption(option);
  }

  /// @throws ParameterException unless the command was used rightly
  void require(boolean rightUse, String message) {
    if (!rightUse) {
      throw new ParameterException(command.commandLine(), message);
    }
  }

  /// The command's options and parameters with their values, for its report; those without a value are left out.
  Map<String, Object> inForce() {
    Map<String, Object> values = new LinkedHashMap<>();
    for (PositionalParamSpec parameter : command.positionalParameters()) {
      put(values, parameter.paramLabel().toLowerCase(Locale.ROOT), parameter.getValue());
    }
    for (OptionSpec option : command.options()) {
      put(values, option.longestName().substring(2), option.getValue());
    }
    values.keySet().removeAll(NOT_REPORTED);
    return values;
  }

  private static void put(Map<String, Object> values, String name, Object value) {
    if (value != null && !(value instanceof Collection<?> list && list.isEmpty())) {
      values.put(name, value);
    }
  }
}
