package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.statistics.NetworkSums;
import java.io.IOException;
import java.io.Serializable;
import java.lang.foreign.Arena;

/// What tasks sum over the samples of their partitions.
interface PartitionWork extends Serializable {
  /// Where tasks compute.
  Device device();

  /// The sums over the samples of a partition.
  ///
  /// @param arena takes their memory
  NetworkSums sums(Backend backend, Dataset samples, ProgressListener listener, Arena arena) throws IOException;
}
