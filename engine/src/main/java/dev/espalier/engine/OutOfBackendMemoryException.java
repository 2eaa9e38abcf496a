package dev.espalier.engine;

import java.util.Set;

/// A run does not fit into the memory of a backend.
public final class OutOfBackendMemoryException extends EspalierException {
  private static final long serialVersionUID = 1;

  /// What would help.
  public enum Remedy {
    /// Fewer samples in a batch.
    SMALLER_BATCH,
    /// A larger share of the GPU's memory, if the GPU has it.
    MORE_DEVICE_MEMORY,
    /// A larger heap of the Java virtual machine.
    LARGER_HEAP,
    /// Another device.
    OTHER_DEVICE
  }

  @SuppressWarnings("serial") // sets of Set.of are serializable
  private final Set<Remedy> remedies;

  /// @param message what was asked for, and what there is
  public OutOfBackendMemoryException(String message, Remedy... remedies) {
    super(message);
    this.remedies = Set.of(remedies);
  }

  /// What would help.
  public Set<Remedy> remedies() {
    return remedies;
  }
}
