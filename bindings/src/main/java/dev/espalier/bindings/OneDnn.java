package dev.espalier.bindings;

import static dev.espalier.bindings.onednn.onednn_h.dnnl_cpu;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_cpu_isa_avx2;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_cpu_isa_avx512_core;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_cpu_isa_avx512_core_bf16;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_engine_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_get_effective_cpu_isa;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_sgemm;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_stream_create;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_stream_default_flags;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_success;
import static dev.espalier.bindings.onednn.onednn_h.dnnl_version;
import static dev.espalier.bindings.onednn.onednn_h.omp_get_max_threads;
import static dev.espalier.bindings.onednn.onednn_h.omp_set_num_threads;

import dev.espalier.bindings.onednn.dnnl_version_t;
import dev.espalier.bindings.onednn.onednn_h;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// oneDNN, the matrix library for CPUs. The first call of [#load] loads it, for the life of the process; everything
/// else here needs it loaded.
///
/// A call runs on the thread that makes it and on OpenMP threads that belong to that one, as many as [#setThreads]
/// said. All methods may be called by many threads at a time.
public final class OneDnn {
  private static final int TESTED_MAJOR_VERSION = 3;

  private OneDnn() {}

  /// What came of loading; the failure is kept, since a class whose initialiser throws cannot say why a second time.
  private record Loading(String location, NativeLibraryException failure) {
    static final Loading ONCE = loading();

    private static Loading loading() {
      try {
        String location = OneDnnLibrary.load(System.getenv(OneDnnLibrary.OVERRIDE), LibraryCache.ofUser(),
            System.getProperty("os.name"), System.getProperty("os.arch")).toString();
        MemorySegment version = dnnl_version();
        if (dnnl_version_t.major(version) != TESTED_MAJOR_VERSION) {
          throw new NativeLibraryException("oneDNN: %s is version %s, this release needs version %d".formatted(location,
              versionText(version), TESTED_MAJOR_VERSION));
        }
        return new Loading(location, null);
      } catch (NativeLibraryException e) {
        return new Loading(null, e);
      }
    }
  }

  /// The CPU, and a stream for each thread, since a stream must not be shared; pool threads live as long as the
  /// process.
  private static final class Streams {
    private static final MemorySegment ENGINE = created("dnnl_engine_create",
        out -> dnnl_engine_create(out, dnnl_cpu(), 0));
    private static final ThreadLocal<MemorySegment> STREAM = ThreadLocal.withInitial(
        () -> created("dnnl_stream_create", out -> dnnl_stream_create(out, ENGINE, dnnl_stream_default_flags())));
  }

  /// A call that writes the handle of what it creates, and returns a status.
  interface Creation {
    int into(MemorySegment handle);
  }

  /// Loads the library unless it is loaded.
  ///
  /// @return the file it was loaded from
  /// @throws NativeLibraryException if it is not there or does not load, at every call with the same message
  public static String load() {
    if (Loading.ONCE.failure() != null) {
      throw new NativeLibraryException(Loading.ONCE.failure().getMessage(), Loading.ONCE.failure());
    }
    return Loading.ONCE.location();
  }

  /// For example `3.13.0`.
  public static String version() {
    return versionText(dnnl_version());
  }

  private static String versionText(MemorySegment version) {
    return "%s.%s.%s".formatted(dnnl_version_t.major(version), dnnl_version_t.minor(version),
        dnnl_version_t.patch(version));
  }

  /// The widest instructions that it uses on this CPU, for people.
  public static String instructionSet() {
    if (dnnl_get_effective_cpu_isa() == 0) {
      return System.getProperty("os.arch");
    }
    String vectors = hasInstructions(dnnl_cpu_isa_avx512_core())
        ? "AVX-512"
        : hasInstructions(dnnl_cpu_isa_avx2()) ? "AVX2" : "SSE";
    return multipliesBfloat16() ? vectors + " with bfloat16" : vectors;
  }

  /// Whether this CPU multiplies bfloat16 numbers by instructions of its own (AVX512-BF16 or AMX).
  public static boolean multipliesBfloat16() {
    return hasInstructions(dnnl_cpu_isa_avx512_core_bf16());
  }

  private static boolean hasInstructions(int instructions) {
    return (dnnl_get_effective_cpu_isa() & instructions) == instructions;
  }

  /// Sets how many threads the later calls of the calling thread use.
  ///
  /// @return how many they used before
  public static int setThreads(int threads) {
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
  }

  /// C = α op(A)·op(B) + β C in float32, where op transposes or not; C is not read when β is 0. All are row-major.
  ///
  /// @param m rows of op(A) and C
  /// @param n columns of op(B) and C
  /// @param k columns of op(A), rows of op(B)
  /// @param leadingA elements from one row of A, as it lies in memory, to the next
  /// @throws NativeCallException if oneDNN fails
  public static void sgemm(boolean transposeA, boolean transposeB, long m, long n, long k, float alpha, MemorySegment a,
      long leadingA, MemorySegment b, long leadingB, float beta, MemorySegment c, long leadingC) {
    check(dnnl_sgemm(transpose(transposeA), transpose(transposeB), m, n, k, alpha, a, leadingA, b, leadingB, beta, c,
        leadingC), "dnnl_sgemm");
  }

  private static byte transpose(boolean transposed) {
    return (byte) (transposed ? 'T' : 'N');
  }

  static MemorySegment engine() {
    return Streams.ENGINE;
  }

  static MemorySegment stream() {
    return Streams.STREAM.get();
  }

  static MemorySegment created(String function, Creation creation) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(onednn_h.C_POINTER);
      check(creation.into(out), function);
      return out.get(onednn_h.C_POINTER, 0);
    }
  }

  static void check(int status, String function) {
    if (status != dnnl_success()) {
      throw new NativeCallException(function, status);
    }
  }
}
