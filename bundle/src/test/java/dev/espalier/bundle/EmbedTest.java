package dev.espalier.bundle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Compiles and runs `examples/embed` against the jars of the library, with what of them a user may leave out.
final class EmbedTest {
  private static final Path SOURCES = Path.of("../examples/embed/src/main/java").toAbsolutePath().normalize();
  private static final String MAIN = "com.example.Embed";
  private static final String PRUNED = """
      hidden: 437 weights removed, 75 kept
      output: 75 weights removed, 53 kept
      """;

  @TempDir
  private static Path temporary;

  private static List<Path> jars;

  @BeforeAll
  static void compile() throws IOException {
    List<Path> folders;
    try (Stream<Path> files = Files.list(Path.of("target").toAbsolutePath())) {
      folders = files.filter(file -> file.getFileName().toString().startsWith("espalier-"))
          .map(file -> file.resolve("lib")).filter(Files::isDirectory).toList();
    }
    assertEquals(1, folders.size(), () -> "one of another version is there, or none: run mvn clean: " + folders);
    try (Stream<Path> files = Files.list(folders.getFirst())) {
      jars = files.filter(file -> file.toString().endsWith(".jar")).toList();
    }
    StringWriter out = new StringWriter();
    PrintWriter writer = new PrintWriter(out);
    int code = ToolProvider.findFirst("javac").orElseThrow().run(writer, writer, "-Xlint:all", "-Werror",
        "--class-path", temporary.toString(), "--module-path", path(jar -> true), "-d",
        temporary.resolve("classes").toString(), SOURCES.resolve("module-info.java").toString(),
        SOURCES.resolve("com/example/Embed.java").toString());
    assertEquals(0, code, out::toString);
    assertEquals("", out.toString());
  }

  /// The library's jars, and not those that only the command line needs.
  private static String path(Predicate<String> wanted) {
    return jars.stream().filter(jar -> {
      String name = jar.getFileName().toString();
      return !name.matches("(espalier-cli|picocli|progressbar|jline|slf4j-simple).*") && wanted.test(name);
    }).map(Path::toString).collect(Collectors.joining(File.pathSeparator));
  }

  private static String run(String... arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin/java").toString()));
    command.addAll(Arrays.asList(arguments));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("XDG_CACHE_HOME", Files.createTempDirectory(temporary, "cache").toString());
    Process process = builder.start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), output);
    assertTrue(output.endsWith(PRUNED), output);
    return output;
  }

  private static String[] onTheModulePath(Predicate<String> wanted, String... options) {
    return Stream
        .concat(Arrays.stream(options),
            Stream.of("--enable-native-access=dev.espalier.bindings,jcuda,jcublas", "--module-path",
                temporary.resolve("classes") + File.pathSeparator + path(wanted), "-m", "com.example.embed/" + MAIN))
        .toArray(String[]::new);
  }

  private static String[] onTheClassPath(Predicate<String> wanted, String... options) {
    return Stream.concat(Arrays.stream(options), Stream.of("--enable-native-access=ALL-UNNAMED", "-classpath",
        temporary.resolve("classes") + File.pathSeparator + path(wanted), MAIN)).toArray(String[]::new);
  }

  @Test
  void runsWithoutWarnings() throws IOException, InterruptedException {
    for (String output : List.of(run(onTheModulePath(jar -> true)), run(onTheClassPath(jar -> true)))) {
      assertTrue(output.contains("on cpu (oneDNN") || output.contains("on cuda"), output);
      // SLF4J says in three lines that it has nowhere to log to.
      assertEquals(List.of(), output.lines().filter(line -> line.matches("WARNING.*|.*Exception.*")).toList());
    }
  }

  @Test
  void theVectorApiIsFoundOnBothPaths() throws IOException, InterruptedException {
    String[] vectors = {"--add-modules", "jdk.incubator.vector"};
    String onModulePath = run(onTheModulePath(jar -> true, vectors));
    // Whether vectors are long enough depends on the machine, not on the path.
    assertEquals(onModulePath.contains("skipping dead units"),
        run(onTheClassPath(jar -> true, vectors)).contains("skipping dead units"), onModulePath);
  }

  @Test
  void nativeLibrariesMayBeLeftOut() throws IOException, InterruptedException {
    Predicate<String> pureJava = jar -> !jar.matches("(dnnl|jcuda-natives)-.*");
    for (String[] arguments : List.of(onTheModulePath(pureJava), onTheClassPath(pureJava))) {
      assertTrue(run(arguments).contains("on reference"), "not on the reference");
    }
  }
}
