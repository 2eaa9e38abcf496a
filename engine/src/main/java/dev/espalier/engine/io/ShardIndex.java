package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.matrix.MatrixView;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;

/// The index of a model that is spread over several safetensors files, as Hugging Face writes it: a JSON object whose
/// member `weight_map` names the file of each tensor.
///
/// @param path     of the index
/// @param metadata those that are strings
/// @param files    by the name of the tensor; names of files beside the index
record ShardIndex(Path path, Map<String, String> metadata, Map<String, String> files) {
  private static final Pattern SHARD = Pattern.compile("(.*)-(\\d{5})-of-(?!00001)(\\d{5})(\\.safetensors)");
  /// How the name of an index ends.
  private static final String SUFFIX = ".index.json";

  /// The index that `path` is, or that lies beside it if it is one part of a model.
  ///
  /// @throws FormatException if it is a part without an index, or an index that is not as it should be
  static Optional<ShardIndex> of(Path path) throws IOException {
    Matcher shard = SHARD.matcher(path.getFileName() == null ? "" : path.getFileName().toString());
    if (shard.matches()) {
      Path index = path.resolveSibling(shard.group(1) + shard.group(4) + SUFFIX);
      if (!Files.exists(index)) {
        throw new FormatException(path, "is part %d of %d of a model; put the others beside it, and their index %s"
            .formatted(Integer.parseInt(shard.group(2)), Integer.parseInt(shard.group(3)), index.getFileName()));
      }
      return Optional.of(read(index));
    }
    try (Arena arena = Arena.ofConfined()) {
      return isJson(InputFile.map(path, arena)) ? Optional.of(read(path)) : Optional.empty();
    }
  }

  /// A safetensors file begins with the length of its header, the last byte of which is 0.
  private static boolean isJson(MemorySegment content) {
    int first = 0;
    while (first < content.byteSize() && first < Long.BYTES && Character.isWhitespace(byteAt(content, first))) {
      first++;
    }
    return content.byteSize() > Long.BYTES && byteAt(content, first) == '{' && byteAt(content, Long.BYTES - 1) != 0;
  }

  private static byte byteAt(MemorySegment content, long index) {
    return content.get(ValueLayout.JAVA_BYTE, index);
  }

  private static ShardIndex read(Path path) throws IOException {
    byte[] json;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment content = InputFile.map(path, arena);
      if (content.byteSize() > SafetensorsHeader.LONGEST) {
        throw new FormatException(path,
            "an index of %d bytes is beyond the limit of %d".formatted(content.byteSize(), SafetensorsHeader.LONGEST));
      }
      json = content.toArray(ValueLayout.JAVA_BYTE);
    }
    var utf8 = new InputStreamReader(new ByteArrayInputStream(json), StandardCharsets.UTF_8.newDecoder());
    try (JsonParser parser = SafetensorsHeader.JSON.createParser(ObjectReadContext.empty(), utf8)) {
      return parse(path, parser);
    } catch (JacksonException e) {
      throw new FormatException(path, "is not the JSON of a model's index (%s)".formatted(e.getOriginalMessage()), e);
    }
  }

  private static ShardIndex parse(Path path, JsonParser parser) throws FormatException {
    Map<String, String> metadata = Map.of();
    Map<String, String> files = Map.of();
    parser.nextToken();
    for (String name = parser.nextName(); name != null; name = parser.nextName()) {
      JsonToken token = parser.nextToken();
      if (name.equals("metadata") && token == JsonToken.START_OBJECT) {
        metadata = strings(parser);
      } else if (name.equals("weight_map") && token == JsonToken.START_OBJECT) {
        files = strings(parser);
      } else {
        parser.skipChildren();
      }
    }
    if (files.isEmpty()) {
      throw new FormatException(path,
          "has no \"weight_map\", which names the file of each tensor; give a safetensors file, or a model's index");
    }
    for (String file : files.values()) {
      if (file.isEmpty() || file.contains("/") || file.contains("\\") || file.equals("..")) {
        throw new FormatException(path, "%s is not the name of a file beside it".formatted(quote(file)));
      }
    }
    return new ShardIndex(path, metadata, files);
  }

  /// The members of an object that are strings.
  private static Map<String, String> strings(JsonParser parser) {
    Map<String, String> strings = new LinkedHashMap<>();
    for (String name = parser.nextName(); name != null; name = parser.nextName()) {
      if (parser.nextToken() == JsonToken.VALUE_STRING) {
        strings.put(name, parser.getString());
      } else {
        parser.skipChildren();
      }
    }
    return strings;
  }

  /// Whether `path` has the name of an index.
  static boolean isIndex(Path path) {
    return String.valueOf(path.getFileName()).endsWith(SUFFIX);
  }

  /// The files that tensors are written to: to the name of an index, those of a model in several files.
  static List<Path> written(Path target, Optional<ShardIndex> index) {
    return isIndex(target) && index.isPresent()
        ? Stream.concat(Stream.of(target),
            index.get().parts().stream().map(part -> target.resolveSibling(part.getFileName()))).toList()
        : List.of(target);
  }

  /// Refuses the name of an index or of parts that tensors cannot have, and files that they are read from.
  static void requireWritable(Path target, SafetensorsFile file, Optional<ShardIndex> index) throws IOException {
    if (isIndex(target) && index.isEmpty()) {
      throw new FormatException(target, "only a model in several files whose shapes stay is written as several; "
          + "choose a name that ends in .safetensors");
    }
    List<Path> parts = new ArrayList<>(file.parts());
    parts.add(file.path());
    for (Path written : file.parts().size() > 1 ? written(target, index) : List.<Path>of()) {
      for (Path part : parts) {
        if (Files.exists(written) && Files.isSameFile(part, written)) {
          throw new FormatException(target,
              written.equals(target)
                  ? "is a part of the model that was read; choose another output"
                  : "%s beside it is a part of the model that was read; choose another folder"
                      .formatted(part.getFileName()));
        }
      }
    }
    if (SHARD.matcher(String.valueOf(target.getFileName())).matches()) {
      throw new FormatException(target, "is the name of a part of a model; choose another name, or that of an index");
    }
  }

  /// Writes the parts again beside `target`, by their names, and the index, byte for byte.
  ///
  /// @param outputs with which the files appear
  /// @param changed as of [SafetensorsWriter#rewrite], of all parts
  /// @param pruned  likewise
  void rewrite(AtomicOutputs outputs, Path target, boolean overwrite, Map<String, MatrixView> changed,
      Set<String> pruned) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      for (Path part : parts()) {
        SafetensorsFile file = SafetensorsFile.open(part, arena);
        Map<String, MatrixView> own = new HashMap<>(changed);
        own.keySet().removeIf(name -> file.tensor(name).isEmpty());
        SafetensorsWriter.rewrite(outputs, file, target.resolveSibling(part.getFileName()), overwrite, own, pruned,
            List.of());
      }
      MemorySegment index = InputFile.map(path, arena);
      outputs.write(target, overwrite, channel -> AtomicOutput.writeFully(channel, index.asByteBuffer()));
    }
  }

  /// Puts new values into parts that [#rewrite] has written, in place.
  void change(AtomicOutputs outputs, Path target, Map<String, MatrixView> changed, Set<String> pruned)
      throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      for (String part : changed.keySet().stream().map(files::get).distinct().toList()) {
        Map<String, MatrixView> own = new HashMap<>(changed);
        own.keySet().removeIf(name -> !part.equals(files.get(name)));
        SafetensorsWriter.change(outputs, SafetensorsFile.open(path.resolveSibling(part), arena),
            target.resolveSibling(part), own, pruned);
      }
    }
  }

  /// The files in the order of their names.
  List<Path> parts() {
    List<Path> parts = new ArrayList<>();
    files.values().stream().distinct().sorted().forEach(file -> parts.add(path.resolveSibling(file)));
    return parts;
  }
}
