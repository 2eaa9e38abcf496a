package dev.espalier.cli;

import dev.espalier.engine.method.Compensation;
import dev.espalier.engine.method.Criterion;
import java.util.Optional;

/// A way of pruning to compare: a criterion, such as `ec`, or a criterion with a compensation, such as `ec/none`.
record Method(Criterion criterion, Optional<Compensation> compensation) {
  /// @throws IllegalArgumentException if there is no such criterion or compensation
  static Method parse(String text) {
    int slash = text.indexOf('/');
    return slash < 0
        ? new Method(Criterion.parse(text), Optional.empty())
        : new Method(Criterion.parse(text.substring(0, slash)),
            Optional.of(Compensation.parse(text.substring(slash + 1))));
  }

  @Override
  public String toString() {
    return criterion + compensation.map(c -> "/" + c).orElse("");
  }
}
