package dev.espalier.engine;

import java.util.concurrent.CancellationException;

/// Receives the progress of a run, and can cancel it.
@FunctionalInterface
public interface ProgressListener {
  /// Listens to nothing.
  ProgressListener NONE = (_, _, _) -> true;

  /// Called on the running thread, after every batch.
  ///
  /// @param task what is being done, for example `scoring`
  /// @param done samples, or steps of a search, that are done, up to `total`
  /// @param total those of this task
  /// @return whether to go on
  boolean proceed(String task, long done, long total);

  /// Reports, and ends the run if it is not to go on.
  ///
  /// @throws CancellationException if it is not
  default void report(String task, long done, long total) {
    if (!proceed(task, done, total)) {
      throw new CancellationException("cancelled while %s, after %d of %d".formatted(task, done, total));
    }
  }
}
