package dev.espalier.engine.io;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.data.SourceNote;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;

/// Rows of an array that is compressed or lies within an archive; each pass decompresses it anew.
record StreamedSamples(ArrayFormat format, Opener opener) implements SampleSource {
  /// Opens the bytes that hold the array, from its header on.
  interface Opener {
    InputStream open() throws IOException;
  }

  private static final int BUFFER_BYTES = 1 << 16;

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
    if (format.columnMajor()) {
      return openColumnMajor();
    }
    InputStream in = opener.open();
    try {
      in.skipNBytes(format.offset());
      return new StreamedPass(format, in);
    } catch (IOException e) {
      in.close();
      throw FileErrors.reading(format.name(), e);
    }
  }

  /// The first row ends where the last column begins, so the columns are decompressed into a temporary file.
  private Pass openColumnMajor() throws IOException {
    Path copy = Files.createTempFile("espalier-", ".array");
    try {
      try (InputStream in = opener.open(); FileChannel out = FileChannel.open(copy, StandardOpenOption.WRITE)) {
        out.transferFrom(Channels.newChannel(in), 0, format.end());
        checkEnd(format, in, out.size());
      } catch (IOException e) {
        throw FileErrors.reading(format.name(), e);
      }
      Pass pass = new MappedSamples(copy, format).open();
      return new Pass() {
        @Override
        public int read(MatrixView target) throws IOException {
          return pass.read(target);
        }

        @Override
        public void close() throws IOException {
          pass.close();
          Files.deleteIfExists(copy);
        }
      };
    } catch (IOException | RuntimeException e) {
      Files.delete(copy);
      throw e;
    }
  }

  private static void checkEnd(ArrayFormat format, InputStream in, long read) throws IOException {
    format.checkEnd(read);
    if (in.read() >= 0) {
      throw new FormatException(format.name(),
          "bytes follow the last of %s; copy or create it again".formatted(Nouns.counted(format.samples(), "sample")));
    }
  }

  private static final class StreamedPass implements Pass {
    private final ArrayFormat format;
    private final InputStream in;
    private final byte[] buffer = new byte[BUFFER_BYTES];
    private long position;

    StreamedPass(ArrayFormat format, InputStream in) {
      this.format = format;
      this.in = in;
    }

    @Override
    public void close() throws IOException {
      in.close();
    }

    @Override
    public int read(MatrixView target) throws IOException {
      MatrixView rows = format.next(target, position);
      if (rows == null) {
        return 0;
      }
      int bytes = format.dtype().bytes();
      try {
        for (long done = 0, count; done < rows.elements(); done += count) {
          count = Math.min(BUFFER_BYTES / bytes, rows.elements() - done);
          int length = (int) count * bytes;
          int read = in.readNBytes(buffer, 0, length);
          if (read < length) {
            format.checkEnd(format.offset() + (position * format.width() + done) * bytes + read);
          }
          format.decode(MemorySegment.ofArray(buffer), 0, rows, position, done, 1, count);
        }
        position += rows.rows();
        if (position == format.samples()) {
          checkEnd(format, in, format.end());
        }
      } catch (IOException e) {
        throw FileErrors.reading(format.name(), e);
      }
      return rows.rows();
    }
  }
}
