package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/// Masks of a model's layers in a safetensors file: for each layer a tensor of the name and shape of its weights, which
/// is true, or 1, where a weight stays and false, or 0, where it is removed.
public final class MaskFile {
  private MaskFile() {}

  /// Writes masks of BOOL that keep the weights that are not zero.
  ///
  /// @param outputs   with which the file appears
  /// @param pruned    a network of the layers of `model`
  /// @param masked    whether the layer of a number, from 0, has a mask
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException if it cannot be written
  public static void write(AtomicOutputs outputs, Path target, ModelFile model, DenseNetwork pruned,
      IntPredicate masked, boolean overwrite) throws IOException {
    List<NewTensor> masks = IntStream.range(0, pruned.layers().size()).filter(masked).mapToObj(l -> {
      Tensor weight = model.weightTensor(l);
      return new NewTensor(weight.name(), DType.BOOL, weight.shape(), pruned.layers().get(l).weights());
    }).toList();
    SafetensorsWriter.write(outputs, target, overwrite, masks, Map.of("format", "pt"));
  }

  /// Reads the masks of layers of a model, of any numeric type.
  ///
  /// @param arena takes their memory
  /// @return by the name of the layer, as its weights; layers that the file lacks are absent
  /// @throws FormatException if the file has no mask, a tensor of no layer, one of another shape than the weights, or
  ///                         an element that is neither 0 nor 1
  /// @throws IOException if it cannot be read
  public static Map<String, MatrixView> read(Path path, ModelFile model, Arena arena) throws IOException {
    try (Arena mapped = Arena.ofConfined()) {
      SafetensorsFile file = SafetensorsFile.open(path, mapped);
      Map<String, MatrixView> masks = new LinkedHashMap<>();
      List<Tensor> weights = new ArrayList<>();
      for (int l = 0; l < model.network().layers().size(); l++) {
        Tensor weight = model.weightTensor(l);
        weights.add(weight);
        if (file.tensor(weight.name()).isPresent()) {
          masks.put(model.network().layers().get(l).name(),
              values(file, file.tensor(weight.name()).get(), weight, arena));
        }
      }
      for (Tensor tensor : file.tensors()) {
        if (weights.stream().noneMatch(weight -> weight.name().equals(tensor.name()))) {
          throw new FormatException(path, "tensor %s is the mask of no layer; the layers' weights are %s"
              .formatted(quote(tensor.name()), LayerChain.some(weights, weight -> quote(weight.name()))));
        }
      }
      if (masks.isEmpty()) {
        throw new FormatException(path, "has no mask; a mask is a tensor of the name and shape of a layer's weights, %s"
            .formatted(LayerChain.some(weights, weight -> quote(weight.name()))));
      }
      return masks;
    }
  }

  private static MatrixView values(SafetensorsFile file, Tensor mask, Tensor weight, Arena arena)
      throws FormatException {
    if (!mask.dtype().isNumeric() || !mask.shape().equals(weight.shape())) {
      throw new FormatException(file.path(), "the mask %s is %s of shape %s; that of these weights is BOOL of shape %s"
          .formatted(quote(mask.name()), mask.dtype(), mask.shape(), weight.shape()));
    }
    // A BOOL that is neither 0 nor 1 would read as true.
    DType dtype = mask.dtype() == DType.BOOL ? DType.U8 : mask.dtype();
    int columns = Math.toIntExact(weight.shape().getLast());
    MatrixView values = MatrixView.allocate(arena, Math.toIntExact(weight.shape().getFirst()), columns);
    for (long i = 0; i < values.elements(); i++) {
      double value = dtype.value(mask.data(), i, ByteOrder.LITTLE_ENDIAN);
      if (value != 0 && value != 1) {
        throw new FormatException(file.path(), "the mask %s is %s at [%d, %d]; use 1 to keep a weight, 0 to remove it"
            .formatted(quote(mask.name()), value, i / columns, i % columns));
      }
      values.segment().setAtIndex(MatrixView.ELEMENT, i, (float) value);
    }
    return values;
  }
}
