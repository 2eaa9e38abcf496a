package dev.espalier.engine.io;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.Stream;

/// The fields of a message of Protocol Buffers, seen where they lie.
///
/// @param fields in their order
record Protobuf(List<Field> fields) {
  private static final int VARINT = 0;
  private static final int FIXED_64 = 1;
  private static final int BYTES = 2;
  private static final int FIXED_32 = 5;

  /// A field.
  ///
  /// @param value of a number; the bits of one of fixed width
  /// @param bytes of a text, of a message, or of packed numbers; otherwise empty
  /// @param whole with its number
  record Field(int number, long value, MemorySegment bytes, MemorySegment whole) {}

  /// @throws FormatException if the bytes are no message
  static Protobuf parse(Path path, MemorySegment message) throws FormatException {
    List<Field> fields = new ArrayList<>();
    Cursor cursor = new Cursor(path, message);
    while (cursor.at < message.byteSize()) {
      long start = cursor.at;
      long key = cursor.varint();
      long value = 0;
      MemorySegment bytes = message.asSlice(0, 0);
      switch ((int) (key & 7)) {
        case VARINT -> value = cursor.varint();
        case FIXED_64 ->
          value = cursor.take(Long.BYTES).get(ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN), 0);
        case FIXED_32 ->
          value = cursor.take(Integer.BYTES).get(ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN), 0);
        case BYTES -> bytes = cursor.take(cursor.varint());
        default -> throw cursor.damaged();
      }
      fields.add(new Field((int) (key >>> 3), value, bytes, message.asSlice(start, cursor.at - start)));
    }
    return new Protobuf(fields);
  }

  private static final class Cursor {
    private final Path path;
    private final MemorySegment message;
    private long at;

    Cursor(Path path, MemorySegment message) {
      this.path = path;
      this.message = message;
    }

    long varint() throws FormatException {
      long value = 0;
      for (int shift = 0; shift < Long.SIZE; shift += 7) {
        long next = take(1).get(ValueLayout.JAVA_BYTE, 0);
        value |= (next & 0x7f) << shift;
        if (next >= 0) {
          return value;
        }
      }
      throw damaged();
    }

    MemorySegment take(long count) throws FormatException {
      if (count < 0 || count > message.byteSize() - at) {
        throw damaged();
      }
      at += count;
      return message.asSlice(at - count, count);
    }

    FormatException damaged() {
      return new FormatException(path, "is no whole ONNX model; copy it or export it again");
    }
  }

  /// A message of fields that lie in no file.
  static Protobuf of(List<MemorySegment> fields) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    fields.forEach(field -> bytes.writeBytes(field.toArray(ValueLayout.JAVA_BYTE)));
    try {
      return parse(Path.of(""), MemorySegment.ofArray(bytes.toByteArray()));
    } catch (FormatException e) {
      throw new IllegalArgumentException("no message", e);
    }
  }

  /// A field that holds a text, a message or bytes, in parts.
  static List<MemorySegment> field(int number, List<MemorySegment> parts) {
    long size = parts.stream().mapToLong(MemorySegment::byteSize).sum();
    ByteArrayOutputStream head = new ByteArrayOutputStream();
    varint(head, ((long) number << 3) | BYTES);
    varint(head, size);
    return Stream.concat(Stream.of(MemorySegment.ofArray(head.toByteArray())), parts.stream()).toList();
  }

  /// A field that holds a number.
  static MemorySegment field(int number, long value) {
    ByteArrayOutputStream field = new ByteArrayOutputStream();
    varint(field, ((long) number << 3) | VARINT);
    varint(field, value);
    return MemorySegment.ofArray(field.toByteArray());
  }

  /// A field that holds a float32.
  static MemorySegment field(int number, float value) {
    ByteArrayOutputStream field = new ByteArrayOutputStream();
    varint(field, ((long) number << 3) | FIXED_32);
    field.writeBytes(ByteBuffer.allocate(Float.BYTES).order(LITTLE_ENDIAN).putFloat(value).array());
    return MemorySegment.ofArray(field.toByteArray());
  }

  /// A message of these fields.
  ///
  /// @param arena takes its memory
  static MemorySegment joined(List<MemorySegment> fields, Arena arena) {
    MemorySegment whole = arena.allocate(fields.stream().mapToLong(MemorySegment::byteSize).sum());
    long at = 0;
    for (MemorySegment field : fields) {
      MemorySegment.copy(field, 0, whole, at, field.byteSize());
      at += field.byteSize();
    }
    return whole;
  }

  private static void varint(ByteArrayOutputStream out, long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      out.write((int) ((rest & 0x7f) | 0x80));
      rest >>>= 7;
    }
    out.write((int) rest);
  }

  List<Field> all(int number) {
    return fields.stream().filter(field -> field.number == number).toList();
  }

  List<Protobuf> messages(Path path, int number) throws FormatException {
    List<Protobuf> messages = new ArrayList<>();
    for (Field field : all(number)) {
      messages.add(parse(path, field.bytes));
    }
    return messages;
  }

  List<String> texts(int number) {
    return all(number).stream().map(field -> text(field.bytes)).toList();
  }

  /// The last text of that number; empty if there is none.
  String text(int number) {
    return texts(number).isEmpty() ? "" : texts(number).getLast();
  }

  OptionalLong integer(int number) {
    return all(number).stream().mapToLong(Field::value).reduce((_, last) -> last);
  }

  /// Repeated integers, packed or not.
  List<Long> integers(Path path, int number) throws FormatException {
    List<Long> values = new ArrayList<>();
    for (Field field : all(number)) {
      if (field.bytes.byteSize() == 0) {
        values.add(field.value);
        continue;
      }
      Cursor cursor = new Cursor(path, field.bytes);
      while (cursor.at < field.bytes.byteSize()) {
        values.add(cursor.varint());
      }
    }
    return values;
  }

  /// Repeated float32 numbers, packed or not.
  List<Float> floats(int number) {
    List<Float> values = new ArrayList<>();
    for (Field field : all(number)) {
      if (field.bytes.byteSize() == 0) {
        values.add(Float.intBitsToFloat((int) field.value));
      }
      for (long at = 0; at + Float.BYTES <= field.bytes.byteSize(); at += Float.BYTES) {
        values.add(field.bytes.get(ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LITTLE_ENDIAN), at));
      }
    }
    return values;
  }

  private static String text(MemorySegment bytes) {
    return new String(bytes.toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
  }
}
