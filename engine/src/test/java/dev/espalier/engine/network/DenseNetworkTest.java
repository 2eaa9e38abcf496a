package dev.espalier.engine.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.espalier.engine.MismatchException;
import dev.espalier.engine.NonFiniteException;
import dev.espalier.engine.matrix.MatrixView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class DenseNetworkTest {
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @Test
  void refusesLayersThatDoNotChain() {
    refuse("layers do not chain: 2 takes 3 inputs, 0 before it has 4 outputs", layer("0", 4, 2, Activation.RELU),
        layer("2", 1, 3, Activation.IDENTITY));
  }

  @Test
  void refusesSoftmaxInTheMiddle() {
    refuse("layer 0: softmax is only possible as the last activation", layer("0", 4, 2, Activation.SOFTMAX),
        layer("2", 1, 4, Activation.IDENTITY));
  }

  @Test
  void refusesNoLayerAndTwoOfOneName() {
    refuse("a network needs at least one layer");
    refuse("two layers are called 0", layer("0", 4, 2, Activation.RELU), layer("0", 1, 4, Activation.IDENTITY));
  }

  @Test
  void namesTheTensorAndIndexOfWhatIsNotFinite() {
    MatrixView weights = MatrixView.of(arena, 2, 3, 1, 2, 3, 4, Float.NaN, 6);
    MatrixView bias = MatrixView.of(arena, 1, 2, 1, Float.NEGATIVE_INFINITY);
    MatrixView finite = MatrixView.allocate(arena, 2, 3);
    for (DenseLayer layer : List.of(new DenseLayer("7", weights, Optional.empty(), Activation.RELU),
        new DenseLayer("7", finite, Optional.of(bias), Activation.RELU))) {
      String tensor = layer.hasBias() ? "7.bias is -Infinity at [1]" : "7.weight is NaN at [1, 1]";
      assertEquals("tensor %s: weights and biases must be finite".formatted(tensor),
          assertThrows(NonFiniteException.class, () -> new DenseNetwork(List.of(layer))).getMessage());
    }
  }

  @Test
  void refusesABiasThatDoesNotFit() {
    MatrixView weights = MatrixView.allocate(arena, 2, 3);
    MatrixView bias = MatrixView.allocate(arena, 1, 3);
    assertEquals("layer 7: the bias has 3 elements, the weights have 2 rows",
        assertThrows(MismatchException.class, () -> new DenseLayer("7", weights, Optional.of(bias), Activation.RELU))
            .getMessage());
  }

  @Test
  void refusesLayersThatAreNotThoseOfTheGraph() {
    DenseLayer first = layer("0", 4, 2, Activation.RELU);
    DenseLayer second = layer("2", 1, 4, Activation.IDENTITY);
    Graph graph = Graph.chain(List.of(first, second));
    assertEquals("1 layer, but the graph has 2",
        assertThrows(MismatchException.class, () -> new DenseNetwork(graph, List.of(first))).getMessage());
    for (DenseLayer other : List.of(layer("1", 1, 4, Activation.IDENTITY), layer("2", 2, 4, Activation.IDENTITY),
        layer("2", 1, 3, Activation.IDENTITY), layer("2", 1, 4, Activation.TANH))) {
      assertEquals(
          "layer %s, %d × %d, %s, is not layer 2, 1 × 4, identity of the graph".formatted(other.name(), other.outputs(),
              other.inputs(), other.activation()),
          assertThrows(MismatchException.class, () -> new DenseNetwork(graph, List.of(first, other))).getMessage());
    }
  }

  @Test
  void countsBeyondAnInt(@TempDir Path folder) throws IOException {
    long bytes = 50_000L * 50_000 * Float.BYTES;
    try (FileChannel sparse = FileChannel.open(folder.resolve("sparse"), StandardOpenOption.CREATE_NEW,
        StandardOpenOption.SPARSE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      MatrixView matrix = new MatrixView(sparse.map(MapMode.READ_WRITE, 0, bytes, arena), 50_000, 50_000);
      assertEquals(2_500_000_000L, matrix.elements());
      matrix.set(49_999, 49_998, 3);
      assertEquals(3, matrix.get(49_999, 49_998));
      assertEquals(3, matrix.slice(49_999, 1).get(0, 49_998));
    }
    assertThrows(ArithmeticException.class, () -> MatrixView.allocate(arena, Integer.MAX_VALUE, Integer.MAX_VALUE));
  }

  private void refuse(String message, DenseLayer... layers) {
    assertEquals(message, assertThrows(MismatchException.class, () -> new DenseNetwork(List.of(layers))).getMessage());
  }

  private DenseLayer layer(String name, int outputs, int inputs, Activation activation) {
    return new DenseLayer(name, MatrixView.allocate(arena, outputs, inputs), Optional.empty(), activation);
  }
}
