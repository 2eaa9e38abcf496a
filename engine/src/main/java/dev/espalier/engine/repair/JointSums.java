package dev.espalier.engine.repair;

import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.Phase;
import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SampleBatches;
import dev.espalier.engine.backend.Workers;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Objective;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import dev.espalier.engine.pass.CurvaturePass;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.engine.pass.LossPass;
import dev.espalier.engine.pass.MemoryPlan;
import dev.espalier.engine.pass.NetworkReplicas;
import dev.espalier.engine.pass.ParameterVector;
import dev.espalier.engine.pass.SensitivityPass;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.IntFunction;

/// The [JointPasses] over samples of this process.
///
/// Where the values of all nodes take little memory they are kept as long as the weights stay, so that a product takes no
/// forward pass; elsewhere each pass reads the samples again. Where threads are faster on samples of their own, each has
/// batches of its own.
final class JointSums implements JointPasses {
  /// The most outputs for which the diagonal is exact: a backward pass for each.
  private static final int EXACT_OUTPUTS = Sensitivity.JACOBIAN_OUTPUTS;
  private static final int DRAWS = 16;

  /// The values of a batch that are kept.
  private record Batch(ForwardPass forward, int first) {}

  /// What a pass does with a batch that has run forward.
  private interface Visitor {
    /// @param first position of its first sample
    void visit(Share share, ForwardPass forward, int first);
  }

  /// The part of one worker.
  private final class Share {
    final Backend backend;
    final DeviceNetwork network;
    /// The direction of a product, where the worker does not reach it.
    final Optional<ParameterVector> direction;
    final LossPass loss;
    final CurvaturePass curvature;
    /// Sums of all but the first worker, whose sums are the total.
    final ParameterVector sum;
    final Matrix ones;
    final MatrixView losses;
    final List<Batch> kept = new ArrayList<>();
    double total;

    Share(Backend backend, ParameterVector parameters, int index) {
      this.backend = backend;
      network = networks.of(index);
      direction = workers.areApart() && index > 0
          ? Optional.of(resources.own(ParameterVector.zeros(backend, parameters)))
          : Optional.empty();
      Graph graph = network.graph();
      loss = resources.own(teacher.lossPass(backend, graph, batchSize));
      curvature = resources.own(CurvaturePass.allocate(backend, graph, teacher.objective(), parameters, batchSize));
      sum = index == 0
          ? ParameterVector.of(backend, List.of())
          : resources.own(ParameterVector.zeros(backend, parameters));
      ones = resources.own(LayerSums.ones(backend, batchSize));
      losses = MatrixView.allocate(arena, batchSize, 1);
    }

    /// Adds the losses of a batch, and leaves their gradients where they start.
    void addLosses(ForwardPass forward, int first) {
      loss.load(teacher.outputs().slice(first, forward.samples()));
      MatrixView each = losses.slice(0, forward.samples());
      backend.download(loss.losses(forward), each);
      for (int n = 0; n < each.rows(); n++) {
        total += each.get(n, 0);
      }
    }

    /// Adds Σ g aᵀ and Σ g of a layer, with g the gradients at its pre-activation and a its input, over all its uses.
    ///
    /// @param gradients by dense node
    void addProducts(ParameterVector.Part sums, IntFunction<Matrix> gradients, ForwardPass forward) {
      for (int use : forward.uses(sums.number())) {
        Matrix gradient = gradients.apply(use);
        backend.network().product(1, gradient, true, forward.inputOf(use), false, 1, sums.weights());
        sums.bias().ifPresent(
            bias -> backend.network().product(1, ones.slice(0, gradient.rows()), true, gradient, false, 1, bias));
      }
    }
  }

  private final DeviceNetwork network;
  private final Backend backend;
  private final Teacher teacher;
  private final SampleSource samples;
  private final Workers workers;
  private final NetworkReplicas networks;
  private final int batchSize;
  private final boolean isKept;
  private final List<Share> shares = new ArrayList<>();
  private final Arena arena = Arena.ofShared(); // of the workers' threads
  private final Resources resources;
  /// Whether what is kept is of the weights as they are, and whether the replicas have them.
  private boolean isCurrent;
  private boolean isReplicated = true;
  private ProgressListener listener = ProgressListener.NONE;

  private JointSums(DeviceNetwork network, Backend backend, ParameterVector parameters, Teacher teacher,
      SampleSource samples, int mostSamples, Resources resources) {
    this.network = network;
    this.backend = backend;
    this.teacher = teacher;
    this.samples = samples;
    this.resources = resources;
    resources.own(arena::close);
    workers = samples.isThreadConfined()
        ? Workers.alone(backend)
        : backend.workers(samples.samples(),
            bytes(network.graph(), mostSamples) + Repairer.denseBytes(network.graph()));
    networks = resources.own(NetworkReplicas.of(network, workers));
    batchSize = workers.batchSize(samples.samples(), mostSamples);
    for (Backend worker : workers.backends()) {
      shares.add(new Share(worker, parameters, shares.size()));
    }
    isKept = !workers.areApart() && keeps();
  }

  /// Sums for a network as it is, closed by the caller.
  ///
  /// @param network may be changed, which is to be [told][#changed]
  /// @param parameters of the network that may change
  /// @throws IOException if a sample cannot be read or is not finite
  static JointSums allocate(DeviceNetwork network, Backend backend, ParameterVector parameters, Teacher teacher,
      SampleSource samples, int batchSize) throws IOException {
    try {
      return Resources
          .build(resources -> new JointSums(network, backend, parameters, teacher, samples, batchSize, resources));
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  /// Bytes that a worker's batch takes beside the values of its nodes.
  static long bytes(Graph graph, int batchSize) {
    return (CurvaturePass.elements(graph) + graph.nodes().stream().mapToLong(Node::width).sum()) * batchSize
        * Float.BYTES;
  }

  /// Keeps the values if they take little memory.
  private boolean keeps() {
    long values = network.graph().nodes().stream().mapToLong(Node::width).sum();
    long most = backend.memory().map(MemoryBudget::forKept).orElse(Repairer.KEPT_BYTES);
    if (samples.samples() > most / Float.BYTES / values) {
      return false;
    }
    try {
      resources.own(Resources.build(this::keep));
      return true;
    } catch (OutOfBackendMemoryException _) {
      shares.forEach(share -> share.kept.clear());
      return false;
    }
  }

  /// @throws OutOfBackendMemoryException if they leave too little to a [#diagonal] and to the vectors of the steps
  private Resource keep(Resources values) {
    backend.enter(Phase.LOAD);
    try (SampleBatches batches = SampleBatches.open(backend, Dataset.of(samples), batchSize)) {
      for (int i = 0; batches.next(); i++) {
        Share share = shares.get(i % shares.size());
        ForwardPass forward = values.own(ForwardPass.allocate(share.backend, network.graph(), batches.rows()));
        forward.load(batches);
        share.kept.add(new Batch(forward, (int) batches.first()));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (backend.memory().isPresent()) {
      Graph graph = network.graph();
      backend.requireRoom(MemoryPlan.batchBytes(backend, graph, squares().passes(graph.outputs()), batchSize)
          + (GaussNewton.VECTORS + 1) * Repairer.denseBytes(graph));
    }
    return values;
  }

  /// Sets who hears of each batch of the first worker, and may end a pass there.
  void listenBy(ProgressListener who) {
    listener = who;
  }

  private void report(Share share, long done) {
    if (share == shares.getFirst()) {
      listener.report("repairing", done, samples.samples());
    }
  }

  /// Forgets the values.
  @Override
  public void changed() {
    isCurrent = false;
    isReplicated = false;
  }

  @Override
  public double loss() throws IOException {
    shares.forEach(share -> share.total = 0);
    forEach(Share::addLosses);
    return shares.stream().mapToDouble(share -> share.total).sum();
  }

  @Override
  public void gradient(ParameterVector gradient) throws IOException {
    sum(gradient, (share, forward, first, sums) -> {
      share.loss.load(teacher.outputs().slice(first, forward.samples()));
      share.loss.run(share.network, forward);
      sums.parts().forEach(part -> share.addProducts(part, n -> share.loss.gradient(n, forward.samples()), forward));
    });
  }

  @Override
  public void curve(ParameterVector direction, ParameterVector product) throws IOException {
    shares.forEach(share -> share.direction.ifPresent(copy -> copy.loadAcross(direction)));
    sum(product, (share, forward, _, sums) -> {
      ParameterVector along = share.direction.orElse(direction);
      share.backend.repeat(List.of(share, forward, forward.samples(), along, sums), () -> {
        share.curvature.run(share.network, forward, along);
        sums.parts()
            .forEach(part -> share.addProducts(part, n -> share.curvature.gradient(n, forward.samples()), forward));
      });
    });
  }

  @Override
  public double diagonal(ParameterVector diagonal, long seed) throws IOException {
    try (Resources memory = new Resources()) {
      List<SensitivityPass> passes = shares.stream()
          .<SensitivityPass>map(
              share -> memory.own(SensitivityPass.allocate(share.backend, network.graph(), squares(), batchSize, seed)))
          .toList();
      List<ParameterVector> scratch = shares.stream()
          .<ParameterVector>map(share -> memory.own(ParameterVector.zeros(share.backend, diagonal))).toList();
      sum(diagonal, (share, forward, first, sums) -> {
        int number = shares.indexOf(share);
        SensitivityPass pass = passes.get(number);
        pass.begin(samples.first() + first);
        pass.run(share.network, forward);
        for (int p = 0; p < sums.parts().size(); p++) {
          ParameterVector.Part part = sums.parts().get(p);
          for (int use : forward.uses(part.number())) {
            Matrix a = forward.inputOf(use);
            Matrix s = pass.sensitivity(use, forward.samples());
            try (Matrix zeros = share.backend.allocate(1, a.columns());
                Matrix unused = share.backend.allocate(1, s.columns())) {
              share.backend.moments().addMoments(s, a, zeros, part.bias().orElse(unused),
                  scratch.get(number).parts().get(p).weights(), part.weights());
            }
          }
        }
      });
    }
    return factor(teacher.objective(), network.outputs());
  }

  /// The sensitivities whose moments make the diagonal.
  private Sensitivity squares() {
    int outputs = network.outputs();
    return switch (teacher.objective()) {
      case Objective.SquaredError() -> Sensitivity.defaultFor(outputs);
      case Objective.Divergence(double temperature) ->
        new Sensitivity.Fisher(outputs <= EXACT_OUTPUTS ? OptionalInt.empty() : OptionalInt.of(DRAWS), temperature);
    };
  }

  /// What a diagonal is to be multiplied by.
  static double factor(Objective objective, int outputs) {
    return switch (objective) {
      case Objective.SquaredError() -> 2.0 / outputs;
      case Objective.Divergence(double temperature) -> temperature; // of (diag(p) − ppᵀ) / T²
    };
  }

  /// What a pass adds of a batch.
  private interface Terms {
    /// @param sums added to
    void add(Share share, ForwardPass forward, int first, ParameterVector sums);
  }

  private void sum(ParameterVector target, Terms terms) throws IOException {
    target.clear();
    shares.forEach(share -> share.sum.clear());
    forEach(
        (share, forward, first) -> terms.add(share, forward, first, share == shares.getFirst() ? target : share.sum));
    for (Share share : shares.subList(1, shares.size())) {
      if (workers.areApart()) {
        target.addAcross(share.sum);
      } else {
        target.add(1, share.sum);
      }
    }
  }

  private void forEach(Visitor visitor) throws IOException {
    if (!isReplicated) {
      networks.refresh();
      isReplicated = true;
    }
    try {
      if (isKept) {
        workers.run(shares.stream().<Runnable>map(share -> () -> visitKept(share, visitor)).toList());
        isCurrent = true;
      } else {
        SampleBatches.share(workers, Dataset.of(samples), batchSize,
            (i, batches) -> visitStreamed(shares.get(i), batches, visitor));
      }
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
    backend.enter(Phase.JOINT);
  }

  private void visitKept(Share share, Visitor visitor) {
    for (Batch batch : share.kept) {
      if (!isCurrent) {
        share.backend.enter(Phase.FORWARD);
        batch.forward.run(share.network);
      }
      share.backend.enter(Phase.JOINT);
      visitor.visit(share, batch.forward, batch.first);
      report(share, batch.first + batch.forward.samples());
    }
  }

  private void visitStreamed(Share share, SampleBatches batches, Visitor visitor) throws IOException {
    try (ForwardPass forward = ForwardPass.allocate(share.backend, network.graph(), batchSize)) {
      share.backend.enter(Phase.LOAD);
      while (batches.next()) {
        share.backend.enter(Phase.FORWARD);
        forward.load(batches);
        forward.run(share.network);
        share.backend.enter(Phase.JOINT);
        visitor.visit(share, forward, (int) batches.first());
        report(share, batches.end());
        share.backend.enter(Phase.LOAD);
      }
    }
  }

  @Override
  public void close() {
    resources.close();
  }
}
