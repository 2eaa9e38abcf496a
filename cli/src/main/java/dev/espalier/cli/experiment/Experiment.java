package dev.espalier.cli.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.experiment.Study.Part;
import java.io.IOException;
import java.util.List;

/// One numerical experiment.
///
/// @param name on the command line
/// @param title of its page
/// @param question that it answers, in a sentence or two
/// @param cost time and memory, on two cores where it names no device, with five seeds
/// @param needs what a user has to give
/// @param work what it does
public record Experiment(String name, String title, String question, String cost, List<Need> needs, Work work) {
  /// What an experiment does.
  public sealed interface Work {}

  /// Prunes networks and compares the results.
  ///
  /// @param design its tables
  /// @param isTimed whether the page has a chart of time against quality
  public record Comparing(Design design, boolean isTimed) implements Work {}

  /// Measures something else, with one seed.
  public record Measuring(Measurement measurement) implements Work {}

  /// What a user has to give.
  public enum Need {
    /// A folder with the four files of MNIST, or of a data set of the same form.
    MNIST,
    /// A model file.
    CHECKPOINT
  }

  /// Makes the tables of an experiment.
  @FunctionalInterface
  public interface Design {
    /// @throws IOException if an input cannot be read
    List<Part> parts(Inputs inputs) throws IOException;
  }

  /// Measures.
  @FunctionalInterface
  public interface Measurement {
    /// @param isSmall whether to take a fraction of the size
    /// @return the body of the page, as Markdown
    /// @throws IOException if an input cannot be read
    String run(Backend backend, boolean isSmall, ProgressListener listener) throws IOException;
  }
}
