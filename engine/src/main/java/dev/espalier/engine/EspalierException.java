package dev.espalier.engine;

/// A run of the engine failed because of its data, its network or its machine. The message is one line that states
/// facts; subclasses hold further facts as values. Unreadable files cause [java.io.IOException]s; arguments outside
/// their documented range cause [IllegalArgumentException]s; a listener that cancels a run causes a
/// [java.util.concurrent.CancellationException].
public abstract sealed class EspalierException extends RuntimeException
    permits DeviceFailedException, DeviceUnavailableException, ExcessiveTimeException, MismatchException,
    MissingDataException, NonFiniteException, OutOfBackendMemoryException, UnsupportedPrecisionException {
  private static final long serialVersionUID = 1;

  EspalierException(String message) {
    super(message);
  }

  EspalierException(String message, Throwable cause) {
    super(message, cause);
  }
}
