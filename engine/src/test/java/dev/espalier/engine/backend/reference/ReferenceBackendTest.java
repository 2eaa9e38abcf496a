package dev.espalier.engine.backend.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.backend.BackendContract;
import java.util.Set;
import org.junit.jupiter.api.Test;

final class ReferenceBackendTest extends BackendContract {
  ReferenceBackendTest() {
    super(ReferenceBackend::new, 0x1p-53);
  }

  @Test
  void refusesMatricesThatNoArrayHolds() {
    OutOfBackendMemoryException refusal = assertThrows(OutOfBackendMemoryException.class,
        () -> new ReferenceBackend().allocate(1 << 16, 1 << 16));
    assertEquals("a 65536 × 65536 matrix is too large for the reference backend", refusal.getMessage());
    assertEquals(Set.of(Remedy.OTHER_DEVICE), refusal.remedies());
  }
}
