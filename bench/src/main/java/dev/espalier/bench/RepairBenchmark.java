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
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/// One round of a pruning by a mask that leaves some hidden neurons without weights, as late rounds do: a joint repair
/// computes without them. The rate counts the operations of the dense network, so that it rises by what is saved.
@State(Scope.Thread)
public class RepairBenchmark {
  /// Layer widths, and the number of calibration samples.
  @Param("784-300-100-10:10000")
  public String shape;

  /// The repair; a Gauss-Newton step of ten iterations, not the default's up to four of twenty.
  @Param({"joint:outer=1:inner=10:tolerance=0", "refit"})
  public String repair;

  /// The part of the hidden neurons that has no weight left.
  @Param({"0", "0.5", "0.75"})
  public double dead;

  private Arena arena;
  private Backend backend;
  private DenseNetwork source;
  private DeviceNetwork dense;
  private DeviceNetwork network;
  private Dataset samples;
  private PruningOptions options;
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
    options = PruningOptions.builder().criterion(new Criterion.Magnitude()).repair(Repairs.parse(repair)).target(mask())
        .measureOutputChange(false).build();
    backend = Device.CPU.open();
    dense = DeviceNetwork.copyOf(backend, source);
    network = DeviceNetwork.copyOf(backend, source);
    flops = 2 * PruningPlan.of(options, source, Optional.of(samples), backend).work().orElseThrow().multiplyAdds();
    repair();
    check();
  }

  /// Removes every other weight, and all weights of the first neurons of each hidden layer.
  private Target.Mask mask() {
    Map<String, MatrixView> masks = new LinkedHashMap<>();
    for (DenseLayer layer : source.layers()) {
      boolean isLast = layer.equals(source.layers().getLast());
      MatrixView mask = MatrixView.allocate(arena, layer.outputs(), layer.inputs());
      for (int i = isLast ? 0 : (int) (dead * mask.rows()); i < mask.rows(); i++) {
        for (int j = i % 2; j < mask.columns(); j += 2) {
          mask.set(i, j, 1);
        }
      }
      masks.put(layer.name(), mask);
    }
    return new Target.Mask(masks);
  }

  private void check() {
    long removed = ((Target.Mask) options.target()).layers().values().stream().mapToLong(MatrixView::zeros).sum();
    DenseNetwork repaired = network.download(arena);
    if (repaired.zeros() != removed) {
      throw new IllegalStateException("%d weights were removed, and %d are 0".formatted(removed, repaired.zeros()));
    }
    DenseLayer last = source.layers().getLast();
    int column = (last.inputs() - 1) / 2 * 2; // of a weight that is left, from a neuron that is not dead
    if (repaired.layers().getLast().weights().get(0, column) == last.weights().get(0, column)) {
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
    network.load(dense);
    new Pruner(backend, options).pruneInPlace(network, Optional.of(samples), ProgressListener.NONE);
    Inputs.await(backend);
  }

  /// Gives the memory back.
  @TearDown
  public void close() {
    network.close();
    dense.close();
    backend.close();
    arena.close();
  }
}
