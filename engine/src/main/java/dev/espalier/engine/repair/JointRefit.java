package dev.espalier.engine.repair;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.method.Repair;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.pass.CurvaturePass;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ParameterVector;
import dev.espalier.engine.scoring.ScoringPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;

/// Moves all weights that are left and all biases at once, so that the outputs of the pruned network follow those of the
/// dense network: Gauss-Newton steps over the network without what does nothing in it, each by conjugate gradients on a
/// system that is never formed (docs/method.md, joint repair).
final class JointRefit implements Repairer.Step {
  private final Backend backend;
  private final Repair.Joint method;
  private final List<ScoringPlan.Layer> layers;
  private final Objectives objectives;
  private final long seed;
  private final Rounds rounds = new Rounds();

  /// Where the sums come from.
  interface Objectives {
    /// Passes for a network, closed by the caller.
    ///
    /// @param inputs the numbers of the samples' columns that it reads; empty: all
    /// @param parameters of the network that may change
    JointPasses of(DeviceNetwork network, Optional<List<Integer>> inputs, ParameterVector parameters)
        throws IOException;

    /// What the sum of the losses cannot be below.
    double least() throws IOException;
  }

  JointRefit(Backend backend, Repair.Joint method, List<ScoringPlan.Layer> layers, long seed, Objectives objectives) {
    this.backend = backend;
    this.method = method;
    this.objectives = objectives;
    this.layers = List.copyOf(layers);
    this.seed = seed;
  }

  /// A joint repair.
  ///
  /// @param dense the network to follow
  /// @param plan names the layers to repair, the batch size and the seed
  /// @param arena takes the outputs of the dense network, and lets all threads read them
  /// @throws IOException if a sample cannot be read or is not finite
  static JointRefit towards(DeviceNetwork dense, Backend backend, Repair.Joint method, ScoringPlan plan,
      SampleSource samples, ProgressListener listener, Arena arena) throws IOException {
    Teacher teacher = Teacher.of(dense, backend, method.objective(dense.graph()), samples, plan.batchSize(), listener,
        arena);
    return new JointRefit(backend, method, plan.layers(), plan.seed(), new Objectives() {
      @Override
      public JointPasses of(DeviceNetwork network, Optional<List<Integer>> inputs, ParameterVector parameters)
          throws IOException {
        return JointSums.allocate(network, backend, parameters, teacher, CompactNetwork.narrow(samples, inputs),
            plan.batchSize());
      }

      @Override
      public double least() {
        return teacher.least();
      }
    });
  }

  /// Bytes that a joint repair takes beside the dense network and the values of a batch: a compact network, vectors of
  /// parameters, and the tangents and gradients of a batch.
  static long bytes(Graph graph, int batchSize) {
    return (GaussNewton.VECTORS + 1) * Repairer.denseBytes(graph)
        + CurvaturePass.elements(graph) * batchSize * Float.BYTES;
  }

  @Override
  public void repair(DeviceNetwork pruned, boolean isStop, ProgressListener listener) throws IOException {
    rounds.begin();
    if (!isStop && left(pruned) > Repair.Joint.ROUNDS_FROM) {
      return;
    }
    int parts = isStop ? 1 : 2;
    int outer = Math.ceilDiv(method.outer().orElse(Repair.Joint.OUTER), parts);
    int inner = Math.ceilDiv(method.inner().orElse(Repair.Joint.INNER), parts);
    try (CompactNetwork compact = CompactNetwork.of(pruned, backend, true)) {
      if (descend(compact.network(), compact.inputs(), outer, inner, listener)) {
        compact.writeBack(pruned);
      } else {
        rounds.fail();
      }
    }
  }

  private boolean descend(DeviceNetwork network, Optional<List<Integer>> inputs, int outer, int inner,
      ProgressListener listener) throws IOException {
    ParameterVector parameters = parameters(network, backend, layers);
    try (JointPasses sums = objectives.of(network, inputs, parameters);
        GaussNewton descent = GaussNewton.allocate(backend, parameters, sums, method)) {
      return descent.run(outer, inner, objectives.least(), seed, listener);
    }
  }

  /// The parameters of a network that a repair of `layers` may change.
  static ParameterVector parameters(DeviceNetwork network, Backend backend, List<ScoringPlan.Layer> layers) {
    return ParameterVector.of(backend, layers.stream().map(layer -> part(network, layer)).toList());
  }

  private static ParameterVector.Part part(DeviceNetwork network, ScoringPlan.Layer layer) {
    DeviceNetwork.Layer of = network.layers().get(layer.number());
    return new ParameterVector.Part(layer.number(), of.weights(),
        layer.compensable() ? Optional.of(of.bias()) : Optional.empty());
  }

  /// The part of the weights of the repaired layers that is not 0.
  private double left(DeviceNetwork network) {
    long zeros = 0;
    long all = 0;
    for (ScoringPlan.Layer layer : layers) {
      Matrix weights = network.layers().get(layer.number()).weights();
      try (Arena arena = Arena.ofConfined()) {
        zeros += backend.onHost(weights, arena).zeros();
      }
      all += weights.elements();
    }
    return 1 - (double) zeros / all;
  }

  @Override
  public List<String> notes() {
    return rounds
        .notes("joint: no step brought the outputs closer to the dense network's in %s, which kept the weights as"
            + " they were");
  }

  @Override
  public List<Integer> state() {
    return rounds.state();
  }

  @Override
  public void restore(List<Integer> state) {
    rounds.restore(state);
  }

  @Override
  public void close() {
    // The arena is the caller's.
  }
}
