package dev.espalier.engine.backend.reference;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MomentOperations;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.PhaseClock;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.SelectionOperations;
import dev.espalier.engine.backend.SolvingOperations;
import dev.espalier.engine.backend.TrainingOperations;
import dev.espalier.engine.matrix.MatrixView;
import java.util.Map;

/// Defines the right answer: double precision, plain loops, one thread, no libraries. It serves small networks and
/// tests; a matrix has at most 2³¹ − 9 elements.
public final class ReferenceBackend implements Backend {
  private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;

  private final PhaseClock clock = new PhaseClock();
  private final NetworkOperations network = new ReferenceNetwork();
  private final MomentOperations moments = new ReferenceMoments();
  private final SelectionOperations selection = new ReferenceSelection();
  private final TrainingOperations training = new ReferenceTraining();
  private final SolvingOperations solving = new ReferenceSolving();

  /// Holds nothing outside Java's heap.
  public ReferenceBackend() {}

  @Override
  public String description() {
    return "reference (plain Java, float64, 1 thread)";
  }

  @Override
  public NetworkOperations network() {
    return network;
  }

  @Override
  public MomentOperations moments() {
    return moments;
  }

  @Override
  public SelectionOperations selection() {
    return selection;
  }

  @Override
  public TrainingOperations training() {
    return training;
  }

  @Override
  public SolvingOperations solving() {
    return solving;
  }

  @Override
  public void enter(Phase phase) {
    clock.enter(phase);
  }

  @Override
  public Resource hold(Phase whole) {
    return clock.hold(whole);
  }

  @Override
  public Map<Phase, Double> seconds() {
    return clock.seconds();
  }

  @Override
  public Matrix allocate(int rows, int columns) {
    if ((long) rows * columns > LARGEST_ARRAY) {
      throw new OutOfBackendMemoryException(
          "a %d × %d matrix is too large for the reference backend".formatted(rows, columns), Remedy.OTHER_DEVICE);
    }
    try {
      return ReferenceMatrix.zeros(rows, columns);
    } catch (OutOfMemoryError e) {
      throw new OutOfBackendMemoryException("a %d × %d matrix does not fit into Java's heap".formatted(rows, columns),
          Remedy.LARGER_HEAP, Remedy.OTHER_DEVICE);
    }
  }

  @Override
  public void upload(MatrixView source, Matrix target) {
    ReferenceMatrix t = ReferenceMatrix.entries(target);
    for (int i = 0; i < t.elements(); i++) {
      t.set(i, source.segment().getAtIndex(MatrixView.ELEMENT, i));
    }
  }

  @Override
  public void download(Matrix source, MatrixView target) {
    ReferenceMatrix s = ReferenceMatrix.entries(source);
    for (int i = 0; i < s.elements(); i++) {
      target.segment().setAtIndex(MatrixView.ELEMENT, i, (float) s.get(i));
    }
  }

  @Override
  public void clear(Matrix matrix) {
    ReferenceMatrix.entries(matrix).fill(0);
  }

  @Override
  public void close() {
    // Holds nothing.
  }
}
