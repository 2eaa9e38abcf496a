package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.DeviceUnavailableException;
import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Precision;
import dev.espalier.engine.backend.TwoOfFourChain;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.experiment.InferenceTimes;
import dev.espalier.engine.experiment.InferenceTimes.Timed;
import dev.espalier.engine.experiment.InferenceTimes.Variant;
import dev.espalier.engine.experiment.Stopwatch.Times;
import dev.espalier.engine.matrix.MatrixView;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import dev.espalier.engine.pass.DeviceNetwork;
import dev.espalier.engine.pass.ForwardPass;
import dev.espalier.kernels.EmulatedDriver;
import dev.espalier.kernels.EmulatedDriver.Order;
import java.lang.foreign.Arena;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Chains with 2:4 weights, over kernels that the CPU runs.
final class CudaTwoOfFourTest {
  private static EmulatedDriver driver(int computeCapability) {
    return new EmulatedDriver(computeCapability, CudaBackendTest.MEMORY, Order.LATE);
  }

  /// Weights and biases are multiples of 1/8, samples integers, and the hidden activation ends at 6: bfloat16 holds all
  /// factors, and float32 all sums.
  private static DenseNetwork network(Arena arena, boolean lastIsTwoOfFour) {
    DenseNetwork network = TestNetworks.network(arena, 1, List.of(36, 33, 5),
        List.of(Activation.of(Activation.Kind.RELU6), Activation.TANH));
    for (DenseLayer layer : network.layers()) {
      boolean isTwoOfFour = lastIsTwoOfFour || layer.inputs() == 36;
      for (int i = 0; i < layer.outputs(); i++) {
        for (int j = 0; j < layer.inputs(); j++) {
          boolean isZero = isTwoOfFour && j % 4 != i % 4 && j % 4 != (i + 1) % 4;
          layer.weights().set(i, j, isZero ? 0 : (float) Math.rint(8 * layer.weights().get(i, j)) / 8);
        }
      }
      layer.bias().ifPresent(bias -> {
        for (int i = 0; i < layer.outputs(); i++) {
          bias.set(0, i, (float) Math.rint(8 * bias.get(0, i)) / 8);
        }
      });
    }
    return network;
  }

  private static MatrixView samples(Arena arena, int count) {
    MatrixView samples = MatrixView.allocate(arena, count, 36);
    for (int n = 0; n < count; n++) {
      for (int j = 0; j < 36; j++) {
        samples.set(n, j, (n + 3 * j) % 5 - 2);
      }
    }
    return samples;
  }

  private static float[] reference(DenseNetwork network, MatrixView samples) {
    try (ReferenceBackend backend = new ReferenceBackend();
        DeviceNetwork device = DeviceNetwork.copyOf(backend, network);
        ForwardPass forward = ForwardPass.allocate(backend, network.graph(), samples.rows());
        Arena arena = Arena.ofShared()) {
      forward.load(samples);
      forward.run(device);
      return backend.download(forward.output(), arena).toArray();
    }
  }

  /// Of batches for each of the kernels.
  @ParameterizedTest
  @ValueSource(ints = {1, 20, 40})
  void outputsAreThoseOfTheReference(int count) {
    try (Arena arena = Arena.ofShared();
        EmulatedDriver driver = driver(90);
        CudaBackend backend = CudaBackendTest.open(driver, Precision.TF32)) {
      long before = 0;
      for (boolean lastIsTwoOfFour : new boolean[]{true, false}) {
        DenseNetwork network = network(arena, lastIsTwoOfFour);
        MatrixView samples = samples(arena, count);
        float[] expected = reference(network, samples);
        try (TwoOfFourChain chain = backend.twoOfFourChain(network, count).orElseThrow();
            Matrix batch = backend.allocate(count, 36)) {
          backend.upload(samples, batch);
          for (int time = 0; time < 3; time++) { // run, recorded, replayed
            backend.repeat(chain, () -> chain.run(batch));
            float[] actual = backend.download(chain.output(), arena).toArray();
            for (int i = 0; i < actual.length; i++) {
              assertEquals(expected[i], actual[i], 4 * 0x1p-24, "output " + i); // tanh in float32
            }
          }
        }
        assertTrue(before == 0 || before == backend.used(), () -> "memory: " + backend.used()); // all is given back
        before = backend.used();
      }
    }
  }

  @Test
  void onlyChainsWithSuchALayerHaveIt() {
    try (Arena arena = Arena.ofShared(); CudaBackend backend = CudaBackendTest.open(driver(80), Precision.TF32)) {
      DenseNetwork dense = TestNetworks.network(arena, 1, List.of(6, 8, 3),
          List.of(Activation.RELU, Activation.IDENTITY));
      assertEquals(Optional.empty(), backend.twoOfFourChain(dense, 4));
      assertEquals(Optional.empty(),
          backend.twoOfFourChain(TestNetworks.network(arena, 3, TestNetworks.graph(3, 8)), 4));
    }
  }

  @Test
  void olderGpusAreRefused() {
    try (Arena arena = Arena.ofShared(); CudaBackend backend = CudaBackendTest.open(driver(75), Precision.FP32)) {
      DenseNetwork network = network(arena, true);
      var e = assertThrows(DeviceUnavailableException.class, () -> backend.twoOfFourChain(network, 4));
      assertTrue(e.getMessage().endsWith("has no products of 2:4 weights, which came with compute capability 8.0"),
          e.getMessage());
    }
  }

  @Test
  void timesTheVariantsThatANetworkHas() {
    try (Arena arena = Arena.ofShared();
        CudaBackend plain = CudaBackendTest.open(driver(90), Precision.TF32);
        CudaBackend bfloat16 = CudaBackendTest.open(driver(90), Precision.BF16)) {
      DenseNetwork dense = TestNetworks.network(arena, 1, List.of(6, 8, 3),
          List.of(Activation.RELU, Activation.IDENTITY));
      for (int j = 0; j < 6; j++) {
        dense.layers().getFirst().weights().set(2, j, 0);
      }
      InferenceTimes times = new InferenceTimes(plain, bfloat16);
      List<Timed> measured = times.of(List.of(network(arena, false), dense), 3);
      assertEquals(EnumSet.of(Variant.DENSE, Variant.BF16, Variant.TWO_OF_FOUR), measured.getFirst().times().keySet());
      assertEquals(EnumSet.of(Variant.DENSE, Variant.BF16, Variant.SHRUNK), measured.getLast().times().keySet());
      Map<Variant, Times> random = times.ofRandomTwoOfFour(dense, 3);
      assertEquals(EnumSet.of(Variant.DENSE, Variant.BF16, Variant.TWO_OF_FOUR), random.keySet());
      random.values().forEach(each -> assertTrue(each.median() > 0));
    }
  }
}
