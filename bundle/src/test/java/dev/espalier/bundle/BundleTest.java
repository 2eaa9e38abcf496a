package dev.espalier.bundle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Unpacks the archives, and runs what is in them by a link, in folders with spaces in their names, where neither a JDK
/// nor any variable of the environment is in reach.
final class BundleTest {
  private static final Path TARGET = Path.of("target").toAbsolutePath();
  /// All that the launchers call.
  private static final List<String> TOOLS = List.of("sh", "dirname", "readlink", "stty", "cut", "bash", "mkdir", "tail",
      "locale", "grep", "sleep");
  /// Jackson and JUnit do without them, and JMH does not use the geometry of commons-math.
  private static final Set<String> OPTIONAL = Set.of("java.desktop", "java.sql");
  /// As CI packs it; with `-6` it is a tenth smaller.
  private static final long GPU_LIMIT = 50L << 20;

  @TempDir
  private static Path temporary;

  private static Path full;
  private static Path gpu;
  private static Path tools;

  private record Result(int code, String output) {}

  @BeforeAll
  static void unpack() throws IOException, InterruptedException {
    full = unpack("linux-x86_64", "with oneDNN");
    gpu = unpack("linux-x86_64-gpu", "without oneDNN");
    tools = Files.createDirectory(temporary.resolve("tools"));
    for (String tool : TOOLS) {
      Path found = Stream.of("/usr/bin", "/bin").map(folder -> Path.of(folder, tool)).filter(Files::exists).findFirst()
          .orElseThrow();
      Files.copy(found, tools.resolve(tool), StandardCopyOption.COPY_ATTRIBUTES);
    }
  }

  private static Path unpack(String variant, String folder) throws IOException, InterruptedException {
    Path destination = Files.createDirectory(temporary.resolve(folder));
    Result result = run(destination, System.getenv(),
        List.of("tar", "--extract", "--xz", "--file", archive(variant).toString()));
    assertEquals(0, result.code, result.output);
    try (Stream<Path> entries = Files.list(destination)) {
      return entries.reduce((first, second) -> {
        throw new AssertionError(variant + " unpacks to more than one folder");
      }).orElseThrow();
    }
  }

  private static Path archive(String variant) throws IOException {
    try (Stream<Path> files = Files.list(TARGET)) {
      return files.filter(file -> file.getFileName().toString().endsWith("-" + variant + ".tar.xz")).findFirst()
          .orElseThrow(() -> new AssertionError("no archive " + variant + " in " + TARGET));
    }
  }

  /// Runs a program of a bundle by a link to it.
  private static Result run(Path bundle, String program, String... arguments) throws IOException, InterruptedException {
    // One each: the other's oneDNN lies in its home.
    Path home = Files.createDirectories(bundle.resolveSibling("a home"));
    Path link = Files.createTempDirectory(home, "link").resolve(program);
    Files.createSymbolicLink(link, bundle.resolve("bin").resolve(program));
    List<String> command = new ArrayList<>(List.of(link.toString()));
    command.addAll(Arrays.asList(arguments));
    // Java takes the home from the system's list of users.
    return run(home, Map.of("HOME", home.toString(), "XDG_CACHE_HOME", home.toString(), "PATH", tools.toString(),
        "ESPALIER_JAVA_OPTIONS", "-Despalier.kernels.brief=true"), command);
  }

  private static Result run(Path folder, Map<String, String> environment, List<String> command)
      throws IOException, InterruptedException {
    ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true);
    builder.environment().clear();
    builder.environment().putAll(environment);
    Process process = builder.start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Result(process.waitFor(), output);
  }

  private static String succeed(Path bundle, String program, String... arguments)
      throws IOException, InterruptedException {
    Result result = run(bundle, program, arguments);
    assertEquals(0, result.code, program + " " + Arrays.toString(arguments) + ": " + result.output);
    return result.output;
  }

  @Test
  void trainsAndPrunes() throws IOException, InterruptedException {
    Path folder = Files.createDirectory(temporary.resolve("some data"));
    Path samples = Files.write(folder.resolve("x.csv"),
        IntStream.range(0, 40).mapToObj(i -> "%d,%d,%d".formatted(i % 2, i % 3, i % 5)).toList());
    Path labels = Files.write(folder.resolve("y.csv"),
        IntStream.range(0, 40).mapToObj(i -> Integer.toString(i % 2)).toList());
    Path model = folder.resolve("a model.safetensors");
    Path pruned = folder.resolve("a pruned model.safetensors");
    succeed(full, "espalier", "train", "--data", samples.toString(), "--labels", labels.toString(), "--layers", "3,8,2",
        "--activations", "relu", "--epochs", "2", "-o", model.toString());
    String output = succeed(full, "espalier", "prune", model.toString(), "--data", samples.toString(), "--sparsity",
        "0.5", "-o", pruned.toString(), "--report", folder.resolve("a report").toString());
    assertTrue(output.contains("20       20   50.00 %"), output);
    assertTrue(Files.size(pruned) > 0);
    assertTrue(Files.exists(folder.resolve("a report/report.html")));
  }

  @Test
  void findsItsJavaAndItsLibraries() throws IOException, InterruptedException {
    String output = succeed(full, "espalier", "doctor");
    assertTrue(output.contains(full.resolve("runtime").toRealPath().toString()), output);
    assertTrue(output.matches("(?s).*\\ncpu +yes +cpu \\(oneDNN.*"), output);
  }

  @Test
  void isSmallWithoutOneDnn() throws IOException, InterruptedException {
    long bytes = Files.size(archive("linux-x86_64-gpu"));
    assertTrue(bytes < GPU_LIMIT, bytes + " bytes");
    String output = succeed(gpu, "espalier", "doctor");
    assertTrue(output.matches("(?s).*\\ncpu +no +oneDNN: left out of this [^\\n]*\\nreference +yes .*"), output);
  }

  @Test
  void runsTheTestsThatNeedAGpu() throws IOException, InterruptedException {
    assumeTrue(Files.exists(Path.of("/dev/nvidiactl")), "there is no GPU");
    String output = succeed(gpu, "espalier-gpu-tests");
    assertTrue(output.matches("(?s).*\\[ +[1-9]\\d* tests found +].*"), output);
  }

  @Test
  void saysThatThereIsNoGpuToTest() throws IOException, InterruptedException {
    assumeFalse(Files.exists(Path.of("/dev/nvidiactl")));
    Result result = run(gpu, "espalier-gpu-tests");
    assertEquals(1, result.code, result.output);
    assertTrue(result.output.startsWith("espalier-gpu-tests: no NVIDIA GPU is here"), result.output);
    assertEquals(1, result.output.lines().count(), result.output);
    assertTrue(succeed(gpu, "espalier-gpu-tests", "--help").startsWith("usage: espalier-gpu-tests "));
  }

  @Test
  void recordsNothingWithoutAGpu() throws IOException, InterruptedException {
    assumeFalse(Files.exists(Path.of("/dev/nvidiactl")));
    Result result = run(gpu, "espalier-gpu-record", temporary.resolve("a record").toString());
    assertEquals(1, result.code, result.output);
    assertEquals(
        List.of("GpuKernels: no GPU to measure: libcuda.so.1 was not found: install NVIDIA's driver to " + "use a GPU"),
        result.output.lines().toList());
  }

  @Test
  void aRunWithoutAnyTestFails() throws IOException, InterruptedException {
    assertEquals(2, run(gpu, "espalier-gpu-tests", "--on-cpu", "--include-classname=none").code);
  }

  @Test
  void runsAKernelOnTheCpu() throws IOException, InterruptedException {
    String output = succeed(gpu, "espalier-gpu-tests", "--on-cpu",
        "--include-classname=.*\\.EliminationScoresKernelTest");
    assertTrue(output.matches("(?s).*\\[ +[1-9]\\d* tests found +].*"), output);
    assertTrue(!Files.exists(gpu.resolve("lib/tests/libkernels.so"))
        || output.matches("(?s).*\\[ +[1-9]\\d* tests successful +].*"), output);
  }

  @Test
  void listsAndRunsBenchmarks() throws IOException, InterruptedException {
    String list = succeed(full, "espalier-bench", "-l");
    assertTrue(list.contains("dev.espalier.bench.ScoringBenchmark"), list);
    Path folder = temporary.resolve("some scores");
    succeed(full, "espalier-bench", "--main", "PeerScores", "write", "3-2", "4", folder.toString(), "cpu");
    assertTrue(Files.exists(folder.resolve("importance0.npy")));
  }

  @Test
  void theRuntimeHasTheModulesThatTheJarsNeed() throws IOException {
    List<String> jars = new ArrayList<>();
    for (String folder : List.of("lib", "lib/bench", "lib/tests")) {
      try (Stream<Path> files = Files.list(full.resolve(folder))) {
        // oneDNN's jar has no classes, and is a module that requires one that is not here.
        files.map(Path::toString).filter(file -> file.endsWith(".jar") && !file.contains("/dnnl-")).forEach(jars::add);
      }
    }
    // A test is in the package of what it tests.
    String modules = jars.stream().filter(jar -> !jar.endsWith("-tests.jar"))
        .collect(Collectors.joining(File.pathSeparator));
    List<String> arguments = new ArrayList<>(List.of("--multi-release", "25", "-summary", "--module-path", modules));
    arguments.addAll(jars);
    StringWriter out = new StringWriter();
    PrintWriter writer = new PrintWriter(out);
    int code = ToolProvider.findFirst("jdeps").orElseThrow().run(writer, writer, arguments.toArray(String[]::new));
    assertEquals(0, code, out::toString);
    Set<String> needed = out.toString().lines().map(line -> line.replaceFirst(".* -> ", ""))
        .filter(name -> name.matches("(java|jdk)\\.\\S+")).collect(Collectors.toCollection(TreeSet::new));
    assertTrue(needed.contains("java.base"), out::toString);
    needed.removeAll(OPTIONAL);
    String release = Files.readString(full.resolve("runtime/release"));
    needed.removeAll(Set.of(release.replaceAll("(?s).*MODULES=\"([^\"]*)\".*", "$1").split(" ")));
    assertEquals(Set.of(), needed, "to be added to runtime.modules");
  }
}
