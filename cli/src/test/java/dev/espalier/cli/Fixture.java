package dev.espalier.cli;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Random;
import java.util.stream.Stream;

/// Small files to run commands on: samples of four numbers in three classes, and a network 4-8-3.
record Fixture(Path folder, Path data, Path labels, Path model) {
  static final int SAMPLES = 300;

  static Fixture in(Path folder) throws IOException {
    Random random = new Random(1);
    StringBuilder data = new StringBuilder();
    StringBuilder labels = new StringBuilder();
    for (int n = 0; n < SAMPLES; n++) {
      int label = n % 3;
      for (int j = 0; j < 4; j++) {
        data.append(j == 0 ? "" : ",")
            .append(String.format(Locale.ROOT, "%.4f", 0.3 * random.nextGaussian() + (j == label ? 1 : 0)));
      }
      data.append('\n');
      labels.append(label).append('\n');
    }
    Fixture fixture = new Fixture(folder, folder.resolve("x.csv"), folder.resolve("y.csv"),
        folder.resolve("model.safetensors"));
    Files.writeString(fixture.data, data);
    Files.writeString(fixture.labels, labels);
    Cli.succeed("train", "--data", fixture.data, "--labels", fixture.labels, "--layers", "4,8,3", "--epochs", 30,
        "--learning-rate", 0.01, "-o", fixture.model, "--quiet");
    return fixture;
  }

  /// A command with more arguments.
  static Object[] with(Object[] command, Object... more) {
    return Stream.concat(Arrays.stream(command), Arrays.stream(more)).toArray();
  }

  Path file(String name) {
    return folder.resolve(name);
  }

  Path write(String name, byte... content) throws IOException {
    return Files.write(file(name), content);
  }

  /// A safetensors file of this header and zeros behind it.
  Path safetensors(String name, String header, int dataBytes) throws IOException {
    return write(name, safetensors(header, new byte[dataBytes]));
  }

  /// A safetensors file of this header and these values behind it.
  Path safetensors(String name, String header, float... values) throws IOException {
    ByteBuffer data = ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(values);
    return write(name, safetensors(header, data.array()));
  }

  private static byte[] safetensors(String header, byte[] data) throws IOException {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    bytes.write(ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(json.length).array());
    bytes.write(json);
    bytes.write(data);
    return bytes.toByteArray();
  }
}
