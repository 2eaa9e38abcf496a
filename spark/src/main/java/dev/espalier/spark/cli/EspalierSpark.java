package dev.espalier.spark.cli;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.io.Scale;
import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Limits;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.method.Preset;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Schedule;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activations;
import dev.espalier.spark.Selection;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.Supplier;
import org.apache.spark.sql.SparkSession;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/// The program that `spark-submit` runs: commands of `espalier` whose passes over the data are jobs of Spark. Options of
/// the same name mean the same. Results on stdout, notes and errors on stderr, exit codes 0 done, 1 failed, 2 usage error.
@Command(name = "espalier-spark", sortOptions = false, synopsisSubcommandLabel = "COMMAND",
    header = "Prune trained fully-connected networks by data that a Spark cluster reads.",
    footer = {"", "Exit codes: 0 success, 1 failure, 2 usage error."})
public final class EspalierSpark implements Runnable {
  @Spec
  private CommandSpec spec;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Print this help and exit.")
  boolean help;

  private EspalierSpark() {}

  /// Runs a command in the session that `spark-submit` describes, or, without a master, in this process alone.
  public static void main(String... arguments) {
    Locale.setDefault(Locale.ROOT);
    boolean verbose = Arrays.asList(arguments).contains("--verbose") || Arrays.asList(arguments).contains("-v");
    int code = run(commandLine(() -> session(verbose)), arguments);
    if (SparkSession.getDefaultSession().isDefined()) {
      SparkSession.getDefaultSession().get().stop();
    }
    if (code != 0) {
      System.exit(code);
    }
  }

  private static SparkSession session(boolean verbose) {
    SparkSession.Builder builder = SparkSession.builder().appName("espalier");
    if (System.getProperty("spark.master") == null) {
      builder.master("local[*]").config("spark.ui.enabled", false);
    }
    if (!verbose && System.getProperty("spark.log.level") == null) {
      builder.config("spark.log.level", "WARN");
    }
    return builder.getOrCreate();
  }

  /// @return the exit code
  static int run(CommandLine commandLine, String... arguments) {
    try {
      return commandLine.execute(arguments);
    } finally {
      commandLine.getOut().flush();
      commandLine.getErr().flush();
    }
  }

  /// @param session is asked for once a command is known to be used rightly
  static CommandLine commandLine(Supplier<SparkSession> session) {
    CommandLine commandLine = new CommandLine(new EspalierSpark());
    commandLine.addSubcommand(new PruneCommand(session));
    commandLine.addSubcommand(new ScoreCommand(session));
    values(commandLine, Criterion.class, Criterion::parse);
    values(commandLine, Compensation.class, Compensation::parse);
    values(commandLine, Sensitivity.class, Sensitivity::parse);
    values(commandLine, Preset.class, Preset::parse);
    values(commandLine, Schedule.class, Schedule::parse);
    values(commandLine, Repairs.class, Repairs::parse);
    values(commandLine, Device.class, Device::parse);
    values(commandLine, Activations.class, Activations::parse);
    values(commandLine, Selection.class, Selection::parse);
    values(commandLine, Scale.class, Scale::parse);
    values(commandLine, Limits.Amount.class, Limits.Amount::parse);
    values(commandLine, Loss.class, Loss::parse);
    commandLine.setUsageHelpAutoWidth(false);
    commandLine.setUsageHelpWidth(100);
    commandLine.setParameterExceptionHandler(Errors::usageError);
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
    throw new ParameterException(spec.commandLine(), "a command is missing: prune or score");
  }
}
