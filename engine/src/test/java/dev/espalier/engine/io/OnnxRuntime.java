package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.TestNetworks.Plain;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.lang.foreign.Arena;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.random.RandomGenerator;

/// ONNX Runtime's outputs against plain loops in double.
final class OnnxRuntime {
  /// Sums of a few products of magnitudes below 10, in some layers with slopes below 1.2; float32 functions of ONNX
  /// Runtime are right to some units in the last place.
  private static final double TOLERANCE = 100 * 0x1p-24 * 10;

  private OnnxRuntime() {}

  /// That ONNX Runtime computes the only output, or `y`, or all outputs of a network of several, from its inputs, which stand side by side in a
  /// sample, as a network does.
  static void assertSameOutputs(DenseNetwork network, Path model) throws OrtException {
    RandomGenerator random = TestNetworks.random(3);
    Plain plain = Plain.of(network);
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    try (OrtSession session = environment.createSession(model.toString(), new OrtSession.SessionOptions())) {
      boolean isOneOfSeveral = network.graph().heads().isEmpty() && session.getNumOutputs() > 1;
      Set<String> names = isOneOfSeveral ? Set.of("y") : session.getOutputNames();
      for (int n = 0; n < 10; n++) {
        double[] x = random.doubles(network.inputs(), -2, 2).map(v -> (float) v).toArray();
        Map<String, OnnxTensor> inputs = inputs(environment, session, x);
        try (OrtSession.Result result = session.run(inputs)) {
          List<double[]> outputs = new ArrayList<>();
          for (String name : names) {
            outputs.add(doubles(((OnnxTensor) result.get(name).orElseThrow()).getFloatBuffer().array()));
          }
          assertArrayEquals(plain.output(x), outputs.stream().flatMapToDouble(Arrays::stream).toArray(), TOLERANCE);
        } finally {
          inputs.values().forEach(OnnxTensor::close);
        }
      }
    }
  }

  private static Map<String, OnnxTensor> inputs(OrtEnvironment environment, OrtSession session, double... x)
      throws OrtException {
    Map<String, OnnxTensor> inputs = new HashMap<>();
    int first = 0;
    for (String name : session.getInputNames()) {
      TensorInfo info = (TensorInfo) session.getInputInfo().get(name).getInfo();
      long[] shape = Arrays.stream(info.getShape()).map(size -> Math.max(1, size)).toArray();
      if (session.getNumInputs() == 1 && Arrays.stream(shape).reduce(1, Math::multiplyExact) != x.length) {
        shape = new long[]{1, x.length};
      }
      int width = (int) Arrays.stream(shape).reduce(1, Math::multiplyExact);
      double[] part = Arrays.copyOfRange(x, first, first + width);
      inputs.put(name,
          info.type == OnnxJavaType.DOUBLE
              ? OnnxTensor.createTensor(environment, DoubleBuffer.wrap(part), shape)
              : OnnxTensor.createTensor(environment, FloatBuffer.wrap(floats(part)), shape));
      first += width;
    }
    return inputs;
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
