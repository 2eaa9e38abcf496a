package dev.espalier.bindings;

import static dev.espalier.bindings.cublas.cublas_h.CUBLAS_COMPUTE_32F;
import static dev.espalier.bindings.cublas.cublas_h.CUBLAS_COMPUTE_32F_FAST_16BF;
import static dev.espalier.bindings.cublas.cublas_h.CUBLAS_COMPUTE_32F_FAST_TF32;
import static dev.espalier.bindings.cublas.cublas_h.CUBLAS_GEMM_DEFAULT;
import static dev.espalier.bindings.cublas.cublas_h.CUBLAS_OP_N;
import static dev.espalier.bindings.cublas.cublas_h.CUBLAS_OP_T;
import static dev.espalier.bindings.cublas.cublas_h.CUBLAS_STATUS_SUCCESS;
import static dev.espalier.bindings.cublas.cublas_h.CUDA_R_16BF;
import static dev.espalier.bindings.cublas.cublas_h.CUDA_R_32F;
import static dev.espalier.bindings.cublas.cublas_h.MAJOR_VERSION;
import static dev.espalier.bindings.cublas.cublas_h.MINOR_VERSION;
import static dev.espalier.bindings.cublas.cublas_h.PATCH_LEVEL;
import static dev.espalier.bindings.cublas.cublas_h.cublasCreate_v2;
import static dev.espalier.bindings.cublas.cublas_h.cublasDestroy_v2;
import static dev.espalier.bindings.cublas.cublas_h.cublasGemmEx;
import static dev.espalier.bindings.cublas.cublas_h.cublasGetProperty;
import static dev.espalier.bindings.cublas.cublas_h.cublasGetStatusName;
import static dev.espalier.bindings.cublas.cublas_h.cublasGetStatusString;
import static dev.espalier.bindings.cublas.cublas_h.cublasSetStream_v2;
import static dev.espalier.bindings.cublas.cublas_h.cublasSetWorkspace_v2;
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// cuBLAS, NVIDIA's matrix library, version 11, 12 or 13: products of float32 matrices in device memory, in one CUDA
/// context. To be used by one thread at a time, with that context current.
///
/// Products are asynchronous: they run after the earlier work in the stream. With a workspace of their own they can be
/// captured in a CUDA graph.
public final class Cublas implements AutoCloseable {
  private static final long WORKSPACE_ALIGNMENT = 256;

  /// What came of loading; the failure is kept, since a class whose initialiser throws cannot say why a second time.
  private record Loading(String description, NativeLibraryException failure) {
    static final Loading ONCE = loading();

    private static Loading loading() {
      try {
        return new Loading(load(CublasLibrary.ofSystem()), null);
      } catch (NativeLibraryException e) {
        return new Loading(null, e);
      }
    }
  }

  private final String description;
  private final MemorySegment handle;
  private final Arena arena = Arena.ofShared(); // the threads that take turns
  private final MemorySegment alpha = arena.allocate(JAVA_FLOAT);
  private final MemorySegment beta = arena.allocate(JAVA_FLOAT);
  private MemorySegment workspace = MemorySegment.NULL;
  private long workspaceBytes;
  private boolean closed;

  /// @param description of the library, which is loaded
  Cublas(String description) {
    this.description = description;
    try {
      handle = create(description);
    } catch (RuntimeException | Error e) {
      arena.close();
      throw e;
    }
  }

  private static MemorySegment create(String description) {
    try (Arena call = Arena.ofConfined()) {
      MemorySegment out = call.allocate(ADDRESS);
      int status = cublasCreate_v2(out);
      if (status != CUBLAS_STATUS_SUCCESS()) {
        throw new NativeLibraryException("%s does not start: cublasCreate_v2 returned %d (%s): name another one with %s"
            .formatted(description, status, name(status), CublasLibrary.OVERRIDE));
      }
      return out.get(ADDRESS, 0);
    }
  }

  /// Loads the library unless it is loaded, for the life of the process. Needs no GPU.
  ///
  /// @return its version and file, for people
  /// @throws NativeLibraryException if it is not there or does not load, at every call with the same message
  public static String load() {
    if (Loading.ONCE.failure() != null) {
      throw new NativeLibraryException(Loading.ONCE.failure().getMessage(), Loading.ONCE.failure());
    }
    return Loading.ONCE.description();
  }

  /// The major version of the library, which is loaded.
  public static int majorVersion() {
    return property(MAJOR_VERSION());
  }

  static String load(CublasLibrary library) {
    String file = library.load().toString();
    try {
      return "cuBLAS %s.%s.%s, %s".formatted(property(MAJOR_VERSION()), property(MINOR_VERSION()),
          property(PATCH_LEVEL()), file);
    } catch (NativeCallException e) {
      throw new NativeLibraryException(
          "cuBLAS: %s: %s: name another one with %s".formatted(file, e.getMessage(), CublasLibrary.OVERRIDE), e);
    }
  }

  private static int property(int type) {
    try (Arena call = Arena.ofConfined()) {
      MemorySegment value = call.allocate(JAVA_INT);
      check(cublasGetProperty(type, value), "cublasGetProperty");
      return value.get(JAVA_INT, 0);
    }
  }

  /// Loads the library unless it is loaded, and prepares it for the CUDA context that is current.
  ///
  /// @throws NativeLibraryException if it is not there, does not load, or does not start on this GPU and driver
  public static Cublas open() {
    return new Cublas(load());
  }

  /// Its version and file, for people: `cuBLAS 13.0.2, /usr/local/cuda/lib64/libcublas.so.13`.
  public String description() {
    return description;
  }

  /// Sets the stream that products run in from here on; at first it is the default stream.
  ///
  /// @param stream a `CUstream` of this context
  /// @throws NativeCallException if cuBLAS fails
  public void setStream(long stream) {
    check(cublasSetStream_v2(handle, MemorySegment.ofAddress(stream)), "cublasSetStream_v2");
    if (workspaceBytes > 0) { // cuBLAS takes its own again when the stream changes
      check(cublasSetWorkspace_v2(handle, workspace, workspaceBytes), "cublasSetWorkspace_v2");
    }
  }

  /// Gives products memory to work in, which must stay until the last of them is done; at first cuBLAS has its own.
  ///
  /// @param address in device memory, a multiple of 256
  /// @param bytes   at least 1; NVIDIA's advice is 32 MiB on compute capability 9.0, 4 MiB on older ones
  /// @throws IllegalArgumentException if the address or size is not as above
  /// @throws NativeCallException      if cuBLAS refuses the workspace
  public void setWorkspace(long address, long bytes) {
    if (address == 0 || address % WORKSPACE_ALIGNMENT != 0 || bytes < 1) {
      throw new IllegalArgumentException("workspace of %d bytes at 0x%x: needs at least 1, at a multiple of %d"
          .formatted(bytes, address, WORKSPACE_ALIGNMENT));
    }
    MemorySegment memory = MemorySegment.ofAddress(address);
    check(cublasSetWorkspace_v2(handle, memory, bytes), "cublasSetWorkspace_v2");
    workspace = memory;
    workspaceBytes = bytes;
  }

  /// C = α op(A)·op(B) + β C in float32, where op transposes or not; C is not read when β is 0. All are row-major.
  ///
  /// A row-major matrix is its transpose in column-major order, and Cᵀ = op(B)ᵀ·op(A)ᵀ: cuBLAS, which is column-major,
  /// gets the factors in the other order, with the same transposes.
  ///
  /// @param m   rows of op(A) and C
  /// @param n   columns of op(B) and C
  /// @param k   columns of op(A), rows of op(B)
  /// @param a   address in device memory; likewise b and c
  /// @param lda elements from one row of A, as it lies in memory, to the next; likewise ldb and ldc
  /// @throws IllegalArgumentException if a dimension is below 1 or a leading dimension shorter than a row
  /// @throws NativeCallException      if cuBLAS refuses or fails
  public void multiply(MathMode math, int m, int n, int k, float alpha, long a, int lda, boolean transposeA, long b,
      int ldb, boolean transposeB, float beta, long c, int ldc) {
    multiply(math.toString(), CUDA_R_32F(), computeType(math), m, n, k, alpha, a, lda, transposeA, b, ldb, transposeB,
        beta, c, ldc);
  }

  /// As [#multiply(MathMode, int, int, int, float, long, int, boolean, long, int, boolean, float, long, int)], of A and B
  /// that are bfloat16 in memory; C is float32.
  public void multiplyBfloat16(int m, int n, int k, float alpha, long a, int lda, boolean transposeA, long b, int ldb,
      boolean transposeB, float beta, long c, int ldc) {
    multiply("bfloat16", CUDA_R_16BF(), CUBLAS_COMPUTE_32F(), m, n, k, alpha, a, lda, transposeA, b, ldb, transposeB,
        beta, c, ldc);
  }

  private void multiply(String name, int factors, int computeType, int m, int n, int k, float alpha, long a, int lda,
      boolean transposeA, long b, int ldb, boolean transposeB, float beta, long c, int ldc) {
    if (m < 1 || n < 1 || k < 1 || lda < (transposeA ? m : k) || ldb < (transposeB ? k : n) || ldc < n) {
      throw new IllegalArgumentException(
          describe(m, n, k, lda, transposeA, ldb, transposeB, ldc) + ": empty, or rows overlap");
    }
    this.alpha.set(JAVA_FLOAT, 0, alpha);
    this.beta.set(JAVA_FLOAT, 0, beta);
    int status = cublasGemmEx(handle, operation(transposeB), operation(transposeA), n, m, k, this.alpha,
        MemorySegment.ofAddress(b), factors, ldb, MemorySegment.ofAddress(a), factors, lda, this.beta,
        MemorySegment.ofAddress(c), CUDA_R_32F(), ldc, computeType, CUBLAS_GEMM_DEFAULT());
    if (status != CUBLAS_STATUS_SUCCESS()) {
      throw new NativeCallException("cublasGemmEx", status, name(status),
          "%s, %s".formatted(name, describe(m, n, k, lda, transposeA, ldb, transposeB, ldc)));
    }
  }

  private static int computeType(MathMode math) {
    return switch (math) {
      case FP32 -> CUBLAS_COMPUTE_32F();
      case TF32 -> CUBLAS_COMPUTE_32F_FAST_TF32();
      case BF16 -> CUBLAS_COMPUTE_32F_FAST_16BF();
    };
  }

  private static int operation(boolean transposed) {
    return transposed ? CUBLAS_OP_T() : CUBLAS_OP_N();
  }

  private static String describe(int m, int n, int k, int lda, boolean transposeA, int ldb, boolean transposeB,
      int ldc) {
    return "m=%d, n=%d, k=%d, A%s lda=%d, B%s ldb=%d, ldc=%d".formatted(m, n, k, transposeA ? "ᵀ" : "", lda,
        transposeB ? "ᵀ" : "", ldb, ldc);
  }

  private static void check(int status, String function) {
    if (status != CUBLAS_STATUS_SUCCESS()) {
      throw new NativeCallException(function, status, name(status), "");
    }
  }

  private static String name(int status) {
    return "%s, %s".formatted(cublasGetStatusName(status).getString(0), cublasGetStatusString(status).getString(0));
  }

  /// Releases cuBLAS's resources in the context; the products must be done. May be called twice.
  ///
  /// @throws NativeCallException if cuBLAS fails; this is closed all the same
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      try {
        check(cublasDestroy_v2(handle), "cublasDestroy_v2");
      } finally {
        arena.close();
      }
    }
  }
}
