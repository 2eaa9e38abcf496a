package dev.espalier.engine.backend.cuda;

import dev.espalier.engine.backend.RandomOrigin;
import dev.espalier.kernels.DeviceBuffer;
import dev.espalier.kernels.RandomKernel;

/// In device memory, where kernels read it: a kernel writes it, in order with them.
final class CudaRandomOrigin implements RandomOrigin {
  private final CudaMemory memory;
  private final RandomKernel kernel;
  private final CudaMemory.Block block;
  private long seed;
  private long firstSample;
  private boolean closed;

  CudaRandomOrigin(CudaMemory memory, RandomKernel kernel) {
    this.memory = memory;
    this.kernel = kernel;
    block = memory.allocate(RandomKernel.ORIGIN_BYTES, "the origin of random vectors"); // zeros
  }

  /// As kernels take it.
  static DeviceBuffer buffer(RandomOrigin origin) {
    return new DeviceBuffer(((CudaRandomOrigin) origin).block.address(), RandomKernel.ORIGIN_BYTES);
  }

  @Override
  public void set(long seed, long firstSample) {
    this.seed = seed;
    this.firstSample = firstSample;
    kernel.setOrigin(buffer(this), seed, firstSample);
  }

  @Override
  public long seed() {
    return seed;
  }

  @Override
  public long firstSample() {
    return firstSample;
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      memory.free(block);
    }
  }
}
