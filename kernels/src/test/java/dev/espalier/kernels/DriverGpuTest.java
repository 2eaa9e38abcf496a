package dev.espalier.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.kernels.Driver.HostMemory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;

/// What [DeviceTest] runs on, itself run on the CPU: some kernels' tests through a driver.
@Isolated("what tests run on is static")
class DriverGpuTest extends SmallKernelsTest {
  private EmulatedDriver driver;

  @BeforeEach
  void open() {
    driver = new EmulatedDriver(90, 1 << 30, EmulatedDriver.Order.LATE);
    OnDevice.use(driver);
  }

  @AfterEach
  void close() {
    OnDevice.use(null);
    if (driver != null) {
      assertEquals(0, driver.allocations());
      driver.close();
    }
  }

  @Test
  void testsRunThroughTheDriver() {
    Checks.onEveryOrder(gpu -> new UpdatesKernel(gpu).add(1, gpu.matrix(1, 1, 2), gpu.matrix(1, 1, 3)));
    assertEquals(3, driver.launches());
  }

  @Test
  void testsShareTheirPageLockedMemory() {
    OnDevice.Device device = OnDevice.device().orElseThrow();
    HostMemory first = device.staging(1);
    Checks.onEveryOrder(gpu -> gpu.matrix(100, 100));
    assertSame(first, device.staging(1 << 19));
    assertEquals(1, driver.allocations());
    HostMemory larger = device.staging(first.segment().byteSize() + 1);
    assertTrue(larger.segment().byteSize() > first.segment().byteSize());
    assertEquals(1, driver.allocations());
  }

  @Test
  void noticesWhatIsWrittenBesideABuffer() {
    TestGpu gpu = TestGpu.open();
    DeviceMatrix matrix = gpu.matrix(1, 3, 1, 2, 3);
    gpu.write(new DeviceMatrix(matrix.address() - 4, 1, 1), 1);
    AssertionError e = assertThrows(AssertionError.class, gpu::close);
    assertEquals("byte 252 before buffer 0 was written", e.getMessage());
    TestGpu behind = TestGpu.open();
    matrix = behind.matrix(1, 3, 1, 2, 3);
    behind.write(new DeviceMatrix(matrix.address(), 1, 4), 1, 2, 3, 4);
    assertTrue(assertThrows(AssertionError.class, behind::close).getMessage().startsWith("byte 0 behind"));
  }
}
