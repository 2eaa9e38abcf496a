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

  /// Called on the running thread between parts of a run that has several, such as rounds.
  ///
  /// @param done the share of the run's work that is done, 0..1, by an estimate of all of it
  default void at(double done) {}

  /// As [#at], where what is left may turn out to be less than estimated, as in a search.
  ///
  /// @param done at least this share is done
  default void atLeast(double done) {
    at(done);
  }

  /// Begins a part of the run, and listens to it.
  ///
  /// @param name of the part, which the names of its tasks get behind them, for example `round 3 of 14`
  /// @param from the share of the run's work before it, 0..1
  /// @param to the share at its end
  default ProgressListener part(String name, double from, double to) {
    ProgressListener whole = this;
    whole.at(from);
    return new ProgressListener() {
      @Override
      public boolean proceed(String task, long done, long total) {
        return whole.proceed(task + ", " + name, done, total);
      }

      @Override
      public void at(double done) {
        whole.at(from + done * (to - from));
      }

      @Override
      public void atLeast(double done) {
        whole.atLeast(from + done * (to - from));
      }
    };
  }

  /// Reports, and ends the run if it is not to go on.
  ///
  /// @throws CancellationException if it is not
  default void report(String task, long done, long total) {
    if (!proceed(task, done, total)) {
      throw new CancellationException("cancelled while %s, after %d of %d".formatted(task, done, total));
    }
  }
}
