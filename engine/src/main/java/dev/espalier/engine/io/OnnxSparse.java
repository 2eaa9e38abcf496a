package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/// Sparse tensors of ONNX models (`sparse_initializer`): values, and their places in the dense tensor as I64, either
/// counted row after row or with a coordinate for each dimension.
final class OnnxSparse {
  private static final int MODEL_VERSION = 1;
  /// Of the format, from which on it has sparse tensors.
  private static final int LEAST_VERSION = 6;
  private static final int VALUES = 1;
  private static final int INDICES = 2;
  private static final int DIMS = 3;
  private static final int TYPE = 2;
  private static final int INT64 = 7;
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

  private OnnxSparse() {}

  /// Whether the graph of a model has sparse tensors.
  private static boolean isSparse(Path path, MemorySegment content) throws FormatException {
    for (Protobuf graph : Protobuf.parse(path, content).messages(path, OnnxContent.MODEL_GRAPH)) {
      if (!graph.all(OnnxContent.GRAPH_SPARSE_INITIALIZER).isEmpty()) {
        return true;
      }
    }
    return false;
  }

  /// The model with dense tensors in the places of sparse ones; `content` itself if it has none.
  ///
  /// @param arena takes the memory of the model
  /// @throws FormatException if one is not as it should be
  static MemorySegment dense(Path path, MemorySegment content, Arena arena) throws FormatException {
    if (!isSparse(path, content)) {
      return content;
    }
    SparseLimit limit = new SparseLimit(content.byteSize());
    return OnnxTensors.rewrite(path, content,
        part -> part.number() == OnnxContent.GRAPH_SPARSE_INITIALIZER
            ? Protobuf.field(OnnxContent.GRAPH_INITIALIZER,
                dense(path, Protobuf.parse(path, part.bytes()), limit, arena))
            : List.of(part.whole()),
        arena);
  }

  private static List<MemorySegment> dense(Path path, Protobuf sparse, SparseLimit limit, Arena arena)
      throws FormatException {
    List<Protobuf> values = sparse.messages(path, VALUES);
    List<Protobuf> indices = sparse.messages(path, INDICES);
    if (values.size() != 1 || indices.size() != 1) {
      throw new FormatException(path, "has a sparse tensor without values or indices; export it again");
    }
    String name = values.getFirst().text(OnnxContent.TENSOR_NAME);
    OnnxTensor stored = OnnxTensor.of(path, name, values.getFirst(), new OnnxExternal(path, arena));
    List<Long> shape = sparse.integers(path, DIMS);
    Places places = Places.of(path, name, indices.getFirst(), stored.elements(), shape);
    int bytes = stored.dtype().bytes();
    MemorySegment data = arena.allocate(limit.take(path, name, bytes, shape));
    long last = -1;
    for (long i = 0; i < stored.elements(); i++) {
      long place = places.of(i);
      if (place <= last) {
        throw places.refused("place %d stands behind place %d; places ascend".formatted(place, last));
      }
      if (place >= data.byteSize() / bytes) {
        throw places.refused("place %d is beyond the shape %s; export it again".formatted(place, shape));
      }
      MemorySegment.copy(stored.data(), i * bytes, data, place * bytes, bytes);
      last = place;
    }
    return OnnxTensors.tensor(values.getFirst(), new OnnxTensor(name, stored.dtype(), shape, data));
  }

  /// Where the values of a tensor stand.
  ///
  /// @param numbers one or, with coordinates, one for each dimension of each value
  private record Places(Path path, String name, List<Long> shape, boolean hasCoordinates, MemorySegment numbers) {
    static Places of(Path path, String name, Protobuf indices, long values, List<Long> shape) throws FormatException {
      List<Long> dims = indices.integers(path, OnnxTensor.DIMS);
      boolean hasCoordinates = dims.size() == 2 && shape.size() > 1;
      List<Protobuf.Field> raw = indices.all(OnnxTensor.RAW_DATA);
      MemorySegment numbers = raw.isEmpty()
          ? MemorySegment.ofArray(
              indices.integers(path, INT64).stream().mapToLong(Long::longValue).map(Places::littleEndian).toArray())
          : raw.getLast().bytes();
      Places places = new Places(path, name, shape, hasCoordinates, numbers);
      long expected = hasCoordinates ? Math.multiplyExact(values, shape.size()) : values;
      if (!indices.integer(TYPE).equals(OptionalLong.of(INT64)) || numbers.byteSize() != expected * Long.BYTES) {
        throw places.refused("%d values of shape %s have %d bytes of indices, which are not their places in I64; %s"
            .formatted(values, shape, numbers.byteSize(), "export it again"));
      }
      return places;
    }

    private static long littleEndian(long value) {
      return ByteOrder.nativeOrder() == LITTLE_ENDIAN ? value : Long.reverseBytes(value);
    }

    /// @throws FormatException if a coordinate is beyond its dimension
    long of(long value) throws FormatException {
      if (!hasCoordinates) {
        return numbers.get(LONG, value * Long.BYTES);
      }
      long place = 0;
      for (int d = 0; d < shape.size(); d++) {
        long coordinate = numbers.get(LONG, (value * shape.size() + d) * Long.BYTES);
        if (coordinate < 0 || coordinate >= shape.get(d)) {
          throw refused("coordinate %d is beyond the shape %s; export it again".formatted(coordinate, shape));
        }
        place = place * shape.get(d) + coordinate;
      }
      return place;
    }

    FormatException refused(String problem) {
      return new FormatException(path, "sparse tensor %s: %s".formatted(quote(name), problem));
    }
  }

  /// The model with some of its tensors as sparse ones.
  ///
  /// @param tensors of the graph
  /// @param arena   takes the memory of the model
  /// @throws FormatException if a tensor is none of the graph's own or stands among its inputs, or the model is of a
  ///                         version without sparse tensors
  static MemorySegment sparse(Path path, MemorySegment content, List<OnnxTensor> tensors, Arena arena)
      throws FormatException {
    long version = Protobuf.parse(path, content).integer(MODEL_VERSION).orElse(0);
    if (version < LEAST_VERSION) {
      throw new FormatException(path, "is of version %d of the format, and sparse tensors need %d; %s"
          .formatted(version, LEAST_VERSION, "export the model with a newer version"));
    }
    Map<String, OnnxTensor> named = tensors.stream().collect(Collectors.toMap(OnnxTensor::name, tensor -> tensor));
    return OnnxTensors.replace(path, content, named.keySet(),
        tensor -> sparse(tensor, named.get(tensor.text(OnnxContent.TENSOR_NAME)), arena), Set.of(), arena);
  }

  private static List<MemorySegment> sparse(Protobuf old, OnnxTensor tensor, Arena arena) {
    int bytes = tensor.dtype().bytes();
    List<Long> count = List.of(LongStream.range(0, tensor.elements()).filter(i -> tensor.value(i) != 0).count());
    MemorySegment values = arena.allocate(count.getFirst() * bytes);
    MemorySegment indices = arena.allocate(count.getFirst() * Long.BYTES);
    long at = 0;
    for (long i = 0; i < tensor.elements(); i++) {
      if (tensor.value(i) != 0) {
        MemorySegment.copy(tensor.data(), i * bytes, values, at * bytes, bytes);
        indices.set(LONG, at * Long.BYTES, i);
        at++;
      }
    }
    List<MemorySegment> parts = new ArrayList<>(
        Protobuf.field(VALUES, OnnxTensors.tensor(old, new OnnxTensor(tensor.name(), tensor.dtype(), count, values))));
    Protobuf empty = new Protobuf(List.of());
    parts
        .addAll(
            Protobuf
                .field(INDICES,
                    Stream
                        .concat(Stream.of(Protobuf.field(TYPE, INT64)),
                            OnnxTensors.tensor(empty, new OnnxTensor("", DType.I64, count, indices)).stream())
                        .toList()));
    tensor.shape().forEach(dimension -> parts.add(Protobuf.field(DIMS, dimension)));
    return Protobuf.field(OnnxContent.GRAPH_SPARSE_INITIALIZER, parts);
  }
}
