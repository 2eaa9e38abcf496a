package dev.espalier.engine.backend;

/// Holds memory of a backend until it is closed. Closing may be done twice. It throws only if the device failed, and
/// gives the memory back all the same.
public interface Resource extends AutoCloseable {
  @Override
  void close();
}
