package dev.espalier.bench;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.GpuBackend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.ResidentSamples;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.device.BackendOptions;
import dev.espalier.engine.device.Device;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.method.Sensitivity;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.scoring.Scorer;
import dev.espalier.engine.scoring.Scores;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;

/// Our side of `bench/peers/race.sh`: writes a network, samples and their scores for the peers, and times the scoring.
///
/// `PeerScores write NETWORK SAMPLES FOLDER DEVICE` or `PeerScores time NETWORK SAMPLES SECONDS DEVICE PRECISION`; a
/// network is its widths, such as `784-300-100-10`. What is written was computed in float32.
public final class PeerScores {
  private PeerScores() {}

  /// @param args see above
  public static void main(String[] args) throws IOException {
    try (Arena arena = Arena.ofShared()) {
      DenseNetwork network = Inputs.network(arena, args[1]);
      MatrixView samples = Inputs.normal(arena, 9, Integer.parseInt(args[2]), network.inputs());
      switch (args[0]) {
        case "write" -> write(network, samples, Path.of(args[3]), Device.parse(args[4]));
        case "time" ->
          time(network, samples, Double.parseDouble(args[3]), Device.parse(args[4]), Precision.parse(args[5]));
        default -> throw new IllegalArgumentException("write or time, not " + args[0]);
      }
    }
  }

  private static Scores score(Backend backend, DeviceNetwork network, SampleSource samples) throws IOException {
    return Scorer.score(backend, network, Inputs.plan(network, new Sensitivity.Jacobian(), backend.batchSize()),
        Optional.of(Dataset.of(samples)), ProgressListener.NONE);
  }

  private static Backend open(Device device, Precision precision) {
    return device.open(
        new BackendOptions(BackendOptions.availableThreads(), Optional.of(precision), OptionalLong.empty()), _ -> {});
  }

  private static void write(DenseNetwork network, MatrixView samples, Path folder, Device device) throws IOException {
    Files.createDirectories(folder);
    Files.writeString(folder.resolve("network.json"), "{\"layers\": %d}%n".formatted(network.layers().size()));
    writeArray(folder, "samples", samples);
    try (Backend backend = open(device, Precision.FP32);
        DeviceNetwork there = DeviceNetwork.copyOf(backend, network);
        Scores scores = score(backend, there, new MatrixSamples("samples", samples))) {
      for (int l = 0; l < network.layers().size(); l++) {
        DenseLayer layer = network.layers().get(l);
        writeArray(folder, "weight" + l, layer.weights());
        writeArray(folder, "bias" + l, layer.bias().orElseThrow());
        writeArray(folder, "importance" + l, backend, scores.importance(l));
        writeArray(folder, "compensation" + l, backend, scores.compensation(l).orElseThrow());
      }
    }
  }

  private static void writeArray(Path folder, String name, Backend backend, Matrix matrix) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      writeArray(folder, name, backend.download(matrix, arena));
    }
  }

  /// A .npy file, version 1.0.
  private static void writeArray(Path folder, String name, MatrixView matrix) throws IOException {
    String header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }".formatted(matrix.rows(),
        matrix.columns());
    int padded = 128 - 10;
    try (
        FileChannel file = FileChannel.open(folder.resolve(name + ".npy"), StandardOpenOption.CREATE,
            StandardOpenOption.WRITE, StandardOpenOption.READ, StandardOpenOption.TRUNCATE_EXISTING);
        Arena arena = Arena.ofConfined()) {
      ByteBuffer start = ByteBuffer.allocate(128).order(ByteOrder.LITTLE_ENDIAN)
          .put(new byte[]{(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0}).putShort((short) padded)
          .put(String.format(Locale.ROOT, "%-" + (padded - 1) + "s\n", header).getBytes(StandardCharsets.US_ASCII));
      MemorySegment mapped = file.map(FileChannel.MapMode.READ_WRITE, 0, 128 + matrix.segment().byteSize(), arena);
      MemorySegment.copy(start.array(), 0, mapped, ValueLayout.JAVA_BYTE, 0, 128);
      MemorySegment.copy(matrix.segment(), 0, mapped, 128, matrix.segment().byteSize());
    }
  }

  /// Scores for at least `seconds`, and at least three times after one to warm up; prints the times. A GPU keeps the
  /// samples, as the peer does.
  private static void time(DenseNetwork network, MatrixView samples, double seconds, Device device, Precision precision)
      throws IOException {
    SampleSource source = new MatrixSamples("samples", samples);
    try (Backend backend = open(device, precision); DeviceNetwork there = DeviceNetwork.copyOf(backend, network)) {
      if (backend instanceof GpuBackend) {
        try (ResidentSamples kept = new ResidentSamples(source, backend)) {
          time(backend, there, kept, seconds);
        }
      } else {
        time(backend, there, source, seconds);
      }
    }
  }

  private static void time(Backend backend, DeviceNetwork network, SampleSource samples, double seconds)
      throws IOException {
    StringBuilder times = new StringBuilder();
    long begin = System.nanoTime();
    for (int run = 0; run < 4 || System.nanoTime() - begin < seconds * 1e9; run++) {
      long start = System.nanoTime();
      score(backend, network, samples).close();
      Inputs.await(backend);
      if (run > 0) {
        times.append(run > 1 ? ", " : "").append((System.nanoTime() - start) * 1e-9);
      }
    }
    System.out.println("{\"seconds\": [" + times + "]}");
  }
}
