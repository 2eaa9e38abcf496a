package dev.espalier.engine.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Loss;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.training.RandomNetwork;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.function.LongFunction;

/// A kind of network that a [Study] prunes, with its task.
///
/// @param name what tables and charts call it, as `784-300-100-10 relu`
/// @param origin where the networks come from
/// @param data of a seed
/// @param newBias whether a layer without a bias may gain one
public record Subject(String name, Origin origin, Source data, boolean newBias) {
  /// Where networks come from.
  public sealed interface Origin {}

  /// A network that is there already, the same for all seeds.
  public record Given(DenseNetwork network) implements Origin {}

  /// Networks trained from scratch.
  ///
  /// @param name of their files, without the seed; subjects that prune the same networks share it
  /// @param widths of the input and of each layer
  /// @param activations of the layers
  /// @param options of a seed
  public record Trained(String name, List<Integer> widths, List<Activation> activations,
      LongFunction<TrainingOptions> options) implements Origin {
    /// Copies the lists.
    public Trained {
      widths = List.copyOf(widths);
      activations = List.copyOf(activations);
    }

    /// A network of one seed.
    DenseNetwork train(Backend backend, Dataset training, long seed, ProgressListener listener, Arena arena)
        throws IOException {
      return Trainer.train(backend, RandomNetwork.chain(widths, activations, seed, arena), training,
          options.apply(seed), listener, arena);
    }
  }

  /// Networks of any graph, trained from scratch. They are not kept in files, which hold chains of layers only: a study
  /// that goes on trains them again, from the same seeds to the same bits.
  ///
  /// @param options of a seed
  public record TrainedGraph(Graph graph, LongFunction<TrainingOptions> options) implements Origin {
    /// A network of one seed.
    DenseNetwork train(Backend backend, Dataset training, long seed, ProgressListener listener, Arena arena)
        throws IOException {
      return Trainer.train(backend, RandomNetwork.of(graph, seed, arena), training, options.apply(seed), listener,
          arena);
    }
  }

  /// The data of a seed.
  @FunctionalInterface
  public interface Source {
    /// @param arena for data that are made
    Task of(long seed, Arena arena) throws IOException;
  }

  /// What a network is for.
  ///
  /// @param training labelled; empty for networks that are there already
  /// @param calibration to prune with, labelled where a method needs it
  /// @param test labelled
  /// @param loss of training and test
  public record Task(Optional<Dataset> training, Dataset calibration, Dataset test, Loss loss) {}
}
