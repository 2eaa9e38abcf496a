package dev.espalier.engine.io;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/// Other formats in which models are kept, told by the first bytes of a file.
///
/// @param start bytes that such a file begins with, as ISO 8859-1
/// @param name  of the format
record ForeignFormat(String start, String name, String remedy) {
  private static final int SNIFFED_BYTES = 32;
  private static final String SAVE = "load it in its framework, and save the weights with safetensors";
  private static final String SAVE_TORCH = "load it with torch.load, and save the state dict with "
      + "safetensors.torch.save_file";

  private static final List<ForeignFormat> ALL = List.of(
      new ForeignFormat("PK\3\4", "a zip archive, such as PyTorch (.pt) and Keras 3 write", SAVE_TORCH),
      new ForeignFormat("\u0080\2", "a Python pickle, such as older versions of PyTorch write", SAVE_TORCH),
      new ForeignFormat("\u0089HDF\r\n", "an HDF5 file, such as Keras 2 writes", SAVE),
      new ForeignFormat("GGUF", "a GGUF file", SAVE), new ForeignFormat("\b\7\u0012", "an ONNX model", SAVE),
      new ForeignFormat("\b\b\u0012", "an ONNX model", SAVE), new ForeignFormat("\b\t\u0012", "an ONNX model", SAVE),
      new ForeignFormat("\b\n\u0012", "an ONNX model", SAVE),
      new ForeignFormat("TFL3", "a TensorFlow Lite model", SAVE),
      new ForeignFormat("\u0093NUMPY", "a NumPy array", SAVE),
      new ForeignFormat("\u001f\u008b", "compressed by gzip", "decompress it with gunzip"),
      new ForeignFormat("version https://git-lfs", "a pointer of Git LFS, not the file itself",
          "fetch the file with git lfs pull"),
      new ForeignFormat("<!DOCTYPE", "a web page", "download the file again"),
      new ForeignFormat("<html", "a web page", "download the file again"));

  /// @throws FormatException if the file is of one of these formats
  static void refuse(Path path, MemorySegment content) throws FormatException {
    String start = start(content);
    for (ForeignFormat format : ALL) {
      if (!isSafetensors(content) && start.startsWith(format.start)) {
        throw new FormatException(path, "is %s; %s".formatted(format.name, format.remedy));
      }
    }
  }

  /// Whether a file begins as those of safetensors do: with the length of a header, and its first brace.
  static boolean isSafetensors(MemorySegment content) {
    String start = start(content);
    return start.length() > Long.BYTES && start.charAt(Long.BYTES) == '{' && start.charAt(Long.BYTES - 1) == 0;
  }

  private static String start(MemorySegment content) {
    long length = Math.min(SNIFFED_BYTES, content.byteSize());
    return new String(content.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.ISO_8859_1);
  }

  /// Whether a file begins as ONNX models do: with the version of the format, then with the name of what wrote it or
  /// with the graph.
  static boolean isOnnx(MemorySegment content) {
    String start = start(content);
    return start.length() > 2 && start.charAt(0) == '\b' && start.charAt(1) > 0 && start.charAt(1) < ' '
        && (start.charAt(2) == '\u0012' || start.charAt(2) == ':');
  }
}
