package dev.espalier.engine;

/// A method needs samples or labels that were not given.
public final class MissingDataException extends EspalierException {
  private static final long serialVersionUID = 1;

  /// A part of a data set.
  public enum Part {
    /// Inputs of the network.
    SAMPLES("calibration samples"),
    /// A class or target row for each sample.
    LABELS("labels");

    private final String text;

    Part(String text) {
      this.text = text;
    }

    /// The word in messages.
    @Override
    public String toString() {
      return text;
    }
  }

  private final String method;
  private final Part part;

  /// @param method what needs it, for example `criterion ec`
  public MissingDataException(String method, Part part) {
    super("%s needs %s".formatted(method, part));
    this.method = method;
    this.part = part;
  }

  /// What needs the data, for example `criterion ec`.
  public String method() {
    return method;
  }

  /// What is missing.
  public Part part() {
    return part;
  }
}
