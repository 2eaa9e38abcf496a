package dev.espalier.engine.experiment;

import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Augmentation;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.experiment.Comparison.Method;
import dev.espalier.engine.experiment.Comparison.MethodResult;
import dev.espalier.engine.experiment.Subject.Given;
import dev.espalier.engine.experiment.Subject.Task;
import dev.espalier.engine.experiment.Subject.Trained;
import dev.espalier.engine.experiment.Subject.TrainedGraph;
import dev.espalier.engine.io.ModelFile;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.SoftTargets;
import dev.espalier.engine.pruning.PruningOptions;
import dev.espalier.engine.training.Evaluation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Consumer;

/// Prunes several kinds of networks, each trained from several seeds, by several methods to several sparsities, and
/// judges all by test data. What is done is kept in a folder, so that a study that ends early goes on from there: each
/// trained network in a file, each result in a line of `results.csv`.
///
/// @param backend where it is computed
/// @param folder that keeps networks and results
/// @param batchSize of passes
/// @param augmentation as of [Comparison]
/// @param listener hears of each pass
/// @param say hears of each network and method, in a line
public record Study(Backend backend, Path folder, int batchSize, Augmentation augmentation, ProgressListener listener,
    Consumer<String> say) {
  /// A table of a study: all its subjects, methods and sparsities are combined.
  ///
  /// @param name in file names and results
  /// @param title for people
  /// @param sparsities ascending
  /// @param smallDense whether dense networks with as many parameters as are left are trained from scratch, too
  public record Part(String name, String title, List<Subject> subjects, List<Method> methods, List<Double> sparsities,
      boolean smallDense) {
    /// Copies the lists.
    public Part {
      subjects = List.copyOf(subjects);
      methods = List.copyOf(methods);
      sparsities = List.copyOf(sparsities);
    }
  }

  /// Runs what is missing of a part.
  ///
  /// @param trials what is known; grows
  public void run(Part part, List<Long> seeds, Trials trials) throws IOException {
    for (Subject subject : part.subjects()) {
      for (long seed : seeds) {
        if (!isComplete(part, subject, seed, trials)) {
          try (Arena arena = Arena.ofShared()) {
            new Run(part, subject, seed, subject.data().of(seed, arena), trials, arena).run();
          }
        }
      }
    }
  }

  private static boolean isComplete(Part part, Subject subject, long seed, Trials trials) {
    return trials.has(part, subject, seed, Trial.DENSE, List.of(0.0))
        && part.methods().stream()
            .allMatch(method -> trials.has(part, subject, seed, method.toString(), part.sparsities()))
        && (!hasSmall(part, subject) || trials.has(part, subject, seed, Trial.SMALL, part.sparsities()));
  }

  private static boolean hasSmall(Part part, Subject subject) {
    return part.smallDense() && subject.origin() instanceof Trained;
  }

  @FunctionalInterface
  private interface Training {
    DenseNetwork run() throws IOException;
  }

  /// One network of one seed.
  private final class Run {
    private final Part part;
    private final Subject subject;
    private final long seed;
    private final Task task;
    private final Trials trials;
    private final Arena arena;
    /// Seconds, where a network was trained.
    private OptionalDouble seconds = OptionalDouble.empty();

    Run(Part part, Subject subject, long seed, Task task, Trials trials, Arena arena) {
      this.part = part;
      this.subject = subject;
      this.seed = seed;
      this.task = task;
      this.trials = trials;
      this.arena = arena;
    }

    void run() throws IOException {
      DenseNetwork network = switch (subject.origin()) {
        case Given(DenseNetwork given) -> given;
        case Trained trained -> trained(trained);
        case TrainedGraph trained -> timed(() -> trained.train(backend, training(), seed, listener, arena));
      };
      if (!trials.has(part, subject, seed, Trial.DENSE, List.of(0.0))) {
        trials.add(List.of(trial(Trial.DENSE, 0, judge(network), OptionalDouble.empty(), seconds)));
      }
      for (Method method : part.methods()) {
        if (!trials.has(part, subject, seed, method.toString(), part.sparsities())) {
          prune(network, method);
        }
      }
      if (hasSmall(part, subject) && !trials.has(part, subject, seed, Trial.SMALL, part.sparsities())) {
        trainSmall(network, (Trained) subject.origin());
      }
    }

    private DenseNetwork trained(Trained origin) throws IOException {
      Path file = folder.resolve("%s-%s.safetensors".formatted(origin.name(), seed));
      if (Files.exists(file)) {
        return ModelFile.load(file, Optional.empty(), arena).network();
      }
      DenseNetwork network = timed(() -> origin.train(backend, training(), seed, listener, arena));
      ModelFile.write(file, network, false);
      return network;
    }

    private DenseNetwork timed(Training work) throws IOException {
      say.accept("%s, seed %d: training".formatted(subject.name(), seed));
      long start = System.nanoTime();
      DenseNetwork network = work.run();
      seconds = seconds(start);
      return network;
    }

    private Dataset training() {
      return task.training().orElseThrow();
    }

    private Evaluation judge(DenseNetwork network) throws IOException {
      try (DeviceNetwork device = DeviceNetwork.copyOf(backend, network)) {
        return Evaluation.of(backend, device, task.test(), task.loss(), batchSize, listener);
      }
    }

    private void prune(DenseNetwork network, Method method) throws IOException {
      say.accept("%s, seed %d: %s".formatted(subject.name(), seed, method));
      OptionalDouble temperature = method.takesTemperature()
          ? SoftTargets.temperature(backend, network, task.calibration().samples(), task.loss())
          : OptionalDouble.empty();
      PruningOptions chosen = method
          .choose(PruningOptions.builder().seed(seed).newBias(subject.newBias()).loss(task.loss()), temperature)
          .build();
      Comparison.Result result = new Comparison(backend, network, task.calibration(), augmentation, task.test(),
          task.loss(), batchSize, listener).run(part.sparsities(), List.of(method), _ -> chosen);
      MethodResult pruned = result.methods().getFirst();
      trials.add(
          pruned.outcomes().stream().map(outcome -> trial(method.toString(), outcome.sparsity(), outcome.evaluation(),
              OptionalDouble.of(outcome.outputChange()), OptionalDouble.of(pruned.seconds()))).toList());
    }

    private void trainSmall(DenseNetwork network, Trained origin) throws IOException {
      for (double sparsity : part.sparsities()) {
        if (!trials.has(part, subject, seed, Trial.SMALL, List.of(sparsity))) {
          say.accept(
              "%s, seed %d: %s, as large as with %s removed".formatted(subject.name(), seed, Trial.SMALL, sparsity));
          long start = System.nanoTime();
          DenseNetwork small = SmallDense.like(network).train(backend, sparsity, training(),
              origin.options().apply(seed), listener, arena);
          trials.add(List.of(trial(Trial.SMALL, sparsity, judge(small), OptionalDouble.empty(), seconds(start))));
        }
      }
    }

    private Trial trial(String method, double sparsity, Evaluation evaluation, OptionalDouble outputChange,
        OptionalDouble seconds) {
      return new Trial(part.name(), subject.name(), seed, method, sparsity, evaluation.loss(), evaluation.accuracy(),
          outputChange, seconds);
    }

    private static OptionalDouble seconds(long start) {
      return OptionalDouble.of((System.nanoTime() - start) * 1e-9);
    }
  }
}
