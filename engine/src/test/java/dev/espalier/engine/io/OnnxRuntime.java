package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.random.RandomGenerator;

/// ONNX Runtime's outputs against plain loops in double.
final class OnnxRuntime {
  /// Sums of a few products of magnitudes below 10, in some layers with slopes below 1.2; float32 functions of ONNX
  /// Runtime are right to some units in the last place.
  private static final double TOLERANCE = 100 * 0x1p-24 * 10;

  private OnnxRuntime() {}

  /// That ONNX Runtime computes `y` from `x` as a network does.
  ///
  /// @param isLogSoftmaxBehind whether the model goes on with a LogSoftmax
  static void assertSameOutputs(DenseNetwork network, Path model, boolean isLogSoftmaxBehind) throws OrtException {
    RandomGenerator random = TestNetworks.random(3);
    Plain plain = Plain.of(network);
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    try (OrtSession session = environment.createSession(model.toString(), new OrtSession.SessionOptions())) {
      for (int n = 0; n < 10; n++) {
        double[] x = random.doubles(network.inputs(), -2, 2).map(v -> (float) v).toArray();
        boolean isDouble = session.getInputInfo().get("x").getInfo().toString().contains("DOUBLE");
        Object batch = isDouble ? new double[][]{x} : new float[][]{floats(x)};
        try (OnnxTensor tensor = OnnxTensor.createTensor(environment, batch);
            OrtSession.Result result = session.run(Map.of("x", tensor))) {
          float[] y = ((float[][]) result.get("y").orElseThrow().getValue())[0];
          double[] expected = plain.output(x);
          if (isLogSoftmaxBehind) {
            double sum = Arrays.stream(expected).map(Math::exp).sum();
            expected = Arrays.stream(expected).map(v -> v - Math.log(sum)).toArray();
          }
          assertArrayEquals(expected, doubles(y), TOLERANCE);
        }
      }
    }
  }

  /// Every other weight is removed, and biases move.
  static DenseNetwork pruned(DenseNetwork network, Arena arena) {
    return new DenseNetwork(network.graph(), network.layers().stream().map(layer -> {
      MatrixView weights = layer.weights().copy(arena);
      for (long i = 0; i < weights.elements(); i += 2) {
        weights.segment().setAtIndex(MatrixView.ELEMENT, i, 0);
      }
      Optional<MatrixView> bias = layer.bias().map(b -> b.copy(arena));
      bias.ifPresent(b -> b.set(0, 0, b.get(0, 0) + 0.25f));
      return new DenseLayer(layer.name(), weights, bias, layer.activation());
    }).toList());
  }

  private static float[] floats(double... values) {
    float[] floats = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      floats[i] = (float) values[i];
    }
    return floats;
  }

  private static double[] doubles(float... values) {
    double[] doubles = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      doubles[i] = values[i];
    }
    return doubles;
  }
}
