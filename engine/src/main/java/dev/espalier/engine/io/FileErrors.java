package dev.espalier.engine.io;

import java.io.EOFException;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.zip.ZipException;

/// Turns failures of files into lines that say what is wrong, where, and what to do.
public final class FileErrors {
  private FileErrors() {}

  /// A failure while reading `where`.
  static IOException reading(Object where, IOException e) {
    return switch (e) {
      case FormatException known -> known;
      case EOFException _ -> new FormatException(where, "ends too early; copy or create it again", e);
      case ZipException _ ->
        new FormatException(where, "is damaged (%s); copy or create it again".formatted(e.getMessage()), e);
      case NoSuchFileException _ -> new IOException(where + ": no such file; check the path", e);
      case AccessDeniedException _ -> new IOException(where + ": no permission to read it; change its permissions", e);
      default -> new IOException("%s: cannot be read: %s".formatted(where, reason(e)), e);
    };
  }

  /// A failure while writing `target`. An existing file stays a [FileAlreadyExistsException].
  static IOException writing(Path target, IOException e) {
    return switch (e) {
      case FormatException known -> known;
      case FileAlreadyExistsException _ -> exists(target);
      case AccessDeniedException _ -> new IOException(target + ": no permission to write it; choose another output", e);
      case NoSuchFileException _ when Files.isDirectory(target.toAbsolutePath().getParent()) ->
        new IOException(target + ": no file can be made in its folder; choose another output", e);
      case NoSuchFileException _ ->
        new IOException(target + ": its folder does not exist; create it or choose another output", e);
      default ->
        new IOException("%s: not written: %s; free space or choose another output".formatted(target, reason(e)), e);
    };
  }

  /// That `target` exists and is not to be overwritten.
  static FileAlreadyExistsException exists(Path target) {
    return new FileAlreadyExistsException(target.toString(), null, "already exists; choose another output");
  }

  /// Any failure in one line. The exceptions of the file system have nothing but a path for a message.
  public static String explained(IOException e) {
    return switch (e) {
      case NoSuchFileException file -> file.getFile() + ": no such file; check the path";
      case AccessDeniedException file -> file.getFile() + ": no permission; change it or choose another path";
      case FileSystemException file when file.getFile() != null -> file.getFile() + ": " + reason(file);
      default -> e.getMessage() == null ? e.toString() : e.getMessage();
    };
  }

  private static String reason(IOException e) {
    if (!(e instanceof FileSystemException file)) {
      return e.getMessage();
    }
    // Where the system gave no reason, the exception's name is one: NotDirectoryException.
    return file.getReason() != null
        ? file.getReason()
        : file.getClass().getSimpleName().replaceFirst("Exception$", "").replaceAll("(?<=[a-z])(?=[A-Z])", " ")
            .toLowerCase(Locale.ROOT);
  }
}
