package dev.espalier.engine.pruning;

import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;

/// SHA-256 of contents, wherever they lie and whatever their files are called.
final class Fingerprint {
  private static final int BATCH = 1024;
  private static final long HEAD = 64;
  private static final long CHUNK = 1 << 20;

  private final MessageDigest digest;

  Fingerprint() {
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java has SHA-256", e);
    }
  }

  /// Of the graph, the names of the layers, and all weights and biases.
  static String of(DenseNetwork network) {
    Fingerprint fingerprint = new Fingerprint().add(network.graph().nodes().toString());
    for (DenseLayer layer : network.layers()) {
      fingerprint.add(layer.name() + " " + layer.activation() + " " + layer.hasBias()).add(layer.weights());
      layer.bias().ifPresent(fingerprint::add);
    }
    return fingerprint.toString();
  }

  /// Of the names of layers, and their matrices.
  static String of(Map<String, MatrixView> layers) {
    Fingerprint fingerprint = new Fingerprint();
    layers.forEach(
        (name, values) -> fingerprint.add("%s %s %s".formatted(name, values.rows(), values.columns())).add(values));
    return fingerprint.toString();
  }

  /// Of the first samples and labels, which tell data from others without a pass over all of them.
  ///
  /// @throws IOException if one cannot be read or is not finite
  static String ofHead(Dataset data) throws IOException {
    return of(data.first(HEAD));
  }

  /// Of all samples and labels, as they are read.
  ///
  /// @throws IOException if one cannot be read or is not finite
  static String of(Dataset data) throws IOException {
    Fingerprint fingerprint = new Fingerprint().add("%s %s %s".formatted(data.samples().samples(),
        data.samples().width(), data.labels().isPresent() ? data.labels().get().width() : 0));
    try (Batches batches = new Batches(data, BATCH)) {
      while (batches.next()) {
        fingerprint.add(batches.samples());
        if (data.labels().isPresent()) {
          fingerprint.add(batches.labels());
        }
      }
    }
    return fingerprint.toString();
  }

  Fingerprint add(String text) {
    digest.update(text.getBytes(StandardCharsets.UTF_8));
    digest.update((byte) 0);
    return this;
  }

  Fingerprint add(MatrixView values) {
    for (long done = 0, count; done < values.segment().byteSize(); done += count) {
      count = Math.min(CHUNK, values.segment().byteSize() - done);
      digest.update(values.segment().asSlice(done, count).asByteBuffer());
    }
    return this;
  }

  /// Of what was added, in hexadecimal digits; once.
  @Override
  public String toString() {
    return HexFormat.of().formatHex(digest.digest());
  }
}
