package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/// Elements of an ONNX model's tensors that lie in files beside it, because a message holds 2 GB at the most. A tensor
/// tells their location, a path within the model's folder, and the offset and length there; without a length, they take
/// what its shape and type need.
final class OnnxExternal {
  static final int DATA = 13;
  static final int DATA_LOCATION = 14;
  private static final int KEY = 1;
  private static final int VALUE = 2;
  private static final long OUTSIDE = 1;
  private static final String LOCATION = "location";
  private static final String OFFSET = "offset";
  private static final String LENGTH = "length";

  private final Path model;
  private final Arena arena;
  /// By location.
  private final Map<String, MemorySegment> files = new HashMap<>();

  /// @param model the file of the model
  /// @param arena into which its files are mapped
  OnnxExternal(Path model, Arena arena) {
    this.model = model;
    this.arena = arena;
  }

  /// Whether the elements of a tensor lie in another file.
  static boolean isOutside(Protobuf tensor) {
    return tensor.integer(DATA_LOCATION).orElse(0) == OUTSIDE;
  }

  /// The elements of a tensor that lie in another file.
  ///
  /// @throws FormatException if that is not within the model's folder, cannot be read, or is too short
  MemorySegment data(String name, Protobuf tensor) throws FormatException {
    Map<String, String> entries = entries(tensor);
    String location = entries.getOrDefault(LOCATION, "");
    MemorySegment file = file(name, location);
    long offset = number(name, location, entries.getOrDefault(OFFSET, "0"));
    long length = entries.containsKey(LENGTH)
        ? number(name, location, entries.get(LENGTH))
        : OnnxTensor.bytes(model, tensor).orElseThrow(() -> refused(name, location,
            "where it has no length, nor a shape and type that tell it; export it again"));
    if (offset > file.byteSize() || length > file.byteSize() - offset) {
      throw refused(name, location, "where it has %d bytes from %d on, and the file has %d; copy it again"
          .formatted(length, offset, file.byteSize()));
    }
    return file.asSlice(offset, length);
  }

  private Map<String, String> entries(Protobuf tensor) throws FormatException {
    Map<String, String> entries = new HashMap<>();
    for (Protobuf entry : tensor.messages(model, DATA)) {
      entries.put(entry.text(KEY), entry.text(VALUE));
    }
    return entries;
  }

  /// The file that the elements of a tensor lie in.
  ///
  /// @throws FormatException if that is not within the model's folder
  Path file(Protobuf tensor) throws FormatException {
    return within(tensor.text(OnnxContent.TENSOR_NAME), entries(tensor).getOrDefault(LOCATION, ""));
  }

  private long number(String name, String location, String text) throws FormatException {
    if (!text.matches("\\d{1,18}")) {
      throw refused(name, location,
          "where it has the offset or length %s, which is no number; export it again".formatted(quote(text)));
    }
    return Long.parseLong(text);
  }

  private MemorySegment file(String name, String location) throws FormatException {
    MemorySegment known = files.get(location);
    if (known != null) {
      return known;
    }
    Path file = within(name, location);
    try {
      MemorySegment mapped = InputFile.map(file, arena);
      files.put(location, mapped);
      return mapped;
    } catch (IOException e) {
      throw new FormatException(model,
          "tensor %s lies in another file, which cannot be read: %s".formatted(quote(name), e.getMessage()), e);
    }
  }

  /// A file in the folder of the model, or below it, also behind all links.
  private Path within(String name, String location) throws FormatException {
    Path folder = model.toAbsolutePath().getParent();
    try {
      Path relative = folder.getFileSystem().getPath(location);
      boolean leaves = relative.isAbsolute() || location.startsWith("/") || location.isEmpty()
          || Stream.of(location.split("[/\\\\]")).anyMatch(".."::equals);
      if (leaves) {
        throw refused(name, location, "which is no path within the model's folder; put the file beside the model");
      }
      Path file = folder.resolve(relative);
      if (!Files.exists(file)) {
        throw refused(name, location, "which is missing; copy it into the model's folder");
      }
      if (!file.toRealPath().startsWith(folder.toRealPath())) {
        throw refused(name, location, "which is a link that leaves the model's folder; put the file itself there");
      }
      return file;
    } catch (InvalidPathException e) {
      throw new FormatException(model, "tensor %s lies in %s, which is no name of a file; export the model again"
          .formatted(quote(name), quote(location)), e);
    } catch (FormatException e) {
      throw e;
    } catch (IOException e) {
      throw new FormatException(model,
          "tensor %s lies in %s, which cannot be read: %s".formatted(quote(name), quote(location), e.getMessage()), e);
    }
  }

  private FormatException refused(String name, String location, String problem) {
    return new FormatException(model, "tensor %s lies in %s, %s".formatted(quote(name), quote(location), problem));
  }

  /// The fields of a tensor whose elements lie in another file.
  ///
  /// @param tensor of which all other fields stay
  static List<MemorySegment> fields(Protobuf tensor, String location, long offset, long length) {
    Stream<MemorySegment> kept = tensor.fields().stream()
        .filter(field -> !OnnxTensor.CONTENT.contains(field.number()) || field.number() == OnnxTensor.DIMS)
        .map(Protobuf.Field::whole);
    return Stream.concat(kept, outside(location, offset, length).stream()).toList();
  }

  /// The fields of a tensor that tell where in another file its elements lie.
  static List<MemorySegment> outside(String location, long offset, long length) {
    Stream<MemorySegment> entries = Stream
        .of(entry(LOCATION, location), entry(OFFSET, Long.toString(offset)), entry(LENGTH, Long.toString(length)))
        .flatMap(List::stream);
    return Stream.concat(entries, Stream.of(Protobuf.field(DATA_LOCATION, OUTSIDE))).toList();
  }

  private static List<MemorySegment> entry(String key, String value) {
    return Protobuf.field(DATA, Stream.of(text(KEY, key), text(VALUE, value)).flatMap(List::stream).toList());
  }

  private static List<MemorySegment> text(int number, String text) {
    return Protobuf.field(number, List.of(MemorySegment.ofArray(text.getBytes(StandardCharsets.UTF_8))));
  }
}
