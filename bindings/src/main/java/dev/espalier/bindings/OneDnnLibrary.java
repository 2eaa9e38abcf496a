package dev.espalier.bindings;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Where oneDNN is found, and its loading: into the class loader of this module, whose generated bindings look symbols
/// up there.
///
/// A path in the environment variable `ESPALIER_ONEDNN` comes first; it brings its own OpenMP runtime. Else the library
/// and its OpenMP runtime are taken out of the Maven artifact `org.bytedeco:dnnl` into the user's cache.
final class OneDnnLibrary {
  /// Names a library file to load instead of the artifact's.
  static final String OVERRIDE = "ESPALIER_ONEDNN";

  /// The libraries in the artifact for one platform, the OpenMP runtime first since the other is linked to it.
  private record Artifact(String folder, Entry openMp, Entry oneDnn) {}

  private record Entry(String name, String sha256) {}

  private static final Artifact LINUX_X86_64 = new Artifact("linux-x86_64",
      new Entry("libgomp.so.1", "d46f9225c1883039e8a6853e6d96ca1af11d034ce186a090952e4a7c8a7c2fdc"),
      new Entry("libdnnl.so.3", "3610657c35381b06694034b677cf73f28086495aba51ecf0cfb5b6511652a443"));
  private static final Artifact LINUX_ARM64 = new Artifact("linux-arm64",
      new Entry("libgomp.so.1", "3d8a29f52ccdf3ba0ab2428d721963fb9c9259d7682b8e2a2127dd6f119a29b1"),
      new Entry("libdnnl.so.3", "b7d1b3fb1ce5e547c2d4dac7b3a0019976ab65427e880b2d4e666230e6b4d6b2"));
  private static final Artifact MACOSX_ARM64 = new Artifact("macosx-arm64",
      new Entry("libomp.dylib", "bb30f86a18632aa2451192ca16e54cee4864a852872cad5198df8535e00eef14"),
      new Entry("libdnnl.3.dylib", "27443dece16760491ecda511f42de81764d9488a456063c864504ce5c9f3aabf"));

  private OneDnnLibrary() {}

  /// Loads oneDNN.
  ///
  /// @param override  its file, null for the artifact's
  /// @param system    as `os.name` has it
  /// @param processor as `os.arch` has it
  /// @return the file it was loaded from
  /// @throws NativeLibraryException if there is none for this platform, it cannot be unpacked, or it does not load
  static Path load(String override, LibraryCache cache, String system, String processor) {
    if (override != null) {
      return load(overridden(override));
    }
    Artifact artifact = artifact(system, processor);
    load(unpack(cache, artifact, artifact.openMp()));
    return load(unpack(cache, artifact, artifact.oneDnn()));
  }

  private static Path overridden(String override) {
    Path library = Path.of(override).toAbsolutePath();
    if (!Files.isRegularFile(library)) {
      throw new NativeLibraryException(
          "oneDNN: %s names %s, which is no file: correct or unset it".formatted(OVERRIDE, library));
    }
    return library;
  }

  private static Artifact artifact(String system, String processor) {
    boolean arm = processor.equals("aarch64");
    if (system.equals("Linux") && processor.equals("amd64")) {
      return LINUX_X86_64;
    } else if (system.equals("Linux") && arm) {
      return LINUX_ARM64;
    } else if (system.startsWith("Mac") && arm) {
      return MACOSX_ARM64;
    }
    throw new NativeLibraryException(
        "oneDNN: none comes with Espalier for %s on %s: name a library with %s".formatted(system, processor, OVERRIDE));
  }

  private static Path unpack(LibraryCache cache, Artifact artifact, Entry entry) {
    String resource = "org/bytedeco/dnnl/%s/%s".formatted(artifact.folder(), entry.name());
    try {
      return cache.file(OneDnnLibrary.class.getClassLoader(), resource, entry.sha256());
    } catch (LibraryCache.NoResourceException e) {
      throw new NativeLibraryException(
          "oneDNN: left out of this installation: no org.bytedeco:dnnl for %s is on the class or module path; %s"
              .formatted(artifact.folder(),
                  "take the archive or the build that has it, or name a library with " + OVERRIDE),
          e);
    } catch (IOException e) {
      throw new NativeLibraryException(
          "oneDNN: cannot unpack %s: %s; XDG_CACHE_HOME sets the folder, %s names a library".formatted(entry.name(),
              describe(e), OVERRIDE),
          e);
    }
  }

  /// The JDK's file exceptions have nothing but a path for a message.
  private static String describe(IOException e) {
    return e.getClass() == IOException.class ? e.getMessage() : e.getClass().getSimpleName() + " " + e.getMessage();
  }

  private static Path load(Path library) {
    try {
      System.load(library.toString());
      return library;
    } catch (UnsatisfiedLinkError e) {
      throw new NativeLibraryException("oneDNN: %s; install what it lacks or name another library with %s"
          .formatted(e.getMessage().lines().findFirst().orElse(library + " does not load"), OVERRIDE), e);
    }
  }
}
