package dev.espalier.engine;

/// Counted things, as messages name them.
public final class Nouns {
  private Nouns() {}

  /// A count and its noun: `1 sample`, `12 samples`.
  ///
  /// @param noun of one, whose plural ends in s
  public static String counted(long count, String noun) {
    return count + " " + of(count, noun);
  }

  /// The noun of a count: `sample` of 1, otherwise `samples`.
  ///
  /// @param noun of one, whose plural ends in s
  public static String of(long count, String noun) {
    return count == 1 ? noun : noun + "s";
  }
}
