package dev.espalier.engine.pruning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.TestNetworks;
import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.NetworkOperations;
import dev.espalier.engine.backend.cpu.CpuBackend;
import dev.espalier.engine.backend.reference.ReferenceBackend;
import dev.espalier.engine.data.Dataset;
import dev.espalier.engine.method.Criterion;
import dev.espalier.engine.network.Activation;
import dev.espalier.engine.network.DenseNetwork;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Optional;
import java.util.function.BiFunction;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class VerificationTest {
  private final Arena arena = Arena.ofConfined();
  private final DenseNetwork network = TestNetworks.network(arena, 1, List.of(30, 20, 20, 20, 5),
      List.of(Activation.RELU, Activation.TANH, Activation.RELU, Activation.IDENTITY));
  private final Dataset source = TestNetworks
      .source(TestNetworks.normal(arena, TestNetworks.random(2), 300, 30, 1, 0.5));

  @AfterEach
  void close() {
    arena.close();
  }

  private Verification verify(Backend backend, Criterion criterion) throws IOException {
    PruningOptions options = PruningOptions.builder().criterion(criterion).exclude("layer1").build();
    return Verification.of(backend, network, PruningPlan.of(options, network, Optional.of(source), backend),
        Optional.of(source));
  }

  @Test
  void theReferenceAgreesWithItself() throws IOException {
    try (Backend reference = new ReferenceBackend()) {
      Verification same = verify(reference, new Criterion.EliminationCompensation());
      assertEquals(256, same.samples());
      assertEquals(List.of("layer0", "layer2", "layer3"),
          same.layers().stream().map(Verification.Layer::name).toList());
      for (Verification.Layer layer : same.layers()) {
        assertEquals(0, layer.importance());
        assertEquals(0, layer.compensation().orElseThrow());
        assertEquals(0, layer.differing());
      }
      // Half of 600, 400 and 100 weights, since the options remove nothing.
      assertEquals(550, same.layers().stream().mapToLong(Verification.Layer::selected).sum());
      assertEquals(0.5, same.target().sparsity());
    }
  }

  @Test
  void showsRounding() throws IOException {
    try (Backend cpu = new CpuBackend()) {
      for (Verification.Layer layer : verify(cpu, new Criterion.EliminationCompensation()).layers()) {
        assertTrue(layer.importance() > 0 && layer.importance() < 1e-4, layer::toString);
        assertTrue(layer.compensation().orElseThrow() < 1e-4, layer::toString);
      }
    }
  }

  @Test
  void showsWhatIsWrong() throws IOException {
    try (Backend cpu = new CpuBackend()) {
      // Its biases are added twice.
      NetworkOperations twice = proxy(NetworkOperations.class, cpu.network(), (name, arguments) -> {
        if (name.equals("denseForward")) {
          cpu.network().add(1, (Matrix) arguments[2], (Matrix) arguments[2]);
        }
        return Optional.empty();
      });
      Backend wrong = proxy(Backend.class, cpu,
          (name, _) -> name.equals("network") ? Optional.of(twice) : Optional.empty());
      Verification found = verify(wrong, new Criterion.EliminationCompensation());
      assertTrue(found.layers().getLast().importance() > 1e-3);
      assertTrue(found.layers().stream().anyMatch(layer -> layer.differing() > 0), found::toString);
    }
  }

  /// Searches for minima end at other arguments, whose values differ by little.
  @Test
  void comparesMinima() throws IOException {
    try (Backend cpu = new CpuBackend()) {
      Verification found = verify(cpu, new Criterion.NonlinearEliminationCompensation());
      assertTrue(found.samples() >= 8 && found.samples() <= 256, found::toString);
      for (Verification.Layer layer : found.layers()) {
        assertTrue(layer.importance() < 2e-3 && layer.compensation().orElseThrow() < 0.2, layer::toString);
      }
    }
  }

  @Test
  void needsNoCompensation() throws IOException {
    try (Backend cpu = new CpuBackend()) {
      assertTrue(verify(cpu, new Criterion.Wanda()).layers().getFirst().compensation().isEmpty());
    }
  }

  /// @param before each call by its name and arguments: what it answers, or empty for what `on` answers
  private static <T> T proxy(Class<T> type, T on, BiFunction<String, Object[], Optional<Object>> before) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[]{type}, (_, method, arguments) -> {
      Optional<Object> answer = before.apply(method.getName(), arguments);
      return answer.isPresent() ? answer.get() : method.invoke(on, arguments);
    }));
  }
}
