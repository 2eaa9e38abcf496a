package dev.espalier.engine.backend.reference;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.BackendContract;

final class ReferenceBackendTest extends BackendContract {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }

  @Override
  protected double unitRoundoff() {
    return 0x1p-53;
  }
}
