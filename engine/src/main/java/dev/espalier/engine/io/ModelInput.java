package dev.espalier.engine.io;

/// An input of a model, by the name that its file gives.
///
/// @param width numbers of a sample that it takes
public record ModelInput(String name, int width) {
  /// For example, `x (3)`.
  @Override
  public String toString() {
    return "%s (%d)".formatted(name, width);
  }
}
