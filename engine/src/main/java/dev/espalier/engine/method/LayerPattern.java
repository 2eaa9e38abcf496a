package dev.espalier.engine.method;

import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// A pattern of layer names, in which `*` stands for any characters and `?` for one. A layer's name matches, and so
/// does the name of its weight tensor.
///
/// @param glob for example `encoder.*`
public record LayerPattern(String glob) {
  /// Whether a layer's name matches.
  public boolean matches(String layer) {
    String expression = glob.codePoints().mapToObj(c -> switch (c) {
      case '*' -> ".*";
      case '?' -> ".";
      default -> Pattern.quote(Character.toString(c));
    }).collect(Collectors.joining());
    Pattern pattern = Pattern.compile(expression, Pattern.DOTALL);
    return pattern.matcher(layer).matches() || pattern.matcher(layer + ".weight").matches();
  }

  @Override
  public String toString() {
    return glob;
  }
}
