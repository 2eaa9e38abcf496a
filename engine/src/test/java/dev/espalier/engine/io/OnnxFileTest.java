package dev.espalier.engine.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.network.Activations;
import dev.espalier.engine.network.DenseLayer;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Models that PyTorch and Keras exported and one as skl2onnx writes them, in `onnx`, compared with ONNX Runtime.
final class OnnxFileTest {
  @TempDir
  private Path folder;

  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void close() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({"relu.onnx,'relu,identity'", "gelu.onnx,'gelu,identity'", "silu.onnx,'silu,softmax'",
      "leaky.onnx,'leaky_relu:0.2,sigmoid'", "tanh.onnx,'tanh,identity'", "relu6.onnx,'relu6,identity'",
      "mish.onnx,'mish,hardswish,softplus,identity'", "prelu.onnx,'leaky_relu:0.25,identity'",
      "elu.onnx,'elu:0.5,log_softmax'", "sklearn.onnx,'relu,softmax'", "dynamo-softsign.onnx,'softsign,identity'",
      "dynamo-gelu.onnx,'gelu,identity'", "dynamo-gelu18.onnx,'gelu:tanh,identity'",
      "dynamo-clamp.onnx,'relu,identity'", "dynamo-prelu.onnx,'leaky_relu:0.25,identity'",
      "legacy-softsign.onnx,'softsign,identity'", "legacy-gelu.onnx,'gelu:tanh,identity'",
      "keras-mlp.onnx,'gelu,softsign,softmax'"})
  void computesWhatOnnxRuntimeDoesBeforeAndAfterPruning(String name, String activations) throws Exception {
    Path path = copy(name);
    ModelFile model = ModelFile.load(path, Optional.empty(), arena);
    assertEquals(Activations.parse(activations), model.network().activations());
    OnnxRuntime.assertSameOutputs(model.network(), path);

    DenseNetwork pruned = OnnxRuntime.pruned(model.network(), arena);
    Path target = folder.resolve("pruned.onnx");
    model.save(target, pruned, false);
    OnnxRuntime.assertSameOutputs(pruned, target);
    ModelFile again = ModelFile.load(target, Optional.empty(), arena);
    for (int l = 0; l < pruned.layers().size(); l++) {
      DenseLayer expected = pruned.layers().get(l);
      DenseLayer actual = again.network().layers().get(l);
      assertArrayEquals(expected.weights().toArray(), actual.weights().toArray());
      assertEquals(expected.bias().map(b -> Arrays.toString(b.toArray())),
          actual.bias().map(b -> Arrays.toString(b.toArray())));
    }

    Path same = folder.resolve("same.onnx");
    again.save(same, pruned, false);
    assertArrayEquals(Files.readAllBytes(target), Files.readAllBytes(same));
    model.save(same, model.network(), true);
    assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(same));
  }

  @Test
  void namesLayersAndWritesSafetensorsThatNeedNoOptions() throws IOException {
    ModelFile model = ModelFile.load(copy("sklearn.onnx"), Optional.empty(), arena);
    assertEquals(List.of("coefficient", "coefficient1"),
        model.network().layers().stream().map(DenseLayer::name).toList());
    assertEquals(List.of("the network ends before ArgMax, which is not part of it"), model.notes());
    Path target = folder.resolve("model.safetensors");
    model.save(target, model.network(), false);
    ModelFile again = ModelFile.load(target, Optional.empty(), arena);
    assertEquals(model.network().activations(), again.network().activations());
    assertArrayEquals(model.network().layers().getLast().weights().toArray(),
        again.network().layers().getLast().weights().toArray());
  }

  /// `first` and `second` have the weights `w` and no bias.
  @Test
  void readsNodesThatShareWeightsAsOneLayer() throws Exception {
    Path shared = copy("shared.onnx");
    ModelFile model = ModelFile.load(shared, Optional.empty(), arena);
    assertEquals(List.of("a layer that several nodes use is pruned once, for all of them: w (2 times)"), model.notes());
    OnnxRuntime.assertSameOutputs(model.network(), shared);
  }

  @Test
  void refusesWhatItDoesNotUnderstandByNode() throws IOException {
    Path relu = copy("relu.onnx");
    FormatException given = assertThrows(FormatException.class,
        () -> ModelFile.load(relu, Optional.of(Activations.parse("tanh")), arena));
    assertEquals(relu + ": its graph tells the layers and their activations; give neither", given.getMessage());
  }

  /// Bytes that change or are missing lead to a refusal, or to other values; never to another failure.
  @ParameterizedTest
  @ValueSource(strings = {"relu.onnx", "gelu.onnx", "sklearn.onnx", "layernorm.onnx", "deeponet.onnx", "batchnorm.onnx",
      "heads.onnx", "unbiased.onnx", "dynamo-gelu18.onnx", "keras-residual.onnx"})
  void survivesDamage(String name) throws IOException {
    byte[] whole = Files.readAllBytes(copy(name));
    RandomGenerator random = TestNetworks.random(1);
    int refused = 0;
    for (int run = 0; run < 1500; run++) {
      byte[] damaged = run % 3 == 0 ? Arrays.copyOf(whole, random.nextInt(1, whole.length)) : whole.clone();
      for (int flips = run % 3 == 0 ? 0 : 1 + random.nextInt(3); flips > 0; flips--) {
        damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
      }
      Path path = TestFiles.file(folder, "damaged.onnx", damaged);
      try (Arena own = Arena.ofConfined()) {
        ModelFile.load(path, Optional.empty(), own);
      } catch (FormatException e) {
        refused++;
        assertTrue(e.getMessage().startsWith(path.toString()), e.getMessage());
      } catch (RuntimeException e) {
        throw new AssertionError("run " + run, e);
      }
    }
    assertTrue(refused > 250, "refused " + refused);
  }

  private Path copy(String name) throws IOException {
    try (InputStream in = OnnxFileTest.class.getResourceAsStream("onnx/" + name)) {
      return TestFiles.file(folder, name, in.readAllBytes());
    }
  }
}
