package dev.espalier.engine.io;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/// Files that appear together or not at all: each is written into a temporary file beside it and forced to the disk;
/// then all are renamed, and if a renaming fails, the earlier ones are undone. A link is followed: the file that it
/// names is replaced.
///
/// No temporary file remains, not even when the JVM is asked to end. A JVM that is killed may leave some, which do not
/// affect later runs; one that ends between the renamings leaves the files renamed so far.
public final class AtomicOutputs implements AutoCloseable {
  private final List<Output> outputs = new ArrayList<>();
  private final List<Path> folders = new ArrayList<>();
  private boolean committed;

  /// @param target as it was given
  /// @param file   what it names
  /// @param old    a second name of the file that is replaced, if there is one
  private record Output(Path target, Path file, Path temporary, Path old, boolean overwrite) {
    boolean replaces() {
      return Files.exists(old);
    }
  }

  /// No files yet.
  public AtomicOutputs() {}

  /// Creates a folder with its parents. Those that were missing are removed again unless the files appear.
  ///
  /// @throws IOException if that fails
  public void createFolder(Path folder) throws IOException {
    List<Path> missing = new ArrayList<>();
    for (Path path = folder.toAbsolutePath(); path != null && !Files.exists(path); path = path.getParent()) {
      missing.addFirst(path);
    }
    for (Path path : missing) {
      Files.createDirectories(path);
      folders.add(path);
    }
    Files.createDirectories(folder); // refuses a file of that name
  }

  /// Writes what `target` is to contain.
  ///
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException as [AtomicOutput#check], or if the content fails or does not fit on the disk
  public void write(Path target, boolean overwrite, AtomicOutput.Content content) throws IOException {
    AtomicOutput.require(target, overwrite);
    Path file = AtomicOutput.followed(target);
    for (Output other : outputs) {
      if (other.file.equals(file)) {
        throw new IOException(target + ": is written twice; choose another output");
      }
    }
    Path temporary = AtomicOutput.temporary(file);
    Path old = temporary.resolveSibling(temporary.getFileName().toString().replaceFirst("tmp$", "old"));
    outputs.add(new Output(target, file, temporary, old, overwrite));
    if (file.getFileSystem().equals(FileSystems.getDefault())) {
      temporary.toFile().deleteOnExit();
      old.toFile().deleteOnExit();
    }
    write(target, temporary, content, StandardOpenOption.CREATE_NEW);
  }

  /// Changes what an earlier [#write] has written, in place.
  ///
  /// @param target   that was written
  /// @param content  sets the channel's position itself
  /// @throws IOException if the content fails or does not fit on the disk
  void change(Path target, AtomicOutput.Content content) throws IOException {
    Output output = outputs.stream().filter(each -> each.target.equals(target)).findFirst().orElseThrow();
    write(target, output.temporary, content, StandardOpenOption.WRITE);
  }

  private static void write(Path target, Path temporary, AtomicOutput.Content content, StandardOpenOption how)
      throws IOException {
    try (FileChannel channel = FileChannel.open(temporary, how, StandardOpenOption.WRITE)) {
      content.writeTo(channel);
      channel.force(true);
    } catch (IOException e) {
      throw FileErrors.writing(target, e);
    }
  }

  /// Lets all files appear, in the order in which they were written. It is the last thing to be done with them.
  ///
  /// @throws IOException if one cannot; then old files are as they were, and there are no new ones
  public void commit() throws IOException {
    for (int i = 0; i < outputs.size(); i++) {
      try {
        if (i < outputs.size() - 1) {
          keepOld(outputs.get(i));
        }
        move(outputs.get(i));
      } catch (IOException e) {
        IOException explained = FileErrors.writing(outputs.get(i).target, e);
        withdraw(outputs.subList(0, i), explained);
        throw explained;
      }
    }
    committed = true;
  }

  private static void keepOld(Output output) throws IOException {
    if (!output.overwrite || !Files.exists(output.file)) {
      return;
    }
    try {
      Files.createLink(output.old, output.file);
    } catch (IOException | UnsupportedOperationException _) {
      Files.copy(output.file, output.old, StandardCopyOption.COPY_ATTRIBUTES); // file systems without links
    }
  }

  private static void move(Output output) throws IOException {
    if (output.overwrite) {
      Files.move(output.temporary, output.file, StandardCopyOption.ATOMIC_MOVE);
    } else {
      Files.move(output.temporary, output.file); // in one folder this renames, and refuses a file that came meanwhile
    }
  }

  private static void withdraw(List<Output> done, IOException cause) {
    for (Output output : done.reversed()) {
      try {
        if (output.replaces()) {
          Files.move(output.old, output.file, StandardCopyOption.ATOMIC_MOVE);
        } else {
          Files.delete(output.file);
        }
      } catch (IOException e) {
        cause.addSuppressed(e);
      }
    }
  }

  /// Removes what is temporary.
  @Override
  public void close() throws IOException {
    for (Output output : outputs) {
      Files.deleteIfExists(output.temporary);
      Files.deleteIfExists(output.old);
    }
    outputs.clear();
    if (!committed) {
      for (Path folder : folders.reversed()) {
        try {
          Files.deleteIfExists(folder);
        } catch (DirectoryNotEmptyException _) {
          // somebody else uses it
        }
      }
    }
    folders.clear();
  }
}
