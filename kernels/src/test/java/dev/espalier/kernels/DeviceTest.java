package dev.espalier.kernels;

import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ExtendWith;

/// The kernels' tests on a device, against the same references and between the same guard zones.
@Tag("gpu")
@ExtendWith(OnDevice.class)
class DeviceTest {
  @Nested
  class Apply extends ApplyKernelTest {}

  @Nested
  class DenseForward extends DenseForwardKernelTest {}

  @Nested
  class DualMoments extends DualMomentsKernelTest {}

  @Nested
  class EliminationScores extends EliminationScoresKernelTest {}

  @Nested
  class MomentsByProducts extends MomentsByProductsTest {}

  @Nested
  class Product extends ProductKernelTest {}

  @Nested
  class Select extends SelectKernelTest {}

  @Nested
  class SparseProduct extends SparseProductKernelTest {}

  @Nested
  class Small extends SmallKernelsTest {}
}
