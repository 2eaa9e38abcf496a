package dev.espalier.spark;

import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.repair.JointFit;
import dev.espalier.engine.scoring.ScoringPlan;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaFutureAction;
import org.apache.spark.broadcast.Broadcast;
import org.junit.jupiter.api.Test;

/// In local mode, tasks are threads of this process.
final class JointTaskTest {
  private static final CountDownLatch STARTED = new CountDownLatch(1);
  private static final CountDownLatch ENDED = new CountDownLatch(1);
  private static final AtomicReference<Exception> FAILURE = new AtomicReference<>();

  /// Spark marks the task and does not interrupt its thread, unless it is told to.
  @Test
  void aKilledTaskEndsBetweenBatches() throws Exception {
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = Fixture.network(arena);
      PartitionedSamples samples = PartitionedSamples.of(network,
          SparkSamples.of(Fixture.arrays(1), SampleColumns.of("x")));
      Repair.Joint method = (Repair.Joint) Repairs.parse("joint:mse").steps().getFirst();
      JointPart part = JointPart.of(method, List.of(new ScoringPlan.Layer(0, true)), network.outputs(), 7, 0,
          Device.CPU);
      Broadcast<NetworkParcel> dense = samples.broadcast(network);
      JavaFutureAction<List<Double>> job = samples
          .<Double>joint(samples.taught(part, dense), part, (_, backend, taught, listener, _) -> {
            STARTED.countDown();
            while (!TaskContext.get().isInterrupted()) {
              Thread.onSpinWait();
            }
            try {
              return Collections.singleton(part.part().loss(backend,
                  new JointFit.Now(dense.value().network(), Optional.empty()), taught, taught.outputs(), listener))
                  .iterator();
            } catch (CancellationException e) {
              FAILURE.set(e);
              throw e;
            } finally {
              ENDED.countDown();
            }
          }).collectAsync();
      assertTrue(STARTED.await(1, TimeUnit.MINUTES), "the task starts");
      job.cancel(true);
      assertTrue(ENDED.await(1, TimeUnit.MINUTES), "the task ends");
      assertInstanceOf(CancellationException.class, FAILURE.get());
      assertTrue(FAILURE.get().getMessage().endsWith(" of 300"), FAILURE.get().getMessage());
      dense.destroy();
    }
  }
}
