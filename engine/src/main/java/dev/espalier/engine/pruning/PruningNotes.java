package dev.espalier.engine.pruning;

import dev.espalier.engine.Nouns;
import dev.espalier.engine.backend.Cut;
import dev.espalier.engine.method.Target;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.network.HiddenNeurons;
import dev.espalier.engine.scoring.Selector;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// What makes a pruning doubtful: choices among equal importances, and predictions that did not hold.
///
/// @param choices one for each layer that was scored
record PruningNotes(List<Choice> choices) {
  /// Ties that are fewer than this fraction of the removed weights are not worth a word.
  private static final double TIES = 1e-3;

  /// A measured change is far above the predicted one beyond this multiple of it. It is negligible below this fraction
  /// of the output's mean square.
  private static final double FAR_ABOVE = 10;
  private static final double NEGLIGIBLE = 1e-6;
  /// Beyond this multiple, joint removals do not explain it.
  private static final double BEYOND_EXPLANATION = 1e4;

  /// How the weights to remove were chosen in a layer.
  ///
  /// @param cut of the last round
  /// @param zero whether all importances were 0 in a round
  record Choice(String layer, Cut cut, boolean zero) {}

  /// How many neurons nothing reads any more, and which layers have none that could go.
  ///
  /// @param neurons that could go
  static List<String> neurons(HiddenNeurons neurons, Target.Neurons target, DenseNetwork pruned) {
    HiddenNeurons removed = neurons.removedFrom(pruned);
    long asked = Selector.count(target.sparsity(), neurons.units().size());
    int gone = removed.units().size();
    List<String> notes = new ArrayList<>();
    notes.add(String.format(Locale.ROOT, "%,d of %,d hidden %s removed%s", gone, neurons.units().size(),
        Nouns.of(neurons.units().size(), "neuron"),
        gone < asked
            ? String.format(Locale.ROOT, ", %,d fewer than asked for: each layer keeps one", asked - gone)
            : gone > asked
                ? String.format(Locale.ROOT, ", %,d more than asked for: nothing read them", gone - asked)
                : ""));
    List<String> whole = IntStream.range(0, pruned.layers().size())
        .filter(l -> neurons.of(l) == 0 && !pruned.graph().readers(pruned.graph().layerNodes()[l]).isEmpty())
        .mapToObj(l -> pruned.layers().get(l).name()).toList();
    if (!whole.isEmpty()) {
      notes.add("no neuron of %s %s can go: they are tied to inputs or outputs, or read by a normalisation, a sum, "
          .formatted(Nouns.of(whole.size(), "layer"), String.join(", ", whole)) + "a tied or an excluded layer");
    }
    return notes;
  }

  /// Choices that importances did not decide, one sentence each.
  List<String> arbitrary() {
    List<String> notes = new ArrayList<>();
    List<String> zero = choices.stream().filter(Choice::zero).map(Choice::layer).toList();
    if (!zero.isEmpty()) {
      notes.add("all importances of %s %s are 0 on these samples: which weights go is arbitrary; give more, or more "
          .formatted(Nouns.of(zero.size(), "layer"), String.join(", ", zero)) + "varied, samples");
    }
    Map<Float, List<Choice>> byThreshold = new TreeMap<>(
        choices.stream().filter(choice -> choice.cut instanceof Cut.Below below && below.threshold() >= 0)
            .collect(Collectors.groupingBy(choice -> ((Cut.Below) choice.cut).threshold())));
    long removed = choices.stream().mapToLong(choice -> choice.cut instanceof Cut.Below below ? below.removed() : 0)
        .sum();
    byThreshold.forEach((threshold, same) -> {
      long equal = same.stream().mapToLong(choice -> ((Cut.Below) choice.cut).equal()).sum();
      long ties = same.stream().mapToLong(choice -> ((Cut.Below) choice.cut).ties()).sum();
      if (Math.min(ties, equal - ties) > TIES * removed && !same.stream().allMatch(Choice::zero)) {
        notes.add(String.format(Locale.ROOT,
            "%,d weights have the same importance, %s, and %,d of them were removed: that choice is arbitrary", equal,
            number(threshold), ties));
      }
    });
    return notes;
  }

  /// The layers with more inputs than there were samples.
  Optional<String> fewSamples(List<DenseLayer> layers, long samples) {
    List<String> wide = layers.stream().filter(layer -> layer.inputs() > samples)
        .map(layer -> "%s (%d)".formatted(layer.name(), layer.inputs())).toList();
    return wide.isEmpty()
        ? Optional.empty()
        : Optional.of("there are fewer samples (%d) than inputs of %s %s: what follows from them depends on which "
            .formatted(samples, Nouns.of(wide.size(), "layer"), String.join(", ", wide))
            + "they are; give more, some thousands if possible");
  }

  /// The layers whose measured change is far above the predicted one, if there are any, and the likely cause. Those
  /// whose importances are all 0 have their cause already.
  ///
  /// @param outputSquare E‖y‖² of the network before pruning
  Optional<String> mispredicted(List<LayerResult> layers, double outputSquare) {
    List<String> zero = choices.stream().filter(Choice::zero).map(Choice::layer).toList();
    List<LayerResult> wrong = layers.stream().filter(layer -> isMispredicted(layer, outputSquare))
        .filter(layer -> !zero.contains(layer.name())).toList();
    if (wrong.isEmpty()) {
      return Optional.empty();
    }
    boolean beyond = wrong.stream().anyMatch(layer -> isAbove(layer, BEYOND_EXPLANATION));
    return Optional.of("the measured output change is far above the predicted one in %s %s: %s".formatted(
        Nouns.of(wrong.size(), "layer"),
        wrong.stream()
            .map(layer -> "%s (%s, not %s)".formatted(layer.name(), number(layer.measuredChange().orElseThrow()),
                number(layer.predictedChange().orElseThrow())))
            .collect(Collectors.joining(", ")),
        beyond
            ? "the network is far from linear on these samples, or inputs of very different scales lose digits; "
                + "normalise the inputs, and compare with the reference"
            : "importances predict the removal of single weights, and here many go at once; prune in rounds, or with a "
                + "repair"));
  }

  private static boolean isMispredicted(LayerResult layer, double outputSquare) {
    return layer.predictedChange().isPresent() && layer.measuredChange().isPresent()
        && layer.measuredChange().getAsDouble() > NEGLIGIBLE * outputSquare && isAbove(layer, FAR_ABOVE);
  }

  private static boolean isAbove(LayerResult layer, double multiple) {
    return layer.measuredChange().orElseThrow() > multiple * layer.predictedChange().orElseThrow();
  }

  private static String number(double value) {
    return value == 0 ? "0" : String.format(Locale.ROOT, "%.3g", value);
  }
}
