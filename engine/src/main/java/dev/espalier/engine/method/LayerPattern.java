package dev.espalier.engine.method;

import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// A pattern of layer names, in which `*` stands for any characters and `?` for one; `\*`, `\?` and `\\` stand for
/// themselves. A layer's name matches, and so does the name of its weight tensor.
///
/// @param glob for example `encoder.*`
public record LayerPattern(String glob) {
  private static final Pattern PART = Pattern.compile("\\\\[*?\\\\]|[*?]|[^*?\\\\]+|\\\\");

  /// The pattern of one name, whatever characters it has.
  public static LayerPattern of(String layer) {
    return new LayerPattern(layer.replaceAll("[*?\\\\]", "\\\\$0"));
  }

  /// Whether a layer's name matches.
  public boolean matches(String layer) {
    String expression = PART.matcher(glob).results().map(part -> switch (part.group()) {
      case "*" -> ".*";
      case "?" -> ".";
      case "\\*", "\\?", "\\\\" -> Pattern.quote(part.group().substring(1));
      default -> Pattern.quote(part.group());
    }).collect(Collectors.joining());
    Pattern pattern = Pattern.compile(expression, Pattern.DOTALL);
    return pattern.matcher(layer).matches() || pattern.matcher(layer + ".weight").matches();
  }

  @Override
  public String toString() {
    return glob;
  }
}
