package dev.espalier.engine.io;

import static dev.espalier.engine.io.FormatException.quote;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.data.JoinedSamples;
import dev.espalier.engine.data.SampleSource;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/// Which arrays of a file that names them are the inputs of a model.
final class NamedArrays {
  private NamedArrays() {}

  /// Opens an array of the file.
  interface Opener {
    SampleSource open(String array) throws IOException;
  }

  /// The samples of a model of several inputs: an array for each, by its name. A single array beside the labels has all
  /// inputs side by side, and is not chosen here; nor is one for a model of one input, unless it has the input's name.
  ///
  /// @param arrays of the file
  /// @param inputs of the model; empty: unknown
  /// @throws FormatException if an array is missing, is none of the inputs, or has another width
  static Optional<SampleSource> open(Path file, List<String> arrays, List<ModelInput> inputs, Opener opener)
      throws IOException {
    List<String> names = inputs.stream().map(ModelInput::name).toList();
    List<String> own = arrays.stream()
        .filter(array -> names.contains(array) || !array.equals(ArrayFormat.Role.LABELS.array)).toList();
    if (inputs.isEmpty()) {
      return Optional.empty();
    } else if (inputs.size() == 1) {
      return own.contains(names.getFirst()) ? Optional.of(opener.open(names.getFirst())) : Optional.empty();
    }
    int width = inputs.stream().mapToInt(ModelInput::width).sum();
    if (own.isEmpty()
        || (own.size() == 1 && (!names.contains(own.getFirst()) || opener.open(own.getFirst()).width() == width))) {
      return Optional.empty();
    }
    String wanted = "the model's inputs are "
        + inputs.stream().map(ModelInput::toString).collect(Collectors.joining(", "));
    List<SampleSource> parts = new ArrayList<>();
    for (ModelInput input : inputs) {
      if (!arrays.contains(input.name())) {
        throw new FormatException(file, "has no array %s, but %s; %s".formatted(quote(input.name()),
            own.stream().map(FormatException::quote).collect(Collectors.joining(", ")), wanted));
      }
      SampleSource part = opener.open(input.name());
      if (part.width() != input.width()) {
        throw new FormatException(file, "its array %s has %s a sample, and the input takes %d"
            .formatted(quote(input.name()), Nouns.counted(part.width(), "number"), input.width()));
      }
      parts.add(part);
    }
    for (String array : own) {
      if (!names.contains(array)) {
        throw new FormatException(file,
            "has an array %s that is none of the inputs; %s; leave it out".formatted(quote(array), wanted));
      }
    }
    return Optional.of(new JoinedSamples(file.toString(), parts));
  }
}
