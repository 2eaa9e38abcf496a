package dev.espalier.kernels;

import dev.espalier.kernels.Driver.HostMemory;
import dev.espalier.kernels.Driver.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// What a [Driver] drives, for tests: it stays open when this is closed.
final class DriverGpu extends TestGpu {
  private static final int GUARD = 256;

  private final OnDevice.Device device;
  private final Driver driver;
  private final int computeCapability;
  private final List<Long> allocations = new ArrayList<>();

  /// @param computeCapability that launchers pick kernels by; the device's own if it cannot be 90, whose kernels run
  ///                          nowhere else
  DriverGpu(OnDevice.Device device, int computeCapability) {
    this.device = device;
    driver = device.driver();
    this.computeCapability = computeCapability == 90 ? driver.computeCapability() : computeCapability;
  }

  @Override
  public void launch(Launch launch) {
    driver.launch(launch);
  }

  @Override
  public int computeCapability() {
    return computeCapability;
  }

  @Override
  public int multiprocessors() {
    return driver.multiprocessors();
  }

  @Override
  public int sharedMemory() {
    return Math.min(driver.sharedMemory(), sharedMemory(computeCapability));
  }

  /// Tensor cores truncate, which loses twice what rounding to nearest does, and they shift the terms of an instruction
  /// to the largest exponent before they add them, which truncates once more [Fasi et al. 2021, Numerical behavior of
  /// NVIDIA tensor cores].
  @Override
  double tensorCoreUnit() {
    return 4 * Checks.UNIT;
  }

  @Override
  long allocate(long bytes) {
    long address = driver.allocate(bytes);
    allocations.add(address);
    return address;
  }

  @Override
  void fill(long address, long bytes, byte value) {
    driver.fill(address, bytes, value);
  }

  @Override
  void copyIn(MemorySegment from, long to) {
    HostMemory host = device.staging(from.byteSize());
    host.segment().asSlice(0, from.byteSize()).copyFrom(from);
    driver.copyIn(host, 0, to, from.byteSize(), Stream.COMPUTE);
    driver.synchronize();
  }

  @Override
  void copyOut(List<Zone> from, MemorySegment to) {
    HostMemory host = device.staging(to.byteSize());
    long at = 0;
    for (Zone zone : from) {
      driver.copyOut(zone.address(), host, at, zone.bytes(), Stream.COMPUTE);
      at += zone.bytes();
    }
    driver.synchronize();
    to.copyFrom(host.segment().asSlice(0, to.byteSize()));
  }

  @Override
  void free() {
    allocations.forEach(driver::free);
    allocations.clear();
    driver.synchronize();
  }

  @Override
  int guard() {
    return GUARD;
  }
}
