package dev.espalier.cli;

import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Sensitivity;
import java.util.function.Function;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/// The command `espalier`: results on stdout, progress and errors on stderr, exit codes 0 done, 1 failed, 2 wrong use.
@Command(name = "espalier", versionProvider = Espalier.Version.class,
    subcommands = {DemoCommand.class, PruneCommand.class, ScoreCommand.class, EvaluateCommand.class,
        CompareCommand.class, TrainCommand.class, InspectCommand.class, DoctorCommand.class},
    header = "Espalier prunes trained fully-connected networks: it removes the weights that the network can do "
        + "without, and moves the biases to make up for them.",
    sortOptions = false, synopsisHeading = "%nUsage: ", synopsisSubcommandLabel = "COMMAND",
    commandListHeading = "%nCommands:%n", optionListHeading = "%nOptions:%n", footerHeading = "%nFirst steps:%n",
    footer = {"  espalier demo              trains a small network, prunes it, shows what is lost",
        "  espalier prune --help      options and examples of the main command",
        "  espalier doctor            what this machine offers", "", "Exit codes: 0 done, 1 failed, 2 wrong use."})
public final class Espalier implements Runnable {
  @Spec
  private CommandSpec spec;

  @Mixin
  GlobalOptions global;

  @Option(names = {"-V", "--version"}, versionHelp = true, description = "Show the version and end.")
  boolean version;

  private Espalier() {}

  /// Runs a command and ends the virtual machine with its exit code.
  public static void main(String... arguments) {
    System.exit(run(commandLine(), arguments));
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

  static CommandLine commandLine() {
    CommandLine commandLine = new CommandLine(new Espalier());
    values(commandLine, Criterion.class, Criterion::parse);
    values(commandLine, Compensation.class, Compensation::parse);
    values(commandLine, Sensitivity.class, Sensitivity::parse);
    values(commandLine, Scope.class, Scope::parse);
    values(commandLine, Schedule.class, Schedule::parse);
    values(commandLine, Loss.class, Loss::parse);
    values(commandLine, Device.class, Device::parse);
    values(commandLine, Precision.class, Precision::parse);
    values(commandLine, Method.class, Method::parse);
    values(commandLine, Activations.class, Activations::parse);
    commandLine.setUsageHelpAutoWidth(false);
    commandLine.setUsageHelpWidth(100);
    commandLine.setParameterExceptionHandler(Errors::wrongUse);
    commandLine.setExecutionExceptionHandler(Errors::failed);
    return commandLine;
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
