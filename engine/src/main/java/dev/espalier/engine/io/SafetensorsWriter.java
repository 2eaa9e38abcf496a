package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.io.SafetensorsHeader.Entry;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Writes safetensors files, as a whole or not at all ([AtomicOutput]), tensor by tensor through a
/// small buffer.
public final class SafetensorsWriter {
  private static final int BUFFER_BYTES = 1 << 20;

  private SafetensorsWriter() {}

  /// A tensor to write: the bytes of `original` where `values` is null, else `values` in the tensor's dtype,
  /// save for elements that equal those of `original`, which may be null.
  ///
  /// @param pruned whether a value of zero is written as zero whatever `original` holds
  private record Block(String name, DType dtype, List<Long> shape, MemorySegment original, MatrixView values,
      boolean pruned) {
    static Block of(String name, DType dtype, List<Long> shape, MemorySegment original, MatrixView values,
        boolean pruned) {
      boolean asInMemory = dtype == DType.F32 && ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN;
      return values != null && asInMemory
          ? new Block(name, dtype, shape, values.segment(), null, pruned)
          : new Block(name, dtype, shape, original, values, pruned);
    }

    long bytes() {
      return values == null ? original.byteSize() : values.elements() * dtype.bytes();
    }
  }

  /// Writes a new file.
  ///
  /// @param tensors in the order that the header is to have; larger element types lie first in the data,
  ///                which keeps every tensor aligned
  /// @throws IOException as [AtomicOutput#write], or if a value is beyond the range of its tensor's dtype
  /// @throws IllegalArgumentException if two tensors have one name
  public static void write(Path target, boolean overwrite, List<NewTensor> tensors, Map<String, String> metadata)
      throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      write(outputs, target, overwrite, tensors, metadata);
      outputs.commit();
    }
  }

  /// As the other; the file appears when `outputs` are committed.
  static void write(AtomicOutputs outputs, Path target, boolean overwrite, List<NewTensor> tensors,
      Map<String, String> metadata) throws IOException {
    writeBlocks(outputs, target, overwrite, metadata, List.of(), new ArrayList<>(), tensors);
  }

  /// Writes `original` again with some tensors changed and some added behind. Names, order, dtypes, shapes,
  /// metadata and all other bytes stay as they are; the header too, if nothing is added. An element whose new
  /// value is the old one rounded to float32 keeps its bytes, so that an untouched F64 survives exactly.
  ///
  /// @param target may be the file that `original` maps
  /// @param changed by name: the new values, as many rows and columns as [SafetensorsFile#asFloat32] gives
  /// @param added tensors that `original` lacks
  /// @throws IOException as [AtomicOutput#write], or if a value is beyond the range of its tensor's dtype
  /// @throws IllegalArgumentException if a changed tensor does not exist, is not writable or has another
  ///                                  shape, or an added one exists
  public static void rewrite(SafetensorsFile original, Path target, boolean overwrite, Map<String, MatrixView> changed,
      List<NewTensor> added) throws IOException {
    try (AtomicOutputs outputs = new AtomicOutputs()) {
      rewrite(outputs, original, target, overwrite, changed, Set.of(), added);
      outputs.commit();
    }
  }

  /// As the other; the file appears when `outputs` are committed.
  ///
  /// @param pruned names of changed tensors whose zeros are removed elements: they are written as zeros also
  ///               where the old F64 is one that float32 rounds to zero
  static void rewrite(AtomicOutputs outputs, SafetensorsFile original, Path target, boolean overwrite,
      Map<String, MatrixView> changed, Set<String> pruned, List<NewTensor> added) throws IOException {
    changed.forEach((name, values) -> checkChange(original, name, values));
    List<Block> blocks = new ArrayList<>();
    for (Tensor tensor : original.tensors().stream()
        .sorted(Comparator.comparingLong(original::offset).thenComparingLong(Tensor::elements)).toList()) {
      blocks.add(Block.of(tensor.name(), tensor.dtype(), tensor.shape(), tensor.data(), changed.get(tensor.name()),
          pruned.contains(tensor.name())));
    }
    if (added.isEmpty()) {
      outputs.write(target, overwrite, channel -> {
        writeHeader(channel, original.header().asByteBuffer());
        writeData(channel, target, blocks);
      });
    } else {
      List<String> names = original.tensors().stream().map(Tensor::name).toList();
      writeBlocks(outputs, target, overwrite, original.metadata(), names, blocks, added);
    }
  }

  /// Puts new values into a file that [#rewrite] has written, in place, by the rules of [#rewrite].
  ///
  /// @param outputs with which the file appears
  /// @param original that was written again, with nothing added
  static void change(AtomicOutputs outputs, SafetensorsFile original, Path target, Map<String, MatrixView> changed,
      Set<String> pruned) throws IOException {
    changed.forEach((name, values) -> checkChange(original, name, values));
    outputs.change(target, channel -> {
      for (Map.Entry<String, MatrixView> change : changed.entrySet()) {
        Tensor tensor = original.tensor(change.getKey()).orElseThrow();
        channel.position(original.offset(tensor));
        writeData(channel, target, List.of(Block.of(tensor.name(), tensor.dtype(), tensor.shape(), tensor.data(),
            change.getValue(), pruned.contains(tensor.name()))));
      }
    });
  }

  private static void checkChange(SafetensorsFile original, String name, MatrixView values) {
    Tensor tensor = original.tensor(name)
        .orElseThrow(() -> new IllegalArgumentException("no tensor " + quote(name) + " in " + original.path()));
    List<Long> shape = tensor.shape();
    boolean fits = (tensor.dtype().isWritable() || tensor.dtype() == DType.BOOL) && shape.size() <= 2
        && values.elements() == tensor.elements() && values.columns() == (shape.isEmpty() ? 1 : shape.getLast());
    if (!fits) {
      throw new IllegalArgumentException("tensor %s is %s of shape %s, the new values are %d × %d float32"
          .formatted(quote(name), tensor.dtype(), shape, values.rows(), values.columns()));
    }
  }

  /// Adds the new tensors to `blocks`, which are in data order, and behind `names` in the header.
  private static void writeBlocks(AtomicOutputs outputs, Path target, boolean overwrite, Map<String, String> metadata,
      List<String> names, List<Block> blocks, List<NewTensor> added) throws IOException {
    Set<String> headerOrder = new LinkedHashSet<>(names);
    for (NewTensor tensor : added) {
      if (!headerOrder.add(tensor.name())) {
        throw new IllegalArgumentException("tensor %s exists already".formatted(quote(tensor.name())));
      }
      blocks.add(place(tensor.dtype(), blocks),
          Block.of(tensor.name(), tensor.dtype(), tensor.shape(), null, tensor.values(), false));
    }
    Map<String, Entry> entries = new HashMap<>();
    long begin = 0;
    for (Block block : blocks) {
      long end = begin + block.bytes();
      entries.put(block.name, new Entry(block.name, block.dtype, block.shape, begin, end));
      begin = end;
    }
    byte[] json = new SafetensorsHeader(metadata, headerOrder.stream().map(entries::get).toList()).toJson();
    outputs.write(target, overwrite, channel -> {
      writeHeader(channel, ByteBuffer.wrap(json));
      writeData(channel, target, blocks);
    });
  }

  /// Behind the last tensor whose elements are as large: readers want tensors aligned to their elements, and
  /// the format allows no gaps.
  private static int place(DType dtype, List<Block> blocks) {
    int place = blocks.size();
    while (place > 0 && blocks.get(place - 1).dtype.bits() < dtype.bits()) {
      place--;
    }
    return place;
  }

  private static void writeHeader(FileChannel channel, ByteBuffer json) throws IOException {
    ByteBuffer length = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    AtomicOutput.writeFully(channel, length.putLong(json.remaining()).flip());
    AtomicOutput.writeFully(channel, json);
  }

  private static void writeData(FileChannel channel, Path target, List<Block> blocks) throws IOException {
    MemorySegment buffer = MemorySegment.ofBuffer(ByteBuffer.allocateDirect(BUFFER_BYTES));
    for (Block block : blocks) {
      if (block.values == null) {
        for (long done = 0, count; done < block.bytes(); done += count) {
          count = Math.min(BUFFER_BYTES, block.bytes() - done);
          AtomicOutput.writeFully(channel, block.original.asSlice(done, count).asByteBuffer());
        }
      } else {
        int bytes = block.dtype.bytes();
        for (long done = 0, count; done < block.values.elements(); done += count) {
          count = Math.min(BUFFER_BYTES / bytes, block.values.elements() - done);
          encode(target, block, done, count, buffer);
          AtomicOutput.writeFully(channel, buffer.asSlice(0, count * bytes).asByteBuffer());
        }
      }
    }
  }

  private static void encode(Path target, Block block, long first, long count, MemorySegment buffer)
      throws FormatException {
    for (long i = 0; i < count; i++) {
      encode(target, block.name, block.dtype, block.original, block.pruned, first + i,
          block.values.segment().getAtIndex(MatrixView.ELEMENT, first + i), buffer, i);
    }
  }

  /// Writes a value as element `to` of `buffer`, or the bytes of element `from` of `original`, which may be null, if it
  /// is that one rounded.
  ///
  /// @param pruned whether a value of zero is written as zero whatever `original` holds
  /// @throws FormatException if the value is beyond the range of the type
  static void encode(Path target, String name, DType dtype, MemorySegment original, boolean pruned, long from,
      float value, MemorySegment buffer, long to) throws FormatException {
    boolean removed = pruned && value == 0;
    if (original != null && !removed && sameBits(value, dtype.read(original, from))) {
      MemorySegment.copy(original, from * dtype.bytes(), buffer, to * dtype.bytes(), dtype.bytes());
    } else {
      dtype.write(buffer, to, value);
      if (Float.isFinite(value) && !Float.isFinite(dtype.read(buffer, to))) {
        throw new FormatException(target, "not written: element %d of tensor %s is %s, beyond the range of %s; "
            .formatted(from, quote(name), value, dtype) + "save the model as F32 first, in PyTorch by model.float()");
      }
    }
  }

  /// NaNs are all the same: whether a conversion by way of double makes a signalling one quiet depends on the compiler.
  private static boolean sameBits(float a, float b) {
    return Float.floatToIntBits(a) == Float.floatToIntBits(b);
  }
}
