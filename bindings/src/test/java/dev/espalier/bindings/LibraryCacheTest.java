package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LibraryCacheTest {
  private static final String SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

  @TempDir
  private Path folder;

  /// Holds one resource.
  private static final class OneResource extends ClassLoader {
    private final String content;

    OneResource(String content) {
      this.content = content;
    }

    @Override
    public InputStream getResourceAsStream(String name) {
      return name.equals("a/lib.so") ? new ByteArrayInputStream(content.getBytes(StandardCharsets.UTF_8)) : null;
    }
  }

  @Test
  void unpacksOnceIntoAPrivateFolder() throws IOException {
    LibraryCache cache = new LibraryCache(folder.resolve("cache"));
    Path file = cache.file(new OneResource("abc"), "a/lib.so", SHA256_OF_ABC);
    assertEquals("abc", Files.readString(file));
    assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.resolve("cache"))));
    assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file.getParent())));
    assertEquals(file, cache.file(new OneResource("not read again"), "a/lib.so", SHA256_OF_ABC));
  }

  @Test
  void refusesOtherContentAndLeavesNothing() throws IOException {
    LibraryCache cache = new LibraryCache(folder.resolve("cache"));
    IOException e = assertThrows(IOException.class,
        () -> cache.file(new OneResource("abd"), "a/lib.so", SHA256_OF_ABC));
    assertEquals("a/lib.so has the SHA-256 a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9 instead of "
        + SHA256_OF_ABC, e.getMessage());
    try (Stream<Path> files = Files.walk(folder)) {
      assertFalse(files.anyMatch(Files::isRegularFile));
    }
  }

  @Test
  void refusesAFolderThatOthersCanWrite() throws IOException {
    Path shared = Files.createDirectory(folder.resolve("shared"));
    Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwxrwxrwx"));
    IOException e = assertThrows(IOException.class,
        () -> new LibraryCache(shared).file(new OneResource("abc"), "a/lib.so", SHA256_OF_ABC));
    assertEquals(shared + " is not a folder that you alone can write", e.getMessage());
  }

  @Test
  void namesAResourceThatIsNotThere() {
    IOException e = assertThrows(IOException.class,
        () -> new LibraryCache(folder).file(new OneResource("abc"), "a/other.so", SHA256_OF_ABC));
    assertEquals("there is no a/other.so on the class or module path", e.getMessage());
  }

  @Test
  void liesWhereTheEnvironmentSays() {
    Map<String, String> home = Map.of("HOME", "/home/a");
    assertEquals(Path.of("/home/a/.cache/espalier"), LibraryCache.folder(home, "/record", "Linux"));
    assertEquals(Path.of("/home/a/Library/Caches/espalier"), LibraryCache.folder(home, "/record", "Mac OS X"));
    assertEquals(Path.of("/caches/espalier"),
        LibraryCache.folder(Map.of("HOME", "/home/a", "XDG_CACHE_HOME", "/caches"), "/record", "Linux"));
    assertEquals(Path.of("/record/.cache/espalier"), LibraryCache.folder(Map.of(), "/record", "Linux"));
    assertEquals(Path.of("/record/.cache/espalier"),
        LibraryCache.folder(Map.of("HOME", "", "XDG_CACHE_HOME", "not/absolute"), "/record", "Linux"));
  }
}
