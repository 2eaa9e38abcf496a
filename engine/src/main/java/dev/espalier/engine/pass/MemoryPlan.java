package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.MemoryBudget;
import dev.espalier.engine.backend.OutOfBackendMemoryException;
import dev.espalier.engine.network.Architecture;
import dev.espalier.engine.network.LayerShape;
import java.util.OptionalInt;
import java.util.OptionalLong;

/// What a pruning needs of a backend's memory, computed before anything is allocated, and the batch size that fits.
///
/// @param weights   bytes of weights and biases
/// @param scores    bytes of the moments, importances and compensations of the layers that are scored
/// @param batch     bytes of a batch's activations and gradients, and of workspace
/// @param onHost    bytes of weights and scores that lie in host memory for want of the backend's own
/// @param batchSize samples of a batch
/// @param budget    bytes that the backend may take, where it counts them
public record MemoryPlan(long weights, long scores, long batch, long onHost, int batchSize, OptionalLong budget) {
  /// Elements of the largest stacked gradient, unless a single copy is larger.
  private static final long STACK_ELEMENTS = 1L << 23;

  /// @param scores    bytes that scoring takes, [dev.espalier.engine.scoring.Scorer#bytes]
  /// @param passes    backward passes a sample
  /// @param requested the batch size that is asked for; empty: the backend's own, less if it does not fit
  /// @throws OutOfBackendMemoryException if it does not fit; the message has the numbers
  public static MemoryPlan of(Backend backend, Architecture network, long scores, int passes, OptionalInt requested) {
    long weights = 0;
    for (LayerShape layer : network.layers()) {
      long matrix = (long) layer.outputs() * layer.inputs() * Float.BYTES;
      weights += matrix + (long) layer.outputs() * Float.BYTES;
    }
    int samples = requested.orElse(backend.batchSize());
    if (backend.memory().isEmpty()) {
      return new MemoryPlan(weights, scores, batchBytes(backend, network, passes, samples), 0, samples,
          OptionalLong.empty());
    }
    MemoryBudget memory = backend.memory().get();
    long onDevice = Math.min(weights + scores, memory.forWeights());
    long left = memory.bytes() - onDevice;
    long batch = batchBytes(backend, network, passes, samples);
    while (batch > left && requested.isEmpty() && samples > 1) {
      samples /= 2;
      batch = batchBytes(backend, network, passes, samples);
    }
    if (batch > left) {
      throw new OutOfBackendMemoryException(
          "a batch of %d sample%s needs %s beside %s of weights and scores, and the GPU memory to use is %s: %s"
              .formatted(samples, samples == 1 ? "" : "s", text(batch), text(onDevice), text(memory.bytes()),
                  samples == 1 ? "use a larger --device-memory" : "use a smaller --batch-size"));
    }
    return new MemoryPlan(weights, scores, batch, weights + scores - onDevice, samples,
        OptionalLong.of(memory.bytes()));
  }

  /// How many backward passes are stacked into one product: as many in each, about.
  ///
  /// @param widest outputs of the widest layer
  public static int stackedCopies(int samples, int widest, int passes) {
    int most = Math.clamp(STACK_ELEMENTS / ((long) samples * widest), 1, passes);
    return Math.ceilDiv(passes, Math.ceilDiv(passes, most));
  }

  /// Bytes of a batch's activations, gradients and workspace.
  ///
  /// @param passes backward passes a sample
  public static long batchBytes(Backend backend, Architecture network, int passes, int samples) {
    long outputs = 0;
    int widest = 1;
    long workspace = 0;
    for (LayerShape layer : network.layers()) {
      outputs += layer.outputs();
      widest = Math.max(widest, layer.outputs());
      workspace = Math.max(workspace, backend.workspace(samples, layer.outputs(), layer.inputs()));
    }
    long forward = network.inputs() + 2 * outputs;
    // Sensitivities, stacked gradients, and the gradients and targets of a loss.
    long backward = (2L + stackedCopies(samples, widest, passes)) * outputs + 2L * network.outputs() + 2;
    return samples * (forward + Math.max(forward, backward)) * Float.BYTES + workspace;
  }

  /// For example `weights 1.0 MiB, scores 2.0 MiB, batch of 512 samples 3.5 MiB, of 1,024.0 MiB`.
  @Override
  public String toString() {
    return "weights %s, scores %s, batch of %d samples %s%s%s".formatted(text(weights), text(scores), batchSize,
        text(batch), budget.isPresent() ? ", of " + text(budget.getAsLong()) : "",
        onHost == 0 ? "" : "; %s of weights and scores lie in host memory".formatted(text(onHost)));
  }

  public static String text(long bytes) {
    return bytes < 1 << 20
        ? "%d KiB".formatted(Math.ceilDiv(bytes, 1 << 10))
        : "%,.1f MiB".formatted(bytes / (double) (1 << 20));
  }
}
