package dev.espalier.engine.backend;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.espalier.bindings.OneDnn;
import java.util.Optional;
import org.junit.jupiter.api.BeforeAll;

/// With backward products that look for zeros whether there are any or not.
final class CpuSparseBackendTest extends BackendContract {
  @BeforeAll
  static void requireVectorApi() {
    assumeTrue(CpuBackend.skipsDeadUnits(), "no Vector API, or vectors of less than 8 float32");
    OneDnn.load();
  }

  @Override
  Backend open() {
    return new CpuBackend(2, Precision.FP32, new CpuProducts(),
        Optional.of(new CpuSparseProducts(0, Double.POSITIVE_INFINITY)));
  }

  @Override
  double unitRoundoff() {
    return 0x1p-24;
  }
}
