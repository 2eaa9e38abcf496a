package dev.espalier.engine.data;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.Nouns;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;

/// Turns label rows into target rows: a target row as it is, a class index into a unit vector.
public final class LabelEncoder {
  private final String name;
  private final int outputs;
  private final boolean classes;
  private final LabelRows needed;

  /// An encoder of rows of any numbers.
  ///
  /// @param labels of one column (class indices from 0) or of `outputs` columns (target rows)
  /// @param outputs of the network
  /// @throws MismatchException if the labels have another width
  public LabelEncoder(SampleSource labels, int outputs) {
    this(labels, outputs, LabelRows.VALUES);
  }

  /// @param labels of one column (class indices from 0) or of `outputs` columns (target rows)
  /// @param outputs of the network
  /// @param needed what target rows must be
  /// @throws MismatchException if the labels have another width
  public LabelEncoder(SampleSource labels, int outputs, LabelRows needed) {
    this.needed = needed;
    name = labels.name();
    this.outputs = outputs;
    classes = labels.width() == 1 && outputs > 1;
    if (!classes && labels.width() != outputs) {
      throw new MismatchException(
          "%s has %s: labels need 1 (a class index) or %d (a value for each output of the network)".formatted(name,
              Nouns.counted(labels.width(), "column"), outputs));
    }
  }

  /// Whether labels are class indices.
  public boolean areClasses() {
    return classes;
  }

  /// Fills `targets` (samples × outputs) from `labels` (as many rows).
  ///
  /// @param firstSample position of the first row in its source, for messages
  /// @throws IOException if a class index is no integer from 0 to outputs − 1, or a target row is not what is needed
  public void encode(MatrixView labels, MatrixView targets, long firstSample) throws IOException {
    if (!classes) {
      for (int n = 0; n < labels.rows() && needed != LabelRows.VALUES; n++) {
        require(labels, n, firstSample);
      }
      targets.segment().copyFrom(labels.segment());
      return;
    }
    targets.segment().fill((byte) 0);
    for (int n = 0; n < labels.rows(); n++) {
      targets.set(n, classIndex(labels, n, firstSample), 1);
    }
  }

  private void require(MatrixView labels, int n, long firstSample) throws IOException {
    boolean fits = switch (needed) {
      case ONE_HOT -> LabelRows.areBinary(labels, n) && LabelRows.areProbabilities(labels, n);
      case BINARY -> LabelRows.areBinary(labels, n);
      case PROBABILITIES -> LabelRows.areProbabilities(labels, n);
      case VALUES -> true;
    };
    if (!fits) {
      // Without the numbers, which may not go into the logs of a cluster.
      throw new IOException("the labels of sample %d in %s do not fit the loss: it needs %s; use mse for other values"
          .formatted(firstSample + n, name, switch (needed) {
            case ONE_HOT -> "a single 1 among zeros";
            case BINARY -> "0 or 1";
            case PROBABILITIES -> "probabilities, which add up to 1";
            case VALUES -> "numbers";
          }));
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
