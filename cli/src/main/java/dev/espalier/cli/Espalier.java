package dev.espalier.cli;

import dev.espalier.cli.experiment.Experiment;
import dev.espalier.cli.experiment.Experiments;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.io.Scale;
import dev.espalier.engine.io.SparseForm;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activations;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.ResourceBundle;
import java.util.function.Function;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.ArgGroupSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.OverwrittenOptionException;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.ParseResult.GroupMatch;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/// The command `espalier`: results on stdout, progress and errors on stderr, exit codes 0 done, 1 failed, 2 usage
/// error.
@Command(name = "espalier", sortOptions = false, versionProvider = Espalier.Version.class)
public final class Espalier implements Runnable {
  private static final List<Class<?>> COMMANDS = List.of(DemoCommand.class, PruneCommand.class, ShrinkCommand.class,
      ScoreCommand.class, MergeCommand.class, EvaluateCommand.class, CompareCommand.class, SensitivityCommand.class,
      TrainCommand.class, ExperimentCommand.class, InspectCommand.class, ConvertCommand.class, TimeCommand.class,
      DoctorCommand.class, HelpCommand.class);

  @Spec
  private CommandSpec spec;

  @Mixin
  GlobalOptions global;

  @Option(names = {"-V", "--version"}, versionHelp = true)
  boolean version;

  private Espalier() {}

  /// Runs a command and ends the virtual machine with its exit code. Numbers are written the same way in every country.
  public static void main(String... arguments) {
    Locale.setDefault(Locale.ROOT);
    if (GlobalOptions.isVerbose(arguments)) {
      System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "info"); // read once, by the first logger
    }
    System.exit(run(commandLine(arguments), arguments));
  }

  /// @return the exit code
  static int run(CommandLine commandLine, String... arguments) {
    try {
      return commandLine.execute(arguments);
    } catch (Error | RuntimeException e) {
      return Errors.report(e, commandLine, GlobalOptions.isVerbose(arguments));
    } finally {
      commandLine.getOut().flush();
      commandLine.getErr().flush();
    }
  }

  /// With the command that `arguments` begin with alone, else with all: half of a start is picocli's reading of
  /// annotations.
  static CommandLine commandLine(String... arguments) {
    CommandLine commandLine = new CommandLine(new Espalier());
    commands(arguments.length == 0 ? "" : arguments[0]).forEach(commandLine::addSubcommand);
    // Loaded here, for picocli sees no resources of this module.
    commandLine.setResourceBundle(ResourceBundle.getBundle("dev.espalier.cli.Help", Locale.ROOT));
    values(commandLine, Criterion.class, Criterion::parse);
    values(commandLine, Compensation.class, Compensation::parse);
    values(commandLine, Sensitivity.class, Sensitivity::parse);
    values(commandLine, ScopeOption.class, ScopeOption::parse);
    values(commandLine, Scope.class, Scope::parse);
    values(commandLine, Schedule.class, Schedule::parse);
    values(commandLine, Preset.class, Preset::parse);
    values(commandLine, Repairs.class, Repairs::parse);
    values(commandLine, Augmentation.class, Augmentation::parse);
    values(commandLine, Limits.Amount.class, Limits.Amount::parse);
    values(commandLine, Loss.class, Loss::parse);
    values(commandLine, Device.class, Device::parse);
    values(commandLine, Precision.class, Precision::parse);
    values(commandLine, Method.class, Method::parse);
    values(commandLine, Activations.class, Activations::parse);
    values(commandLine, Scale.class, Scale::parse);
    values(commandLine, SparseForm.class, SparseForm::parse);
    values(commandLine, Experiment.class, Experiments::parse);
    values(commandLine, Path.class, Espalier::path);
    commandLine.setUsageHelpAutoWidth(false);
    commandLine.setUsageHelpWidth(100);
    commandLine.setExecutionStrategy(Espalier::execute);
    commandLine.setParameterExceptionHandler(Errors::usageError);
    commandLine.setExecutionExceptionHandler(Errors::failed);
    return commandLine;
  }

  private static List<Class<?>> commands(String first) {
    return switch (first) {
      case "--version", "-V" -> List.of();
      case "help" -> COMMANDS;
      default -> COMMANDS.stream().filter(command -> command.getAnnotation(Command.class).name().equals(first))
          .findFirst().<List<Class<?>>>map(List::of).orElse(COMMANDS);
    };
  }

  private static <T> void values(CommandLine commandLine, Class<T> type, Function<String, T> parser) {
    ITypeConverter<T> converter = text -> {
      try {
        return parser.apply(text);
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException(e.getMessage());
      }
    };
    commandLine.registerConverter(type, converter);
  }

  /// Java reads file names by the locale, and gives up on letters that it lacks.
  private static Path path(String text) {
    if (text.isEmpty()) {
      throw new IllegalArgumentException("'' is not a file name");
    }
    try {
      return Path.of(text);
    } catch (InvalidPathException e) {
      throw new IllegalArgumentException(
          "'%s' is not a valid file name in this locale; set LC_ALL=C.UTF-8".formatted(e.getInput()), e);
    }
  }

  private static int execute(ParseResult parsed) {
    refuseRepeated(parsed.subcommands().isEmpty() ? parsed : parsed.subcommands().getLast());
    return new RunLast().execute(parsed);
  }

  /// For an option that is repeated, picocli begins its group anew, and forgets the group's options before it; of lists
  /// with commas, it joins them.
  private static void refuseRepeated(ParseResult command) {
    for (OptionSpec option : command.matchedOptions()) {
      if (!option.splitRegex().isEmpty() && option.originalStringValues().size() > 1) {
        throw repeated(command, option);
      }
    }
    for (ArgGroupSpec group : command.commandSpec().argGroups()) {
      List<GroupMatch> matches = command.findMatches(group).stream().flatMap(found -> found.matches().stream())
          .toList();
      for (OptionSpec option : group.options()) {
        if (matches.stream().filter(match -> !match.matchedValues(option).isEmpty()).count() > 1) {
          throw repeated(command, option);
        }
      }
    }
  }

  private static OverwrittenOptionException repeated(ParseResult command, OptionSpec option) {
    return new OverwrittenOptionException(command.commandSpec().commandLine(), option,
        "option '%s' should be specified only once".formatted(option.longestName()));
  }

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "a command is missing, for example 'espalier demo'");
  }

  /// The version of the module.
  static String version() {
    var descriptor = Espalier.class.getModule().getDescriptor();
    return descriptor == null ? "development" : descriptor.rawVersion().orElse("development");
  }

  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      return new String[]{"espalier " + version()};
    }
  }
}
