package dev.espalier.engine.backend.cpu;

import static dev.espalier.engine.backend.cpu.CpuTile.load;
import static dev.espalier.engine.backend.cpu.CpuTile.store;

import dev.espalier.bindings.OneDnn;
import dev.espalier.bindings.OneDnnSparseMatmul;
import dev.espalier.bindings.OneDnnTransposition;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.backend.SparseChain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/// A [SparseChain] for many samples, by oneDNN's product of compressed rows (docs/decisions/0016-compressed-rows.md).
///
/// The batch is cut into blocks, and a thread takes a block through all layers. The values of a block are transposed,
/// features × samples, so that a weight multiplies neighbouring numbers; they stay so from layer to layer and fit into a
/// second-level cache. One more feature, which is 1, takes the biases into the products.
final class CpuSparseChain implements SparseChain {
  /// Samples of a block: one or more vectors, few enough for the cache.
  private static final int LEAST_BLOCK = 16;
  private static final int MOST_BLOCK = 64;

  private final CpuPool pool;
  private final int samples;
  private final int block;
  private final List<Lane> lanes = new ArrayList<>();
  private final OneDnnTransposition gathering;
  private final OneDnnTransposition spreading;
  private final Resources resources;

  private CpuSparseChain(CpuPool pool, DenseNetwork network, int samples, Resources resources) {
    this.pool = pool;
    this.samples = samples;
    this.resources = resources;
    int shares = Math.clamp(Math.ceilDiv(samples, LEAST_BLOCK), 1, pool.threads());
    int share = Math.ceilDiv(samples, shares);
    block = Math.clamp((long) LEAST_BLOCK * Math.ceilDiv(share, LEAST_BLOCK), LEAST_BLOCK, MOST_BLOCK);
    List<OneDnnSparseMatmul.Rows> weights = network.layers().stream().map(this::weights).toList();
    gathering = new OneDnnTransposition(block, network.inputs());
    resources.own(gathering::close);
    spreading = new OneDnnTransposition(network.outputs(), block);
    resources.own(spreading::close);
    for (int lane = 0; lane < shares; lane++) {
      lanes.add(new Lane(network, weights));
    }
  }

  /// For batches of so many samples, closed by the caller.
  static SparseChain of(CpuPool pool, DenseNetwork network, int samples) {
    int before = OneDnn.setThreads(1); // primitives run on as many threads as they were made with
    try {
      return Resources.build(resources -> new CpuSparseChain(pool, network, samples, resources));
    } finally {
      OneDnn.setThreads(before);
    }
  }

  private OneDnnSparseMatmul.Rows weights(DenseLayer layer) {
    CpuCompressedRows rows = CpuCompressedRows.withBias(layer);
    return new OneDnnSparseMatmul.Rows(layer.outputs(), layer.inputs() + 1,
        memory(rows.values().length).copyFrom(MemorySegment.ofArray(rows.values())),
        memory(rows.columns().length).copyFrom(MemorySegment.ofArray(rows.columns())),
        memory(rows.first().length).copyFrom(MemorySegment.ofArray(rows.first())));
  }

  private MemorySegment memory(long elements) {
    return resources.own(new CpuMemory(elements)).segment();
  }

  /// What the blocks of one thread need, one after the other.
  private final class Lane {
    private final int inputs;
    private final int outputs;
    /// Of the samples and of the pre-activations, then activations, of each layer: (width + 1) × block.
    private final List<MemorySegment> values = new ArrayList<>();
    private final List<OneDnnSparseMatmul> products = new ArrayList<>();
    private final List<Activation> activations;
    /// Samples of a block that the batch does not fill, and their outputs.
    private final MemorySegment partInput;
    private final MemorySegment partOutput;

    Lane(DenseNetwork network, List<OneDnnSparseMatmul.Rows> weights) {
      inputs = network.inputs();
      outputs = network.outputs();
      activations = network.layers().stream().map(DenseLayer::activation).toList();
      values.add(values(inputs));
      for (OneDnnSparseMatmul.Rows layer : weights) {
        values.add(values(layer.rows()));
        OneDnnSparseMatmul product = new OneDnnSparseMatmul(layer, block, values.get(values.size() - 2),
            values.getLast());
        resources.own(product::close);
        products.add(product);
      }
      partInput = memory((long) block * inputs);
      partOutput = memory((long) block * outputs);
    }

    private MemorySegment values(int width) {
      MemorySegment memory = memory((width + 1L) * block);
      for (long n = 0; n < block; n++) {
        memory.setAtIndex(ValueLayout.JAVA_FLOAT, (long) width * block + n, 1);
      }
      return memory;
    }

    /// Runs the samples from `first` on, a block at most.
    void run(MatrixView batch, MatrixView output, int first) {
      int count = Math.min(block, samples - first);
      MemorySegment from = batch.slice(first, count).segment();
      MemorySegment to = output.slice(first, count).segment();
      boolean isWhole = count == block;
      gathering.transpose(isWhole ? from : partInput.copyFrom(from), values.getFirst());
      for (int l = 0; l < products.size(); l++) {
        products.get(l).multiply();
        if (activations.get(l).isElementwise()) {
          activate(activations.get(l), values.get(l + 1));
        }
      }
      spreading.transpose(values.getLast(), isWhole ? to : partOutput);
      if (!isWhole) {
        to.copyFrom(partOutput.asSlice(0, to.byteSize()));
      }
      if (!activations.getLast().isElementwise()) {
        byRows(activations.getLast(), to, count);
      }
    }

    private void activate(Activation activation, MemorySegment z) {
      if (activation.equals(Activation.IDENTITY)) {
        return;
      }
      CpuTile tile = CpuTile.ofThread();
      long elements = z.byteSize() / Float.BYTES - block; // without the feature that is 1
      for (long at = 0; at < elements; at += CpuTile.LENGTH) {
        int count = (int) Math.min(CpuTile.LENGTH, elements - at);
        CpuActivation.forward(activation, load(z, at, count, tile.a), tile.b, count);
        store(tile.b, count, z, at);
      }
    }

    private void byRows(Activation activation, MemorySegment rows, int count) {
      float[] row = new float[outputs];
      for (long n = 0; n < count; n++) {
        CpuActivation.rowForward(activation, load(rows, n * outputs, outputs, row), row, outputs);
        store(row, outputs, rows, n * outputs);
      }
    }
  }

  @Override
  public void run(MatrixView batch, MatrixView output) {
    pool.run(lanes.size(), lane -> {
      for (long first = (long) lane * block; first < samples; first += (long) lanes.size() * block) {
        lanes.get(lane).run(batch, output, (int) first);
      }
    });
  }

  @Override
  public void close() {
    resources.close();
  }
}
