package dev.espalier.engine.backend;

import java.util.Locale;

/// Where a run takes place: what `--device` names.
public enum Device {
  /// The best there is.
  AUTO,
  /// [ReferenceBackend].
  REFERENCE;

  /// `auto` or `reference`.
  ///
  /// @throws IllegalArgumentException for anything else; the message says what there is
  public static Device parse(String name) {
    return switch (name) {
      case "auto" -> AUTO;
      case "reference" -> REFERENCE;
      case "cpu", "cuda" -> throw new IllegalArgumentException(
          "device %s: this version of Espalier has no %s backend yet, use --device reference".formatted(name,
              name));
      default ->
        throw new IllegalArgumentException("unknown device '%s': use auto or reference".formatted(name));
    };
  }

  /// A backend on this device, closed by the caller.
  public Backend open() {
    return switch (this) {
      case AUTO, REFERENCE -> new ReferenceBackend();
    };
  }

  /// The name on the command line.
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
