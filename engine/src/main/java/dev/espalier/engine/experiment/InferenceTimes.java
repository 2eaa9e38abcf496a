package dev.espalier.engine.experiment;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SparseNetwork;
import dev.espalier.engine.backend.TwoOfFourChain;
import dev.espalier.engine.experiment.Stopwatch.Times;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Compaction;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/// How long networks take on this machine: with their zeros, without their removable neurons, and without their zeros.
public final class InferenceTimes {
  /// The sparsities of random networks.
  public static final List<Double> SPARSITIES = List.of(0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99);

  /// Outputs may differ by this part of the largest one: float32 sums of thousands of terms in another order.
  private static final double MOST_DIFFERENCE = 1e-3;
  /// The same where factors are rounded to TF32 or bfloat16, in each layer.
  private static final double MOST_ROUNDED_DIFFERENCE = 0.1;
  private static final long SEED = 0;
  private static final long SAMPLES_STREAM = 1 << 20;

  private final Backend backend;
  private final Optional<Gpu> gpu;

  /// One GPU.
  ///
  /// @param plain multiplies as it does by itself
  /// @param bfloat16 rounds factors to bfloat16
  private record Gpu(GpuBackend plain, GpuBackend bfloat16) {
    void await() {
      plain.synchronize();
      bfloat16.synchronize();
    }
  }

  /// How a network is computed.
  public enum Variant {
    /// All weights are multiplied.
    DENSE,
    /// All weights are multiplied, rounded to bfloat16 as the samples are.
    BF16,
    /// All weights of the network without removable neurons are multiplied.
    SHRUNK,
    /// The weights that are not zero are multiplied, in compressed rows.
    CSR,
    /// At most two of each four weights are multiplied, in bfloat16, in the layers whose weights admit it.
    TWO_OF_FOUR;

    @Override
    public String toString() {
      return this == TWO_OF_FOUR ? "2:4" : name().toLowerCase(Locale.ROOT);
    }
  }

  /// The times of a network's variants.
  ///
  /// @param overflown how many outputs of the dense network are not finite, and were not compared
  public record Timed(Map<Variant, Times> times, long overflown) {}

  /// The times of a network of random zeros, evenly spread.
  ///
  /// @param sparsity the share of zeros
  /// @param ratio    of the time without zeros to that with them
  public record RandomZeros(double sparsity, Times dense, Times csr, double ratio) {}

  /// @param backend runs all networks
  public InferenceTimes(Backend backend) {
    this.backend = backend;
    gpu = Optional.empty();
  }

  /// Times on a GPU, where samples and outputs stay in its memory.
  ///
  /// @param plain    runs dense and shrunk networks, and 2:4 ones
  /// @param bfloat16 the same GPU with products in bfloat16
  public InferenceTimes(GpuBackend plain, GpuBackend bfloat16) {
    backend = plain;
    gpu = Optional.of(new Gpu(plain, bfloat16));
  }

  /// Times the variants of networks in turns, after it has compared their outputs on random samples of 0 to 1, where those
  /// of the dense network are finite.
  ///
  /// @param batch samples of a call
  /// @return for each network the variants that it has: none is shrunk if it has no removable neurons, and none is CSR if
  ///         the backend has no products of compressed rows; on a GPU, BF16, and 2:4 where a layer is
  /// @throws dev.espalier.engine.DeviceUnavailableException if the GPU has no products of 2:4 weights
  /// @throws MismatchException if the outputs of two variants differ by more than rounding
  public List<Timed> of(List<DenseNetwork> networks, int batch) {
    return of(networks, batch, EnumSet.allOf(Variant.class));
  }

  private List<Timed> of(List<DenseNetwork> networks, int batch, Set<Variant> wanted) {
    try (Arena arena = Arena.ofShared(); Resources resources = new Resources()) {
      List<Map<Variant, Integer>> places = new ArrayList<>();
      List<Long> overflown = new ArrayList<>();
      List<Runnable> work = new ArrayList<>();
      for (DenseNetwork network : networks) {
        MatrixView samples = samples(arena, batch, network.inputs());
        Map<Variant, Runner> runners = gpu.isPresent()
            ? onGpu(gpu.get(), network, samples, wanted, arena, resources)
            : runners(network, samples, wanted, arena, resources);
        overflown.add(requireSameOutputs(runners));
        Map<Variant, Integer> own = new EnumMap<>(Variant.class);
        runners.forEach((variant, runner) -> {
          own.put(variant, work.size());
          work.add(runner::run);
        });
        places.add(own);
      }
      List<Times> times = gpu.isPresent() ? Stopwatch.inTurns(work, gpu.get()::await) : Stopwatch.inTurns(work);
      return IntStream.range(0, networks.size()).mapToObj(n -> {
        Map<Variant, Times> found = new EnumMap<>(Variant.class);
        places.get(n).forEach((variant, place) -> found.put(variant, times.get(place)));
        return new Timed(found, overflown.get(n));
      }).toList();
    }
  }

  /// Times networks of random weights in the shapes of another one, with and without their zeros, at [#SPARSITIES].
  ///
  /// @param shapes a network that the backend can compute without zeros
  public List<RandomZeros> ofRandomZeros(DenseNetwork shapes, int batch) {
    List<RandomZeros> found = new ArrayList<>();
    for (double sparsity : SPARSITIES) {
      try (Arena arena = Arena.ofShared()) {
        Map<Variant, Times> times = of(List.of(random(shapes, sparsity, arena)), batch,
            EnumSet.of(Variant.DENSE, Variant.CSR)).getFirst().times();
        found.add(new RandomZeros(sparsity, times.get(Variant.DENSE), times.get(Variant.CSR),
            times.get(Variant.CSR).relativeTo(times.get(Variant.DENSE)).median()));
      }
    }
    return found;
  }

  /// Times a network of random 2:4 weights in the shapes of another one, on a GPU.
  ///
  /// @param shapes a chain of layers
  /// @return all variants but shrunk
  public Map<Variant, Times> ofRandomTwoOfFour(DenseNetwork shapes, int batch) {
    try (Arena arena = Arena.ofShared()) {
      return of(List.of(randomTwoOfFour(shapes, arena)), batch,
          EnumSet.of(Variant.DENSE, Variant.BF16, Variant.TWO_OF_FOUR)).getFirst().times();
    }
  }

  /// From which sparsity on a network is faster without its zeros: between the last sparsity at which it is not and the
  /// next, the logarithms of the ratio and of what is left are taken to be on a line.
  ///
  /// @param times by ascending sparsity
  /// @return empty if it is not faster even at the last
  public static OptionalDouble breakEven(List<RandomZeros> times) {
    int faster = times.size();
    while (faster > 0 && times.get(faster - 1).ratio < 1) {
      faster--;
    }
    if (faster == times.size()) {
      return OptionalDouble.empty();
    } else if (faster == 0) {
      return OptionalDouble.of(times.getFirst().sparsity);
    }
    RandomZeros before = times.get(faster - 1);
    RandomZeros after = times.get(faster);
    double share = Math.log(before.ratio) / (Math.log(before.ratio) - Math.log(after.ratio));
    double left = Math.log(1 - before.sparsity)
        + share * (Math.log(1 - after.sparsity) - Math.log(1 - before.sparsity));
    return OptionalDouble.of(1 - Math.exp(left));
  }

  // ---- networks ----

  /// A variant of a network, which computes outputs of samples.
  private interface Runner {
    void run();

    MatrixView output();
  }

  private Map<Variant, Runner> runners(DenseNetwork network, MatrixView samples, Set<Variant> wanted, Arena arena,
      Resources resources) {
    Map<Variant, Runner> runners = new EnumMap<>(Variant.class);
    runners.put(Variant.DENSE, dense(network, samples, arena, resources));
    if (wanted.contains(Variant.SHRUNK)) {
      Compaction compaction = Compaction.of(network, 1, arena);
      if (!compaction.isUnchanged()) {
        runners.put(Variant.SHRUNK, dense(compaction.network(), samples, arena, resources));
      }
    }
    Optional<SparseNetwork> sparse = backend.sparseNetwork(network, samples.rows());
    if (sparse.isPresent()) {
      SparseNetwork csr = resources.own(sparse.get());
      MatrixView output = MatrixView.allocate(arena, samples.rows(), network.outputs());
      runners.put(Variant.CSR, runner(() -> csr.run(samples, output), output));
    }
    return runners;
  }

  private Runner dense(DenseNetwork network, MatrixView samples, Arena arena, Resources resources) {
    DeviceNetwork device = resources.own(DeviceNetwork.copyOf(backend, network));
    ForwardPass forward = resources.own(ForwardPass.allocate(backend, network.graph(), samples.rows()));
    MatrixView output = MatrixView.allocate(arena, samples.rows(), network.outputs());
    return runner(() -> {
      forward.load(samples);
      forward.run(device);
      backend.download(forward.output(), output);
    }, output);
  }

  private static Map<Variant, Runner> onGpu(Gpu gpu, DenseNetwork network, MatrixView samples, Set<Variant> wanted,
      Arena arena, Resources resources) {
    Map<Variant, Runner> runners = new EnumMap<>(Variant.class);
    // First, because it refuses GPUs that do not have it.
    Optional<TwoOfFourChain> sparse = gpu.plain.twoOfFourChain(network, samples.rows());
    runners.put(Variant.DENSE, resident(gpu.plain, network, samples, arena, resources));
    runners.put(Variant.BF16, resident(gpu.bfloat16, network, samples, arena, resources));
    if (wanted.contains(Variant.SHRUNK)) {
      Compaction compaction = Compaction.of(network, 1, arena);
      if (!compaction.isUnchanged()) {
        runners.put(Variant.SHRUNK, resident(gpu.plain, compaction.network(), samples, arena, resources));
      }
    }
    if (sparse.isPresent()) {
      TwoOfFourChain chain = resources.own(sparse.get());
      Matrix batch = resources.own(gpu.plain.allocate(samples.rows(), samples.columns()));
      gpu.plain.upload(samples, batch);
      runners.put(Variant.TWO_OF_FOUR, resident(gpu.plain, () -> chain.run(batch), chain::output, arena));
    }
    return runners;
  }

  private static Runner resident(GpuBackend backend, DenseNetwork network, MatrixView samples, Arena arena,
      Resources resources) {
    DeviceNetwork device = resources.own(DeviceNetwork.copyOf(backend, network));
    ForwardPass forward = resources.own(ForwardPass.allocate(backend, network.graph(), samples.rows()));
    forward.load(samples);
    return resident(backend, () -> forward.run(device), forward::output, arena);
  }

  /// Work on matrices that stay on the GPU, recorded, so that a call is one launch.
  private static Runner resident(GpuBackend backend, Runnable work, Supplier<Matrix> output, Arena arena) {
    Object key = new Object();
    return new Runner() {
      @Override
      public void run() {
        backend.repeat(key, work);
      }

      @Override
      public MatrixView output() {
        return backend.download(output.get(), arena);
      }
    };
  }

  private static Runner runner(Runnable work, MatrixView output) {
    return new Runner() {
      @Override
      public void run() {
        work.run();
      }

      @Override
      public MatrixView output() {
        return output;
      }
    };
  }

  /// @return how many outputs of the dense network are not finite: those tell nothing, since a product with a zero that
  ///         the others leave out is NaN there
  private long requireSameOutputs(Map<Variant, Runner> runners) {
    double most = gpu.isPresent() ? MOST_ROUNDED_DIFFERENCE : MOST_DIFFERENCE;
    runners.values().forEach(Runner::run);
    float[] expected = runners.get(Variant.DENSE).output().toArray();
    double largest = 0;
    long overflown = 0;
    for (float value : expected) {
      largest = Float.isFinite(value) ? Math.max(largest, Math.abs(value)) : largest;
      overflown += Float.isFinite(value) ? 0 : 1;
    }
    for (Map.Entry<Variant, Runner> runner : runners.entrySet()) {
      float[] actual = runner.getValue().output().toArray();
      for (int i = 0; i < actual.length; i++) {
        if (Float.isFinite(expected[i]) && !(Math.abs((double) actual[i] - expected[i]) <= most * largest)) {
          throw new MismatchException("output %d of the %s network is %s, and of the dense one %s".formatted(i,
              runner.getKey(), actual[i], expected[i]));
        }
      }
    }
    return overflown;
  }

  private static MatrixView samples(Arena arena, int batch, int inputs) {
    MatrixView samples = MatrixView.allocate(arena, batch, inputs);
    for (long i = 0; i < samples.elements(); i++) {
      samples.segment().setAtIndex(MatrixView.ELEMENT, i, CounterRandom.uniform(SEED, SAMPLES_STREAM, i));
    }
    return samples;
  }

  private static DenseNetwork random(DenseNetwork shapes, double sparsity, Arena arena) {
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < shapes.layers().size(); l++) {
      DenseLayer layer = shapes.layers().get(l);
      MatrixView weights = MatrixView.allocate(arena, layer.outputs(), layer.inputs());
      double scale = Math.sqrt(3 / ((1 - sparsity) * layer.inputs()));
      for (long i = 0; i < weights.elements(); i++) {
        if (CounterRandom.uniform(SEED, 2L * l, i) >= sparsity) {
          weights.segment().setAtIndex(MatrixView.ELEMENT, i,
              (float) (scale * (2 * CounterRandom.uniform(SEED, 2L * l + 1, i) - 1)));
        }
      }
      layers.add(new DenseLayer(layer.name(), weights, layer.bias(), layer.activation()));
    }
    return new DenseNetwork(shapes.graph(), layers);
  }

  private static DenseNetwork randomTwoOfFour(DenseNetwork shapes, Arena arena) {
    List<DenseLayer> layers = new ArrayList<>();
    for (int l = 0; l < shapes.layers().size(); l++) {
      DenseLayer layer = shapes.layers().get(l);
      MatrixView weights = MatrixView.allocate(arena, layer.outputs(), layer.inputs());
      double scale = Math.sqrt(6.0 / layer.inputs());
      for (int i = 0; i < layer.outputs(); i++) {
        for (int j = 0; j < layer.inputs(); j++) {
          long at = (long) i * layer.inputs() + j;
          // One of the first two and one of the last two of each four.
          long pair = at - j % 2;
          if (CounterRandom.uniform(SEED, 2L * l, pair) < 0.5 == (j % 2 == 0)) {
            weights.set(i, j, (float) (scale * (2 * CounterRandom.uniform(SEED, 2L * l + 1, at) - 1)));
          }
        }
      }
      layers.add(new DenseLayer(layer.name(), weights, layer.bias(), layer.activation()));
    }
    return new DenseNetwork(shapes.graph(), layers);
  }
}
