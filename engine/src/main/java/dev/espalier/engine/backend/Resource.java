package dev.espalier.engine.backend;

/// Holds memory of a backend until it is closed. Closing throws nothing and may be done twice.
public interface Resource extends AutoCloseable {
  @Override
  void close();
}
