package dev.espalier.engine.backend;

import dev.espalier.engine.network.DenseNetwork;
import java.util.Optional;

/// A backend on a GPU, which can also compute with matrices in device memory of the caller.
public interface GpuBackend extends Backend {
  /// Samples of a batch that keep a large GPU busy.
  int BATCH_SIZE = 8192;

  @Override
  default int batchSize() {
    return BATCH_SIZE;
  }

  /// A matrix in device memory of the caller, in the primary context of the backend's device: float32, row-major,
  /// without gaps. Work that the backend has queued reads and writes it in place: [#synchronize] before others use it,
  /// and finish what others do with it before the backend does.
  ///
  /// @param address of the first element, a multiple of 4
  Matrix wrap(long address, int rows, int columns);

  /// A network whose 2:4 weights are multiplied without their zeros, closed by the caller.
  ///
  /// @param samples of each batch
  /// @return empty if no layer's weights are 2:4, or the network is no chain of layers
  /// @throws dev.espalier.engine.DeviceUnavailableException if the GPU has no such products
  /// @throws dev.espalier.engine.OutOfBackendMemoryException if it does not fit
  Optional<TwoOfFourChain> twoOfFourChain(DenseNetwork network, int samples);

  /// Waits for all queued work.
  void synchronize();
}
