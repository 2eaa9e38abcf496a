package dev.espalier.engine.backend;

import java.util.EnumMap;
import java.util.Map;

/// Host time by phase, for backends whose calls return when their work is done. Used by one thread.
public final class PhaseClock {
  private final Map<Phase, Double> seconds = new EnumMap<>(Phase.class);
  private Phase phase = Phase.LOAD;
  private boolean isHeld;
  private int holds;
  private long since = System.nanoTime();

  /// Starts in [Phase#LOAD].
  public PhaseClock() {}

  /// The time from now on counts as `next`, unless another phase is held.
  public void enter(Phase next) {
    if (!isHeld) {
      count(next);
    }
  }

  /// The time until the result is closed counts as `whole`, unless another phase is held already.
  public Resource hold(Phase whole) {
    if (isHeld) {
      return () -> {};
    }
    Phase before = phase;
    count(whole);
    isHeld = true;
    int own = ++holds;
    return () -> {
      if (isHeld && own == holds) {
        isHeld = false;
        count(before);
      }
    };
  }

  private void count(Phase next) {
    long now = System.nanoTime();
    seconds.merge(phase, (now - since) * 1e-9, Double::sum);
    phase = next;
    since = now;
  }

  /// Seconds in each phase so far; phases never entered are absent.
  public Map<Phase, Double> seconds() {
    count(phase);
    return new EnumMap<>(seconds);
  }
}
