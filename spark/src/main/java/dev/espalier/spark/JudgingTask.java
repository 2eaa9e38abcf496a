package dev.espalier.spark;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.training.EvaluationPass;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.Function2;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.catalyst.InternalRow;

/// Judges a network by the samples of a partition; one without samples emits nothing.
final class JudgingTask implements Function2<Integer, Iterator<InternalRow>, Iterator<double[]>> {
  private static final long serialVersionUID = 1;

  private final PartitionReader reader;
  private final ArrayList<Broadcast<NetworkParcel>> networks;
  private final String loss;
  private final int batchSize;
  private final String deviceName;

  /// @param networks the dense one first, and last the one that is judged
  /// @param loss empty: only outputs are compared
  JudgingTask(PartitionReader reader, List<Broadcast<NetworkParcel>> networks, Optional<Loss> loss, int batchSize,
      Device device) {
    this.reader = reader;
    this.networks = new ArrayList<>(networks);
    this.loss = loss.map(Loss::toString).orElse("");
    this.batchSize = batchSize;
    deviceName = device.toString();
  }

  @Override
  public Iterator<double[]> call(Integer partition, Iterator<InternalRow> rows) throws IOException {
    if (reader.count(partition) == 0) {
      return Collections.emptyIterator();
    }
    TaskContext task = TaskContext.get();
    ProgressListener listener = (_, _, _) -> !task.isInterrupted();
    try (ExecutorBackends.Lease lease = ExecutorBackends.lease(Device.parse(deviceName), task);
        Resources copies = new Resources()) {
      Backend backend = lease.backend();
      List<DeviceNetwork> there = new ArrayList<>();
      for (Broadcast<NetworkParcel> network : networks) {
        there.add(copies.own(DeviceNetwork.copyOf(backend, network.value().network())));
      }
      double[] sums = numbers(EvaluationPass.sums(backend, there, reader.read(partition, rows),
          loss.isEmpty() ? Optional.empty() : Optional.of(Loss.parse(loss)), batchSize, listener).getLast());
      lease.done();
      return Collections.singleton(sums).iterator();
    }
  }

  /// Every serialiser knows arrays.
  private static double[] numbers(EvaluationPass.Sums sums) {
    return new double[]{sums.samples(), sums.loss().orElse(Double.NaN), sums.hits().orElse(Double.NaN),
        sums.outputChange(), sums.outputSquare()};
  }

  /// The sums of all partitions, added in their order.
  static EvaluationPass.Sums total(List<double[]> emitted) {
    return emitted.stream()
        .map(each -> new EvaluationPass.Sums((long) each[0], optional(each[1]), optional(each[2]), each[3], each[4]))
        .reduce(EvaluationPass.Sums::plus).orElseThrow();
  }

  private static OptionalDouble optional(double value) {
    return Double.isNaN(value) ? OptionalDouble.empty() : OptionalDouble.of(value);
  }
}
