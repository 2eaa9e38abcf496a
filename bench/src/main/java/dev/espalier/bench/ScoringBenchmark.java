package dev.espalier.bench;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import dev.espalier.engine.scoring.ScoringPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Optional;
import java.util.OptionalLong;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/// A whole scoring pass: forward, backward, moments, scores.
@State(Scope.Thread)
public class ScoringBenchmark {
  private static final int BATCH_SIZE = 512;

  /// Layer widths, and the number of calibration samples.
  @Param({"784-300-100-10:10000", "1024-2048-2048-10:4096", "4096-4096-4096-16:2048"})
  public String network;

  /// How sensitivities are found.
  @Param({"jacobian", "probes:1"})
  public String sensitivity;

  /// Of the moments and the backward products.
  @Param("fp32")
  public String precision;

  private Arena arena;
  private Backend backend;
  private DenseNetwork source;
  private DeviceNetwork onDevice;
  private Dataset samples;
  private ScoringPlan plan;
  private double flops;

  /// Makes network and samples, and compares the scores of a few samples with the reference backend's.
  @Setup
  @SuppressWarnings("MustBeClosedChecker") // closed in close()
  public void open() throws IOException {
    arena = Arena.ofShared();
    int colon = network.indexOf(':');
    int count = Integer.parseInt(network.substring(colon + 1));
    source = Inputs.network(arena, network.substring(0, colon));
    samples = samples(count);
    plan = Inputs.plan(source, Sensitivity.parse(sensitivity), BATCH_SIZE);
    backend = Device.CPU.open(new BackendOptions(BackendOptions.availableThreads(),
        Optional.of(Precision.parse(precision)), OptionalLong.empty()), _ -> {});
    onDevice = DeviceNetwork.copyOf(backend, source);
    flops = count * Inputs.scoringFlops(source, Sensitivity.parse(sensitivity).passes(source.outputs()));
    check();
  }

  private Dataset samples(int count) {
    return Dataset.of(new MatrixSamples("samples", Inputs.normal(arena, 9, count, source.inputs())));
  }

  /// On the first layer, whose scores depend on everything above it.
  private void check() throws IOException {
    Dataset few = samples(4);
    try (Backend reference = Device.REFERENCE.open(); DeviceNetwork there = DeviceNetwork.copyOf(reference, source)) {
      float[] expected = firstImportance(reference, there, few);
      // A single weight over few samples: some roundings of bfloat16, which cancel out over many.
      double tolerance = Precision.parse(precision) == Precision.BF16 ? 5 * 0x1p-8 : 1e-3;
      Inputs.requireClose("importance", expected, firstImportance(backend, onDevice, few), tolerance);
    }
  }

  private float[] firstImportance(Backend on, DeviceNetwork there, Dataset few) throws IOException {
    try (Scores scores = Scorer.score(on, there, plan, Optional.of(few), ProgressListener.NONE)) {
      return Inputs.download(on, scores.importance(0));
    }
  }

  /// One pass.
  @Benchmark
  public long score(Work work, Limit limit) throws IOException {
    work.flops(flops);
    try (Scores scores = Scorer.score(backend, onDevice, plan, Optional.of(samples), ProgressListener.NONE)) {
      return scores.size();
    }
  }

  /// Gives the memory back.
  @TearDown
  public void close() {
    onDevice.close();
    backend.close();
    arena.close();
  }
}
