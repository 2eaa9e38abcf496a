package dev.espalier.bench;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.LayerScores;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.ScoringOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
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
  private ScoringOptions options;
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
    options = new ScoringOptions(Criterion.ELIMINATION_COMPENSATION, true, true, Sensitivity.parse(sensitivity),
        Optional.empty(), BATCH_SIZE, 1);
    backend = new CpuBackend(CpuBackend.availableThreads(), Precision.parse(precision));
    onDevice = new DeviceNetwork(backend, source);
    flops = count * Inputs.scoringFlops(source, Sensitivity.parse(sensitivity).passes(source.outputs()));
    check();
  }

  private Dataset samples(int count) {
    return Dataset.of(new MatrixSamples("samples", Inputs.normal(arena, 9, count, source.inputs())));
  }

  /// On the first layer, whose scores depend on everything above it.
  private void check() throws IOException {
    Dataset few = samples(4);
    try (ReferenceBackend reference = new ReferenceBackend();
        DeviceNetwork there = new DeviceNetwork(reference, source)) {
      float[] expected = firstImportance(reference, there, few);
      // A single weight over few samples: some roundings of bfloat16, which cancel out over many.
      double tolerance = Precision.parse(precision) == Precision.BF16 ? 5 * 0x1p-8 : 1e-3;
      Inputs.requireClose("importance", expected, firstImportance(backend, onDevice, few), tolerance);
    }
  }

  private float[] firstImportance(Backend on, DeviceNetwork there, Dataset few) throws IOException {
    List<LayerScores> scores = Scorer.score(on, there, l -> l == 0, Optional.of(few), options, ProgressListener.NONE);
    try (LayerScores first = scores.getFirst()) {
      return Inputs.download(on, first.importance());
    }
  }

  /// One pass.
  @Benchmark
  public long score(Work work, Limit limit) throws IOException {
    List<LayerScores> scores = Scorer.score(backend, onDevice, _ -> true, Optional.of(samples), options,
        ProgressListener.NONE);
    work.flops(flops);
    scores.forEach(LayerScores::close);
    return scores.size();
  }

  /// Gives the memory back.
  @TearDown
  public void close() {
    onDevice.close();
    backend.close();
    arena.close();
  }
}
