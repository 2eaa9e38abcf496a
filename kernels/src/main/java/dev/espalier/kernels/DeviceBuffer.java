package dev.espalier.kernels;

/// Device memory for something other than a matrix of floats, owned by somebody else.
///
/// @param address a multiple of 16
/// @param bytes at least 1
public record DeviceBuffer(long address, long bytes) {
  /// @throws IllegalArgumentException if the address is null or not a multiple of 16
  public DeviceBuffer {
    if (address == 0 || address % 16 != 0 || bytes < 1) {
      throw new IllegalArgumentException("address=%#x, bytes=%d".formatted(address, bytes));
    }
  }

  @Override
  public String toString() {
    return bytes + " bytes";
  }
}
