package dev.espalier.engine.io;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;

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
  record Field(int number, long value, MemorySegment bytes) {}

  /// @throws FormatException if the bytes are no message
  static Protobuf parse(Path path, MemorySegment message) throws FormatException {
    List<Field> fields = new ArrayList<>();
    Cursor cursor = new Cursor(path, message);
    while (cursor.at < message.byteSize()) {
      long key = cursor.varint();
      int number = (int) (key >>> 3);
      MemorySegment none = message.asSlice(0, 0);
      fields.add(switch ((int) (key & 7)) {
        case VARINT -> new Field(number, cursor.varint(), none);
        case FIXED_64 -> new Field(number,
            cursor.take(Long.BYTES).get(ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN), 0), none);
        case FIXED_32 -> new Field(number,
            cursor.take(Integer.BYTES).get(ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN), 0), none);
        case BYTES -> new Field(number, 0, cursor.take(cursor.varint()));
        default -> throw cursor.damaged();
      });
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

  private static String text(MemorySegment bytes) {
    return new String(bytes.toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
  }
}
