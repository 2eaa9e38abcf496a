package dev.espalier.cli;

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
  /// An estimate means something when a task has run so long, and so many parts of it are done.
  private static final Duration ESTIMATED_AFTER = Duration.ofSeconds(2);
  private static final double ESTIMATED_FROM = 0.05;
  private static final String CLEAR_LINE = "\r\033[K";

  private enum Style {
    SILENT, LINES, BAR
  }

  private final Style style;
  private final PrintWriter err;
  private final int columns;
  private ProgressBar bar;
  private String task = "";
  private long started = System.nanoTime();
  private long lastLine = started;
  private Duration wait = FIRST_LINE;
  private volatile boolean interrupted;

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

  /// A line after five seconds, then after ten more, and so on up to a minute: short runs say little, long ones enough.
  private void line(String running, long done, long total) {
    long now = System.nanoTime();
    if (!running.equals(task)) {
      task = running;
      started = now;
    }
    if (now - lastLine > wait.toNanos()) {
      lastLine = now;
      wait = wait.multipliedBy(2).compareTo(BETWEEN_LINES) < 0 ? wait.multipliedBy(2) : BETWEEN_LINES;
      err.println("%s: %s of %s%s".formatted(running, done, total, left(Duration.ofNanos(now - started), done, total)
          .map(left -> ", about %d s left".formatted(left.toSeconds())).orElse("")));
      err.flush();
    }
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
  }

  private void open(String running, long total) {
    task = running;
    bar = new ProgressBarBuilder().setTaskName(running).setInitialMax(total)
        .setStyle(ProgressBarStyle.COLORFUL_UNICODE_BLOCK).setUpdateIntervalMillis(100)
        .setEtaFunction(state -> left(state.getElapsedAfterStart(), state.getCurrent(), state.getMax()))
        .setConsumer(new DelegatingProgressBarConsumer(this::redraw, Math.min(columns, LONGEST_BAR) - 1)).build();
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
