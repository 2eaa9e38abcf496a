package dev.espalier.engine.backend;

final class CpuBackendTest extends BackendContract {
  @Override
  Backend open() {
    return new CpuBackend();
  }

  @Override
  double unitRoundoff() {
    return 0x1p-24;
  }
}
