package dev.espalier.engine.backend.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;
import jcuda.driver.CUresult;

/// The library that stands in for the driver: its counts, and calls that it lets fail.
public final class StandIn {
  /// All counts that must be as before once everything is given back.
  private static final List<String> HELD = List.of("allocations", "registrations", "handles", "contexts", "used",
      "reserved", "threshold");

  /// All counts where everything was given back.
  public static final String NOTHING = "allocations 0, registrations 0, handles 0, contexts 0, used 0, reserved 0, "
      + "threshold 0";

  private StandIn() {}

  /// A count: see `stand_in` in libcuda.cpp.
  public static long count(String what) {
    try (Arena arena = Arena.ofConfined()) {
      MethodHandle function = function(arena, "stand_in",
          FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS));
      return (long) function.invokeExact(arena.allocateFrom(what));
    } catch (Throwable e) {
      throw new AssertionError(what, e);
    }
  }

  @SuppressWarnings("restricted")
  private static MethodHandle function(Arena arena, String name, FunctionDescriptor descriptor) {
    return Linker.nativeLinker().downcallHandle(SymbolLookup.libraryLookup("libcuda.so.1", arena).findOrThrow(name),
        descriptor);
  }

  /// A line of all counts.
  public static String counts() {
    StringBuilder text = new StringBuilder();
    HELD.forEach(what -> text.append(text.isEmpty() ? "" : ", ").append(what).append(' ').append(count(what)));
    return text.toString();
  }

  /// Lets the nth call of a function from now on fail with CUDA_ERROR_UNKNOWN, once.
  ///
  /// @param function empty for any
  public static void fail(String function, long nth) {
    fail(function, nth, CUresult.CUDA_ERROR_UNKNOWN);
  }

  /// Lets the nth call of a function from now on fail, once; after CUDA_ERROR_LAUNCH_FAILED, so do all later calls.
  ///
  /// @param function empty for any
  /// @param status a CUresult
  public static void fail(String function, long nth, int status) {
    try (Arena arena = Arena.ofConfined()) {
      MethodHandle fail = function(arena, "stand_in_fail",
          FunctionDescriptor.ofVoid(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT));
      fail.invokeExact(arena.allocateFrom(function), nth, status);
    } catch (Throwable e) {
      throw new AssertionError(function, e);
    }
  }

  /// Plays another chip or driver until [#succeed]: see `stand_in_play` in libcuda.cpp.
  public static void play(String what, long value) {
    try (Arena arena = Arena.ofConfined()) {
      MethodHandle play = function(arena, "stand_in_play",
          FunctionDescriptor.ofVoid(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG));
      play.invokeExact(arena.allocateFrom(what), value);
    } catch (Throwable e) {
      throw new AssertionError(what, e);
    }
  }

  /// Lets all later calls succeed, forgets which failed, and plays the usual chip and driver.
  public static void succeed() {
    fail("", 0);
  }

  /// The last function that failed on demand, empty if none did.
  @SuppressWarnings("restricted")
  public static String failed() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment name = (MemorySegment) function(arena, "stand_in_failed",
          FunctionDescriptor.of(ValueLayout.ADDRESS)).invokeExact();
      return name.reinterpret(Integer.MAX_VALUE).getString(0);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }
}
