package dev.espalier.bindings;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.lang.module.ModuleDescriptor.Version;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// Where cuBLAS is found, and its loading: into the class loader of this module, whose generated bindings look symbols
/// up there.
///
/// A path in the environment variable `ESPALIER_CUBLAS` comes first and is then the only one. Else, in this order: the
/// folders of CUDA toolkits, what the system's loader finds, and the packages `nvidia-cublas` of the Python that is on
/// the path. In each place the newest version counts that the driver can run.
///
/// @param environment variables
/// @param toolkits    the folder in which toolkits are, in `cuda` and `cuda-…`
/// @param byLoader    the file that the system's loader takes for a name, if there is one
/// @param newest      the newest major version that the driver can run
record CublasLibrary(Map<String, String> environment, Path toolkits, Function<String, Optional<Path>> byLoader,
    int newest) {
  /// Names a library file to load instead of searching.
  static final String OVERRIDE = "ESPALIER_CUBLAS";

  private static final List<Integer> VERSIONS = List.of(13, 12, 11);
  private static final String FILE = "libcublas.so";
  /// In versions that are too old.
  private static final String LAST_ADDED = "cublasGetStatusName";

  /// For this process. Without a driver, any version.
  ///
  /// @throws NativeLibraryException if this module may not call native code
  static CublasLibrary ofSystem() {
    if (!CublasLibrary.class.getModule().isNativeAccessEnabled()) {
      throw new NativeLibraryException("cuBLAS: " + CudaDriver.NO_NATIVE_ACCESS);
    }
    return new CublasLibrary(System.getenv(), Path.of("/usr/local"), CublasLibrary::loaded,
        CudaDriver.cudaVersion().orElse(Integer.MAX_VALUE));
  }

  /// Loads cuBLAS.
  ///
  /// @return the file it was loaded from
  /// @throws NativeLibraryException if there is none, or none of what was found loads
  Path load() {
    List<String> failures = new ArrayList<>();
    for (Path file : (Iterable<Path>) candidates()::iterator) {
      try {
        load(file);
        return file;
      } catch (UnsatisfiedLinkError e) {
        failures.add(e.getMessage().lines().findFirst().orElse(file + " does not load"));
      }
    }
    throw new NativeLibraryException(failures.isEmpty()
        ? "cuBLAS: no %s in %s: install CUDA's cuBLAS or name the library with %s"
            .formatted(names().collect(Collectors.joining(" or ")), places(), OVERRIDE)
        : "cuBLAS: " + String.join("; ", failures));
  }

  private static void load(Path file) {
    Path beside = file.resolveSibling(file.getFileName().toString().replace(FILE, "libcublasLt.so"));
    if (!beside.equals(file) && Files.exists(beside)) {
      System.load(beside.toString()); // cuBLAS is linked to it, and does not in every package say where it is
    }
    System.load(file.toString());
    if (SymbolLookup.loaderLookup().find(LAST_ADDED).isEmpty()) {
      throw new NativeLibraryException(
          "cuBLAS: %s lacks %s: install a newer one or name it with %s".formatted(file, LAST_ADDED, OVERRIDE));
    }
  }

  /// What may be cuBLAS, in the order in which it is tried; a place is looked into when those before it did not do.
  Stream<Path> candidates() {
    String override = environment.get(OVERRIDE);
    if (override != null) {
      return Stream.of(overridden(override));
    }
    return Stream.<Supplier<Stream<Path>>>of(() -> toolkitFolders().stream().flatMap(this::inToolkit),
        () -> names().flatMap(name -> byLoader.apply(name).stream()).findFirst().stream(),
        () -> pythonFolders().stream().flatMap(this::inPython)).flatMap(Supplier::get);
  }

  private static Path overridden(String override) {
    Path library = Path.of(override).toAbsolutePath();
    if (!Files.isRegularFile(library)) {
      throw new NativeLibraryException(
          "cuBLAS: %s names %s, which is no file: correct or unset it".formatted(OVERRIDE, library));
    }
    return library;
  }

  /// The names by which the loader knows the versions that count, newest first.
  private Stream<String> names() {
    return VERSIONS.stream().filter(version -> version <= newest).map(version -> FILE + "." + version);
  }

  private String places() {
    return Stream
        .of(userToolkits().map(Path::toString), Stream.of(toolkits + "/cuda*", "the loader's path"),
            pythonFolders().stream().map(folder -> folder + "/nvidia/*/lib"))
        .flatMap(place -> place).collect(Collectors.joining(", "));
  }

  private Stream<Path> userToolkits() {
    return Stream.of("CUDA_HOME", "CUDA_PATH").flatMap(this::folder);
  }

  private Set<Path> toolkitFolders() {
    Set<Path> folders = new LinkedHashSet<>();
    userToolkits().forEach(folders::add);
    folders.add(toolkits.resolve("cuda"));
    children(toolkits, "cuda-[0-9]*").stream()
        .sorted(Comparator.comparing(CublasLibrary::version, Comparator.reverseOrder())).forEach(folders::add);
    return folders;
  }

  /// `cuda-12.10` is newer than `cuda-12.9`.
  private static Version version(Path toolkit) {
    return Version.parse(toolkit.getFileName().toString().substring("cuda-".length()));
  }

  private Stream<Path> inToolkit(Path toolkit) {
    return inFolders(
        Stream.concat(Stream.of(toolkit.resolve("lib64"), toolkit.resolve("lib")), children(toolkit, "targets").stream()
            .flatMap(targets -> children(targets, "*").stream()).map(target -> target.resolve("lib"))));
  }

  /// The folders in which the Python of the virtual environment, and the first one on the path, keep packages.
  private Set<Path> pythonFolders() {
    Set<Path> folders = new LinkedHashSet<>();
    Stream<Path> prefixes = Stream.concat(folder("VIRTUAL_ENV"), pythonPrefixes());
    prefixes.flatMap(prefix -> Stream.of("lib", "lib64", "local/lib").map(prefix::resolve))
        .forEach(library -> folders.addAll(packages(library)));
    folder("HOME").forEach(home -> folders.addAll(packages(home.resolve(".local/lib"))));
    return folders;
  }

  /// A Python of a virtual environment is a link to the system's; packages are where the link is, or else where it
  /// leads.
  private Stream<Path> pythonPrefixes() {
    return Stream.of(environment.getOrDefault("PATH", "").split(":")).filter(folder -> !folder.isEmpty())
        .flatMap(folder -> Stream.of("python3", "python").map(Path.of(folder)::resolve)).filter(Files::isExecutable)
        .limit(1).flatMap(python -> Stream.of(python, real(python))).map(python -> python.resolve("../..").normalize());
  }

  private static Path real(Path path) {
    try {
      return path.toRealPath();
    } catch (IOException e) {
      return path;
    }
  }

  private static List<Path> packages(Path library) {
    return children(library, "python3*").stream()
        .flatMap(python -> Stream.of("site-packages", "dist-packages").map(python::resolve)).filter(Files::isDirectory)
        .toList();
  }

  private Stream<Path> inPython(Path packages) {
    return inFolders(children(packages.resolve("nvidia"), "*").stream().map(part -> part.resolve("lib")));
  }

  /// The newest version in any of the folders comes first.
  private Stream<Path> inFolders(Stream<Path> folders) {
    List<Path> all = folders.toList();
    return names().flatMap(name -> all.stream().map(folder -> folder.resolve(name))).filter(Files::isRegularFile)
        .map(Path::toAbsolutePath);
  }

  private Stream<Path> folder(String variable) {
    return Optional.ofNullable(environment.get(variable)).filter(value -> !value.isEmpty()).map(Path::of).stream();
  }

  /// Sorted; none where there is no such folder, or none that can be read.
  private static List<Path> children(Path folder, String glob) {
    List<Path> children = new ArrayList<>();
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder, glob)) {
      entries.forEach(children::add);
    } catch (IOException e) {
      return List.of();
    }
    children.sort(null);
    return children;
  }

  /// Lets the system's loader look for a library, and asks the system which file it took.
  static Optional<Path> loaded(String name) {
    try {
      SymbolLookup.libraryLookup(name, Arena.global());
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
    try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
      return maps.filter(line -> line.contains("/" + name)).findFirst()
          .map(line -> Path.of(line.substring(line.indexOf('/'))));
    } catch (IOException | UncheckedIOException e) {
      return Optional.empty();
    }
  }
}
