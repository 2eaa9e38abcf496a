package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/// Dependencies point one way, cli and bench → engine → kernels → bindings, and modules export no more than that needs.
/// Reads the declarations, for bench is compiled after this module.
class ModuleGraphTest {
  private static final Pattern REQUIRES = Pattern.compile("requires (?:transitive |static )*dev\\.espalier\\.(\\w+);");
  private static final Pattern EXPORTS = Pattern.compile("exports ([\\w.]+)\\s*(?:to [\\w.,\\s]+)?;");
  private static final Map<String, Set<String>> MAY_REQUIRE = Map.of("bindings", Set.of(), "kernels",
      Set.of("bindings"), "engine", Set.of("kernels", "bindings"), "cli", Set.of("engine"), "bench",
      Set.of("engine", "kernels", "bindings"));

  @Test
  void dependenciesPointOneWay() throws IOException {
    for (String module : MAY_REQUIRE.keySet()) {
      Set<String> required = all(module, REQUIRES);
      required.removeAll(MAY_REQUIRE.get(module));
      assertEquals(Set.of(), required, module + " may not require");
    }
  }

  @Test
  void bindingsExportsNoGeneratedCode() throws IOException {
    assertEquals(Set.of("dev.espalier.bindings"), all("bindings", EXPORTS));
  }

  @Test
  void programsExportNothing() throws IOException {
    assertEquals(Set.of(), all("cli", EXPORTS));
    assertEquals(Set.of(), all("bench", EXPORTS));
  }

  private static Set<String> all(String module, Pattern pattern) throws IOException {
    Matcher matcher = pattern.matcher(Files.readString(Path.of("..", module, "src/main/java/module-info.java")));
    return matcher.results().map(result -> result.group(1)).collect(Collectors.toCollection(TreeSet::new));
  }
}
