package dev.espalier.spark;

import dev.espalier.engine.EspalierException;
import java.io.IOException;

/// What Spark throws when a job fails.
final class Failures {
  private Failures() {}

  /// The failure of a task, if it is one of the engine or of the data, else Spark's.
  static IOException of(Exception failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof EspalierException known) {
        throw known;
      }
      if (cause instanceof IOException known) {
        return known;
      }
    }
    return new IOException(firstLine(failure), failure);
  }

  private static String firstLine(Exception failure) {
    return "Spark: %s".formatted(String.valueOf(failure.getMessage()).lines().findFirst().orElse("the job failed"));
  }
}
