package dev.espalier.engine.statistics;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.io.FormatException;
import dev.espalier.engine.io.SafetensorsFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;

/// Sums, and what they were gathered from: what one process leaves in a file for another, which merges it with others
/// or prunes by it. The file is that of [NetworkSums], with the provenance in its metadata.
public record GatheredSums(NetworkSums sums, Provenance provenance) {
  /// @throws IllegalArgumentException if the ranges are of another number of samples
  public GatheredSums {
    long samples = provenance.ranges().stream().mapToLong(range -> range.end() - range.first()).sum();
    if (samples != sums.samples()) {
      throw new IllegalArgumentException("sums of %d samples, but ranges of %d".formatted(sums.samples(), samples));
    }
  }

  /// Writes sums and provenance.
  ///
  /// @param overwrite whether an existing file may be replaced
  /// @throws IOException if the file cannot be written; then nothing is left of it
  public void write(Path target, boolean overwrite) throws IOException {
    sums.write(target, overwrite, provenance.toMetadata());
  }

  /// Reads a file, which may come from anywhere: everything about it is checked.
  ///
  /// @param arena how long, and for which threads, the sums can be read
  /// @throws FormatException as [NetworkSums#read], or if the file does not tell what the sums are of
  /// @throws IOException if it cannot be read
  public static GatheredSums read(Path path, Arena arena) throws IOException {
    SafetensorsFile file = SafetensorsFile.open(path, arena);
    NetworkSums sums = NetworkSums.read(file, arena);
    try {
      return new GatheredSums(sums, Provenance.of(path, file.metadata()));
    } catch (IllegalArgumentException e) {
      throw FormatException.of(path, e.getMessage());
    }
  }

  /// The sums of several files, added in their order; the same files in the same order give the same bits.
  ///
  /// @param paths at least one
  /// @param arena takes the memory of the sums
  /// @throws MismatchException if they are of other models, options or layers, or a sample is in two of them; the
  ///                           message names the file
  /// @throws IOException as [#read]
  public static GatheredSums merge(List<Path> paths, Arena arena) throws IOException {
    GatheredSums merged;
    try (Arena mapped = Arena.ofShared()) {
      GatheredSums first = read(paths.getFirst(), mapped);
      merged = new GatheredSums(first.sums.copy(arena), first.provenance);
    }
    for (Path path : paths.subList(1, paths.size())) {
      try (Arena mapped = Arena.ofShared()) {
        GatheredSums next = read(path, mapped);
        Provenance both = merged.provenance.merge(next.provenance);
        merged = new GatheredSums(merged.sums.add(next.sums), both);
      } catch (MismatchException e) {
        throw new MismatchException("%s does not merge with %s: %s".formatted(path, paths.getFirst(), e.getMessage()));
      }
    }
    return merged;
  }
}
