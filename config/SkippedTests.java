import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/// Prints, from Surefire's reports of all modules, how many tests were skipped for each reason.
/// `java SkippedTests.java ROOT`
final class SkippedTests {
  public static void main(String[] arguments) throws Exception {
    Map<String, Integer> reasons = new TreeMap<>();
    for (Path report : reports(Path.of(arguments[0]))) {
      NodeList skipped = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(report.toFile())
          .getElementsByTagName("skipped");
      for (int i = 0; i < skipped.getLength(); i++) {
        String message = ((Element) skipped.item(i)).getAttribute("message").replaceFirst("^Assumption failed: ", "");
        reasons.merge(message.isBlank() ? "no reason given" : message.lines().findFirst().orElseThrow(), 1,
            Integer::sum);
      }
    }
    reasons.forEach((reason, tests) -> System.out.printf("skipped: %d test%s: %s%n", tests, tests == 1 ? "" : "s",
        reason));
  }

  private static List<Path> reports(Path root) throws IOException {
    try (Stream<Path> files = Files.find(root, 4, (file, attributes) -> file.getParent().endsWith("surefire-reports")
        && file.getFileName().toString().matches("TEST-.*\\.xml"))) {
      return files.sorted().toList();
    }
  }
}
