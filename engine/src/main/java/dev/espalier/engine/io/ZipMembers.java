package dev.espalier.engine.io;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/// The members of a mapped zip archive where they lie in it. `java.util.zip` only copies them.
final class ZipMembers {
  private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

  private static final int END = 0x06054b50;
  private static final int END_BYTES = 22;
  private static final int LONG_END = 0x06064b50;
  private static final int LONG_END_BYTES = 56;
  private static final int LOCATOR = 0x07064b50;
  private static final int LOCATOR_BYTES = 20;
  private static final int ENTRY = 0x02014b50;
  private static final int ENTRY_BYTES = 46;
  private static final int LOCAL = 0x04034b50;
  private static final int LOCAL_BYTES = 30;
  private static final int LONGEST_COMMENT = 0xffff;
  private static final long IN_EXTRA = 0xffffffffL;

  /// A member.
  ///
  /// @param data as it lies in the archive
  record Member(MemorySegment data, boolean isCompressed) {}

  private final Path path;
  private final MemorySegment file;

  private ZipMembers(Path path, MemorySegment file) {
    this.path = path;
    this.file = file;
  }

  /// The members by name, in the order of the directory.
  ///
  /// @throws FormatException if the archive is damaged
  static Map<String, Member> of(Path path, MemorySegment file) throws FormatException {
    return new ZipMembers(path, file).members();
  }

  private Map<String, Member> members() throws FormatException {
    Map<String, Member> members = new LinkedHashMap<>();
    MemorySegment directory = directory();
    for (long at = 0; at < directory.byteSize();) {
      MemorySegment entry = slice(directory, at, ENTRY_BYTES);
      if (entry.get(INT, 0) != ENTRY) {
        throw damaged();
      }
      int nameBytes = Short.toUnsignedInt(entry.get(SHORT, 28));
      int extraBytes = Short.toUnsignedInt(entry.get(SHORT, 30));
      int commentBytes = Short.toUnsignedInt(entry.get(SHORT, 32));
      String name = new String(slice(directory, at + ENTRY_BYTES, nameBytes).toArray(ValueLayout.JAVA_BYTE),
          StandardCharsets.UTF_8);
      MemorySegment extra = slice(directory, at + ENTRY_BYTES + nameBytes, extraBytes);
      if (members.put(name, new Member(data(entry, extra), entry.get(SHORT, 10) != 0)) != null) {
        throw damaged();
      }
      at += ENTRY_BYTES + nameBytes + extraBytes + (long) commentBytes;
    }
    return members;
  }

  /// The list of members, near the end of the file.
  private MemorySegment directory() throws FormatException {
    long end = file.byteSize() - END_BYTES;
    long first = Math.max(0, end - LONGEST_COMMENT);
    while (end >= first && file.get(INT, end) != END) {
      end--;
    }
    if (end < first) {
      throw damaged();
    }
    long bytes = Integer.toUnsignedLong(file.get(INT, end + 12));
    long offset = Integer.toUnsignedLong(file.get(INT, end + 16));
    if (offset == IN_EXTRA || bytes == IN_EXTRA) {
      MemorySegment locator = slice(file, end - LOCATOR_BYTES, LOCATOR_BYTES);
      MemorySegment longEnd = slice(file, locator.get(LONG, 8), LONG_END_BYTES);
      if (locator.get(INT, 0) != LOCATOR || longEnd.get(INT, 0) != LONG_END) {
        throw damaged();
      }
      bytes = longEnd.get(LONG, 40);
      offset = longEnd.get(LONG, 48);
    }
    return slice(file, offset, bytes);
  }

  private MemorySegment data(MemorySegment entry, MemorySegment extra) throws FormatException {
    long stored = Integer.toUnsignedLong(entry.get(INT, 20));
    long bytes = Integer.toUnsignedLong(entry.get(INT, 24));
    long offset = Integer.toUnsignedLong(entry.get(INT, 42));
    for (long at = 0; at + 4 <= extra.byteSize(); at += 4L + Short.toUnsignedInt(extra.get(SHORT, at + 2))) {
      if (extra.get(SHORT, at) == 1) {
        long next = at + 4; // those that are beyond 32 bits, in this order
        if (bytes == IN_EXTRA) {
          bytes = slice(extra, next, Long.BYTES).get(LONG, 0);
          next += Long.BYTES;
        }
        if (stored == IN_EXTRA) {
          stored = slice(extra, next, Long.BYTES).get(LONG, 0);
          next += Long.BYTES;
        }
        if (offset == IN_EXTRA) {
          offset = slice(extra, next, Long.BYTES).get(LONG, 0);
        }
      }
    }
    MemorySegment local = slice(file, offset, LOCAL_BYTES);
    if (local.get(INT, 0) != LOCAL) {
      throw damaged();
    }
    long before = LOCAL_BYTES + (long) Short.toUnsignedInt(local.get(SHORT, 26))
        + Short.toUnsignedInt(local.get(SHORT, 28));
    return slice(file, offset + before, stored);
  }

  private MemorySegment slice(MemorySegment of, long offset, long bytes) throws FormatException {
    if (offset < 0 || bytes < 0 || offset > of.byteSize() || bytes > of.byteSize() - offset) {
      throw damaged();
    }
    return of.asSlice(offset, bytes);
  }

  private FormatException damaged() {
    return new FormatException(path, "is no whole zip archive; copy it or save it again");
  }
}
