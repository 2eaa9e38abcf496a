package dev.espalier.bindings;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReader;
import java.lang.module.ModuleReference;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/// Files taken out of jars, in a folder that only its owner can write, since code is loaded from it.
///
/// A file lies in a folder named after its SHA-256 and gets its name only when it is whole and its hash is right; so
/// whatever has the name was checked, and later starts need not read 90 MB again. Processes that start together may
/// each write a temporary file; the last rename wins, and all have the same content.
final class LibraryCache {
  private static final int BUFFER = 1 << 14;

  private final Path folder;

  /// @param folder made when it is first needed
  LibraryCache(Path folder) {
    this.folder = folder;
  }

  /// No class or module path has a resource.
  static final class NoResourceException extends IOException {
    private static final long serialVersionUID = 1;

    NoResourceException(String resource) {
      super("there is no " + resource + " on the class or module path");
    }
  }

  /// The cache of this user.
  static LibraryCache ofUser() {
    return new LibraryCache(folder(System.getenv(), System.getProperty("user.home"), System.getProperty("os.name")));
  }

  /// In `$XDG_CACHE_HOME`, else where the system keeps caches in `$HOME`, else there in the home that the system has on
  /// record, which Java takes for the user's.
  static Path folder(Map<String, String> environment, String recordedHome, String system) {
    Optional<Path> caches = absolute(environment.get("XDG_CACHE_HOME"));
    Path home = absolute(environment.get("HOME")).orElse(Path.of(recordedHome));
    return caches.orElse(system.startsWith("Mac") ? home.resolve("Library", "Caches") : home.resolve(".cache"))
        .resolve("espalier");
  }

  private static Optional<Path> absolute(String path) {
    return Optional.ofNullable(path).map(Path::of).filter(Path::isAbsolute);
  }

  /// The path of a file with the content of a resource, which is written if it is not there yet.
  ///
  /// @param resource a name as [ClassLoader#getResource] takes it
  /// @param sha256   of the content, in lower-case hexadecimal
  /// @throws IOException if there is no such resource, its content is another one, or the folder is not the user's own
  Path file(ClassLoader loader, String resource, String sha256) throws IOException {
    Path target = folder.resolve(sha256.substring(0, 16), resource.substring(resource.lastIndexOf('/') + 1));
    createPrivate(folder);
    createPrivate(target.getParent());
    if (!Files.isRegularFile(target, LinkOption.NOFOLLOW_LINKS)) {
      write(loader, resource, sha256, target);
    }
    return target;
  }

  private static void write(ClassLoader loader, String resource, String sha256, Path target) throws IOException {
    Path temporary = Files.createTempFile(target.getParent(), target.getFileName().toString(), ".part");
    if (temporary.getFileSystem().equals(FileSystems.getDefault())) {
      temporary.toFile().deleteOnExit(); // where the process is asked to end meanwhile
    }
    try {
      MessageDigest digest = sha256();
      try (DigestInputStream in = new DigestInputStream(open(loader, resource), digest);
          OutputStream out = Files.newOutputStream(temporary)) {
        copy(in, out);
      }
      String actual = HexFormat.of().formatHex(digest.digest());
      if (!actual.equals(sha256)) {
        throw new IOException("%s has the SHA-256 %s instead of %s".formatted(resource, actual, sha256));
      }
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  private static InputStream open(ClassLoader loader, String resource) throws IOException {
    InputStream in = loader.getResourceAsStream(resource);
    return in != null ? in : fromModulePath(resource).orElseThrow(() -> new NoResourceException(resource));
  }

  /// A class loader does not see a jar on the module path that no module requires.
  private static Optional<InputStream> fromModulePath(String resource) throws IOException {
    String modulePath = System.getProperty("jdk.module.path", "");
    Path[] path = Pattern.compile(File.pathSeparator, Pattern.LITERAL).splitAsStream(modulePath)
        .filter(Predicate.not(String::isEmpty)).map(Path::of).toArray(Path[]::new);
    for (ModuleReference module : ModuleFinder.of(path).findAll()) {
      ModuleReader reader = module.open();
      Optional<InputStream> in = reader.open(resource);
      if (in.isPresent()) {
        return in; // which reads from the reader
      }
      reader.close();
    }
    return Optional.empty();
  }

  private static void copy(InputStream in, OutputStream out) throws IOException {
    byte[] buffer = new byte[BUFFER];
    for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
      out.write(buffer, 0, count);
    }
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }

  /// Makes a folder that only the user can enter, or checks that only the user can write in the one that is there.
  private static void createPrivate(Path folder) throws IOException {
    if (!folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
      Files.createDirectories(folder);
      return;
    }
    Set<PosixFilePermission> owner = PosixFilePermissions.fromString("rwx------");
    Files.createDirectories(folder.getParent());
    if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) {
      Files.createDirectories(folder, PosixFilePermissions.asFileAttribute(owner));
    }
    // What I can write and no group or others can is mine.
    Set<PosixFilePermission> others = EnumSet.of(PosixFilePermission.GROUP_WRITE, PosixFilePermission.OTHERS_WRITE);
    others.retainAll(Files.getPosixFilePermissions(folder, LinkOption.NOFOLLOW_LINKS));
    if (!others.isEmpty() || !Files.isWritable(folder)) {
      throw new IOException(folder + " is not a folder that you alone can write");
    }
  }
}
