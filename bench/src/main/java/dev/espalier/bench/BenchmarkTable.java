package dev.espalier.bench;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.BenchmarkException;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.format.OutputFormat;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/// Runs benchmarks and prints a table: JMH's options, and defaults that fit whole scoring passes.
public final class BenchmarkTable {
  private static final int WARM_UPS = 2;
  private static final int ITERATIONS = 5;
  private static final int SECONDS = 2;

  private BenchmarkTable() {}

  /// Ends the virtual machine with 0, with 1 if a benchmark fails, or with 2 if the arguments are wrong.
  ///
  /// @param args JMH's: patterns of benchmarks, `-p name=value`, `-l` to list them, …
  public static void main(String[] args) throws IOException {
    int code = run(System.out, System.err, args);
    System.out.flush();
    System.exit(code);
  }

  /// @param out takes the table; what JMH says goes where its options send it
  /// @return the exit code
  static int run(PrintStream out, PrintStream err, String... args) throws IOException {
    if (List.of(args).contains("--help")) {
      out.println(
          "usage: [PATTERN]... [OPTION]... runs benchmarks and prints their table; -l lists them, -h the options"
              + " (JMH's)");
      return 0;
    }
    try {
      CommandLineOptions options = new CommandLineOptions(args);
      if (lists(options)) {
        return 0;
      }
      check(options);
      Collection<RunResult> results = new Runner(withDefaults(options)).run();
      out.print(machine() + table(results));
      return results.isEmpty() ? 1 : 0;
    } catch (CommandLineOptionException | IllegalArgumentException e) {
      err.println("bench: %s; --help shows what there is".formatted(e.getMessage()));
      return 2;
    } catch (RunnerException e) {
      err.println("bench: " + (e.getCause() instanceof BenchmarkException
          ? "a benchmark failed, for the reason that JMH shows"
          : e.getMessage()));
      return 1;
    }
  }

  /// Whether the options only ask what there is, which is then shown.
  private static boolean lists(CommandLineOptions options) throws IOException, RunnerException {
    if (options.shouldHelp()) {
      options.showHelp();
    } else if (options.shouldList()) {
      new Runner(options).list();
    } else if (options.shouldListWithParams()) {
      new Runner(options).listWithParams(options);
    } else if (options.shouldListProfilers()) {
      options.listProfilers();
    } else if (options.shouldListResultFormats()) {
      options.listResultFormats();
    } else {
      return false;
    }
    return true;
  }

  /// @throws IllegalArgumentException if a pattern matches no benchmark, or the table would be wrong
  private static void check(CommandLineOptions options) {
    OutputFormat silent = OutputFormatFactory.createFormatInstance(new PrintStream(OutputStream.nullOutputStream()),
        VerboseMode.SILENT);
    BenchmarkList benchmarks = BenchmarkList.defaultList();
    for (String pattern : options.getIncludes()) {
      if (benchmarks.find(silent, List.of(pattern), List.of()).isEmpty()) {
        throw new IllegalArgumentException("no benchmark matches '%s'; there are %s".formatted(pattern,
            benchmarks.getAll(silent, List.of()).stream()
                .map(entry -> entry.getUserClassQName().replaceFirst(".*\\.(.*)Benchmark", "$1")).distinct().sorted()
                .collect(Collectors.joining(", "))));
      }
    }
    if (!Set.of(Mode.Throughput).containsAll(options.getBenchModes())
        || options.getTimeUnit().orElse(TimeUnit.SECONDS) != TimeUnit.SECONDS) {
      throw new IllegalArgumentException("the table needs calls per second: leave out -bm and -tu");
    }
  }

  /// The options, and what they leave open; the JVM of a benchmark has the options of this one.
  private static Options withDefaults(CommandLineOptions given) {
    List<String> jvmArgs = new ArrayList<>(List.of("-Xmx2g"));
    jvmArgs.addAll(given.getJvmArgsPrepend().orElse(List.of()));
    TimeValue time = TimeValue.seconds(SECONDS);
    return new OptionsBuilder().parent(given).forks(given.getForkCount().orElse(1))
        .warmupIterations(given.getWarmupIterations().orElse(WARM_UPS)).warmupTime(given.getWarmupTime().orElse(time))
        .measurementIterations(given.getMeasurementIterations().orElse(ITERATIONS))
        .measurementTime(given.getMeasurementTime().orElse(time))
        .shouldFailOnError(given.shouldFailOnError().orElse(true)).jvmArgsPrepend(jvmArgs.toArray(String[]::new))
        .build();
  }

  private static String machine() throws IOException {
    try (Backend backend = Device.CPU.open()) {
      return "\n%s, %s; %s; Java %s\n\n".formatted(processor(), backend.description(), System.getProperty("os.name"),
          System.getProperty("java.version"));
    }
  }

  private static String processor() throws IOException {
    Path cpuinfo = Path.of("/proc/cpuinfo");
    if (!Files.exists(cpuinfo)) {
      return System.getProperty("os.arch");
    }
    return Files.readAllLines(cpuinfo).stream().filter(line -> line.startsWith("model name")).findFirst()
        .map(line -> line.substring(line.indexOf(':') + 1).strip()).orElse(System.getProperty("os.arch"));
  }

  private static String table(Collection<RunResult> results) {
    String head = """
        | benchmark | time | rate | of the limit | spread |
        |---|---|---|---|---|
        """;
    return results.stream().map(BenchmarkTable::row).collect(Collectors.joining("", head, ""));
  }

  private static String row(RunResult result) {
    List<IterationResult> iterations = result.getBenchmarkResults().stream()
        .flatMap(fork -> fork.getIterationResults().stream()).toList();
    boolean computes = median(iterations, i -> secondary(i, "gflop")) > 0;
    String done = computes ? "gflop" : "gbyte";
    String limit = computes ? "sgemm" : "copy";
    ToDoubleFunction<IterationResult> share = i -> secondary(i, done) / secondary(i, limit);
    double[] shares = sorted(iterations, share);
    return String.format(Locale.ROOT, "| %s | %.4g ms | %.4g %s | %.0f %% | %.0f–%.0f %% |%n", name(result.getParams()),
        median(iterations, i -> 1e3 / i.getPrimaryResult().getScore()), median(iterations, i -> secondary(i, done)),
        computes ? "GFLOP/s" : "GB/s", 100 * median(iterations, share), 100 * shares[0],
        100 * shares[shares.length - 1]);
  }

  private static double secondary(IterationResult iteration, String name) {
    Result<?> result = iteration.getSecondaryResults().get(name);
    return result == null ? 0 : result.getScore();
  }

  private static double median(List<IterationResult> iterations, ToDoubleFunction<IterationResult> value) {
    return sorted(iterations, value)[iterations.size() / 2];
  }

  private static double[] sorted(List<IterationResult> iterations, ToDoubleFunction<IterationResult> value) {
    return iterations.stream().mapToDouble(value).sorted().toArray();
  }

  private static String name(BenchmarkParams params) {
    String method = params.getBenchmark().replace("Benchmark.", ".");
    String values = params.getParamsKeys().stream().map(params::getParam).collect(Collectors.joining(" "));
    return method.substring(method.lastIndexOf('.', method.lastIndexOf('.') - 1) + 1) + " " + values;
  }
}
