package dev.espalier.bench;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.method.Repairs;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import dev.espalier.engine.pruning.PruningProgress;
import dev.espalier.engine.pruning.PruningRounds;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/// A round, but the first, of a pruning by a mask that leaves some inputs and neurons without weights, as late rounds do:
/// repairs compute without them. The rate counts the operations of the dense network, so that it rises by what is saved.
@State(Scope.Thread)
public class RepairBenchmark {
  /// Layer widths, and the number of calibration samples.
  @Param("784-300-100-10:10000")
  public String shape;

  /// The repair; a Gauss-Newton step of ten iterations, not the default's up to four of twenty.
  @Param({"joint:outer=1:inner=10:tolerance=0", "refit"})
  public String repair;

  /// The inputs and neurons that have weights left: all, half and a quarter of the hidden neurons, and what
  /// `--method refit` leaves of LeNet-300-100 at 95 and 98 % (MNIST, 10,000 samples).
  @Param({"784-300-100-10", "784-150-50-10", "784-75-25-10", "483-173-85-10", "414-136-83-10"})
  public String left;

  private Arena arena;
  private Backend backend;
  private DenseNetwork source;
  private DeviceNetwork dense;
  private DeviceNetwork network;
  private Dataset samples;
  private Target.Mask mask;
  private PruningRounds rounds;
  private PruningProgress start;
  private double flops;

  /// Makes network, mask and samples, and sees that what the mask removes stays removed.
  @Setup
  @SuppressWarnings("MustBeClosedChecker") // closed in close()
  public void open() throws IOException {
    arena = Arena.ofShared();
    int colon = shape.indexOf(':');
    source = Inputs.network(arena, shape.substring(0, colon));
    samples = Dataset.of(new MatrixSamples("samples",
        Inputs.normal(arena, 9, Integer.parseInt(shape.substring(colon + 1)), source.inputs())));
    mask = mask();
    PruningOptions options = PruningOptions.builder().criterion(new Criterion.Magnitude()).repair(Repairs.parse(repair))
        .target(mask).measureOutputChange(false).build();
    backend = Device.CPU.open();
    dense = DeviceNetwork.copyOf(backend, source);
    network = DeviceNetwork.copyOf(backend, source);
    PruningPlan plan = PruningPlan.of(options, source, Optional.of(samples), backend);
    flops = 2 * plan.work(source.graph(), mask, true, false, samples.samples().samples()).values().stream()
        .mapToDouble(Double::doubleValue).sum();
    rounds = PruningRounds.start(backend, plan, network, Optional.of(samples), ProgressListener.NONE);
    start = rounds.progress();
    repair();
    check();
  }

  /// Removes every other weight, and all weights that read or make up what is not among the first inputs or neurons.
  private Target.Mask mask() {
    int[] widths = Arrays.stream(left.split("-")).mapToInt(Integer::parseInt).toArray();
    Map<String, MatrixView> masks = new LinkedHashMap<>();
    for (int l = 0; l < source.layers().size(); l++) {
      DenseLayer layer = source.layers().get(l);
      MatrixView stays = MatrixView.allocate(arena, layer.outputs(), layer.inputs());
      for (int i = 0; i < widths[l + 1]; i++) {
        for (int j = i % 2; j < widths[l]; j += 2) {
          stays.set(i, j, 1);
        }
      }
      masks.put(layer.name(), stays);
    }
    return new Target.Mask(masks);
  }

  private void check() {
    long removed = mask.layers().values().stream().mapToLong(MatrixView::zeros).sum();
    DenseNetwork repaired = network.download(arena);
    if (repaired.zeros() != removed) {
      throw new IllegalStateException("%d weights were removed, and %d are 0".formatted(removed, repaired.zeros()));
    }
    DenseLayer last = source.layers().getLast();
    if (repaired.layers().getLast().weights().get(0, 0) == last.weights().get(0, 0)) {
      throw new IllegalStateException("the repair has changed nothing");
    }
  }

  /// Removes what the mask says, and repairs.
  @Benchmark
  public void repair(Work work, Limit limit) throws IOException {
    repair();
    work.flops(flops);
  }

  private void repair() throws IOException {
    rounds.restore(start, dense);
    rounds.run(mask, true, ProgressListener.NONE);
    Inputs.await(backend);
  }

  /// Gives the memory back.
  @TearDown
  public void close() {
    rounds.close();
    network.close();
    dense.close();
    backend.close();
    arena.close();
  }
}
