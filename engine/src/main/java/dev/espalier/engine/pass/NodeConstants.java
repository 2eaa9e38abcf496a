package dev.espalier.engine.pass;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Graph;
import dev.espalier.engine.network.Node;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// The constants that passes over a graph multiply by, in the memory of a backend.
///
/// @param factors γ of each [Node.Scale] by node, and ones for each [Node.Sum], 1 × width of what it reads
/// @param negatedShifts −β of each [Node.Scale] by node, 1 × width; none where all are 0
record NodeConstants(Map<Integer, Matrix> factors, Map<Integer, Matrix> negatedShifts) {
  /// @param resources own the matrices
  static NodeConstants upload(Backend backend, Graph graph, Resources resources) {
    NodeConstants constants = new NodeConstants(new HashMap<>(), new HashMap<>());
    for (int n = 0; n < graph.nodes().size(); n++) {
      switch (graph.nodes().get(n)) {
        case Node.Scale scale -> {
          constants.factors.put(n, upload(backend, scale.factors(), resources));
          if (scale.shifts().stream().anyMatch(shift -> shift != 0)) {
            constants.negatedShifts.put(n,
                upload(backend, scale.shifts().stream().map(shift -> -shift).toList(), resources));
          }
        }
        case Node.Sum sum -> constants.factors.put(n,
            upload(backend, Collections.nCopies(graph.nodes().get(sum.input()).width(), 1f), resources));
        case Node.Input _,Node.Dense _,Node.Activate _,Node.Add _,Node.Multiply _,Node.Normalize _,Node.Slice _,Node.Concat _ -> {
          // They have none.
        }
      }
    }
    return constants;
  }

  private static Matrix upload(Backend backend, List<Float> values, Resources resources) {
    Matrix matrix = resources.own(backend.allocate(1, values.size()));
    try (Arena arena = Arena.ofConfined()) {
      MatrixView view = MatrixView.allocate(arena, 1, values.size());
      for (int i = 0; i < values.size(); i++) {
        view.set(0, i, values.get(i));
      }
      backend.upload(view, matrix);
    }
    return matrix;
  }

  /// Elements of the constants of a graph, at the most.
  static long elements(Graph graph) {
    return graph.nodes().stream().filter(node -> node instanceof Node.Scale || node instanceof Node.Sum)
        .mapToLong(node -> 2L * graph.nodes().get(node.inputs().getFirst()).width()).sum();
  }
}
