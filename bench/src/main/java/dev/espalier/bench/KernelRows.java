package dev.espalier.bench;

import dev.espalier.bench.GpuTimer.Memory;
import java.util.function.Consumer;
import java.util.function.Function;

/// What becomes of the kernels that [GpuKernels] goes through.
interface KernelRows {
  /// @param operands makes what `work` works on
  <T> void add(String kernel, String shape, Cost cost, Function<Memory, T> operands, Consumer<T> work);

  /// Compares results of a kernel, where there are any.
  void check(String kernel, Runnable check);
}
