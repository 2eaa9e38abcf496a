package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.kernels.Driver;
import dev.espalier.kernels.Driver.Stream;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.Map;

/// The GPU's time by phase: events in the stream of the kernels, so that nobody waits. Where the GPU waits for the
/// host, that counts as the phase that the host was in.
final class CudaTimeline implements Resource {
  private static final int MOST_OPEN = 256;

  private final Driver driver;
  private final Map<Phase, Double> seconds = new EnumMap<>(Phase.class);
  private final Deque<Mark> marks = new ArrayDeque<>();
  private boolean isHeld;
  private int holds;

  private record Mark(Phase phase, Driver.Event event) implements Resource {
    @Override
    public void close() {
      CheckedDriver.run(event::close);
    }
  }

  CudaTimeline(Driver driver) {
    this.driver = driver;
  }

  void enter(Phase phase) {
    if (!isHeld) {
      count(phase);
    }
  }

  /// As [dev.espalier.engine.backend.Backend#hold].
  Resource hold(Phase whole) {
    if (isHeld) {
      return () -> {};
    }
    Phase before = marks.getLast().phase();
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

  private void count(Phase phase) {
    if (marks.isEmpty() || marks.getLast().phase() != phase) {
      mark(phase);
    }
    while (marks.size() > MOST_OPEN) {
      settle();
    }
  }

  private void mark(Phase phase) {
    Mark mark = new Mark(phase, driver.event());
    marks.add(mark);
    driver.record(mark.event(), Stream.COMPUTE);
  }

  /// Counts the time between the two oldest marks.
  private void settle() {
    Mark start = marks.remove();
    try (start) {
      Driver.Event end = marks.element().event();
      driver.synchronize(end);
      seconds.merge(start.phase(), driver.seconds(start.event(), end), Double::sum);
    }
  }

  Map<Phase, Double> seconds() {
    mark(marks.getLast().phase());
    while (marks.size() > 1) {
      settle();
    }
    return new EnumMap<>(seconds);
  }

  @Override
  public void close() {
    try (Resources all = new Resources()) {
      marks.forEach(all::own);
      marks.clear();
    }
  }
}
