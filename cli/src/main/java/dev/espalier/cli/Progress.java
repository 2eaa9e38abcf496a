package dev.espalier.cli;

import dev.espalier.engine.ProgressListener;
import java.io.Console;
import java.io.PrintWriter;
import java.io.Writer;
import java.time.Duration;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/// Shows how far a run is: a bar on a terminal, now and then a line elsewhere.
final class Progress implements ProgressListener, AutoCloseable {
  private static final int DEFAULT_COLUMNS = 80;
  private static final int LONGEST_BAR = 100;
  private static final Duration BETWEEN_LINES = Duration.ofSeconds(5);
  private static final String CLEAR_LINE = "\r\033[K";

  private enum Style {
    SILENT, LINES, BAR
  }

  private final Style style;
  private final PrintWriter err;
  private final int columns;
  private ProgressBar bar;
  private String task = "";
  private long lastLine = System.nanoTime();

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
    return new Progress(columns > 0 ? Style.BAR : Style.LINES, err, columns);
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

  private void line(String running, long done, long total) {
    long now = System.nanoTime();
    if (now - lastLine > BETWEEN_LINES.toNanos()) {
      lastLine = now;
      err.println("%s: %s of %s samples".formatted(running, done, total));
      err.flush();
    }
  }

  private void bar(String running, long done, long total) {
    if (!running.equals(task)) {
      clear();
      task = running;
      bar = new ProgressBarBuilder().setTaskName(running).setInitialMax(total)
          .setStyle(ProgressBarStyle.COLORFUL_UNICODE_BLOCK).setUpdateIntervalMillis(100)
          .setConsumer(new DelegatingProgressBarConsumer(this::redraw, Math.min(columns, LONGEST_BAR) - 1)).build();
    }
    bar.stepTo(done);
  }

  private void redraw(String text) {
    err.print(CLEAR_LINE + text);
    err.flush();
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
