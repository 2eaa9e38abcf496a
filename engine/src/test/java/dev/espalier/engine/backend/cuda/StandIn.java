package dev.espalier.engine.backend.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;

/// What the library that stands in for the driver has counted.
final class StandIn {
  /// All that must be as it was before once it is given back.
  private static final List<String> HELD = List.of("allocations", "registrations", "handles", "contexts", "used",
      "reserved", "threshold");

  private StandIn() {}

  /// How much there is of a kind: see `stand_in` in libcuda.cpp.
  @SuppressWarnings("restricted")
  static long count(String what) {
    try (Arena arena = Arena.ofConfined()) {
      MethodHandle function = Linker.nativeLinker().downcallHandle(
          SymbolLookup.libraryLookup("libcuda.so.1", arena).findOrThrow("stand_in"),
          FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS));
      MemorySegment name = arena.allocateFrom(what);
      return (long) function.invokeExact(name);
    } catch (Throwable e) {
      throw new AssertionError(what, e);
    }
  }

  /// A line of all counts.
  static String counts() {
    StringBuilder text = new StringBuilder();
    HELD.forEach(what -> text.append(text.isEmpty() ? "" : ", ").append(what).append(' ').append(count(what)));
    return text.toString();
  }
}
