package dev.espalier.kernels;

import java.util.Optional;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;

/// Runs a class's tests on the first CUDA device.
final class OnDevice extends NeedsGpu implements BeforeAllCallback, AfterAllCallback {
  private static Driver current;

  /// What tests run on that should not run on the CPU.
  static Optional<Driver> driver() {
    return Optional.ofNullable(current);
  }

  /// Runs tests on `driver` from here on; on the CPU if it is null.
  static void use(Driver driver) {
    current = driver;
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
