package dev.espalier.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// All that names the version, or that of oneDNN, names the one that is built.
class VersionTest {
  private static String first(String file, String pattern) throws IOException {
    Matcher matcher = Pattern.compile(pattern).matcher(Files.readString(Path.of("..", file)));
    assertTrue(matcher.find(), () -> file + " has no " + pattern);
    return matcher.group(1);
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', quoteCharacter = '"', textBlock = """
      README.md                   | <artifactId>espalier-engine</artifactId>\\s+<version>(.*)</version>
      README.md                   | dev\\.espalier:espalier-bom:([\\d.]+)
      CHANGELOG.md                | \\n## (\\S+) \\(
      CITATION.cff                | \\nversion: (.*)
      examples/embed/pom.xml      | <artifactId>espalier-bom</artifactId>\\s+<version>(.*)</version>
      examples/spark/pom.xml      | <artifactId>espalier-spark</artifactId>\\s+<version>(.*)</version>
      examples/embed/build.gradle | dev\\.espalier:espalier-bom:([\\d.]+)
      """)
  void isTheBuilds(String file, String pattern) throws IOException {
    assertEquals(first("pom.xml", "<version>(.*)</version>"), first(file, pattern), file);
  }

  @Test
  void theBomNamesTheOneDnnThatTheBindingsLoad() throws IOException {
    assertEquals(first("bindings/pom.xml", "<onednn.version>(.*)</onednn.version>"),
        first("bom/pom.xml", "<artifactId>dnnl</artifactId>\\s+<version>(.*)</version>"));
  }

  /// No Gradle runs in the tests.
  @Test
  void gradlesExampleTakesTheOneDnnOfMavensProfile() throws IOException {
    String maven = "<os>\\s+<name>linux</name>\\s+<arch>amd64</arch>(?s:.*?)<artifactId>dnnl</artifactId>";
    assertEquals(first("bindings/pom.xml", maven + "(?s:.*?)<classifier>(.*?)</classifier>"),
        first("examples/embed/build.gradle", "name = 'dnnl'\\s+type = 'jar'\\s+classifier = '(.*)'"));
    assertEquals("false", first("examples/embed/build.gradle", "org\\.bytedeco:dnnl'\\) \\{\\s+transitive = (.*)"));
  }
}
