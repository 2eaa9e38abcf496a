package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/// Refuses tensors that change what a network computes in a way that is not read.
final class UnreadTensors {
  /// @param ending of the tensor's name, behind a dot or alone
  /// @param of     what the tensor belongs to
  private record Kind(String ending, String of, String remedy) {}

  private static final String UNSCALE = "multiply the weight by it and save again";

  static final String EXPORT = "export the model as ONNX, where it is read (torch.onnx.export)";

  private static final List<Kind> KINDS = List.of(
      new Kind("weight_orig", "a weight with a mask", "call torch.nn.utils.prune.remove and save again"),
      new Kind("weight_mask", "a weight with a mask", "call torch.nn.utils.prune.remove and save again"),
      new Kind("bias_orig", "a bias with a mask", "call torch.nn.utils.prune.remove and save again"),
      new Kind("bias_mask", "a bias with a mask", "call torch.nn.utils.prune.remove and save again"),
      new Kind("weight_g", "a weight_norm, which is not read", "call torch.nn.utils.remove_weight_norm and save again"),
      new Kind("weight_v", "a weight_norm or spectral_norm, which is not read",
          "call torch.nn.utils.remove_weight_norm or remove_spectral_norm and save again"),
      new Kind("weight_u", "a spectral_norm, which is not read",
          "call torch.nn.utils.remove_spectral_norm and save again"),
      new Kind("weight_scale", "a quantised weight, which is not read", UNSCALE),
      new Kind("weight_scale_inv", "a quantised weight, which is not read", UNSCALE),
      new Kind("weight_scale_2", "a quantised weight, which is not read", UNSCALE),
      new Kind("scale_weight", "a quantised weight, which is not read", UNSCALE),
      new Kind("input_scale", "quantised inputs, which are not read", "save the model as it was before"),
      new Kind("scale_input", "quantised inputs, which are not read", "save the model as it was before"));

  private UnreadTensors() {}

  /// Checks the tensors with names that begin with `prefix`.
  ///
  /// @throws FormatException if one is such a tensor, or a bias without weights
  static void refuse(SafetensorsFile file, String prefix) throws FormatException {
    List<String> names = file.tensors().stream().map(Tensor::name).filter(name -> name.startsWith(prefix)).toList();
    for (String name : names) {
      refuseKinds(file, name);
    }
    for (String name : names) {
      refuseLoneBias(file, name);
    }
  }

  /// Refuses numbers that nobody has said are not part of the network, and that fit it: a dimension is the width of a
  /// layer, as that of a normaliser's means is.
  ///
  /// @param unused  tensors of the file that are not read
  /// @param weights of the layers in order
  /// @throws LayerOrderException if one is such a tensor
  static void refuseFitting(SafetensorsFile file, List<Tensor> unused, List<Tensor> weights)
      throws LayerOrderException {
    Set<Long> widths = weights.stream().flatMap(weight -> weight.shape().stream()).filter(width -> width > 1)
        .collect(Collectors.toSet());
    for (Tensor tensor : unused) {
      if (tensor.dtype().isWritable() && tensor.shape().stream().anyMatch(widths::contains)) {
        throw new LayerOrderException(file.path(),
            "tensor %s of shape %s fits a layer and is not read (fold it into the layer if the network uses it)"
                .formatted(quote(tensor.name()), tensor.shape()),
            weights.stream().map(LayerTensors::layerName).toList());
      }
    }
  }

  /// Refuses a vector of weights with a bias, which a LayerNorm has. No file of tensors tells where it stands.
  ///
  /// @param weight of a name that ends in `weight`
  /// @throws FormatException if it is one
  static void refuseNormalization(SafetensorsFile file, Tensor weight) throws FormatException {
    Optional<Tensor> bias = file.tensor(LayerTensors.biasName(weight));
    if (weight.shape().size() == 1 && bias.isPresent() && bias.get().shape().equals(weight.shape())) {
      throw new FormatException(file.path(),
          "tensor %s of shape %s is that of a LayerNorm or another normalisation, which is not read; %s, %s".formatted(
              quote(weight.name()), weight.shape(), EXPORT,
              "or list the layers of the network in the metadata key %s if it does not use it"
                  .formatted(ModelFile.LAYERS)));
    }
  }

  /// What to do about a vector of weights without a bias, if it is that of an RMSNorm.
  static String forRmsNorm() {
    return ", and if it is that of an RMSNorm, " + EXPORT;
  }

  private static void refuseKinds(SafetensorsFile file, String name) throws FormatException {
    if (name.contains("parametrizations.")) {
      throw new FormatException(file.path(), "tensor %s is that of a parametrization, which is not read; %s"
          .formatted(quote(name), "call torch.nn.utils.parametrize.remove_parametrizations and save again"));
    }
    for (Kind kind : KINDS) {
      if (name.equals(kind.ending) || name.endsWith("." + kind.ending)) {
        throw new FormatException(file.path(),
            "tensor %s is that of %s; %s".formatted(quote(name), kind.of, kind.remedy));
      }
    }
  }

  private static void refuseLoneBias(SafetensorsFile file, String name) throws FormatException {
    String weight = name.replaceFirst("\\.bias$", ".weight");
    if (!weight.equals(name) && file.tensor(weight).isEmpty()) {
      throw new FormatException(file.path(),
          "tensor %s has no %s beside it; save the model with all its weights".formatted(quote(name), quote(weight)));
    }
  }
}
