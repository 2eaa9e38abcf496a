package dev.espalier.cli.experiment;

import dev.espalier.engine.data.Batches;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.data.MatrixSamples;
import dev.espalier.engine.data.SampleSource;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.io.SampleFiles;
import dev.espalier.engine.io.SampleReading;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/// What an experiment is given.
public final class Inputs {
  static final String TRAIN = "train";
  static final String TEST = "t10k";
  private static final int SMALL = 500;
  private static final int BATCH = 1024;
  private final Optional<Path> mnist;
  private final Optional<Path> checkpoint;
  private final boolean small;
  private final Arena arena;
  private final Map<String, Dataset> read = new HashMap<>();

  /// @param mnist a folder with the files of MNIST; may be absent where the experiment does not need it
  /// @param checkpoint a model file, likewise
  /// @param small whether to run on a fraction of the data, for a first look within seconds
  /// @param arena takes the data's memory
  public Inputs(Optional<Path> mnist, Optional<Path> checkpoint, boolean small, Arena arena) {
    this.mnist = mnist;
    this.checkpoint = checkpoint;
    this.small = small;
    this.arena = arena;
  }

  /// One of two values, by whether the experiment is small.
  <T> T either(T whole, T little) {
    return small ? little : whole;
  }

  /// The images of MNIST with their labels, in memory: pixels 0..1.
  ///
  /// @param part [#TRAIN] or [#TEST]
  /// @throws IOException if a file is missing or cannot be read
  Dataset mnist(String part) throws IOException {
    if (!read.containsKey(part)) {
      read.put(part, readMnist(part));
    }
    return read.get(part);
  }

  private Dataset readMnist(String part) throws IOException {
    Dataset all = SampleFiles.dataset(images(part), labels(part), SampleReading.DEFAULT);
    return (small ? all.first(SMALL) : all).inMemory(Long.MAX_VALUE, arena);
  }

  /// Tells the files that are given from others: SHA-256 of their contents, in hexadecimal digits.
  ///
  /// @throws IOException if one is missing or cannot be read
  public String hash() throws IOException {
    List<Path> files = new ArrayList<>(checkpoint.stream().toList());
    if (mnist.isPresent()) {
      files.addAll(List.of(images(TRAIN), labels(TRAIN), images(TEST), labels(TEST)));
    }
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (Path file : files) {
        digest.update(Files.readAllBytes(file));
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every Java has it
    }
  }

  private Path images(String part) throws IOException {
    return file(part + "-images-idx3-ubyte");
  }

  private Path labels(String part) throws IOException {
    return file(part + "-labels-idx1-ubyte");
  }

  private Path file(String name) throws IOException {
    Path folder = mnist.orElseThrow();
    return Stream.of(name, name + ".gz").map(folder::resolve).filter(Files::exists).findFirst()
        .orElseThrow(() -> new IOException(
            "%s: has no %s or %s.gz; give a folder with the four files of MNIST".formatted(folder, name, name)));
  }

  /// Samples (x − mean) / deviation, in memory.
  Dataset normalised(Dataset data, double mean, double deviation) throws IOException {
    SampleSource source = data.samples();
    MatrixView values = MatrixView.allocate(arena, (int) source.samples(), source.width());
    try (Batches batches = new Batches(Dataset.of(source), BATCH)) {
      while (batches.next()) {
        for (int n = 0; n < batches.samples().rows(); n++) {
          for (int j = 0; j < values.columns(); j++) {
            values.set((int) batches.first() + n, j, (float) ((batches.samples().get(n, j) - mean) / deviation));
          }
        }
      }
    }
    return new Dataset(new MatrixSamples(source.name(), values), data.labels());
  }

  /// The network of the model file.
  DenseNetwork checkpointed() throws IOException {
    return ModelFile.load(checkpoint.orElseThrow(), Optional.empty(), arena).network();
  }
}
