package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.URI;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// `examples/spark` compiles without a warning, and runs.
final class ExampleTest {
  private static final Path SOURCE = Path.of("../examples/spark/src/main/java/com/example/SparkExample.java");

  @Test
  void prunesGeneratedData(@TempDir Path folder) throws Exception {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    ByteArrayOutputStream problems = new ByteArrayOutputStream();
    int code = compiler.run(null, null, problems, "-Xlint:all,-path,-classfile", "-Werror", "-d", folder.toString(),
        "-cp", System.getProperty("java.class.path"), SOURCE.toString());
    assertEquals(0, code, () -> problems.toString(StandardCharsets.UTF_8));
    PrintStream out = System.out;
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    try (URLClassLoader loader = new URLClassLoader(new java.net.URL[]{URI.create(folder.toUri() + "/").toURL()});
        PrintStream stream = new PrintStream(printed, true, StandardCharsets.UTF_8)) {
      System.setOut(stream);
      loader.loadClass("com.example.SparkExample").getMethod("main", String[].class).invoke(null,
          (Object) new String[]{folder.resolve("samples.parquet").toString()});
    } finally {
      System.setOut(out);
    }
    List<String> lines = printed.toString(StandardCharsets.UTF_8).lines().toList();
    assertTrue(lines.getFirst().endsWith("2 passes over the data: one counts rows, one sums"), lines.toString());
    assertEquals(List.of("hidden: 1708 weights removed, 292 kept", "output: 132 weights removed, 168 kept"),
        lines.subList(lines.size() - 2, lines.size()));
  }
}
