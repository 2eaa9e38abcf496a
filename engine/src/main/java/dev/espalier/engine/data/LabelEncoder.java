package dev.espalier.engine.data;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;

/// Turns label rows into target rows: a target row as it is, a class index into a unit vector.
public final class LabelEncoder {
  private final String name;
  private final int outputs;
  private final boolean classes;

  /// @param labels of one column (class indices from 0) or of `outputs` columns (target rows)
  /// @param outputs of the network
  /// @throws MismatchException if the labels have another width
  public LabelEncoder(SampleSource labels, int outputs) {
    name = labels.name();
    this.outputs = outputs;
    classes = labels.width() == 1 && outputs > 1;
    if (!classes && labels.width() != outputs) {
      throw new MismatchException(
          "%s has %d columns: labels need 1 (a class index) or %d (a value for each output of the network)"
              .formatted(name, labels.width(), outputs));
    }
  }

  /// Whether labels are class indices.
  public boolean areClasses() {
    return classes;
  }

  /// Fills `targets` (samples × outputs) from `labels` (as many rows).
  ///
  /// @param firstSample position of the first row in its source, for messages
  /// @throws IOException if a class index is no integer from 0 to outputs − 1
  public void encode(MatrixView labels, MatrixView targets, long firstSample) throws IOException {
    if (!classes) {
      targets.segment().copyFrom(labels.segment());
      return;
    }
    targets.segment().fill((byte) 0);
    for (int n = 0; n < labels.rows(); n++) {
      targets.set(n, classIndex(labels, n, firstSample), 1);
    }
  }

  private int classIndex(MatrixView labels, int n, long firstSample) throws IOException {
    float label = labels.get(n, 0);
    if (label < 0 || label >= outputs || label != Math.rint(label)) {
      throw new IOException("%s is %s at sample %d: a class index is an integer from 0 to %d".formatted(name, label,
          firstSample + n, outputs - 1));
    }
    return (int) label;
  }
}
