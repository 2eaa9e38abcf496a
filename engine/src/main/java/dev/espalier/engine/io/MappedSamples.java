package dev.espalier.engine.io;

import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.SourceNote;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;

/// Rows of an array that lies uncompressed in a file; each pass maps it anew.
record MappedSamples(Path file, ArrayFormat format) implements SampleSource {
  @Override
  public String name() {
    return format.name();
  }

  @Override
  public long samples() {
    return format.samples();
  }

  @Override
  public int width() {
    return format.width();
  }

  @Override
  public boolean isThreadConfined() {
    return false;
  }

  @Override
  public List<SourceNote> notes() {
    return format.notes();
  }

  @Override
  public Pass open() throws IOException {
    return new MappedPass(file, format);
  }

  private static final class MappedPass implements Pass {
    private final ArrayFormat format;
    /// Shared, since the thread that opens and closes a pass need not be the one that reads it.
    private final Arena arena;
    private final MemorySegment elements;
    private long position;

    @SuppressWarnings("MustBeClosedChecker") // close() does it
    MappedPass(Path file, ArrayFormat format) throws IOException {
      this.format = format;
      this.arena = Arena.ofShared();
      try {
        this.elements = InputFile.map(file, format.offset(), format.bytes(), arena);
      } catch (IOException | RuntimeException e) {
        arena.close();
        throw e;
      }
    }

    @Override
    public void skip(long rows, int width) {
      position += rows;
    }

    @Override
    public void close() {
      if (arena.scope().isAlive()) {
        arena.close();
      }
    }

    @Override
    public int read(MatrixView target) throws IOException {
      MatrixView rows = format.next(target, position);
      if (rows == null) {
        return 0;
      }
      int width = format.width();
      if (format.columnMajor()) {
        for (int column = 0; column < width; column++) {
          long from = column * format.samples() + position;
          format.decode(elements, from, rows, position, column, width, rows.rows());
        }
      } else {
        format.decode(elements, position * width, rows, position, 0, 1, rows.elements());
      }
      position += rows.rows();
      return rows.rows();
    }
  }
}
