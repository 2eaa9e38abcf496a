package dev.espalier.bench;

import dev.espalier.bindings.CudaDriver;
import dev.espalier.bindings.NativeCallException;
import dev.espalier.bindings.Nvml;
import dev.espalier.bindings.Nvml.ClockLimit;
import java.io.PrintStream;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/// What the first GPU did around and during a run, by NVML, for the record: its clocks, what held them down, and whether
/// others used it, which makes times wrong without a sign. Begins before a program opens the GPU and ends after it has
/// closed it, so that who uses it then is another, also where a container has pids of its own.
final class GpuWatch implements AutoCloseable {
  private static final long MILLIS = 500;
  /// A context that was closed may be seen a while.
  private static final int PATIENCE = 6;

  private final PrintStream out = System.out;
  private final Optional<Nvml> nvml;
  private final CountDownLatch end = new CountDownLatch(1);
  private final Thread sampler = Thread.ofPlatform().daemon().name("gpu-watch").unstarted(this::sample);
  private final int othersBefore;
  private final Set<ClockLimit> limits = EnumSet.noneOf(ClockLimit.class);
  private OptionalInt lowestClock = OptionalInt.empty();

  private GpuWatch(Optional<Nvml> nvml) {
    this.nvml = nvml;
    othersBefore = state("before", 1);
    note(othersBefore);
    sampler.start();
  }

  /// Prints the state before a run.
  static GpuWatch begin() {
    return new GpuWatch(CudaDriver.probe().gpus().stream().findFirst().flatMap(gpu -> Nvml.open(gpu.pciBusId())));
  }

  /// Prints the state.
  ///
  /// @param tries until no other process is seen
  /// @return other processes that compute on the GPU
  private int state(String when, int tries) {
    if (nvml.isEmpty()) {
      out.println(when + ": clocks and other processes unknown, NVML does not know the GPU");
      return 0;
    }
    try {
      Optional<List<Nvml.User>> others = others(nvml.get());
      for (int i = 1; i < tries && !others.orElse(List.of()).isEmpty(); i++) {
        Thread.sleep(MILLIS);
        others = others(nvml.get());
      }
      out.println(when + ": " + text(nvml.get().read(), others));
      return others.map(List::size).orElse(0);
    } catch (NativeCallException e) {
      out.println(when + ": clocks and other processes unknown, " + e.getMessage());
      return 0;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return 0;
    }
  }

  private static Optional<List<Nvml.User>> others(Nvml nvml) {
    long own = ProcessHandle.current().pid();
    return nvml.users().map(users -> users.stream().filter(user -> user.pid() != own).toList());
  }

  private void note(int others) {
    if (others > 0) {
      out.printf("note: %d other processes use this GPU: these times are not its own%n", others);
    }
  }

  /// What the GPU does not tell is a dash.
  static String text(Nvml.Reading reading, Optional<List<Nvml.User>> others) {
    OptionalDouble used = reading.totalMemory().isPresent() && reading.freeMemory().isPresent()
        ? OptionalDouble.of((reading.totalMemory().getAsLong() - reading.freeMemory().getAsLong()) / 1048576.0)
        : OptionalDouble.empty();
    return "clock %s MHz, memory clock %s MHz, %s W, %s °C, %s MiB in use, other processes: %s".formatted(
        number(reading.clock()), number(reading.memoryClock()), number(reading.power()), number(reading.temperature()),
        number(used), others.map(GpuWatch::text).orElse("-"));
  }

  private static String text(List<Nvml.User> others) {
    return others.isEmpty()
        ? "none"
        : others.stream().map(user -> Long.toString(user.pid())).collect(Collectors.joining(" "));
  }

  private static String number(OptionalInt number) {
    return number.isPresent() ? Integer.toString(number.getAsInt()) : "-";
  }

  private static String number(OptionalDouble number) {
    return number.isPresent() ? String.format(Locale.ROOT, "%.1f", number.getAsDouble()) : "-";
  }

  // ---- during the run ----

  private void sample() {
    try {
      do {
        nvml.ifPresent(this::sample);
      } while (!end.await(MILLIS, TimeUnit.MILLISECONDS));
    } catch (NativeCallException | InterruptedException e) {
      // What was seen so far is printed; that NVML fails is printed at the end.
    }
  }

  private void sample(Nvml open) {
    Set<ClockLimit> now = open.clockLimits().orElse(Set.of());
    if (now.contains(ClockLimit.IDLE)) {
      return;
    }
    limits.addAll(now);
    OptionalInt clock = open.read().clock();
    if (clock.isPresent() && clock.getAsInt() < lowestClock.orElse(Integer.MAX_VALUE)) {
      lowestClock = clock;
    }
  }

  /// What held the clock down while the GPU worked.
  static String text(OptionalInt lowestClock, Set<ClockLimit> limits) {
    return "clock at least %s MHz, held down by: %s".formatted(number(lowestClock),
        limits.isEmpty()
            ? "nothing seen"
            : limits.stream().map(limit -> limit.name().toLowerCase(Locale.ROOT).replace('_', ' '))
                .collect(Collectors.joining(", ")));
  }

  /// Prints what was seen, and the state after the run.
  @Override
  public void close() {
    end.countDown();
    try {
      sampler.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return;
    }
    out.println();
    if (nvml.isPresent()) {
      out.println("meanwhile: " + text(lowestClock, limits));
    }
    int others = state("after", PATIENCE);
    note(Math.max(others, othersBefore));
    nvml.ifPresent(Nvml::close);
  }
}
