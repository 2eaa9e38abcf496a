package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.espalier.engine.backend.Cut;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

final class PruningNotesTest {
  private static PruningNotes.Choice choice(String layer, double threshold, long below, long ties, long equal) {
    return new PruningNotes.Choice(layer, new Cut.Below((float) threshold, below, ties, equal), false);
  }

  private static LayerResult layer(String name, double predicted, double measured) {
    return new LayerResult(name, false, 100, 50, false, OptionalDouble.empty(), OptionalDouble.of(predicted),
        OptionalDouble.of(measured), Optional.empty());
  }

  private static Optional<String> mispredicted(double predicted, double measured) {
    return new PruningNotes(List.of()).mispredicted(List.of(layer("0", predicted, measured)), 100);
  }

  /// Layer b keeps what layer a has lost of the same importance.
  @Test
  void tiesCountOverLayersOfOneThreshold() {
    assertEquals(
        List.of(
            "1,500 weights have the same importance, 0.500, and 1,000 of them were removed: that choice is arbitrary"),
        new PruningNotes(List.of(choice("a", 0.5, 10, 1000, 1000), choice("b", 0.5, 7, 0, 500))).arbitrary());
  }

  @Test
  void tiesThatAreAllRemovedAreNoChoice() {
    assertEquals(List.of(),
        new PruningNotes(List.of(choice("a", 0.5, 10, 20, 20), choice("b", 0.25, 7, 3, 3))).arbitrary());
  }

  @Test
  void fewTiesAndWeightsThatWereZeroAreNotWorthAWord() {
    assertEquals(List.of(), new PruningNotes(List.of(choice("a", 0.5, 100_000, 1, 2))).arbitrary());
    assertEquals(List.of(), new PruningNotes(List.of(choice("a", -1, 0, 500, 1000))).arbitrary());
    assertEquals(List.of(),
        new PruningNotes(List.of(new PruningNotes.Choice("a", new Cut.PerGroup(4, 2), false))).arbitrary());
  }

  @Test
  void zeroImportancesAreSaidOnce() {
    PruningNotes notes = new PruningNotes(
        List.of(new PruningNotes.Choice("fc1", new Cut.Below(0, 0, 5, 9), true), choice("fc2", 0.5, 3, 1, 1)));
    assertEquals(List.of("all importances of layer fc1 are 0 on these samples: which weights go is arbitrary; give "
        + "more, or more varied, samples"), notes.arbitrary());
    assertEquals(Optional.empty(), notes.mispredicted(List.of(layer("fc1", 0, 5)), 100));
  }

  @Test
  void saysWhatWasPredictedWrongly() {
    assertEquals(Optional.of("the measured output change is far above the predicted one in layer 0 (11.0, not 1.00): "
        + "importances predict the removal of single weights, and here many go at once; prune in rounds, or with a "
        + "repair"), mispredicted(1, 11));
    assertEquals(
        Optional.of("the measured output change is far above the predicted one in layers a (2.55e+08, not 0.0137), "
            + "c (3.00, not 0): the network is far from linear on these samples, or inputs of very different scales "
            + "lose digits; normalise the inputs, and compare with the reference"),
        new PruningNotes(List.of())
            .mispredicted(List.of(layer("a", 0.01367, 2.552e8), layer("b", 2, 3), layer("c", 0, 3)), 100));
  }

  @Test
  void whatHoldsOrIsNegligibleIsNotWorthAWord() {
    assertEquals(Optional.empty(), mispredicted(1, 9));
    assertEquals(Optional.empty(), mispredicted(1e-9, 9e-5));
    assertEquals(Optional.empty(), mispredicted(0, 0));
    LayerResult unknown = new LayerResult("0", false, 100, 50, false, OptionalDouble.empty(), OptionalDouble.empty(),
        OptionalDouble.of(50), Optional.empty());
    assertEquals(Optional.empty(), new PruningNotes(List.of()).mispredicted(List.of(unknown), 100));
  }
}
