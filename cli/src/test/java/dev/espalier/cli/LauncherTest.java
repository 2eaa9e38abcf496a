package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The launcher, with programs that stand for Java, Maven and others where it would start them.
@DisabledOnOs(OS.WINDOWS)
class LauncherTest {
  @TempDir
  private Path folder;

  @Test
  void aFolderWithoutJdkIsRefusedInOneLineFromAnywhereAndThroughLinks() throws IOException, InterruptedException {
    Path link = Files.createSymbolicLink(folder.resolve("link"), Path.of("../espalier").toRealPath());
    ProcessBuilder start = new ProcessBuilder("sh", link.toString(), "--version").directory(folder.toFile());
    start.environment().put("ESPALIER_JAVA_HOME", folder.toString());
    Process process = start.start();
    List<String> err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8).lines().toList();
    assertEquals(1, process.waitFor(), err::toString);
    assertEquals(1, err.size(), err::toString);
    Files.delete(link); // or JUnit warns of a link that leads out of its folder
    assertTrue(err.getFirst().startsWith("espalier: ESPALIER_JAVA_HOME=" + folder), err::toString);
  }

  @Test
  void cudaKernelsAreBuiltWhereTheyCanRun() throws IOException, InterruptedException {
    assumeTrue(!Files.exists(Path.of("/dev/nvidiactl")), "this machine has a GPU");
    Path launcher = tree();
    Path root = launcher.getParent();
    Path fatbin = Path.of("kernels/target/classes/dev/espalier/kernels/dual_moments.fatbin");
    program(root.resolve("tools"), "mvn", """
        echo mvn "$@" >&2
        mkdir -p bindings/target kernels/target engine/target cli/target/lib
        case $* in
          *-Dexec.skip*) ;;
          *) mkdir -p '%s' && touch '%s' ;;
        esac""".formatted(fatbin.getParent(), fatbin));

    assertTrue(launch(launcher).contains("--quiet -Dexec.skip -Dmaven.test.skip"), "no nvcc");
    nvcc(root, "12.0");
    program(root.resolve("tools"), "ldconfig", "echo libc.so.6");
    assertFalse(launch(launcher).contains("mvn"), "built again without a driver");
    program(root.resolve("tools"), "ldconfig", "echo 'libcuda.so.1 (libc6,x86-64) => /usr/lib/libcuda.so.1'");
    assertFalse(launch(launcher).contains("mvn"), "built again with an nvcc that cannot");
    nvcc(root, "12.8");
    assertTrue(launch(launcher).contains("--quiet -Dmaven.test.skip"), "a driver");
    String again = launch(launcher);
    assertFalse(again.contains("mvn"), again);
    assertTrue(again.contains("-m dev.espalier.cli/dev.espalier.cli.Espalier an argument --version"), again);
    Path source = Files.createFile(Files.createDirectories(root.resolve("engine/src/main")).resolve("New.java"));
    Files.setLastModifiedTime(source, FileTime.fromMillis(System.currentTimeMillis() + 10_000));
    assertTrue(launch(launcher).contains("rebuilding what changed, such as engine/src/main"), "not rebuilt");
  }

  @ParameterizedTest
  @CsvSource(textBlock = """
      11.5 | nvcc is of CUDA 11.5, CUDA 12.8 or later is needed: building without GPU kernels
      12.0 | nvcc is of CUDA 12.0, CUDA 12.8 or later is needed: building without GPU kernels
      ''   | nvcc is of an unknown release, CUDA 12.8 or later is needed: building without GPU kernels
      """, delimiter = '|')
  void anOlderNvccIsNamedAndNotUsed(String release, String line) throws IOException, InterruptedException {
    assumeTrue(!Files.exists(Path.of("/dev/nvidiactl")), "this machine has a GPU");
    Path launcher = tree();
    Path root = launcher.getParent();
    program(root.resolve("tools"), "mvn",
        "echo mvn \"$@\" >&2; mkdir -p bindings/target kernels/target engine/target cli/target/lib");
    program(root.resolve("tools"), "ldconfig", "echo 'libcuda.so.1 (libc6,x86-64) => /usr/lib/libcuda.so.1'");
    nvcc(root, release);
    String output = launch(launcher);
    assertEquals(1, output.lines().filter(("espalier: " + line)::equals).count(), output);
    assertTrue(output.contains("--quiet -Dexec.skip -Dmaven.test.skip"), output);
    assertFalse(launch(launcher).contains("nvcc"), "said again where nothing is built");
  }

  /// One that does not fit is the JVM's to ignore.
  @Test
  void anAotCacheIsUsedWhereThereIsOneAndNothingElseIsAskedFor() throws IOException, InterruptedException {
    Path launcher = tree();
    Path root = launcher.getParent();
    program(root.resolve("tools"), "mvn", "mkdir -p bindings/target kernels/target engine/target cli/target/lib");
    assertFalse(launch(launcher).contains("-XX:AOT"), "this JDK makes none");
    Path cache = root.resolve("cli/target/espalier.aot");
    assertEquals(0, Files.size(cache));
    Files.writeString(cache, "classes");
    assertTrue(launch(launcher).contains("-XX:AOTCache=" + cache.toRealPath()), "not used");
    assertTrue(launch(launcher).contains("-Xlog:aot=off,cds=off"), "not silent");
  }

  /// Also where Maven has built the jars, and not the launcher.
  @Test
  void theFirstStartWithNewJarsMakesTheAotCache() throws IOException, InterruptedException {
    Path launcher = tree();
    Path root = launcher.getParent();
    program(root.resolve("tools"), "mvn", "mkdir -p bindings/target kernels/target engine/target cli/target/lib");
    program(root.resolve("jdk/bin"), "java",
        "for a; do case $a in -XX:AOTCacheOutput=*) echo made >>\"${a#*=}\"; exit;; esac; done; echo \"$@\"");
    assertTrue(launch(launcher).contains("-XX:AOTCache="), "not made");
    Path cache = root.resolve("cli/target/espalier.aot");
    assertTrue(launch(launcher).contains("-XX:AOTCache="), "not kept");
    assertEquals("made\n", Files.readString(cache));
    FileTime past = FileTime.fromMillis(System.currentTimeMillis() - 100_000);
    Files.setLastModifiedTime(cache, past);
    launch(launcher);
    assertTrue(Files.getLastModifiedTime(cache).compareTo(past) > 0, "not made anew");
    assertEquals(List.of("espalier.aot"),
        names(root.resolve("cli/target")).filter(name -> name.contains("aot")).toList());
  }

  private static Stream<String> names(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).toList().stream();
    }
  }

  /// A locale that is not installed has ASCII's letters only.
  @ParameterizedTest
  @CsvSource(textBlock = """
      ANSI_X3.4-1968 | C.UTF-8
      US-ASCII       | C.UTF-8
      UTF-8          | none
      ISO-8859-15    | none
      """, delimiter = '|')
  void anAsciiLocaleGivesWayToUtf8(String charmap, String expected) throws IOException, InterruptedException {
    Path launcher = tree();
    Path root = launcher.getParent();
    program(root.resolve("tools"), "mvn", "mkdir -p bindings/target kernels/target engine/target cli/target/lib");
    program(root.resolve("tools"), "locale", "[ \"$*\" = charmap ] && echo " + charmap);
    program(root.resolve("jdk/bin"), "java", "echo LC_ALL=$LC_ALL");
    assertTrue(launch(launcher).endsWith("LC_ALL=" + expected + "\n"), launch(launcher));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void firstStartsAtOnceBuildOnce(boolean withFlock) throws IOException, InterruptedException {
    Path launcher = tree();
    Path root = launcher.getParent();
    String path = withFlock ? root.resolve("tools") + ":/usr/bin:/bin" : toolsButFlock(root);
    String locker = withFlock ? "flock" : "perl";
    assumeTrue(Files.exists(Path.of("/usr/bin", locker)) || Files.exists(Path.of("/bin", locker)),
        "there is no " + locker);
    program(root.resolve("tools"), "mvn", """
        echo built >>builds
        [ -e waited ] || { touch waited; cat; exit 1; }
        sleep 2
        mkdir -p bindings/target kernels/target engine/target cli/target/lib""");
    Process killed = start(launcher, path);
    while (killed.isAlive() && !Files.exists(root.resolve("waited"))) {
      Thread.sleep(10);
    }
    killed.destroyForcibly(); // in the middle of its build
    assertNotEquals(0, killed.waitFor());

    List<Process> processes = List.of(start(launcher, path), start(launcher, path));
    List<String> outputs = new ArrayList<>();
    for (Process process : processes) {
      outputs.add(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
      assertEquals(0, process.waitFor(), outputs::toString);
    }
    assertEquals(List.of("built", "built"), Files.readAllLines(root.resolve("builds")), outputs::toString);
    for (String output : outputs) {
      assertTrue(output.contains("an argument --version"), output);
    }
  }

  /// A copy of the launcher in a tree with a JDK of its own.
  private Path tree() throws IOException {
    Path root = Files.createDirectory(folder.resolve("a tree"));
    Path launcher = Files.copy(Path.of("../espalier"), root.resolve("espalier"));
    Path parts = Files.createDirectories(root.resolve("cli/src/main/sh"));
    for (String part : List.of("jdk.sh", "build.sh", "run.sh")) {
      Files.copy(Path.of("src/main/sh", part), parts.resolve(part));
    }
    Path cuda = Files.createDirectories(root.resolve("kernels/src/main/cuda"));
    Files.copy(Path.of("../kernels/src/main/cuda/nvcc.sh"), cuda.resolve("nvcc.sh"));
    Files.writeString(root.resolve("pom.xml"), "<version>1</version>");
    for (String tool : List.of("java", "javac")) {
      program(root.resolve("jdk/bin"), tool, "echo java \"$@\"");
    }
    Files.writeString(root.resolve("jdk/release"), "JAVA_VERSION=\"25\"");
    return launcher;
  }

  /// The tree's tools, and those of the system that the launcher uses.
  private static String toolsButFlock(Path root) throws IOException {
    Path tools = Files.createDirectories(root.resolve("tools"));
    for (String tool : List.of("cat", "cut", "dirname", "find", "grep", "head", "mkdir", "perl", "readlink", "rm",
        "sed", "sh", "sleep", "stty", "touch")) {
      Path file = Path.of("/usr/bin", tool);
      program(tools, tool, "exec %s \"$@\"".formatted(Files.exists(file) ? file : Path.of("/bin", tool)));
    }
    return tools.toString();
  }

  /// What the launcher prints, with the tree's tools before the system's.
  private static String launch(Path launcher) throws IOException, InterruptedException {
    Process process = start(launcher, launcher.resolveSibling("tools") + ":/usr/bin:/bin");
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), output);
    return output;
  }

  private static Process start(Path launcher, String path) throws IOException {
    Path root = launcher.getParent();
    ProcessBuilder start = new ProcessBuilder("sh", launcher.toString(), "an argument", "--version")
        .redirectErrorStream(true);
    start.environment().put("ESPALIER_JAVA_HOME", root.resolve("jdk").toString());
    start.environment().put("PATH", path);
    start.environment().put("LC_ALL", "none");
    return start.start();
  }

  /// An nvcc that does no more than say which it is.
  private static void nvcc(Path root, String release) throws IOException {
    program(root.resolve("tools"), "nvcc",
        "echo 'Cuda compilation tools, %s V0'".formatted(release.isEmpty() ? "" : "release " + release + ","));
  }

  private static void program(Path folder, String name, String script) throws IOException {
    Files.createDirectories(folder);
    Path program = Files.writeString(folder.resolve(name), "#!/bin/sh\n" + script + "\n");
    assertTrue(program.toFile().setExecutable(true));
  }
}
