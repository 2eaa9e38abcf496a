package dev.espalier.engine.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.espalier.engine.DeviceFailedException;
import dev.espalier.engine.OutOfBackendMemoryException;
import dev.espalier.engine.backend.Precision;
import dev.espalier.kernels.EmulatedDriver;
import dev.espalier.kernels.EmulatedDriver.Order;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The backend when calls of its driver fail, each in turn.
final class CudaBackendFailureTest {
  /// What a backend leaves to others.
  private static final long RESERVE = 512L << 20;
  private static final long SLOT = 1 << 12;
  private static final Set<String> FUNCTIONS = Set.of("allocate", "allocateHost", "await", "close", "copy", "copyIn",
      "copyOut", "event", "fill", "free", "freeMemory", "launch", "record", "seconds", "synchronize");

  /// @param kibibytes that the backend may take: with few, weights and sums lie on the host, and nothing is recorded
  /// @param forGood whether all later calls fail too, as of a GPU that fell off the bus
  @ParameterizedTest
  @CsvSource({"1536, false", "1536, true", "1152, false", "1152, true"})
  void reportsTheFirstFailureAndGivesEverythingBack(int kibibytes, boolean forGood) throws IOException {
    Set<String> failed = new TreeSet<>();
    Optional<String> function = runFailing(1, kibibytes, forGood);
    for (int call = 2; function.isPresent(); call++) {
      failed.add(function.get());
      function = runFailing(call, kibibytes, forGood);
    }
    Set<String> expected = new TreeSet<>(FUNCTIONS);
    if (kibibytes == 1536) {
      expected.addAll(List.of("beginRecording", "endRecording"));
    }
    assertEquals(expected, failed);
  }

  /// @return the function that failed; empty if there are fewer calls
  private static Optional<String> runFailing(long call, int kibibytes, boolean forGood) throws IOException {
    EmulatedDriver driver = new EmulatedDriver(80, RESERVE + ((long) kibibytes << 10), Order.LATE);
    FailingDriver failing = new FailingDriver(driver, call, forGood ? Long.MAX_VALUE : call);
    List<CudaBackend> opened = new ArrayList<>();
    try (CudaBackend backend = CudaBackend.over(failing.asDriver(), OptionalLong.empty(),
        (checked, memory) -> CudaProducts.ofKernels(checked, memory, Precision.FP32), Precision.FP32, SLOT)) {
      opened.add(backend);
      FailingRun.of(backend);
    } catch (DeviceFailedException | OutOfBackendMemoryException e) {
      String failure = "call %d, %s, failed".formatted(call, failing.failed().orElseThrow());
      assertTrue(e.getMessage().endsWith(failure), e.getMessage());
      assertTrue(forGood || e.getSuppressed().length == 0, failure);
      for (CudaBackend backend : opened) {
        backend.close();
        assertEquals(0, backend.used(), failure);
        assertEquals(0, backend.hostBytes(), failure);
      }
      assertEquals(0, driver.allocations(), failure);
      assertEquals(0, failing.open(), failure);
      return failing.failed();
    }
    assertEquals(Optional.empty(), failing.failed(), "a failure that nobody saw");
    return Optional.empty();
  }
}
