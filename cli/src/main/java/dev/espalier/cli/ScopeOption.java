package dev.espalier.cli;

import dev.espalier.engine.method.Scope;
import dev.espalier.engine.method.Target;

/// What `--scope` names: the weights that compete, or an n:m pattern, which says by itself how much is removed.
sealed interface ScopeOption {
  /// A scope, to which a sparsity belongs.
  record Of(Scope scope) implements ScopeOption {
    @Override
    public String toString() {
      return scope.toString();
    }
  }

  /// A pattern.
  record Pattern(Target.Pattern pattern) implements ScopeOption {
    @Override
    public String toString() {
      return pattern.toString();
    }
  }

  /// @throws IllegalArgumentException if there is no such scope or pattern
  static ScopeOption parse(String text) {
    if (text.matches("\\d+:\\d+") && Target.parse(text) instanceof Target.Pattern pattern) {
      return new Pattern(pattern);
    }
    try {
      return new Of(Scope.parse(text));
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(e.getMessage() + ", or n:m such as 2:4", e);
    }
  }
}
