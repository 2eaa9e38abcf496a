package dev.espalier.engine.pass;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.OutOfBackendMemoryException.Remedy;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.function.IntToLongFunction;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The backend memory that a run needs, computed before anything is allocated, and the batch size that fits.
///
/// @param weights bytes of weights and biases
/// @param scores bytes of the sums and scores of the layers that are scored
/// @param batch bytes of a batch's values and gradients, and of workspace
/// @param workspace bytes that a repair or a search for minima takes beside them
/// @param samples bytes of samples that stay in the backend's memory because they fit; 0: each pass brings them anew
/// @param onHost bytes of weights and scores that lie in host memory because the backend's own is too small
/// @param batchSize samples of a batch
/// @param budget bytes that the backend may take, where it counts them
/// @param devices that share passes: each takes as much as the plan says
public record MemoryPlan(long weights, long scores, long batch, long workspace, long samples, long onHost,
    int batchSize, OptionalLong budget, int devices) {
  private static final Logger LOG = LoggerFactory.getLogger(MemoryPlan.class);

  /// Networks that a search for a sparsity holds at a time, with the copy that a measurement compares with.
  private static final int MOST_NETWORKS = 5;

  /// What a run takes beside weights.
  ///
  /// @param scores bytes that sums and scores take; they may lie in host memory
  /// @param workspace bytes that a repair or a search for minima takes with batches of a size, which may not
  /// @param passes backward passes for each sample
  /// @param samples bytes of samples that several passes read
  public record Demand(long scores, IntToLongFunction workspace, int passes, long samples) {
    /// Of one pass, without a workspace.
    public Demand(long scores, int passes) {
      this(scores, _ -> 0, passes, 0);
    }
  }

  /// @param requested the batch size that is asked for; empty: the backend's own, less if it does not fit
  /// @throws OutOfBackendMemoryException if it does not fit; the message has the numbers
  public static MemoryPlan of(Backend backend, Graph graph, Demand demand, OptionalInt requested) {
    MemoryPlan plan = plan(backend, graph, demand, requested);
    LOG.info("memory plan: {}", plan);
    return plan;
  }

  private static MemoryPlan plan(Backend backend, Graph graph, Demand demand, OptionalInt requested) {
    long weights = 0;
    for (Node.Dense layer : graph.layers()) {
      weights += layer.width() * (layer.inputWidth() + 1L) * Float.BYTES;
    }
    int devices = backend.devices(Long.MAX_VALUE).backends().size();
    int samples = requested.orElse(backend.batchSize());
    if (backend.memory().isEmpty()) {
      return new MemoryPlan(weights, demand.scores, batchBytes(backend, graph, demand.passes, samples),
          demand.workspace.applyAsLong(samples), 0, 0, samples, OptionalLong.empty(), devices);
    }
    MemoryBudget memory = backend.memory().get();
    long onDevice = Math.min(weights + demand.scores, memory.forWeights());
    long left = memory.bytes() - onDevice;
    long batch = batchBytes(backend, graph, demand.passes, samples);
    long workspace = demand.workspace.applyAsLong(samples);
    while (batch + workspace > left && requested.isEmpty() && samples > 1) {
      samples /= 2;
      batch = batchBytes(backend, graph, demand.passes, samples);
      workspace = demand.workspace.applyAsLong(samples);
    }
    if (batch + workspace > left) {
      throw new OutOfBackendMemoryException(
          "a batch of %s needs %s beside %s of weights and scores%s, and the GPU memory to use is %s".formatted(
              Nouns.counted(samples, "sample"), MemoryBudget.text(batch), MemoryBudget.text(onDevice),
              workspace == 0 ? "" : " and %s of workspace".formatted(MemoryBudget.text(workspace)),
              MemoryBudget.text(memory.bytes())),
          samples == 1 ? Remedy.MORE_DEVICE_MEMORY : Remedy.SMALLER_BATCH);
    }
    // Within what weights may take, so that nothing else is pushed into host memory.
    long run = MOST_NETWORKS * weights + demand.scores + batch + workspace;
    // Several devices read their shares in each pass.
    long stay = devices == 1 && run + demand.samples <= memory.forWeights() ? demand.samples : 0;
    return new MemoryPlan(weights, demand.scores, batch, workspace, stay, weights + demand.scores - onDevice, samples,
        OptionalLong.of(memory.bytes()), devices);
  }

  /// How many backward passes are stacked into one product: about as many in each.
  static int stackedCopies(Backend backend, int samples, Graph graph, int passes) {
    int widest = graph.nodes().stream().skip(1).mapToInt(Node::width).max().orElseThrow();
    int most = Math.clamp(backend.stackElements() / ((long) samples * widest), 1, passes);
    return Math.ceilDiv(passes, Math.ceilDiv(passes, most));
  }

  /// Bytes of a batch's values, gradients and workspace.
  ///
  /// @param passes backward passes for each sample
  public static long batchBytes(Backend backend, Graph graph, int passes, int samples) {
    long forward = graph.nodes().stream().mapToLong(Node::width).sum();
    long sensitivities = graph.denseNodes().stream().mapToLong(Node.Dense::width).sum();
    long workspace = graph.layers().stream()
        .mapToLong(layer -> backend.workspace(samples, layer.width(), layer.inputWidth())).max().orElseThrow();
    // Sensitivities with stacked gradients and class probabilities, and the gradients, targets and losses of a loss.
    long gradients = BackwardPass.elements(graph);
    long backward = sensitivities + (stackedCopies(backend, samples, graph, Math.max(1, passes)) + 1) * gradients
        + 3L * graph.outputs() + 1;
    // Where output changes are measured, the values of a second network take the place of gradients.
    // Those of the forward passes of two networks, and of a backward pass.
    long constants = 3 * NodeConstants.elements(graph);
    return (samples * (forward + Math.max(forward, backward)) + constants) * Float.BYTES + workspace
        + backend.transferBytes(samples, graph.inputs());
  }

  /// For example `weights 1.0 MiB, scores 2.0 MiB, batch of 512 samples 3.5 MiB, of 1,024.0 MiB`.
  @Override
  public String toString() {
    return "weights %s, scores %s, batch of %s %s%s%s%s%s%s".formatted(MemoryBudget.text(weights),
        MemoryBudget.text(scores), Nouns.counted(batchSize, "sample"), MemoryBudget.text(batch),
        workspace == 0 ? "" : ", workspace %s".formatted(MemoryBudget.text(workspace)),
        samples == 0 ? "" : ", samples that stay %s".formatted(MemoryBudget.text(samples)),
        budget.isPresent() ? ", of " + MemoryBudget.text(budget.getAsLong()) : "",
        devices > 1 ? " on each of %s devices".formatted(devices) : "",
        onHost == 0 ? "" : "; %s of weights and scores lie in host memory".formatted(MemoryBudget.text(onHost)));
  }
}
