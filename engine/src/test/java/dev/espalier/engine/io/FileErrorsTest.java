package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.zip.ZipException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/// Everything that reads a file says the same of one that cannot be read.
final class FileErrorsTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  private List<Executable> readers(Path path) {
    return List.of(() -> SampleFiles.samples(path), () -> SampleFiles.labels(path),
        () -> SafetensorsFile.open(path, arena), () -> ModelFile.load(path, Optional.empty(), arena),
        () -> NetworkSums.read(path, arena));
  }

  private void refused(String message, Path path) {
    for (Executable reader : readers(path)) {
      assertEquals(path + ": " + message, assertThrows(IOException.class, reader).getMessage());
    }
  }

  @Test
  void aMissingFileIsSoCalled() {
    refused("no such file; check the path", folder.resolve("missing.npy"));
    refused("no such file; check the path", folder.resolve("missing/x.safetensors"));
  }

  @Test
  void aFolderIsNoFile() {
    refused("not a regular file; give the path of a file", folder);
  }

  @Test
  void anEmptyFileIsSoCalled() throws IOException {
    refused("the file is empty; create or copy it again", TestFiles.file(folder, "empty.npy"));
  }

  @Test
  void aFileWithoutPermissionIsSoCalled() throws IOException {
    Path path = TestFiles.file(folder, "locked.npy", TestFiles.npy("<f4", false, "(1, 1)", TestFiles.floats(1)));
    Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("-w-------"));
    assumeFalse(Files.isReadable(path), "root reads everything");
    refused("no permission to read it; change its permissions", path);
  }

  @Test
  void aFailureToReadSaysWhereAndWhatToDo() {
    IOException known = new FormatException("x.npy", "is no array");
    assertSame(known, FileErrors.reading("elsewhere", known));
    reading("x: ends too early; copy or create it again", new EOFException());
    reading("x: is damaged (bad block); copy or create it again", new ZipException("bad block"));
    reading("x: no such file; check the path", new NoSuchFileException("y"));
    reading("x: no permission to read it; change its permissions", new AccessDeniedException("y"));
    reading("x: cannot be read: Is a directory", new FileSystemException("y", null, "Is a directory"));
    reading("x: cannot be read: not directory", new NotDirectoryException("y"));
    reading("x: cannot be read: Input/output error", new IOException("Input/output error"));
  }

  private static void reading(String message, IOException e) {
    IOException failure = FileErrors.reading("x", e);
    assertEquals(message, failure.getMessage());
    assertSame(e, failure.getCause());
  }

  @Test
  void aFailureToWriteSaysWhereAndWhatToDo() {
    Path target = Path.of("x");
    writing("x: no permission to write it; choose another output", new AccessDeniedException("y"));
    writing("x: no file can be made in its folder; choose another output", new NoSuchFileException("y"));
    Path nowhere = Path.of("nowhere", "x");
    assertEquals(nowhere + ": its folder does not exist; create it or choose another output",
        FileErrors.writing(nowhere, new NoSuchFileException("y")).getMessage());
    writing("x: not written: No space left on device; free space or choose another output",
        new FileSystemException("y", null, "No space left on device"));
    IOException exists = FileErrors.writing(target, new FileAlreadyExistsException("y"));
    assertEquals(FileAlreadyExistsException.class, exists.getClass());
    assertEquals("x: already exists; choose another output", exists.getMessage());
  }

  private static void writing(String message, IOException e) {
    IOException failure = FileErrors.writing(Path.of("x"), e);
    assertEquals(message, failure.getMessage());
    assertSame(e, failure.getCause());
  }

  @Test
  void anExistingOutputIsKept() throws IOException {
    Path target = TestFiles.file(folder, "out", (byte) 1);
    List<NewTensor> tensors = List.of(NewTensor.matrix("x", MatrixView.allocate(arena, 1, 1)));
    FileAlreadyExistsException e = assertThrows(FileAlreadyExistsException.class,
        () -> SafetensorsWriter.write(target, false, tensors, Map.of()));
    assertEquals(target + ": already exists; choose another output", FileErrors.explained(e));
  }

  @Test
  void anyFailureIsOneLine() {
    assertEquals("y: no such file; check the path", FileErrors.explained(new NoSuchFileException("y")));
    assertEquals("y: no permission; change it or choose another path",
        FileErrors.explained(new AccessDeniedException("y")));
    assertEquals("y: Is a directory", FileErrors.explained(new FileSystemException("y", null, "Is a directory")));
    assertEquals("y: not directory", FileErrors.explained(new NotDirectoryException("y")));
    assertEquals("y: file already exists", FileErrors.explained(new FileAlreadyExistsException("y")));
    assertEquals("java.nio.file.FileSystemException", FileErrors.explained(new FileSystemException(null)));
    assertEquals("broken pipe", FileErrors.explained(new IOException("broken pipe")));
    assertEquals("java.io.IOException", FileErrors.explained(new IOException()));
  }
}
