package dev.espalier.bench;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.device.Device;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/// Runs benchmarks and prints a table: JMH's options, and defaults that fit whole scoring passes.
public final class BenchmarkTable {
  private static final int WARM_UPS = 2;
  private static final int ITERATIONS = 5;
  private static final int SECONDS = 2;

  private BenchmarkTable() {}

  /// @param args JMH's: patterns of benchmarks, `-p name=value`, `-l` to list them, …
  public static void main(String[] args) throws RunnerException, CommandLineOptionException, IOException {
    CommandLineOptions commandLine = new CommandLineOptions(args);
    if (commandLine.shouldHelp()) {
      commandLine.showHelp();
      return;
    }
    if (commandLine.shouldList()) {
      new Runner(commandLine).list();
      return;
    }
    if (commandLine.shouldListWithParams()) {
      new Runner(commandLine).listWithParams(commandLine);
      return;
    }
    Options options = new OptionsBuilder().parent(commandLine).forks(1).warmupIterations(WARM_UPS)
        .warmupTime(TimeValue.seconds(SECONDS)).measurementIterations(ITERATIONS)
        .measurementTime(TimeValue.seconds(SECONDS)).jvmArgsPrepend("-Xmx2g") // the other options are those of this JVM
        .build();
    Collection<RunResult> results = new Runner(options).run();
    System.out.print(machine() + table(results));
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
