package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Objective;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ParameterVector;
import dev.espalier.engine.scoring.ScoringPlan;
import dev.espalier.engine.statistics.NetworkSums;
import dev.espalier.engine.statistics.Statistic;
import dev.espalier.engine.statistics.Sums;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The joint repair for samples in parts (docs/method.md, joint repair): this side takes the steps, and each needs some
/// sums over all samples, which [Passes] bring. Each part sums by [Part].
public final class JointFit implements Repairer.Step {
  private final Backend backend;
  private final Objective objective;
  private final Passes passes;
  private final JointRefit refit;

  /// Which sums.
  public enum Kind {
    /// The gradient of the objective by each parameter.
    GRADIENT,
    /// The product of the Gauss-Newton matrix and a direction.
    CURVE,
    /// The diagonal of the Gauss-Newton matrix, up to a factor that depends on the outputs alone.
    DIAGONAL
  }

  /// A network and what it reads of a sample.
  ///
  /// @param network as it is now, without what does nothing in it
  /// @param inputs the numbers of the samples' columns that it reads; empty: all
  public record Now(DenseNetwork network, Optional<List<Integer>> inputs) {}

  /// Passes over all samples.
  public interface Passes extends Resource {
    /// The sum of the losses, in double.
    double loss(Now now) throws IOException;

    /// What the sum of the losses cannot be below.
    double least() throws IOException;

    /// The sums of a kind, [Statistic.Parameters] of each layer that is repaired.
    ///
    /// @param direction of [Kind#CURVE] as weights and biases of a network of the same shapes
    /// @param arena takes their memory
    NetworkSums sums(Now now, Kind kind, Optional<DenseNetwork> direction, Arena arena) throws IOException;
  }

  /// @param backend takes the steps
  /// @param method with its objective in force
  /// @param layers to repair
  /// @param passes are closed with this
  public JointFit(Backend backend, Repair.Joint method, List<ScoringPlan.Layer> layers, long seed, Passes passes) {
    this.backend = backend;
    this.passes = passes;
    objective = method.objective().orElseThrow();
    refit = new JointRefit(backend, method, layers, seed, new JointRefit.Objectives() {
      @Override
      public JointPasses of(DeviceNetwork network, Optional<List<Integer>> inputs, ParameterVector parameters) {
        return new Distant(network, inputs);
      }

      @Override
      public double least() throws IOException {
        return passes.least();
      }
    });
  }

  @Override
  public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException {
    refit.repair(pruned, isStop, listener);
  }

  @Override
  public List<String> notes() {
    return refit.notes();
  }

  @Override
  public List<Integer> state() {
    return refit.state();
  }

  @Override
  public void restore(List<Integer> state) {
    refit.restore(state);
  }

  @Override
  public void close() {
    passes.close();
  }

  /// Sums that others find.
  private final class Distant implements JointPasses {
    private final DeviceNetwork network;
    private final Optional<List<Integer>> inputs;
    private Optional<Arena> memory = Optional.empty();
    private Now now;

    Distant(DeviceNetwork network, Optional<List<Integer>> inputs) {
      this.network = network;
      this.inputs = inputs;
    }

    @SuppressWarnings("MustBeClosedChecker") // closed once the weights change
    private Now now() {
      if (memory.isEmpty()) {
        Arena arena = Arena.ofShared();
        memory = Optional.of(arena);
        now = new Now(network.download(arena), inputs);
      }
      return now;
    }

    @Override
    public void changed() {
      memory.ifPresent(Arena::close);
      memory = Optional.empty();
    }

    @Override
    public double loss() throws IOException {
      return passes.loss(now());
    }

    @Override
    public void gradient(ParameterVector gradient) throws IOException {
      load(Kind.GRADIENT, Optional.empty(), gradient);
    }

    @Override
    public void curve(ParameterVector direction, ParameterVector product) throws IOException {
      try (Arena arena = Arena.ofShared()) {
        load(Kind.CURVE, Optional.of(asNetwork(direction, arena)), product);
      }
    }

    @Override
    public double diagonal(ParameterVector diagonal, long seed) throws IOException {
      load(Kind.DIAGONAL, Optional.empty(), diagonal);
      return JointSums.factor(objective, network.outputs());
    }

    private void load(Kind kind, Optional<DenseNetwork> direction, ParameterVector target) throws IOException {
      try (Arena arena = Arena.ofShared()) {
        NetworkSums sums = passes.sums(now(), kind, direction, arena);
        for (ParameterVector.Part part : target.parts()) {
          Sums found = sums.layers().get(network.layers().get(part.number()).name()).getFirst();
          backend.upload(found.array("weights"), part.weights());
          part.bias().ifPresent(bias -> backend.upload(found.array("bias"), bias));
        }
      }
    }

    /// The numbers of a vector in the places of weights and biases, zeros in those of others.
    private DenseNetwork asNetwork(ParameterVector vector, Arena arena) {
      List<DenseLayer> all = new ArrayList<>();
      for (int l = 0; l < network.layers().size(); l++) {
        int number = l;
        DeviceNetwork.Layer layer = network.layers().get(l);
        Optional<ParameterVector.Part> part = vector.parts().stream().filter(each -> each.number() == number)
            .findFirst();
        MatrixView weights = part.map(each -> backend.download(each.weights(), arena))
            .orElseGet(() -> MatrixView.allocate(arena, layer.outputs(), layer.inputs()));
        MatrixView bias = part.flatMap(ParameterVector.Part::bias).map(each -> backend.download(each, arena))
            .orElseGet(() -> MatrixView.allocate(arena, 1, layer.outputs()));
        all.add(new DenseLayer(layer.name(), weights, Optional.of(bias), layer.activation()));
      }
      return new DenseNetwork(network.graph(), all);
    }

    @Override
    public void close() {
      changed();
    }
  }

  /// One part of the samples.
  ///
  /// @param method with its objective in force
  /// @param layers to repair
  /// @param batchSize most samples of a batch
  public record Part(Repair.Joint method, List<ScoringPlan.Layer> layers, int batchSize, long seed) {
    /// What the dense network makes of the samples: its outputs, or for a divergence their probabilities.
    ///
    /// @param arena takes their memory
    /// @return samples × outputs
    public MatrixView teach(Backend backend, DenseNetwork dense, SampleSource samples, ProgressListener listener,
        Arena arena) throws IOException {
      try (DeviceNetwork there = DeviceNetwork.copyOf(backend, dense)) {
        return Teacher.of(there, backend, objective(), samples, batchSize, listener, arena).outputs();
      }
    }

    private Objective objective() {
      return method.objective().orElseThrow();
    }

    /// As of [Passes#least].
    ///
    /// @param outputs that [#teach] gave
    public double least(MatrixView outputs) {
      return new Teacher(objective(), outputs).least();
    }

    /// As of [Passes#loss].
    ///
    /// @param samples all columns of them; they may be read more than once
    /// @param outputs that [#teach] gave of them
    /// @param listener may end the pass after each batch
    public double loss(Backend backend, Now now, SampleSource samples, MatrixView outputs, ProgressListener listener)
        throws IOException {
      try (DeviceNetwork network = DeviceNetwork.copyOf(backend, now.network);
          JointPasses sums = sums(backend, network, now, samples, outputs, listener)) {
        return sums.loss();
      }
    }

    /// As of [Passes#sums].
    ///
    /// @param samples all columns of them; they may be read more than once
    /// @param outputs that [#teach] gave of them
    /// @param listener as of [#loss]
    public NetworkSums sums(Backend backend, Now now, Kind kind, Optional<DenseNetwork> direction, SampleSource samples,
        MatrixView outputs, ProgressListener listener, Arena arena) throws IOException {
      try (DeviceNetwork network = DeviceNetwork.copyOf(backend, now.network);
          ParameterVector found = ParameterVector.zeros(backend, JointRefit.parameters(network, backend, layers));
          JointPasses sums = sums(backend, network, now, samples, outputs, listener)) {
        switch (kind) {
          case GRADIENT -> sums.gradient(found);
          case CURVE -> {
            try (DeviceNetwork along = DeviceNetwork.copyOf(backend, direction.orElseThrow())) {
              sums.curve(JointRefit.parameters(along, backend, layers), found);
            }
          }
          case DIAGONAL -> sums.diagonal(found, seed);
        }
        Map<String, List<Sums>> all = new LinkedHashMap<>();
        for (ParameterVector.Part part : found.parts()) {
          DeviceNetwork.Layer layer = network.layers().get(part.number());
          MatrixView bias = part.bias().map(each -> backend.download(each, arena))
              .orElseGet(() -> MatrixView.allocate(arena, 1, layer.outputs()));
          all.put(layer.name(), List.of(new Sums(new Statistic.Parameters(), layer.outputs(), layer.inputs(),
              samples.samples(), Map.of("weights", backend.download(part.weights(), arena), "bias", bias))));
        }
        return new NetworkSums(samples.samples(), all);
      }
    }

    private JointPasses sums(Backend backend, DeviceNetwork network, Now now, SampleSource samples, MatrixView outputs,
        ProgressListener listener) throws IOException {
      JointSums sums = JointSums.allocate(network, backend, JointRefit.parameters(network, backend, layers),
          new Teacher(objective(), outputs), CompactNetwork.narrow(samples, now.inputs), batchSize);
      sums.listenBy(listener);
      return sums;
    }
  }
}
