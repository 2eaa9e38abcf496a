package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A library compiled by the test from `src/test/c`, which stands in for one of NVIDIA's.
final class StubLibrary {
  private final SymbolLookup symbols;

  private StubLibrary(SymbolLookup symbols) {
    this.symbols = symbols;
  }

  /// Compiles a library into `folder`; the test is skipped where there is no gcc.
  ///
  /// @param name that the loader knows it by
  static Path compile(Path folder, String name, String source, String... options)
      throws IOException, InterruptedException {
    Files.createDirectories(folder);
    Path library = folder.resolve(name);
    List<String> command = new ArrayList<>(List.of("gcc", "-shared", "-Wl,-z,noexecstack", "-fPIC", "-Wall", "-Werror",
        "-Wl,-soname," + name, "-o", library.toString(), "src/test/c/" + source));
    command.addAll(List.of(options));
    Process gcc;
    try {
      gcc = new ProcessBuilder(command).redirectErrorStream(true).start();
    } catch (IOException e) {
      return abort("no gcc to compile " + source + " with");
    }
    String output = new String(gcc.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, gcc.waitFor(), output);
    return library;
  }

  /// Loads a library for good. A later look-up of the name it was compiled with gives this one, wherever another may
  /// be.
  static StubLibrary load(Path library) {
    return new StubLibrary(SymbolLookup.libraryLookup(library, Arena.global()));
  }

  /// Calls `void function(int)`.
  void set(String function, int value) throws Throwable {
    Linker.nativeLinker().downcallHandle(symbols.findOrThrow(function), FunctionDescriptor.ofVoid(ValueLayout.JAVA_INT))
        .invokeExact(value);
  }

  /// Calls `void function(const char *)`.
  void set(String function, String value) throws Throwable {
    try (Arena arena = Arena.ofConfined()) {
      Linker.nativeLinker()
          .downcallHandle(symbols.findOrThrow(function), FunctionDescriptor.ofVoid(ValueLayout.ADDRESS))
          .invokeExact(arena.allocateFrom(value));
    }
  }

  /// Calls `int function(void)`.
  int number(String function) throws Throwable {
    return (int) Linker.nativeLinker()
        .downcallHandle(symbols.findOrThrow(function), FunctionDescriptor.of(ValueLayout.JAVA_INT)).invokeExact();
  }

  /// Calls `const char *function(void)`.
  String text(String function) throws Throwable {
    MemorySegment text = (MemorySegment) Linker.nativeLinker()
        .downcallHandle(symbols.findOrThrow(function), FunctionDescriptor.of(ValueLayout.ADDRESS)).invokeExact();
    return text.reinterpret(Integer.MAX_VALUE).getString(0);
  }
}
