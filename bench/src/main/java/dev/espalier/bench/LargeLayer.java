package dev.espalier.bench;

import dev.espalier.engine.io.NewTensor;
import dev.espalier.engine.io.SafetensorsWriter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/// Writes what `bench/memory.sh` prunes: `LargeLayer WIDTH SAMPLES FOLDER` makes `model.safetensors`, one layer of
/// WIDTH × WIDTH weights and a bias, and `samples.safetensors`.
public final class LargeLayer {
  private LargeLayer() {}

  /// @param args see above
  public static void main(String[] args) throws IOException {
    int width = Integer.parseInt(args[0]);
    int samples = Integer.parseInt(args[1]);
    Path folder = Path.of(args[2]);
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsWriter.write(folder.resolve("model.safetensors"), true,
          List.of(NewTensor.matrix("0.weight", Inputs.normal(arena, 1, width, width)),
              NewTensor.vector("0.bias", Inputs.normal(arena, 2, 1, width))),
          Map.of("activations", "identity"));
    }
    try (Arena arena = Arena.ofConfined()) {
      SafetensorsWriter.write(folder.resolve("samples.safetensors"), true,
          List.of(NewTensor.matrix("x", Inputs.normal(arena, 3, samples, width))), Map.of());
    }
  }
}
