package dev.espalier.engine.backend;

import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/// What every backend must do: the contracts of its memory and of its facets, each test on a backend of its own.
public abstract class BackendContract
    implements
      BackendMemoryContract,
      NetworkOperationsContract,
      MomentOperationsContract,
      SelectionOperationsContract,
      TrainingOperationsContract,
      SolvingOperationsContract {
  private final Supplier<Backend> open;
  private final double unitRoundoff;
  private TestBackend on;

  /// @param unitRoundoff u of the backend's arithmetic
  protected BackendContract(Supplier<Backend> open, double unitRoundoff) {
    this.open = open;
    this.unitRoundoff = unitRoundoff;
  }

  @BeforeEach
  void openBackend() {
    on = new TestBackend(open.get(), unitRoundoff);
  }

  @AfterEach
  void closeBackend() {
    if (on != null) { // else the test was skipped before it was opened
      on.close();
    }
  }

  @Override
  public final TestBackend on() {
    return on;
  }
}
