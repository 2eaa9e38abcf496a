package dev.espalier.bench;

import dev.espalier.engine.backend.Backend;
import dev.espalier.engine.backend.Matrix;
import dev.espalier.engine.backend.Resources;
import dev.espalier.engine.device.Device;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/// The CPU backend on all cores, and matrices that are closed with it.
@State(Scope.Thread)
public class OnCpu {
  private final Resources matrices = new Resources();
  private Backend backend;

  /// Opens the backend.
  @Setup(Level.Trial)
  public void open() {
    backend = Device.CPU.open();
  }

  Backend backend() {
    return backend;
  }

  Matrix normal(long seed, int rows, int columns) {
    return matrices.own(Inputs.normal(backend, seed, rows, columns));
  }

  Matrix zeros(int rows, int columns) {
    return matrices.own(backend.allocate(rows, columns));
  }

  /// Gives the memory back.
  @TearDown(Level.Trial)
  public void close() {
    matrices.close();
    backend.close();
  }
}
