package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/// Writes an ONNX model, and beside it the elements of tensors that do not lie in the model itself: those that did not
/// before, and all large ones if the model's message would become too large.
final class OnnxOutput {
  /// Bytes of a message that readers take.
  static final long MOST_BYTES = Integer.MAX_VALUE;
  /// Smaller tensors stay in the message.
  static final long LEAST_OUTSIDE = 1 << 10;
  /// Tensors from this size on begin at pages, so that readers can map them.
  private static final long LARGE = 1 << 20;
  private static final int PAGE = 1 << 12;
  private static final int ALIGNMENT = 1 << 6;
  private static final String SUFFIX = ".data";

  private final Path path;
  private final MemorySegment model;
  private final OnnxExternal external;
  private final Set<String> outside;
  private final long mostBytes;

  /// Other bytes in the place of some.
  ///
  /// @param tensor its name
  /// @param old   where the bytes lie, in the model or in another file
  /// @param bytes as many
  record Patch(String tensor, MemorySegment old, MemorySegment bytes) {
    private boolean isIn(MemorySegment part) {
      return part.isNative() && old.address() >= part.address()
          && old.address() - part.address() <= part.byteSize() - old.byteSize();
    }
  }

  /// A tensor in the other file.
  private record Moved(String name, MemorySegment elements) {}

  /// @param path      of the file that was read
  /// @param outside   names of tensors that go to the other file, besides those that come from one
  /// @param mostBytes of the model's file
  OnnxOutput(Path path, MemorySegment model, OnnxExternal external, Set<String> outside, long mostBytes) {
    this.path = path;
    this.model = model;
    this.external = external;
    this.outside = outside;
    this.mostBytes = mostBytes;
  }

  /// The file beside a model that holds elements of its tensors.
  static Path data(Path target) {
    return target.resolveSibling(target.getFileName() + SUFFIX);
  }

  /// The files of a model.
  ///
  /// @param isSplit whether it has a file beside it
  static List<Path> written(Path target, boolean isSplit) {
    return isSplit ? List.of(target, data(target)) : List.of(target);
  }

  /// Whether there is such a file.
  boolean isSplit() throws FormatException {
    for (Protobuf tensor : tensors()) {
      if (isMoved(tensor)) {
        return true;
      }
    }
    return false;
  }

  /// Refuses, before any work is done, a model that cannot be written whole.
  ///
  /// @throws FormatException if a tensor that is no initializer of the graph lies in another file, and the message names
  ///                         its node; or if an initializer lies where its bytes cannot be read
  void requireWritable(Path target) throws FormatException {
    OnnxInner.requireInside(path, model, target);
    for (Protobuf tensor : tensors()) {
      if (isMoved(tensor)) {
        elements(tensor);
      }
    }
  }

  /// The initializers of the model.
  private List<Protobuf> tensors() throws FormatException {
    return tensors(path, model);
  }

  /// The initializers of a model.
  static List<Protobuf> tensors(Path path, MemorySegment model) throws FormatException {
    List<Protobuf> tensors = new ArrayList<>();
    for (Protobuf graph : Protobuf.parse(path, model).messages(path, OnnxContent.MODEL_GRAPH)) {
      tensors.addAll(graph.messages(path, OnnxContent.GRAPH_INITIALIZER));
    }
    return tensors;
  }

  private boolean isMoved(Protobuf tensor) {
    if (OnnxExternal.isOutside(tensor) || outside.contains(tensor.text(OnnxContent.TENSOR_NAME))) {
      return true;
    }
    List<Protobuf.Field> raw = tensor.all(OnnxTensor.RAW_DATA);
    return model.byteSize() > mostBytes && !raw.isEmpty() && raw.getLast().bytes().byteSize() >= LEAST_OUTSIDE;
  }

  /// The bytes of a tensor that is moved, which may be of any dtype because most tensors are no part of the network.
  private MemorySegment elements(Protobuf tensor) throws FormatException {
    return OnnxExternal.isOutside(tensor)
        ? external.data(tensor.text(OnnxContent.TENSOR_NAME), tensor)
        : tensor.all(OnnxTensor.RAW_DATA).getLast().bytes();
  }

  /// @param patches of tensors
  /// @throws FormatException if a patched tensor is written to neither of the files
  void write(AtomicOutputs outputs, Path target, boolean overwrite, List<Patch> patches) throws IOException {
    Map<String, MemorySegment> changed = new HashMap<>();
    patches.forEach(patch -> changed.put(patch.tensor, patch.bytes));
    List<Moved> data = new ArrayList<>();
    List<MemorySegment> message = message(target, data);
    requireWritten(target, patches, message, data);
    outputs.write(target, overwrite, channel -> {
      for (MemorySegment part : message) {
        copy(channel, part, patches);
      }
    });
    writeData(outputs, target, overwrite,
        data.stream().map(tensor -> changed.getOrDefault(tensor.name, tensor.elements)).toList());
  }

  /// Writes the file beside a model, each tensor where [#aligned] says.
  ///
  /// @param data elements of tensors; without any, there is no such file
  static void writeData(AtomicOutputs outputs, Path target, boolean overwrite, List<MemorySegment> data)
      throws IOException {
    if (!data.isEmpty()) {
      outputs.write(data(target), overwrite, channel -> {
        for (MemorySegment elements : data) {
          pad(channel, elements.byteSize());
          copy(channel, elements);
        }
      });
    }
  }

  /// Otherwise the file would silently keep the old bytes.
  private static void requireWritten(Path target, List<Patch> patches, List<MemorySegment> message, List<Moved> data)
      throws FormatException {
    Set<String> moved = data.stream().map(Moved::name).collect(Collectors.toSet());
    for (Patch patch : patches) {
      if (!moved.contains(patch.tensor) && message.stream().noneMatch(patch::isIn)) {
        throw new FormatException(target,
            "not written: the elements of tensor %s would stay as they were; export the model with initializers"
                .formatted(quote(patch.tensor)));
      }
    }
  }

  /// The parts of the model's file.
  ///
  /// @param data gains the parts of the other file
  private List<MemorySegment> message(Path target, List<Moved> data) throws FormatException {
    if (!isSplit()) {
      return List.of(model);
    }
    String location = data(target).getFileName().toString();
    long[] end = {0};
    return OnnxTensors.parts(path, model, part -> {
      Protobuf tensor = part.number() == OnnxContent.GRAPH_INITIALIZER
          ? Protobuf.parse(path, part.bytes())
          : new Protobuf(List.of());
      if (!isMoved(tensor)) {
        return List.of(part.whole());
      }
      String name = tensor.text(OnnxContent.TENSOR_NAME);
      MemorySegment elements = elements(tensor);
      long offset = aligned(end[0], elements.byteSize());
      end[0] = offset + elements.byteSize();
      data.add(new Moved(name, elements));
      return Protobuf.field(OnnxContent.GRAPH_INITIALIZER,
          OnnxExternal.fields(tensor, location, offset, elements.byteSize()));
    });
  }

  /// Where a tensor begins.
  ///
  /// @param end of the tensor before it
  static long aligned(long end, long bytes) {
    return Math.ceilDiv(end, bytes < LARGE ? ALIGNMENT : PAGE) * (bytes < LARGE ? ALIGNMENT : PAGE);
  }

  private static void pad(FileChannel channel, long bytes) throws IOException {
    long end = channel.position();
    AtomicOutput.writeFully(channel, ByteBuffer.allocate((int) (aligned(end, bytes) - end)));
  }

  /// @param patches of which those that lie in the part are made
  private static void copy(FileChannel channel, MemorySegment part, List<Patch> patches) throws IOException {
    long at = 0;
    List<Patch> inside = patches.stream().filter(patch -> patch.isIn(part))
        .sorted((a, b) -> Long.compare(a.old.address(), b.old.address())).toList();
    for (Patch patch : inside) {
      long offset = patch.old.address() - part.address();
      copy(channel, part.asSlice(at, offset - at));
      copy(channel, patch.bytes);
      at = offset + patch.bytes.byteSize();
    }
    copy(channel, part.asSlice(at));
  }

  private static void copy(FileChannel channel, MemorySegment bytes) throws IOException {
    long most = 1 << 20;
    for (long done = 0; done < bytes.byteSize(); done += most) {
      AtomicOutput.writeFully(channel, bytes.asSlice(done, Math.min(most, bytes.byteSize() - done)).asByteBuffer());
    }
  }
}
