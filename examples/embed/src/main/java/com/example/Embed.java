package com.example;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pruning.LayerResult;
import dev.espalier.engine.pruning.Pruner;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.pruning.PruningResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.Random;

/// Prunes a network that is in memory, here one of random weights, to 80 % zeros.
public final class Embed {
  private Embed() {}

  public static void main(String[] arguments) throws IOException {
    Random random = new Random(0);
    try (Arena arena = Arena.ofConfined(); Backend backend = Device.AUTO.open()) {
      System.out.println("on " + backend.description());
      DenseNetwork network = new DenseNetwork(List.of(
          new DenseLayer("hidden", normal(arena, random, 32, 16, 0.25), Optional.of(MatrixView.allocate(arena, 1, 32)),
              Activation.RELU),
          new DenseLayer("output", normal(arena, random, 4, 32, 0.18), Optional.of(MatrixView.allocate(arena, 1, 4)),
              Activation.IDENTITY)));
      Dataset calibration = Dataset.of(new MatrixSamples("calibration", normal(arena, random, 500, 16, 1)));
      PruningOptions options = PruningOptions.builder().sparsity(0.8).build();
      PruningResult result = new Pruner(backend, options).prune(network, Optional.of(calibration),
          ProgressListener.NONE, arena);
      for (LayerResult layer : result.layers()) {
        System.out.println(layer.name() + ": " + layer.removed() + " weights removed, " + layer.kept() + " kept");
      }
    }
  }

  /// Normal numbers, one row after the other.
  private static MatrixView normal(Arena arena, Random random, int rows, int columns, double deviation) {
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (deviation * random.nextGaussian());
    }
    return MatrixView.of(arena, rows, columns, values);
  }
}
