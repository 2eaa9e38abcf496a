package dev.espalier.bench;

import dev.espalier.engine.EspalierException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.ResidentSamples;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.MemoryPlan;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.kernels.JCudaLoader;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;

/// Times whole scoring passes on a GPU, with samples that come from the host and with samples that stay on the GPU, and
/// prints each as a share of the rate of a large product on the same backend in the same run.
public final class GpuScoring {
  private static final List<String> NETWORKS = List.of("784-300-100-10:10000", "1024-2048-2048-10:32768",
      "4096-4096-4096-16:32768", "8192-8192-8192-16:32768");
  private static final List<String> TINY = List.of("10-4:30");
  private static final int LIMIT_WIDTH = 8192;
  private static final int TINY_LIMIT_WIDTH = 64;
  private static final int RUNS = 7;
  /// Until Java's compiler has done its work, a pass takes several times as long.
  private static final double WARM_UP_SECONDS = 1;

  private final Backend backend;
  private final PrintStream out;

  GpuScoring(Backend backend, PrintStream out) {
    this.backend = backend;
    this.out = out;
  }

  /// @param args networks with their numbers of samples, such as `784-300-100-10:10000`; none: the usual ones; with
  ///     `--tiny` a small product sets the limit, and the usual network is one too, to see that all of it runs
  public static void main(String[] args) throws IOException {
    List<String> networks = new ArrayList<>(List.of(args));
    boolean tiny = networks.remove("--tiny");
    Optional<String> problem = JCudaLoader.problem();
    if (problem.isPresent()) {
      System.err.println("GpuScoring: no GPU to measure: " + problem.get());
      System.exit(1);
    }
    try (GpuWatch _ = GpuWatch.begin(); Backend backend = Device.CUDA.open()) {
      new GpuScoring(backend, System.out).run(networks.isEmpty() ? tiny ? TINY : NETWORKS : networks,
          tiny ? TINY_LIMIT_WIDTH : LIMIT_WIDTH, RUNS, tiny ? 0 : WARM_UP_SECONDS);
    } catch (EspalierException e) {
      System.err.println("GpuScoring: no GPU to measure: " + e.getMessage());
      System.exit(1);
    }
  }

  /// @param runs that are timed
  /// @param warmUpSeconds that are not, before each row
  void run(List<String> networks, int limitWidth, int runs, double warmUpSeconds) throws IOException {
    double limit = matrixRate(limitWidth, runs, warmUpSeconds);
    out.println(backend.description());
    out.printf(Locale.ROOT, "matrix rate: %.4g TFLOP/s, %d³%n", limit * 1e-12, limitWidth);
    out.printf("%n| network, samples | they are | sensitivity | batch | time | rate | of the limit | spread |%n"
        + "|---|---|---|---|---|---|---|---|%n");
    for (String network : networks) {
      score(network, limit, runs, warmUpSeconds);
    }
  }

  /// The median rate of a square product, in operations per second.
  private double matrixRate(int width, int runs, double warmUpSeconds) throws IOException {
    try (Matrix a = backend.allocate(width, width);
        Matrix b = backend.allocate(width, width);
        Matrix c = backend.allocate(width, width)) {
      backend.moments().uniform(a, 1, 0);
      backend.moments().uniform(b, 1, 1);
      double[] seconds = seconds(runs, warmUpSeconds, () -> backend.network().product(1, a, false, b, true, 0, c));
      return 2.0 * width * width * width / seconds[runs / 2];
    }
  }

  private interface Work {
    void run() throws IOException;
  }

  /// The times of `runs`, the shortest first.
  private double[] seconds(int runs, double warmUpSeconds, Work work) throws IOException {
    long begin = System.nanoTime();
    do {
      work.run();
      Inputs.await(backend);
    } while (System.nanoTime() - begin < warmUpSeconds * 1e9);
    double[] seconds = new double[runs];
    for (int run = 0; run < runs; run++) {
      long start = System.nanoTime();
      work.run();
      Inputs.await(backend);
      seconds[run] = (System.nanoTime() - start) * 1e-9;
    }
    Arrays.sort(seconds);
    return seconds;
  }

  private void score(String text, double limit, int runs, double warmUpSeconds) throws IOException {
    int colon = text.indexOf(':');
    int samples = Integer.parseInt(text.substring(colon + 1));
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = Inputs.network(arena, text.substring(0, colon));
      SampleSource fromHost = new MatrixSamples("samples", Inputs.normal(arena, 9, samples, network.inputs()));
      try (DeviceNetwork there = DeviceNetwork.copyOf(backend, network);
          ResidentSamples onGpu = new ResidentSamples(fromHost, backend)) {
        for (Sensitivity sensitivity : List.of(new Sensitivity.Jacobian(), new Sensitivity.Probes(1))) {
          int passes = sensitivity.passes(network.outputs());
          ScoringPlan plan = Inputs.plan(network, sensitivity, batchSize(network, sensitivity, passes));
          double flops = Inputs.scoringFlops(network, passes) * samples;
          for (SampleSource source : List.of(fromHost, onGpu)) {
            Optional<Dataset> data = Optional.of(Dataset.of(source));
            double[] seconds = seconds(runs, warmUpSeconds,
                () -> Scorer.score(backend, there, plan, data, ProgressListener.NONE).close());
            out.printf(Locale.ROOT, "| %s | %s | %s | %d | %.4g ms | %.4g TFLOP/s | %.1f %% | %.1f–%.1f %% |%n",
                text.replace(":", ", "), source instanceof ResidentSamples ? "on the GPU" : "from the host",
                sensitivity, Math.min(plan.batchSize(), samples), seconds[runs / 2] * 1e3,
                flops / seconds[runs / 2] * 1e-12, 100 * flops / seconds[runs / 2] / limit,
                100 * flops / seconds[runs - 1] / limit, 100 * flops / seconds[0] / limit);
          }
        }
      }
    } catch (OutOfBackendMemoryException e) {
      out.printf("| %s | not measured: %s | | | | | | |%n", text.replace(":", ", "), e.getMessage());
    }
  }

  private int batchSize(DenseNetwork network, Sensitivity sensitivity, int passes) {
    ScoringPlan any = Inputs.plan(network, sensitivity, 1);
    long bytes = network.layers().stream()
        .mapToLong(layer -> ScoringPlan.bytes(layer, any.criterion(), any.compensation(), any.sensitivity())).sum();
    return MemoryPlan.of(backend, network.graph(), new MemoryPlan.Demand(bytes, passes), OptionalInt.empty())
        .batchSize();
  }
}
