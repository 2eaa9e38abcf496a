package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.ProgressListener;
import java.io.Console;
import java.io.PrintWriter;
import java.io.Writer;
import java.time.Duration;
import java.util.Optional;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/// Shows how far a run is: a bar on a terminal, ever rarer lines elsewhere.
final class Progress implements ProgressListener, AutoCloseable {
  private static final int DEFAULT_COLUMNS = 80;
  private static final int LONGEST_BAR = 100;
  private static final Duration FIRST_LINE = Duration.ofSeconds(5);
  private static final Duration BETWEEN_LINES = Duration.ofMinutes(1);
  /// A new task gets a line, unless there was one so shortly before, or within this part of the run's time.
  private static final Duration BETWEEN_TASKS = Duration.ofSeconds(2);
  private static final int LINES_OF_TASKS = 20;
  /// An estimate means something when a task has run so long, and so many parts of it are done.
  private static final Duration ESTIMATED_AFTER = Duration.ofSeconds(2);
  private static final double ESTIMATED_FROM = 0.05;
  /// A terminal shows ^C behind the bar.
  private static final int MARGIN = 3;
  private static final Duration IN_SECONDS = Duration.ofSeconds(100);
  private static final String CLEAR_LINE = "\r\033[K";

  private enum Style {
    SILENT, LINES, BAR
  }

  private final Style style;
  private final PrintWriter err;
  private final int columns;
  private ProgressBar bar;
  private String task = "";
  private final long begun = System.nanoTime();
  private long started = begun;
  private long lastLine = begun;
  private Duration wait = FIRST_LINE;
  private Whole whole = Whole.UNKNOWN;
  /// Whether the run may take less than the whole says.
  private boolean isBound;
  private volatile boolean interrupted;

  /// How far the run is as a whole.
  ///
  /// @param first share of the work that was done when it was first known, at the time `begun`
  /// @param share of the work that was done when it was last known, at the time `at`
  record Whole(double first, long begun, double share, long at) {
    static final Whole UNKNOWN = new Whole(1, 0, 1, 0);

    Whole at(double newShare, long now) {
      return newShare < share ? new Whole(newShare, now, newShare, now) : new Whole(first, begun, newShare, now);
    }

    /// How long the run will take still, where that can be told: at least a second.
    Optional<Duration> left(long now) {
      double done = share - first;
      if (share >= 1 || done < ESTIMATED_FROM || at - begun < ESTIMATED_AFTER.toNanos()) {
        return Optional.empty();
      }
      long left = (long) ((at - begun) / done * (1 - share)) - (now - at);
      return Optional.of(Duration.ofNanos(Math.max(left, Duration.ofSeconds(1).toNanos())));
    }
  }

  private Progress(Style style, PrintWriter err, int columns) {
    this.style = style;
    this.err = err;
    this.columns = columns;
  }

  static Progress silent() {
    return new Progress(Style.SILENT, new PrintWriter(Writer.nullWriter()), 0);
  }

  /// The launcher says in a property how wide the terminal is that stderr writes to, or 0 if it is none: Java cannot
  /// find out.
  @SuppressWarnings("SystemConsoleNull") // which providers of consoles return null differs from release to release
  static Progress on(PrintWriter err) {
    Console console = System.console();
    int columns = Integer.getInteger("espalier.columns", console != null && console.isTerminal() ? DEFAULT_COLUMNS : 0);
    Progress progress = new Progress(columns > 0 ? Style.BAR : Style.LINES, err, columns);
    if (columns > 0) {
      progress.open("reading", -1);
      // Ctrl-C: the shell's next line begins where the bar did.
      Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().unstarted(progress::interrupt));
    }
    return progress;
  }

  @Override
  public boolean proceed(String running, long done, long total) {
    switch (style) {
      case SILENT -> {
        // Says nothing.
      }
      case LINES -> line(running, done, total);
      case BAR -> bar(running, done, total);
    }
    return true;
  }

  @Override
  public void at(double done) {
    whole = whole.at(done, System.nanoTime());
    isBound = false;
  }

  @Override
  public void atLeast(double done) {
    at(done);
    isBound = true;
  }

  /// A line when a task begins, and after five seconds, then after ten more, and so on up to a minute; fewer lines of
  /// tasks the longer the run: short runs say little, long ones enough.
  private void line(String running, long done, long total) {
    long now = System.nanoTime();
    boolean isNew = !named(running).equals(named(task));
    if (!running.equals(task)) {
      task = running;
      started = now;
    }
    boolean isDue = now - lastLine > wait.toNanos();
    if (isDue || (isNew && now - lastLine > Math.clamp((now - begun) / LINES_OF_TASKS, BETWEEN_TASKS.toNanos(),
        BETWEEN_LINES.toNanos()))) {
      lastLine = now;
      if (isDue) {
        wait = wait.multipliedBy(2).compareTo(BETWEEN_LINES) < 0 ? wait.multipliedBy(2) : BETWEEN_LINES;
      }
      String left = left(now, done, total);
      err.println("%s: %s of %s%s".formatted(running, done, total, left.isEmpty() ? "" : ", " + left));
      err.flush();
    }
  }

  /// A task without the numbers of its epochs.
  private static String named(String task) {
    return task.replaceFirst("epoch \\d+/\\d+", "");
  }

  /// What to expect of the run, or of the task if no more can be told; empty if nothing can.
  private String left(long now, long done, long total) {
    return whole.left(now).map(left -> "%s %s left in all".formatted(isBound ? "at most" : "about", text(left)))
        .or(() -> left(Duration.ofNanos(now - started), done, total).map(left -> "about %s left".formatted(text(left))))
        .orElse("");
  }

  private static String text(Duration left) {
    return left.compareTo(IN_SECONDS) < 0
        ? "%d s".formatted(left.toSeconds())
        : PLAIN.seconds(left.toMillis() / 1000.0);
  }

  /// How long the task will take still, where that can be told.
  static Optional<Duration> left(Duration elapsed, long done, long total) {
    if (elapsed.compareTo(ESTIMATED_AFTER) < 0 || done < ESTIMATED_FROM * total || done <= 0 || total <= 0) {
      return Optional.empty();
    }
    return Optional.of(Duration.ofMillis((long) (elapsed.toMillis() / (double) done * (total - done))));
  }

  private void bar(String running, long done, long total) {
    if (!running.equals(task)) {
      clear();
      open(running, total);
    }
    bar.stepTo(done);
    bar.setExtraMessage(left(System.nanoTime(), done, total));
  }

  private void open(String running, long total) {
    task = running;
    started = System.nanoTime();
    bar = new ProgressBarBuilder().setTaskName(running).setInitialMax(total)
        .setStyle(ProgressBarStyle.COLORFUL_UNICODE_BLOCK).setUpdateIntervalMillis(100).hideEta()
        .setConsumer(new DelegatingProgressBarConsumer(this::redraw, Math.min(columns, LONGEST_BAR) - MARGIN)).build();
  }

  private synchronized void redraw(String text) {
    if (!interrupted) {
      err.print(CLEAR_LINE + text);
      err.flush();
    }
  }

  private void interrupt() {
    if (bar != null) {
      redraw("");
      interrupted = true;
    }
  }

  /// Prints a line above the bar.
  synchronized void say(PrintWriter to, String line) {
    to.println(bar == null ? line : CLEAR_LINE + line);
    to.flush();
  }

  /// Removes the bar.
  void clear() {
    if (bar != null) {
      bar.close();
      redraw("");
      bar = null;
      task = "";
    }
  }

  @Override
  public void close() {
    clear();
  }
}
