package dev.espalier.spark;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.function.FlatMapFunction;
import org.apache.spark.sql.catalyst.InternalRow;

/// Counts the rows of a partition, and hashes all their values in order, where that is wanted. It emits the count, and then
/// the hash.
///
/// @param isHashed whether a hash is wanted
record PartitionScan(List<RowReader> readers,
    boolean isHashed) implements FlatMapFunction<Iterator<InternalRow>, byte[]>, Serializable {
  /// Bytes that are hashed at a time.
  private static final int BUFFER = 1 << 16;

  @Override
  public Iterator<byte[]> call(Iterator<InternalRow> rows) {
    MessageDigest digest = sha256();
    ByteBuffer buffer = ByteBuffer.allocate(BUFFER);
    long count = 0;
    while (rows.hasNext()) {
      InternalRow row = rows.next();
      if (isHashed) {
        readers.forEach(reader -> reader.eachValue(row, value -> {
          if (buffer.remaining() < Long.BYTES) {
            digest.update(buffer.flip());
            buffer.clear();
          }
          buffer.putLong(value);
        }));
      }
      count++;
    }
    byte[] hash = isHashed ? update(digest, buffer.flip()).digest() : new byte[0];
    return Collections.singleton(ByteBuffer.allocate(Long.BYTES + hash.length).putLong(count).put(hash).array())
        .iterator();
  }

  /// The rows of the partition that emitted this.
  static long count(byte[] emitted) {
    return ByteBuffer.wrap(emitted).getLong();
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java has SHA-256", e);
    }
  }

  private static MessageDigest update(MessageDigest digest, ByteBuffer last) {
    digest.update(last);
    return digest;
  }
}
