package dev.espalier.engine.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;

/// Writes a file as a whole or not at all: into a temporary file beside it, forced to the disk, then renamed. For
/// several that belong together there is [AtomicOutputs].
public final class AtomicOutput {
  /// Writes what the file is to contain, from the channel's position 0 on. A stream is had by
  /// [java.nio.channels.Channels#newOutputStream].
  @FunctionalInterface
  public interface Content {
    void writeTo(FileChannel channel) throws IOException;
  }

  private static final int MOST_LINKS = 40;

  private AtomicOutput() {}

  /// Refuses, before any work is done, what [#write] would refuse after it.
  ///
  /// @throws java.nio.file.FileAlreadyExistsException if `target` is a file that may not be overwritten
  /// @throws IOException if it exists and is not a file, or its folder is missing or not writable, which is tried
  public static void check(Path target, boolean overwrite) throws IOException {
    require(target, overwrite);
    Path probe = temporary(followed(target));
    try {
      Files.createFile(probe);
      Files.delete(probe);
    } catch (IOException e) {
      throw FileErrors.writing(target, e);
    }
  }

  /// As [#check], without trying.
  static void require(Path target, boolean overwrite) throws IOException {
    if (Files.exists(target) && !Files.isRegularFile(target)) {
      throw new IOException(target + ": exists and is not a regular file; choose another output");
    }
    if (!overwrite && Files.exists(target)) {
      throw FileErrors.exists(target);
    }
    Path folder = followed(target).getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new IOException(target + ": its folder does not exist; create it or choose another output");
    }
    if (!Files.isWritable(folder)) {
      throw new IOException(target + ": no permission to write into its folder; choose another output");
    }
  }

  /// The file that a path names, behind all links; it need not exist.
  static Path followed(Path target) throws IOException {
    Path file = target.toAbsolutePath();
    for (int links = 0; Files.isSymbolicLink(file); links++) {
      if (links == MOST_LINKS) {
        throw new IOException(target + ": is a link that leads nowhere; choose another output");
      }
      file = file.resolveSibling(Files.readSymbolicLink(file));
    }
    return file;
  }

  /// A name that no other file beside `file` has.
  static Path temporary(Path file) {
    return file.resolveSibling("%s.%s.tmp".formatted(file.getFileName(), UUID.randomUUID()));
  }

  /// Writes `target`. Whatever fails, an old file of that name stays as it was and no temporary file remains,
  /// not even when the JVM is asked to end; one that is killed may leave it, which disturbs no later writing. A link is
  /// followed: the file that it names is replaced, or created.
  ///
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException as [#check], or if the content fails or does not fit on the disk
  public static void write(Path target, boolean overwrite, Content content) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      outputs.write(target, overwrite, content);
      outputs.commit();
    }
  }

  /// Writes `text` as UTF-8; otherwise as [#write].
  public static void writeText(Path target, boolean overwrite, String text) throws IOException {
    write(target, overwrite, text(text));
  }

  /// `text` as UTF-8.
  public static Content text(String text) {
    return channel -> writeFully(channel, StandardCharsets.UTF_8.encode(text));
  }

  static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }
}
