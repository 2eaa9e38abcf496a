package dev.espalier.spark;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.SparkEnv;

/// Parts of a tile that have arrived before it is their turn: a few on the heap, the others in files of Spark's local
/// folders, encrypted where Spark encrypts its own.
final class EarlyParts implements AutoCloseable {
  /// Parts on the heap at the most, with the one that is next.
  static final int HELD = 3;

  /// A part in a file.
  private record Filed(File file, int bytes) {}

  private final Map<Integer, byte[]> held = new HashMap<>();
  private final Map<Integer, Filed> filed = new HashMap<>();

  void put(int number, byte[] part) throws IOException {
    held.put(number, part);
    if (held.size() > HELD) {
      int last = held.keySet().stream().max(Integer::compare).orElseThrow();
      filed.put(last, file(held.remove(last)));
    }
  }

  private static Filed file(byte[] part) throws IOException {
    File file = SparkEnv.get().blockManager().diskBlockManager().createTempLocalBlock()._2();
    try (OutputStream out = SparkEnv.get().serializerManager().wrapForEncryption(new FileOutputStream(file))) {
      out.write(part);
    }
    return new Filed(file, part.length);
  }

  /// Removes a part, if it has arrived.
  Optional<byte[]> take(int number) throws IOException {
    Filed there = filed.remove(number);
    if (there == null) {
      return Optional.ofNullable(held.remove(number));
    }
    byte[] part = new byte[there.bytes];
    try (InputStream in = SparkEnv.get().serializerManager().wrapForEncryption(new FileInputStream(there.file))) {
      if (in.readNBytes(part, 0, part.length) < part.length) {
        throw new IOException("%s has lost what was written to it".formatted(there.file));
      }
    } finally {
      Files.deleteIfExists(there.file.toPath());
    }
    return Optional.of(part);
  }

  /// @throws IllegalStateException if a part that others wait for has not arrived
  void requireNone() {
    if (!held.isEmpty() || !filed.isEmpty()) {
      throw new IllegalStateException(
          "parts have not arrived before %s and %s".formatted(held.keySet(), filed.keySet()));
    }
  }

  @Override
  public void close() throws IOException {
    for (Filed left : filed.values()) {
      Files.deleteIfExists(left.file.toPath());
    }
    filed.clear();
  }
}
