package dev.espalier.engine.experiment;

import dev.espalier.engine.CounterRandom;
import dev.espalier.engine.MismatchException;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SparseChain;
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

/// How long networks take on this machine: with their zeros, without their removable neurons, and without their zeros.
public final class InferenceTimes {
  /// The sparsities of random networks.
  public static final List<Double> SPARSITIES = List.of(0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99);

  /// Outputs may differ by this part of the largest one: float32 sums of thousands of terms in another order.
  private static final double MOST_DIFFERENCE = 1e-3;
  private static final long SEED = 0;
  private static final long SAMPLES_STREAM = 1 << 20;

  private final Backend backend;

  /// How a network is computed.
  public enum Variant {
    /// All weights are multiplied.
    DENSE,
    /// All weights of the network without removable neurons are multiplied.
    SHRUNK,
    /// The weights that are not zero are multiplied, in compressed rows.
    CSR;

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /// The times of a network of random zeros, evenly spread.
  ///
  /// @param sparsity the share of zeros
  /// @param ratio    of the time without zeros to that with them
  public record RandomZeros(double sparsity, Times dense, Times csr, double ratio) {}

  /// @param backend runs all networks
  public InferenceTimes(Backend backend) {
    this.backend = backend;
  }

  /// Times the variants of networks in turns, after it has compared their outputs.
  ///
  /// @param batch samples of a call
  /// @return for each network the variants that it has: none is shrunk if it has no removable neurons, and those that
  ///         the backend cannot compute without zeros have no CSR
  /// @throws MismatchException if the outputs of two variants differ by more than rounding
  public List<Map<Variant, Times>> of(List<DenseNetwork> networks, int batch) {
    return of(networks, batch, EnumSet.allOf(Variant.class));
  }

  private List<Map<Variant, Times>> of(List<DenseNetwork> networks, int batch, Set<Variant> wanted) {
    try (Arena arena = Arena.ofShared(); Resources resources = new Resources()) {
      List<Map<Variant, Integer>> places = new ArrayList<>();
      List<Runnable> work = new ArrayList<>();
      for (DenseNetwork network : networks) {
        MatrixView samples = samples(arena, batch, network.inputs());
        Map<Variant, Runner> runners = runners(network, samples, wanted, arena, resources);
        requireSameOutputs(runners);
        Map<Variant, Integer> own = new EnumMap<>(Variant.class);
        runners.forEach((variant, runner) -> {
          own.put(variant, work.size());
          work.add(runner::run);
        });
        places.add(own);
      }
      List<Times> times = Stopwatch.inTurns(work);
      return places.stream().map(own -> {
        Map<Variant, Times> found = new EnumMap<>(Variant.class);
        own.forEach((variant, place) -> found.put(variant, times.get(place)));
        return found;
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
            EnumSet.of(Variant.DENSE, Variant.CSR)).getFirst();
        found.add(new RandomZeros(sparsity, times.get(Variant.DENSE), times.get(Variant.CSR),
            times.get(Variant.CSR).relativeTo(times.get(Variant.DENSE)).median()));
      }
    }
    return found;
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
    Optional<SparseChain> sparse = backend.sparseChain(network, samples.rows());
    if (sparse.isPresent()) {
      SparseChain chain = resources.own(sparse.get());
      MatrixView output = MatrixView.allocate(arena, samples.rows(), network.outputs());
      runners.put(Variant.CSR, runner(() -> chain.run(samples, output), output));
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

  private static void requireSameOutputs(Map<Variant, Runner> runners) {
    runners.values().forEach(Runner::run);
    float[] expected = runners.get(Variant.DENSE).output().toArray();
    double largest = 0;
    for (float value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    for (Map.Entry<Variant, Runner> runner : runners.entrySet()) {
      float[] actual = runner.getValue().output().toArray();
      for (int i = 0; i < actual.length; i++) {
        if (!(Math.abs((double) actual[i] - expected[i]) <= MOST_DIFFERENCE * largest)) {
          throw new MismatchException("output %d of the %s network is %s, and of the dense one %s".formatted(i,
              runner.getKey(), actual[i], expected[i]));
        }
      }
    }
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
}
