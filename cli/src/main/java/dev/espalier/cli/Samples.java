package dev.espalier.cli;

import static dev.espalier.engine.report.Numbers.PLAIN;

import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.io.SampleFiles;
import dev.espalier.engine.io.SampleReading;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;

/// Opens the data files that options name.
final class Samples {
  private Samples() {}

  /// Opens data, and says what was found out about their files.
  ///
  /// @param labels may be null
  /// @param column that holds the labels; may be null
  /// @param limit  samples to use at the most
  /// @throws IOException              if a file cannot be read or is not what its format demands
  /// @throws IllegalArgumentException if samples and labels differ in number
  static Dataset open(Path data, Path labels, String column, SampleReading reading, OptionalLong limit,
      GlobalOptions global) throws IOException {
    Path samples = StandardInput.file(data);
    Dataset whole;
    if (column != null) {
      whole = SampleFiles.dataset(samples, column, reading);
    } else if (labels != null) {
      whole = SampleFiles.dataset(samples, StandardInput.file(labels), reading);
    } else {
      whole = Dataset.of(SampleFiles.samples(samples, reading));
    }
    notes(whole).forEach(global::note);
    return limit.isEmpty() ? whole : whole.first(limit.getAsLong());
  }

  /// With noisy copies for a repair, if the samples are few, which is said.
  ///
  /// @param seed of the noise
  /// @param arena takes the memory of the samples
  static Dataset augmented(Dataset samples, Augmentation augmentation, long seed, GlobalOptions global, Arena arena)
      throws IOException {
    copied(samples, augmentation).ifPresent(global::note);
    return augmentation.of(samples, seed, arena);
  }

  /// What is said where noisy copies are added for a repair.
  static Optional<String> copied(Dataset samples, Augmentation augmentation) {
    long count = samples.samples().samples();
    long copies = augmentation.copies(count);
    return copies == 0
        ? Optional.empty()
        : Optional.of("%s few for a repair: %s noisy copies were added (--augment none leaves them out)"
            .formatted(PLAIN.counted(count, "sample") + (count == 1 ? " is" : " are"), PLAIN.count(copies * count)));
  }

  /// What was found out about the files of data.
  static List<String> notes(Dataset data) {
    return Stream.concat(Stream.of(data.samples()), data.labels().stream()).flatMap(source -> source.notes().stream())
        .map(note -> note.text() + switch (note.topic()) {
          case FORM -> "";
          case SCALE -> "; --scale 1/255 divides them";
        }).toList();
  }
}
