package dev.espalier.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// [CudaDriver], [MemoryPool], [TensorMap], [KernelLaunch] and [ClusterLaunch] against a library that remembers what it
/// was called with.
class CudaDriverTest {
  @TempDir
  private static Path folder;
  private static StubLibrary stub;

  @BeforeAll
  static void load() throws IOException, InterruptedException {
    stub = StubLibrary.load(StubLibrary.compile(folder, CudaDriver.LIBRARY, "cuda.c"));
  }

  @AfterEach
  void succeedAgain() throws Throwable {
    stub.set("stub_fail", "");
  }

  private static void assertProblem(String problem) {
    assertEquals(new CudaDriver.Probe(List.of(), problem), CudaDriver.probe());
  }

  @Test
  void findsTheFirstGpu() {
    assertEquals(new CudaDriver.Probe(List.of(
        new CudaDriver.Gpu("NVIDIA Stub 70, compute capability 9.3, 140 GiB, driver for CUDA 12.8", "0000:17:00.0")),
        ""), CudaDriver.probe());
    assertEquals(OptionalInt.of(12), CudaDriver.cudaVersion());
  }

  @ParameterizedTest
  @ValueSource(strings = {"cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute",
      "cuDriverGetVersion", "cuDeviceTotalMem_v2", "cuDeviceGetPCIBusId"})
  void saysWhichCallFailed(String function) throws Throwable {
    stub.set("stub_fail", function);
    assertProblem(function + " failed with CUDA error 999");
  }

  @Test
  void saysThatThereIsNoGpu() throws Throwable {
    stub.set("stub_fail", "no GPU");
    assertProblem("NVIDIA's driver sees no GPU");
  }

  @Test
  void thePoolKeepsMemoryWhileItIsOpen() throws Throwable {
    MemoryPool one = MemoryPool.open(0);
    assertEquals(-1, stub.number("stub_threshold"));
    assertEquals((9L << 33) - (1 << 20), one.unused());
    MemoryPool other = MemoryPool.open(0);
    one.close();
    one.close();
    assertEquals("trim to 0, keep -1 KiB", stub.text("stub_call"));
    other.close();
    assertEquals("trim to 0, keep 4 KiB", stub.text("stub_call"));
  }

  @Test
  void closesAPoolThatTheDriverRefusesToRestore() throws Throwable {
    MemoryPool pool = MemoryPool.open(0);
    stub.set("stub_fail", "cuMemPoolSetAttribute");
    assertEquals("cuMemPoolSetAttribute returned 999",
        assertThrows(NativeCallException.class, pool::close).getMessage());
    assertEquals("trim to 0, keep -1 KiB", stub.text("stub_call"));
    pool.close();
    stub.set("stub_fail", "");
    stub.set("stub_keep", 4);
  }

  @Test
  void saysThatThereIsNoPool() throws Throwable {
    for (String function : List.of("cuDeviceGetDefaultMemPool", "cuMemPoolGetAttribute", "cuMemPoolSetAttribute")) {
      stub.set("stub_fail", function);
      NativeCallException e = assertThrows(NativeCallException.class, () -> MemoryPool.open(0));
      assertEquals(function + " returned 999", e.getMessage());
      assertEquals(function, e.function());
      assertEquals(999, e.status());
    }
    assertEquals("cuDeviceGetDefaultMemPool returned 1",
        assertThrows(NativeCallException.class, () -> MemoryPool.open(1)).getMessage());
    assertEquals(4, stub.number("stub_threshold"));
  }

  @Test
  void encodesTensorMaps() throws Throwable {
    TensorMap map = new TensorMap(0x7f00, 5_000_000_000L, 100, 1_000_000_000, 64, 32);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment encoded = map.encode(arena);
      assertEquals(128, encoded.byteSize());
      assertEquals(0x5a, encoded.get(ValueLayout.JAVA_BYTE, 127));
      // Columns come first, strides are in bytes. FLOAT32, INTERLEAVE_NONE, SWIZZLE_128B, L2_256B, OOB_FILL_NONE.
      assertEquals("aligned 1 type 7 rank 2 address 7f00 size 100 5000000000 stride 4000000000 box 32 64 "
          + "steps 1 1 interleave 0 swizzle 3 promotion 3 fill 0", stub.text("stub_call"));
      stub.set("stub_fail", "cuTensorMapEncodeTiled");
      assertEquals("cuTensorMapEncodeTiled returned 999 for " + map,
          assertThrows(NativeCallException.class, () -> map.encode(arena)).getMessage());
    }
  }

  @Test
  void launchesKernels() throws Throwable {
    KernelLaunch launch = new KernelLaunch(0xf00, new ClusterLaunch.Extent(8, 6, 5),
        new ClusterLaunch.Extent(128, 2, 1), 99_000, 0xabc);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment arguments = arena.allocate(ValueLayout.ADDRESS, 2);
      arguments.setAtIndex(ValueLayout.ADDRESS, 0, arena.allocateFrom(ValueLayout.JAVA_LONG, 1L << 40));
      arguments.setAtIndex(ValueLayout.ADDRESS, 1, arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0.5f));
      launch.launch(arguments);
      assertEquals(
          "function f00 grid 8 6 5 block 128 2 1 shared 99000 stream abc arguments 1099511627776 0.5 " + "extra 0",
          stub.text("stub_call"));
      stub.set("stub_fail", "cuLaunchKernel");
      assertEquals("cuLaunchKernel returned 999 for " + launch,
          assertThrows(NativeCallException.class, () -> launch.launch(arguments)).getMessage());
    }
  }

  @Test
  void launchesClusters() throws Throwable {
    ClusterLaunch launch = new ClusterLaunch(0xf00, new ClusterLaunch.Extent(8, 6, 5),
        new ClusterLaunch.Extent(128, 2, 1), new ClusterLaunch.Extent(4, 3, 1), 99_000, 0xabc);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment first = arena.allocateFrom(ValueLayout.JAVA_LONG, 1L << 40);
      MemorySegment second = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0.5f);
      launch.launch(first, second);
      // CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION is 4.
      assertEquals("function f00 grid 8 6 5 block 128 2 1 shared 99000 stream abc attributes 1: 4 = 4 3 1 "
          + "arguments 1099511627776 0.5 extra 0", stub.text("stub_call"));
      stub.set("stub_fail", "cuLaunchKernelEx");
      assertEquals("cuLaunchKernelEx returned 999 for " + launch,
          assertThrows(NativeCallException.class, () -> launch.launch(first, second)).getMessage());
    }
  }
}
