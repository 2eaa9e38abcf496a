package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The slopes of PReLUs: tensors `<name>.weight` of one dimension that have no `<name>.bias` beside them.
final class PreluSlopes {
  private PreluSlopes() {}

  static boolean isSlope(SafetensorsFile file, Tensor tensor) {
    return tensor.shape().size() == 1 && tensor.dtype().isWritable()
        && file.tensor(LayerTensors.biasName(tensor)).isEmpty();
  }

  /// The tensor of the slope of each layer whose activation is [Activation#PRELU], by its number: in the order of their
  /// names, one for each such layer, or one for all.
  ///
  /// @param activations of the layers
  /// @throws FormatException if there are more or fewer
  static Map<Integer, Tensor> find(SafetensorsFile file, List<Activation> activations) throws FormatException {
    long wanted = activations.stream().filter(Activation.PRELU::equals).count();
    List<Tensor> slopes = LayerTensors.weightTensors(file).filter(tensor -> isSlope(file, tensor))
        .sorted(Comparator.comparing(LayerTensors::layerName, LayerChain::compareNaturally)).toList();
    if (wanted > 0 && slopes.size() != 1 && slopes.size() != wanted) {
      throw new FormatException(file.path(),
          "has %d slopes <name>.weight of one dimension for %d layers with prelu; give each its slope, as in %s"
              .formatted(slopes.size(), wanted, "leaky_relu:0.25"));
    }
    Map<Integer, Tensor> found = new LinkedHashMap<>();
    for (int l = 0; l < activations.size(); l++) {
      if (activations.get(l).equals(Activation.PRELU)) {
        found.put(l, slopes.get(slopes.size() == 1 ? 0 : found.size()));
      }
    }
    return found;
  }

  /// The leaky ReLU of a slope.
  ///
  /// @throws FormatException if the tensor holds one for each neuron, or one that is not finite
  static Activation read(SafetensorsFile file, Tensor slope, Arena arena) throws IOException {
    MatrixView values = file.asFloat32(slope, arena);
    if (values.elements() != 1) {
      throw new FormatException(file.path(), "tensor %s has %d slopes of a PReLU; only one for all neurons is supported"
          .formatted(quote(slope.name()), values.elements()) + ": train with torch.nn.PReLU(1)");
    }
    float value = values.get(0, 0);
    if (!Float.isFinite(value)) {
      throw new FormatException(file.path(),
          "tensor %s is %s: the slope of a PReLU must be finite".formatted(quote(slope.name()), value));
    }
    return new Activation(Activation.Kind.LEAKY_RELU, value);
  }
}
