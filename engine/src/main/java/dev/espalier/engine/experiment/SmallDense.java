package dev.espalier.engine.experiment;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.ProgressListener;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.training.RandomNetwork;
import dev.espalier.engine.training.Trainer;
import dev.espalier.engine.training.TrainingOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/// Dense networks of the shape of another one, with as many parameters as pruning leaves it, trained from scratch: what
/// a pruned network has to beat.
///
/// @param widths of the input and of each layer of the other network
/// @param activations of its layers
public record SmallDense(List<Integer> widths, List<Activation> activations) {
  private static final int STEPS = 10_000;

  /// Copies the lists.
  public SmallDense {
    widths = List.copyOf(widths);
    activations = List.copyOf(activations);
  }

  /// Those of the shape of a network.
  ///
  /// @throws MismatchException if it is no chain of layers
  public static SmallDense like(DenseNetwork network) {
    if (!network.graph().isChain()) {
      throw new MismatchException("only a chain of layers has a smaller one of its shape, and this network is none");
    }
    List<Integer> widths = new ArrayList<>(network.layers().stream().map(layer -> layer.outputs()).toList());
    widths.addFirst(network.inputs());
    return new SmallDense(widths, network.activations().named());
  }

  /// Trains a network with biases.
  ///
  /// @param sparsity of the pruned network that it has the weights of; its biases come on top
  /// @param training labelled samples
  /// @param arena takes the memory of the network
  public DenseNetwork train(Backend backend, double sparsity, Dataset training, TrainingOptions options,
      ProgressListener listener, Arena arena) throws IOException {
    List<Integer> all = new ArrayList<>(hidden(left(sparsity)));
    all.addFirst(widths.getFirst());
    all.addLast(widths.getLast());
    return Trainer.train(backend, RandomNetwork.chain(all, activations, options.seed(), arena), training, options,
        listener, arena);
  }

  /// The parameters that pruning leaves: all biases, and some weights.
  private long left(double sparsity) {
    long weights = 0;
    long biases = 0;
    for (int l = 1; l < widths.size(); l++) {
      weights += (long) widths.get(l - 1) * widths.get(l);
      biases += widths.get(l);
    }
    return Math.round((1 - sparsity) * weights) + biases;
  }

  /// Widths of the hidden layers of the network that comes closest to a number of parameters: each is the other
  /// network's, by one common factor, and at least 1.
  ///
  /// @param parameters weights and biases
  List<Integer> hidden(long parameters) {
    List<Integer> best = scaled(1);
    for (int step = 0; step <= STEPS; step++) {
      List<Integer> hidden = scaled((double) step / STEPS);
      if (Math.abs(parameters(hidden) - parameters) < Math.abs(parameters(best) - parameters)) {
        best = hidden;
      }
    }
    return best;
  }

  private List<Integer> scaled(double factor) {
    return widths.subList(1, widths.size() - 1).stream().map(width -> Math.max(1, (int) Math.round(factor * width)))
        .toList();
  }

  private long parameters(List<Integer> hidden) {
    long parameters = 0;
    int inputs = widths.getFirst();
    for (int l = 0; l < activations.size(); l++) {
      int outputs = l < hidden.size() ? hidden.get(l) : widths.getLast();
      parameters += (inputs + 1L) * outputs;
      inputs = outputs;
    }
    return parameters;
  }
}
