package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.RandomOrigin;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.Squares;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/// The backward passes of one batch: the sensitivities of all layers, in memory that the next batch uses again. Several
/// passes are stacked into tall products, as many as [MemoryPlan#stackedCopies] allows.
public final class SensitivityPass implements Resource {
  private final Backend backend;
  private final Graph graph;
  private final Sensitivity sensitivity;
  private final long seed;
  /// Of random vectors.
  private final Optional<RandomOrigin> origin;
  private final int passes;
  private final int copies;
  private final BackwardPass backward;
  /// By dense node.
  private final Map<Integer, Matrix> sensitivities = new LinkedHashMap<>();
  /// Of Fisher sensitivities: softmax(y / T), and y / T.
  private final Optional<Matrix> probabilities;
  private final Optional<Matrix> scaledLogits;
  private final Resources resources;

  private SensitivityPass(Backend backend, Graph graph, Sensitivity sensitivity, int batchSize, long seed,
      Resources resources) {
    this.backend = backend;
    this.graph = graph;
    this.sensitivity = sensitivity;
    this.seed = seed;
    this.resources = resources;
    passes = sensitivity.passes(graph.outputs());
    copies = MemoryPlan.stackedCopies(backend, batchSize, graph, passes);
    backward = resources.own(BackwardPass.allocate(backend, graph, Math.multiplyExact(copies, batchSize)));
    for (int n = 0; n < graph.nodes().size(); n++) {
      if (graph.nodes().get(n) instanceof Node.Dense dense) {
        sensitivities.put(n, resources.own(backend.allocate(batchSize, dense.width())));
      }
    }
    origin = isRandom(sensitivity) ? Optional.of(resources.own(backend.network().randomOrigin())) : Optional.empty();
    boolean isFisher = sensitivity instanceof Sensitivity.Fisher;
    probabilities = isFisher
        ? Optional.of(resources.own(backend.allocate(batchSize, graph.outputs())))
        : Optional.empty();
    scaledLogits = isFisher
        ? Optional.of(resources.own(backend.allocate(batchSize, graph.outputs())))
        : Optional.empty();
  }

  /// Memory for batches of up to `batchSize` samples, closed by the caller.
  ///
  /// @param seed of the probes
  public static SensitivityPass allocate(Backend backend, Graph graph, Sensitivity sensitivity, int batchSize,
      long seed) {
    return Resources
        .build(resources -> new SensitivityPass(backend, graph, sensitivity.unsmoothed(), batchSize, seed, resources));
  }

  private static boolean isRandom(Sensitivity sensitivity) {
    return switch (sensitivity) {
      case Sensitivity.Jacobian _ -> false;
      case Sensitivity.Probes _ -> true;
      case Sensitivity.Fisher fisher -> fisher.draws().isPresent();
      case Sensitivity.Smoothed _ -> throw new AssertionError("what is smoothed is passed");
    };
  }

  /// Says which batch comes, before [#run], which is the same work for each batch of a size.
  ///
  /// @param firstSample the position of the batch's first sample in its source
  public void begin(long firstSample) {
    origin.ifPresent(o -> o.set(seed, firstSample));
  }

  /// Computes the sensitivities for the batch that `forward` has just run.
  public void run(DeviceNetwork network, ForwardPass forward) {
    int samples = forward.samples();
    sensitivities.values().forEach(s -> backend.clear(s.slice(0, samples)));
    if (sensitivity instanceof Sensitivity.Fisher fisher) {
      computeProbabilities(fisher.temperature(), forward);
    }
    for (int first = 0; first < passes; first += copies) {
      int count = Math.min(copies, passes - first);
      double scale = start(first, count, samples);
      backward.run(network, forward, start(), count * samples,
          (n, alone) -> Optional.of(new Squares(scale, sensitivity(n, samples), alone)));
    }
  }

  private void computeProbabilities(double temperature, ForwardPass forward) {
    Matrix scaled = scaledLogits.orElseThrow().slice(0, forward.samples());
    backend.clear(scaled);
    backend.network().add(1 / temperature, forward.value(graph.logits()), scaled);
    backend.network().activate(Activation.SOFTMAX, scaled, probabilities.orElseThrow().slice(0, forward.samples()));
  }

  /// The node at which the backward passes start.
  private int start() {
    return sensitivity instanceof Sensitivity.Fisher ? graph.logits() : graph.output();
  }

  /// Writes the upstream gradients of some passes.
  ///
  /// @return what their squares are multiplied by
  private double start(int first, int count, int samples) {
    Matrix upstream = backward.gradient(start(), count * samples);
    return switch (sensitivity) {
      case Sensitivity.Jacobian() -> {
        backend.network().unitVectors(upstream, samples, first);
        yield 1;
      }
      case Sensitivity.Probes(int probes) -> {
        backend.network().rademacherVectors(upstream, samples, first, origin.orElseThrow());
        yield 1.0 / probes;
      }
      case Sensitivity.Fisher(OptionalInt draws, double temperature) -> {
        Matrix p = probabilities.orElseThrow().slice(0, samples);
        if (draws.isEmpty()) {
          backend.network().fisherVectors(p, upstream, first, 1 / temperature);
          yield 1;
        }
        backend.network().drawnFisherVectors(p, upstream, first, origin.orElseThrow(), 1 / temperature);
        yield 1.0 / draws.getAsInt();
      }
      case Sensitivity.Smoothed _ -> throw new AssertionError("what is smoothed is passed");
    };
  }

  /// s of dense node `n` for a batch of `samples` samples, samples × outputs.
  public Matrix sensitivity(int n, int samples) {
    return sensitivities.get(n).slice(0, samples);
  }

  @Override
  public void close() {
    resources.close();
  }
}
