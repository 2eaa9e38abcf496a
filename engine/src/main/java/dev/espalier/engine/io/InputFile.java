package dev.espalier.engine.io;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPInputStream;

/// Opens files; its errors say what to do.
final class InputFile {
  private static final int BUFFER = 1 << 16;

  private InputFile() {}

  /// @return the length of `file` in bytes, at least 1
  /// @throws IOException if it does not exist, is empty, or is a folder, pipe or device
  static long length(Path file) throws IOException {
    if (!Files.exists(file)) {
      throw new IOException(file + ": no such file; check the path");
    }
    if (!Files.isRegularFile(file)) {
      throw new IOException(file + ": not a regular file; give the path of a file");
    }
    long length = Files.size(file);
    if (length == 0) {
      throw new FormatException(file, "the file is empty; create or copy it again");
    }
    return length;
  }

  /// Maps the whole file, read-only, for as long as `arena` lives.
  static MemorySegment map(Path file, Arena arena) throws IOException {
    return map(file, 0, length(file), arena);
  }

  /// Maps `length` bytes of the file from `offset` on.
  static MemorySegment map(Path file, long offset, long length, Arena arena) throws IOException {
    if (length(file) < offset + length) {
      throw new FormatException(file, "has become shorter since it was opened; start again");
    }
    try (FileChannel channel = FileChannel.open(file)) {
      return channel.map(MapMode.READ_ONLY, offset, length, arena);
    } catch (IOException e) {
      throw FileErrors.reading(file, e);
    }
  }

  static boolean isGzip(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      return in.read() == 0x1f && in.read() == 0x8b;
    } catch (IOException e) {
      throw FileErrors.reading(file, e);
    }
  }

  /// The bytes of the file from its start, decompressed if it is gzip.
  static InputStream stream(Path file) throws IOException {
    length(file);
    boolean gzip = isGzip(file);
    InputStream raw = null;
    try {
      raw = Files.newInputStream(file);
      return gzip ? new GZIPInputStream(raw, BUFFER) : new BufferedInputStream(raw, BUFFER);
    } catch (IOException e) {
      if (raw != null) {
        raw.close();
      }
      throw FileErrors.reading(file, e);
    }
  }
}
