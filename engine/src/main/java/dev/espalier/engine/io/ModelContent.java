package dev.espalier.engine.io;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// What a model's file holds. Its content tells the format, here and nowhere else.
sealed interface ModelContent {
  /// The note on sparse weights.
  String SPARSE = "sparse weights are read as dense ones";

  /// Tensors, of one file of safetensors, of several with an index, or of a state dict.
  ///
  /// @param index   of several files
  /// @param isTorch whether PyTorch has written the file
  /// @param notes   what reading left out or took for granted
  record Tensors(SafetensorsFile file, Optional<ShardIndex> index, boolean isTorch,
      List<String> notes) implements ModelContent {
    /// With dense matrices in the places of sparse ones, and then without the index.
    ///
    /// @param arena takes their memory
    /// @throws FormatException if one is not as it should be
    Tensors dense(Arena arena) throws FormatException {
      SafetensorsFile dense = SparseTensors.dense(file, arena);
      return dense == file ? this : new Tensors(dense, Optional.empty(), false, List.of(SPARSE));
    }

    /// The tensors as a file of safetensors has them: a state dict gains the metadata that name PyTorch.
    SafetensorsFile asSafetensors() {
      if (!isTorch) {
        return file;
      }
      Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
      metadata.put("format", "pt");
      return SafetensorsFile.of(file.path(), metadata, file.tensors());
    }
  }

  /// A model of ONNX.
  record Onnx(MemorySegment bytes) implements ModelContent {}

  /// Maps a file into `arena`.
  ///
  /// @throws FormatException if it is no valid file of these formats; an ONNX model is not checked
  /// @throws IOException     if it cannot be read
  static ModelContent open(Path path, Arena arena) throws IOException {
    Optional<ShardIndex> index = ShardIndex.of(path);
    if (index.isPresent()) {
      return new Tensors(SafetensorsFile.open(index.get(), arena), index, false, List.of());
    }
    MemorySegment content = InputFile.map(path, arena);
    if (TorchFile.matches(content)) {
      TorchFile.Content torch = TorchFile.read(path, content, arena);
      return new Tensors(SafetensorsFile.of(path, Map.of(), torch.tensors()), index, true, torch.notes());
    }
    return OnnxFile.matches(path, content)
        ? new Onnx(content)
        : new Tensors(SafetensorsFile.open(path, arena), index, false, List.of());
  }
}
