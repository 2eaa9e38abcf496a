package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.backend.Resource;
import dev.espalier.engine.backend.Resources;
import dev.espalier.kernels.Driver;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/// Work that repeats, recorded as graphs: run the first time, which brings workspace and kernels into place, recorded
/// the second time, and from then on one launch.
final class CudaRecordings implements Resource {
  private final Driver driver;
  private final CudaMemory memory;
  /// By key; empty for work that was run once.
  private final Map<Object, Optional<Driver.Graph>> graphs = new HashMap<>();
  private long recordedIn;
  private boolean recording;

  CudaRecordings(Driver driver, CudaMemory memory) {
    this.driver = driver;
    this.memory = memory;
  }

  /// Whether work is being recorded and not run.
  boolean isRecording() {
    return recording;
  }

  /// See [dev.espalier.engine.backend.Backend#repeat].
  void repeat(Object key, Runnable work) {
    if (memory.hostBytes() > 0) { // it comes over in the other stream, which is not recorded
      work.run();
      return;
    }
    if (recordedIn != memory.generation()) {
      close();
    }
    if (!graphs.containsKey(key)) {
      work.run();
      // Workspace may have grown meanwhile.
      if (recordedIn != memory.generation()) {
        close();
      }
      graphs.put(key, Optional.empty());
      return;
    }
    Driver.Graph graph = graphs.get(key).orElseGet(() -> record(work));
    graphs.put(key, Optional.of(graph));
    driver.launch(graph);
  }

  private Driver.Graph record(Runnable work) {
    driver.beginRecording();
    recording = true;
    try {
      work.run();
    } catch (RuntimeException e) {
      Resources begun = new Resources();
      begun.own(() -> CheckedDriver.run(driver.endRecording()::close));
      begun.closeAfter(e);
      throw e;
    } finally {
      recording = false;
    }
    return driver.endRecording();
  }

  /// Forgets all: memory that they use may have been given back.
  @Override
  public void close() {
    recordedIn = memory.generation();
    try (Resources all = new Resources()) {
      graphs.values().forEach(graph -> graph.ifPresent(g -> all.own(() -> CheckedDriver.run(g::close))));
      graphs.clear();
    }
  }
}
