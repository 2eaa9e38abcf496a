package dev.espalier.engine.io;

import com.sun.management.ThreadMXBean;
import dev.espalier.engine.EspalierException;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.network.Activations;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Reads any bytes as files of every format, for Jazzer: the first byte chooses the name, the others are the content.
/// They are read or refused by one line, and take no more heap than a multiple of their length.
public final class ParserFuzz {
  /// The names of files, which decide on the reader; new ones go to the end, since inputs count them.
  static final List<String> NAMES = List.of("x.npy", "x.npy.gz", "x.npz", "x.safetensors", "x.csv", "x.csv.gz", "x-idx",
      "x.gz", "m.safetensors", "model.safetensors.index.json", "m.pt", "m.onnx");

  /// Streams and their buffers, and what a file of no bytes takes.
  private static final long LEAST_HEAP = 16 << 20;
  private static final long HEAP_PER_BYTE = 2000; // of a deflated file, which may hold 1032 times its bytes

  private static final int WIDEST = 1 << 16;
  /// In which a model's index finds one of its files.
  private static Path folder;

  private ParserFuzz() {}

  /// Jazzer's first call.
  public static void fuzzerInitialize() throws IOException {
    folder = Files.createTempDirectory("espalier-fuzz");
    Files.write(folder.resolve("part.safetensors"), TestFiles
        .safetensors("{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}", new byte[8]));
  }

  /// Jazzer's entry point.
  public static void fuzzerTestOneInput(byte[] input) throws IOException {
    if (input.length == 0) {
      return;
    }
    Path file = folder.resolve(NAMES.get(Math.floorMod(input[0], NAMES.size())));
    Files.write(file, Arrays.copyOfRange(input, 1, input.length));
    long heap = heapOfReading(file);
    if (heap > most(input)) { // the first reading may have loaded classes, and instrumented them
      heap = heapOfReading(file);
    }
    if (heap > most(input)) {
      throw new IllegalStateException(
          "%d bytes of %s take more than %d bytes of heap".formatted(input.length, file.getFileName(), most(input)));
    }
  }

  private static long most(byte... input) {
    return LEAST_HEAP + HEAP_PER_BYTE * input.length;
  }

  private static long heapOfReading(Path file) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    try {
      read(file);
    } catch (IOException | UncheckedIOException | EspalierException e) {
      if (e.getMessage() == null || e.getMessage().lines().count() != 1) {
        throw new IllegalStateException("not one line: " + e.getMessage(), e);
      }
    }
    return threads.getCurrentThreadAllocatedBytes() - before;
  }

  private static void read(Path file) throws IOException {
    String name = file.getFileName().toString();
    if (name.startsWith("m")) {
      try (Arena arena = Arena.ofConfined()) {
        ModelFile.load(file, Optional.of(Activations.parse("relu")), arena);
      }
      return;
    }
    for (SampleSource source : List.of(SampleFiles.samples(file), SampleFiles.labels(file))) {
      if (source.width() <= WIDEST) {
        TestFiles.read(source, 2);
      }
    }
  }
}
