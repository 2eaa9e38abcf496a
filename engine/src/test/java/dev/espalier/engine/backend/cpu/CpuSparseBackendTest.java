package dev.espalier.engine.backend.cpu;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.bindings.OneDnn;
import dev.espalier.engine.backend.BackendContract;
import dev.espalier.engine.backend.Precision;
import java.util.Optional;
import org.junit.jupiter.api.BeforeAll;

/// With backward products that look for zeros whether there are any or not.
final class CpuSparseBackendTest extends BackendContract {
  CpuSparseBackendTest() {
    super(() -> new CpuBackend(2, Precision.FP32, new CpuProducts(),
        Optional.of(new CpuSparseProducts(0, Double.POSITIVE_INFINITY))), 0x1p-24);
  }

  @BeforeAll
  static void requireVectorApi() {
    assumeTrue(CpuBackend.skipsDeadUnits(), "no Vector API, or vectors of less than 8 float32");
    OneDnn.load();
  }
}
