package dev.espalier.kernels;

import dev.espalier.kernels.Driver.HostMemory;
import java.util.Optional;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;

/// Runs a class's tests on the first CUDA device.
final class OnDevice extends NeedsGpu implements BeforeAllCallback, AfterAllCallback {
  private static final long LEAST_STAGING = 1 << 20;

  private static Device current;

  /// What tests run on that should not run on the CPU.
  static Optional<Device> device() {
    return Optional.ofNullable(current);
  }

  /// Runs tests on `driver` from here on; on the CPU if it is null.
  static void use(Driver driver) {
    if (current != null) {
      current.freeStaging();
    }
    current = driver == null ? null : new Device(driver);
  }

  /// A driver, and page-locked memory for all that tests copy: locking some takes longer than most tests.
  static final class Device {
    private final Driver driver;
    private HostMemory staging;

    private Device(Driver driver) {
      this.driver = driver;
    }

    Driver driver() {
      return driver;
    }

    /// Host memory of at least `bytes`, the same each time until more is needed; no copy may be under way.
    HostMemory staging(long bytes) {
      if (staging == null || staging.segment().byteSize() < bytes) {
        freeStaging();
        staging = driver.allocateHost(Math.max(LEAST_STAGING, 2 * bytes));
      }
      return staging;
    }

    private void freeStaging() {
      if (staging != null) {
        driver.free(staging);
        staging = null;
      }
    }
  }

  @Override
  public void beforeAll(ExtensionContext context) {
    if (problem().isEmpty()) {
      use(context.getRoot().getStore(Namespace.create(OnDevice.class)).computeIfAbsent(CudaGpu.class,
          _ -> new CudaGpu(0), CudaGpu.class)); // closed with the store
    }
  }

  @Override
  public void afterAll(ExtensionContext context) {
    use(null);
  }
}
