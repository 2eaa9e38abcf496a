package dev.espalier.engine.io;

import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.Activation.Kind;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Activations that exporters write as several nodes, each of which alone reads the one before it.
final class OnnxPatterns {
  private final OnnxContent content;
  private final IdentityHashMap<OnnxNode, Match> matches = new IdentityHashMap<>();
  private final Set<OnnxNode> inner = Collections.newSetFromMap(new IdentityHashMap<>());

  /// @param input the value that the activation reads
  /// @param inner the nodes before the last
  record Match(String input, Activation activation, List<OnnxNode> inner) {}

  private OnnxPatterns(OnnxContent content) {
    this.content = content;
  }

  static OnnxPatterns of(OnnxContent content) throws FormatException {
    OnnxPatterns patterns = new OnnxPatterns(content);
    for (OnnxNode node : content.nodes()) {
      Optional<Match> match = patterns.silu(node);
      match = match.isPresent() ? match : patterns.gelu(node);
      match.ifPresent(found -> {
        patterns.matches.put(node, found);
        patterns.inner.addAll(found.inner);
      });
    }
    return patterns;
  }

  /// The activation whose last node is `node`.
  Optional<Match> at(OnnxNode node) {
    return Optional.ofNullable(matches.get(node));
  }

  /// Whether `node` is part of an activation, and not the last.
  boolean isInner(OnnxNode node) {
    return inner.contains(node);
  }

  /// Mul(z, Sigmoid(z)).
  private Optional<Match> silu(OnnxNode node) {
    if (!node.operator().equals("Mul") || node.inputs().size() != 2) {
      return Optional.empty();
    }
    for (int i = 0; i < 2; i++) {
      String z = node.inputs().get(1 - i);
      Optional<Match> match = content.maker(node.inputs().get(i), "Sigmoid")
          .filter(sigmoid -> sigmoid.inputs().equals(List.of(z)))
          .map(sigmoid -> new Match(z, Activation.of(Kind.SILU), List.of(sigmoid)));
      if (match.isPresent()) {
        return match;
      }
    }
    return Optional.empty();
  }

  /// ½ z (1 + erf(z / √2)), its factors in any order.
  private Optional<Match> gelu(OnnxNode node) throws FormatException {
    if (!node.operator().equals("Mul")) {
      return Optional.empty();
    }
    List<OnnxNode> nodes = new ArrayList<>();
    List<String> factors = new ArrayList<>();
    double scale = 1;
    Deque<String> open = new ArrayDeque<>(node.inputs());
    while (!open.isEmpty() && factors.size() < 3 && nodes.size() < 3) {
      String factor = open.pop();
      Optional<OnnxNode> product = content.maker(factor, "Mul");
      Optional<OnnxTensor> constant = content.constant(factor);
      if (constant.isPresent() && constant.get().elements() == 1) {
        scale *= constant.get().value(0);
      } else if (product.isPresent()) {
        nodes.add(product.get());
        open.addAll(product.get().inputs());
      } else {
        factors.add(factor);
      }
    }
    if (!open.isEmpty() || factors.size() != 2 || !OnnxContent.isNear(scale, 0.5)) {
      return Optional.empty();
    }
    for (int i = 0; i < 2; i++) {
      if (isErfOf(factors.get(i), factors.get(1 - i), nodes)) {
        return Optional.of(new Match(factors.get(1 - i), Activation.of(Kind.GELU), nodes));
      }
    }
    return Optional.empty();
  }

  /// Whether a value is 1 + erf(z / √2); then its nodes join `nodes`.
  private boolean isErfOf(String value, String z, List<OnnxNode> nodes) throws FormatException {
    Optional<OnnxNode> sum = content.maker(value, "Add");
    Optional<OnnxNode> erf = sum.isPresent()
        ? withConstant(sum.get(), 1).flatMap(e -> content.maker(e, "Erf"))
        : Optional.empty();
    if (erf.isEmpty() || erf.get().inputs().size() != 1) {
      return false;
    }
    String argument = erf.get().inputs().getFirst();
    Optional<OnnxNode> quotient = content.maker(argument, "Div").filter(node -> node.inputs().indexOf(z) == 0);
    Optional<OnnxNode> product = content.maker(argument, "Mul");
    Optional<OnnxNode> scaled = quotient.or(() -> product);
    double factor = quotient.isPresent() ? Math.sqrt(2) : Math.sqrt(0.5);
    if (scaled.isEmpty() || !withConstant(scaled.get(), factor).equals(Optional.of(z))) {
      return false;
    }
    nodes.addAll(List.of(sum.get(), erf.get(), scaled.get()));
    return true;
  }

  /// The other input of a node of two, of which one is a constant about equal to `expected`.
  private Optional<String> withConstant(OnnxNode node, double expected) throws FormatException {
    for (int i = 0; i < 2 && node.inputs().size() == 2; i++) {
      if (content.isConstant(node.inputs().get(i), expected)) {
        return Optional.of(node.inputs().get(1 - i));
      }
    }
    return Optional.empty();
  }
}
