package dev.espalier.engine.backend;

final class ReferenceBackendTest extends BackendContract {
  @Override
  Backend open() {
    return new ReferenceBackend();
  }

  @Override
  double unitRoundoff() {
    return 0x1p-53;
  }
}
